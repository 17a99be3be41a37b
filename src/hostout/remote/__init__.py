"""The only room that knows Fabric and paramiko: connections, sudo, files, the agent's way to a host and back.

``connection.connect`` gives the Connection of a host, ``transfer`` copies files, ``agent.Agent`` speaks to the program
that works on the host. Nothing is imported here, so that looking at a name costs no Fabric.

What does not belong in this room: what is done on hosts (``deploy``), and how it is printed (``output``).
"""
