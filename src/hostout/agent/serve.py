"""The main loop: the facts first, then one request after the other until the client is gone.

What does not belong here: what can be asked (``actions.py``), how it is done (``perform.py``, ``watch.py``).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import detached, facts, failure, layout, people, watch
from .actions import ACTIONS
from .failure import Failed
from .lock import Lock
from .perform import Request, fail, locked, perform
from .protocol import CANCEL, FAILED, READY, SILENCE, Hangup, Wire, question_of
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
    return _serve(session)


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
    return Session(question, wire, site, lock, watch.entered)


def _serve(session: Session) -> int:
    try:
        while (request := session.wire.request(SILENCE)) is not None:
            _answer(session, request)
            if session.wire.deaf:
                break
            session.wire.discard()
        if session.wire.silent:
            session.warn(f"nothing was heard for {SILENCE:g} s: the agent leaves")
    except Hangup:
        return 1
    except (ValueError, KeyError, TypeError) as error:
        session.wire.event(FAILED, id=0, **failure.of(error, session.site.path).fields())
        return 2
    finally:
        watch.leave(session)
    return 0


def _answer(session: Session, request: Request) -> None:
    action = ACTIONS.get(str(request.get("do")))
    if action is None:
        _refuse(session, request)
    elif not (action.final or action.job):
        perform(session, request, action)
    elif locked(session, request):
        (watch.to_its_end if action.final else watch.as_job)(session, request, action)


def _refuse(session: Session, request: Request) -> None:
    if request.get("do") == CANCEL:
        # came after the end of what it was meant for
        return
    fail(session, request, Failed(f"this agent cannot do {request.get('do')!r}"))


__all__ = ["ACTIONS", "main"]
