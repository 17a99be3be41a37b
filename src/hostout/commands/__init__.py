"""The registry of commands, both styles of fabfiles, and what commands can do: knows the model and nothing else.

``loading`` finds functions in files, ``registry`` puts those of a host in order, ``chain`` runs them, ``host`` and
``environment`` are what they work with. What does not belong here: how a host is reached (handed in as Services).
"""
