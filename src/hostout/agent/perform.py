"""One request: it is done, the ledger hears how it ended, then the client does.

What does not belong here: which actions there are (``actions.py``), in which process they run (``watch.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import failure, ledger, people, release, sharing
from .failure import Failed, storage
from .protocol import DONE, FAILED, Hangup
from .session import Session

Request = Mapping[str, Any]
"""As it came: ``id``, ``do`` and ``args``."""

@dataclass(frozen=True)
class Action:
    """``locks``: takes the lock before it starts. ``changes``: stands in the ledger. ``final``: gives the lock back;
    and brought to its end by a process of its own, whatever becomes of the client. ``job``: such a process too, which
    the client can cancel.
    """

    run: Callable[[Session, Mapping[str, Any]], dict[str, Any]]
    locks: bool = True
    changes: bool = True
    final: bool = False
    job: bool = False


def perform(session: Session, request: Request, action: Action) -> None:
    """Do it and say how it ended, to the ledger first."""
    args, started = request.get("args") or {}, time.monotonic()
    try:
        if action.locks:
            _enter(session, request)
        result = action.run(session, args)
    except Hangup:
        raise
    except Exception as error:  # noqa: BLE001 - a bug of ours ends the request, with its traceback
        failed = failure.of(error, session.site.path)
        if action.changes:
            _note_down(session, request, started, {"ok": False, "message": failed.message})
        fail(session, request, failed)
    else:
        if action.changes:
            ended = {"ok": True, "name": result.get("name"), "state": result.get("state")}
            _note_down(session, request, started, ended)
        session.wire.event(DONE, id=request.get("id"), result=result)


def locked(session: Session, request: Request) -> bool:
    """The lock is ours; where it cannot be, that is the answer."""
    try:
        _enter(session, request)
    except Hangup:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        fail(session, request, failure.of(error, session.site.path))
        return False
    return True


def fail(session: Session, request: Request, failed: Failed) -> None:
    """Tell the client."""
    session.failed = request.get("id")
    session.wire.event(FAILED, id=request.get("id"), **failed.fields())


def _enter(session: Session, request: Request) -> None:
    session.take_lock(str(request["do"]))
    if not session.sharing:
        # the first time there was no cache yet, maybe
        session.sharing = session.lock.keep(sharing.hold(session))


def note_killed(session: Session, request: Request, failed: Failed) -> None:
    """A line in the ledger for who could not write it any more."""
    _note_down(session, request, time.monotonic(), {"ok": False, "message": failed.message})


def _note_down(session: Session, request: Request, started: float, outcome: Mapping[str, Any]) -> None:
    """A line in the ledger; a full disk does not turn what succeeded into a failure."""
    if not session.lock.held:
        return
    args, client = request.get("args") or {}, session.question.get("client") or {}
    # a rollback is told which release it went to only when it is there
    name = str(outcome.get("name") or args.get("name") or args.get("to") or "")
    entry = {
        "what": request["do"],
        "release": name or None,
        "file": args.get("file"),
        **_scm(session, name),
        "user": client.get("user"),
        "machine": client.get("machine"),
        "login": people.login(),
        "seconds": round(time.monotonic() - started, 3),
        **{what: value for what, value in outcome.items() if what != "name"},
    }
    entry = {name: value for name, value in entry.items() if value is not None}
    try:
        warning = ledger.append(session.site.ledger, entry)
    except OSError as error:
        warning = f"not in the ledger: {storage(error, session.site.ledger).message}"
    if warning:
        session.warn(warning)


def _scm(session: Session, name: str) -> dict[str, Any]:
    """From which commit that release was made, and whether there was more than that."""
    scm = release.load(session.site.release(name)).record.get("scm") if release.NAME.fullmatch(name) else None
    return {what: scm.get(what) for what in ("commit", "dirty")} if isinstance(scm, dict) else {}
