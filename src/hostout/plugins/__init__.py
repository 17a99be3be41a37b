"""The plugins that come with hostout: each one file, written against nothing but what ``hostout`` gives every plugin.

What does not belong here: anything that a plugin of somebody else's could not do. What one of these needs and lacks
is added to the interface (``docs/plugins.md``) instead.
"""
