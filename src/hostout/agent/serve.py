"""One client's visit: the facts first, and what it takes to answer requests once the client has them.

What does not belong here: requests (``answer.py``).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from . import detached, facts, failure, layout, people
from .failure import Failed
from .lock import Lock
from .protocol import FAILED, READY, Wire, question_of
from .session import Session
from .site import Site


def main(argument: str) -> int:
    """Serve one client on standard input and output; ``argument`` is the question. Gives the exit status."""
    os.umask(0o022)
    signal.signal(signal.SIGHUP, detached.go_on)
    signal.signal(signal.SIGTERM, _leave_now)
    wire = _take_streams()
    try:
        session = _session(question_of(argument), wire)
        wire.event(READY, facts=facts.gather(session))
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets a line and not silence
        wire.event(FAILED, id=0, **failure.of(error, Path("/")).fields())
        return 1
    # two thirds of the agent are not needed for the facts; read now, while the client thinks about them
    status: int = import_module(".answer", __package__).serve(session)
    return status


def _leave_now(number: int, frame: Any) -> None:
    """Whoever ends us (a session that is closed, a host that goes down) gets what we stopped started again."""
    raise SystemExit(128 + number)


def _take_streams() -> Wire:
    """The protocol on descriptors of its own: nothing printed by accident gets into it, nothing else reads it."""
    source, sink = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return Wire(source, sink)


def _session(question: Mapping[str, Any], wire: Wire) -> Session:
    path, cache = Path(str(question["path"])), question.get("cache")
    for given in (path, Path(str(cache or "/nothing"))):
        if not given.is_absolute() or ".." in given.parts or given == Path("/"):
            raise Failed(f"not a folder to deploy to: {given}")
    site = Site(path, layout.cache_folder(question, people.owners(question).buildout))
    lock = Lock(site.lock, float(question.get("lock_wait") or 0))
    wire.hear = lock.hear
    return Session(question, wire, site, lock)
