"""How long anything here is waited for, in seconds. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Every wait for a host has one of these; a build or a command that runs has none of its own.

    ``connect`` for each address of a name, ``banner`` for the first word of the server and the key exchange each,
    ``login`` for an answer to a key or password, ``channel`` for one to a new channel or command. A connection that
    was asked every ``keepalive`` seconds and did not answer within ``silence`` is dead. ``start`` is what a host may
    take from "run this" to the first word of it (sudo, Python).
    """

    connect: float = 15.0
    banner: float = 20.0
    login: float = 45.0
    channel: float = 30.0
    keepalive: float = 15.0
    silence: float = 45.0
    start: float = 120.0
