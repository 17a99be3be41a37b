"""The main loop: the facts first, then one request after the other until the client is gone.

What does not belong here: what an action does.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import build, environment, facts, golive, layout, ledger, people, release, stage, steps, store
from .failure import Failed, storage
from .lock import Lock
from .protocol import CANCEL, DONE, FAILED, READY, Hangup, Wire, question_of
from .session import Session
from .site import Site

_IDLE_WITH_LOCK = 3600.0
_PATIENCE = 10.0
# how the process of a final action tells its parent that nobody listens, that nothing was begun
_DEAF, _STILL_STOPPED = 16, 32


@dataclass(frozen=True)
class Action:
    """``locks``: takes the lock before it starts. ``changes``: stands in the ledger. ``final``: gives the lock back;
    and brought to its end by a process of its own, whatever becomes of the client.
    """

    run: Callable[[Session, Mapping[str, Any]], dict[str, Any]]
    locks: bool = True
    changes: bool = True
    final: bool = False


def _command(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action ``command``: one step, in ``cwd`` or ``path``."""
    site = session.site
    cwd = site.path / str(args.get("cwd") or "")
    with tempfile.TemporaryDirectory() as scratch:
        log = site.log("commands") if site.jobs.is_dir() else Path(scratch, "log")
        runner = steps.Runner(session, log, cwd if cwd.is_dir() else Path("/"), cancellable=True)
        runner.one(steps.Step.of(args), "command")
    return {"status": 0}


