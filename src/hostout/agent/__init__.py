"""What runs on the host: facts, the store, releases, the build and the switch.

The folder travels as one file in which this package is called ``hostout_agent``; it runs under ``python3 -I -S``
(3.9 or later), needs the standard library only, and is started with
``hostout_agent.serve.main(question)`` where ``question`` is a JSON object (``protocol.py``).

What does not belong here: decisions. What is deployed, and in which order, is decided on the developer's
machine; imports of anything of ours outside this folder; anything that asks a person.
"""
