"""Ports for programs of tests that have to be told theirs before they run.

What does not belong here: servers in this process, which take any port and say which it is.
"""

from __future__ import annotations

import os
import socket
from itertools import count

FIRST, MANY = 20_000, 10_000
"""Below those that a system gives to who asks for any: nobody gets one of these meanwhile who did not name it."""

_numbers = count(os.getpid() * 16)
# processes of a run have numbers near to each other: each has sixteen ports of its own


def free_port() -> int:
    """One that nobody on this machine listens on, another one each time."""
    for number in _numbers:
        port = FIRST + number % MANY
        with socket.socket() as tried:
            # what was closed a moment ago is in nobody's way
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("", port))
            except OSError:
                continue
            return port
    raise AssertionError("there is always another number")