def _put(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action ``put``: nothing but its line in the ledger."""
    return {}


ACTIONS = {
    "facts": Action(facts.facts, locks=False, changes=False),
    "layout": Action(layout.layout, locks=False),
    "receive": Action(store.receive),
    "environment": Action(environment.make),
    "stage": Action(stage.stage),
    "build": Action(build.build),
    "stop": Action(golive.stop),
    "golive": Action(golive.golive, final=True),
    "restart": Action(golive.restart, final=True),
    "command": Action(_command, locks=False, changes=False),
    "owners": Action(layout.owners),
    "put": Action(_put),
}


def main(argument: str) -> int:
    """Serve one client on standard input and output; ``argument`` is the question. Gives the exit status."""
    os.umask(0o022)
    # not SIG_IGN: that would be inherited by what hooks start
    signal.signal(signal.SIGHUP, _go_on)
    signal.signal(signal.SIGTERM, _leave_now)
    wire = _take_streams()
    try:
        session = _session(question_of(argument), wire)
        wire.event(READY, facts=facts.gather(session))
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets a line and not silence
        wire.event(FAILED, id=0, **_failure(error, Path("/")).fields())
        return 1
    return _serve(session)


def _go_on(number: int, frame: Any) -> None:
    """A signal that changes nothing."""


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
    return Session(question, wire, site, Lock(site.lock, float(question.get("lock_wait") or 0)))


def _serve(session: Session) -> int:
    try:
        while (request := session.wire.request(_IDLE_WITH_LOCK if session.lock.held else None)) is not None:
            _answer(session, request)
            if session.wire.deaf:
                break
            session.wire.discard()
    except Hangup:
        return 1
    except (ValueError, KeyError, TypeError) as error:
        session.wire.event(FAILED, id=0, **_failure(error, session.site.path).fields())
        return 2
    finally:
        _leave(session)
    return 0


def _answer(session: Session, request: Mapping[str, Any]) -> None:
    action = ACTIONS.get(str(request.get("do")))
    if action is None:
        _refuse(session, request)
    elif action.final:
        _detached(session, request, action)
    else:
        _perform(session, request, action)


def _refuse(session: Session, request: Mapping[str, Any]) -> None:
    if request.get("do") == CANCEL:
        # came after the end of what it was meant for
        return
    failure = Failed(f"this agent cannot do {request.get('do')!r}")
    session.wire.event(FAILED, id=request.get("id"), **failure.fields())


def _perform(session: Session, request: Mapping[str, Any], action: Action) -> None:
    """Do it and say how it ended, to the ledger first."""
    args, started = request.get("args") or {}, time.monotonic()
    try:
        if action.locks:
            session.take_lock(str(request["do"]))
        result = action.run(session, args)
    except Hangup:
        raise
    except Exception as error:  # noqa: BLE001 - a bug of ours ends the request, with its traceback
        failure = _failure(error, session.site.path)
        _note_down(session, request, action, started, {"ok": False, "message": failure.message})
        session.wire.event(FAILED, id=request.get("id"), **failure.fields())
    else:
        _note_down(session, request, action, started, {"ok": True, "state": result.get("state")})
        session.wire.event(DONE, id=request.get("id"), result=result)


def _detached(session: Session, request: Mapping[str, Any], action: Action) -> None:
    """The same in a process and session of its own: it goes on when the client goes, or sudo ends the agent.

    A client that is there but does not read is waited for a moment only.
    """
    # neither of the two leaves before that end
    before = signal.signal(signal.SIGTERM, _go_on)
    child = os.fork()
    if child == 0:
        _finish(session, request, action)
    _, status = os.waitpid(child, 0)
    signal.signal(signal.SIGTERM, before)
    session.lock.release()
    code = os.waitstatus_to_exitcode(status)
    if code >= 0 and not code & ~(_DEAF | _STILL_STOPPED):
        session.wire.deaf = bool(code & _DEAF)
        session.stopped = bool(code & _STILL_STOPPED)
    else:
        message = f"the process that did {request['do']} was killed: see what is live before you go on"
        session.wire.event(FAILED, id=request.get("id"), **Failed(message).fields())


def _finish(session: Session, request: Mapping[str, Any], action: Action) -> None:
    """The life of that process; never returns."""
    code = 1
    try:
        os.setsid()
        session.wire.patience = _PATIENCE
        _perform(session, request, action)
        code = (_DEAF if session.wire.deaf else 0) | (_STILL_STOPPED if session.stopped else 0)
    finally:
        os._exit(code)


def _leave(session: Session) -> None:
    """The client is gone. What it stopped and did not start again is started."""
    if session.stopped:
        session.wire.patience = _PATIENCE
        _detached(session, {"id": 0, "do": "restart", "args": {}}, ACTIONS["restart"])
    session.lock.release()


def _note_down(
    session: Session, request: Mapping[str, Any], action: Action, started: float, outcome: Mapping[str, Any]
) -> None:
    """A line in the ledger; a full disk does not turn what succeeded into a failure."""
    if not action.changes or not session.lock.held:
        return
    args, client = request.get("args") or {}, session.question.get("client") or {}
    entry = {
        "what": request["do"],
        "release": args.get("name"),
        "file": args.get("file"),
        "commit": _commit(session, args),
        "user": client.get("user"),
        "machine": client.get("machine"),
        "login": people.login(),
        "seconds": round(time.monotonic() - started, 3),
        **outcome,
    }
    try:
        ledger.append(session.site.ledger, {name: value for name, value in entry.items() if value is not None})
    except OSError as error:
        session.warn(f"not in the ledger: {storage(error, session.site.ledger).message}")


def _commit(session: Session, args: Mapping[str, Any]) -> Any:
    """From which commit the release of a request was made."""
    name = str(args.get("name") or "")
    scm = release.load(session.site.release(name)).record.get("scm") if release.NAME.fullmatch(name) else None
    return scm.get("commit") if isinstance(scm, dict) else None


def _failure(error: Exception, path: Path) -> Failed:
    if isinstance(error, Failed):
        return error
    if isinstance(error, OSError):
        return storage(error, Path(os.fsdecode(error.filename)) if error.filename else path)
    lines = "".join(traceback.format_exception(type(error), error, error.__traceback__)).splitlines()
    return Failed(f"the agent has a bug: {type(error).__name__}: {error}", tail=lines[-20:])


__all__ = ["ACTIONS", "main"]
