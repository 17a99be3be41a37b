"""What outlives the agent, and what is done when somebody died: the agent itself, a job, the process of a switch.

What does not belong here: how such a process is made (``detached.py``), what an action does.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

from . import adoption, detached, failure, golive, job, release, scope
from .failure import Failed
from .lock import Words
from .perform import Action, Request, fail, note_killed, perform
from .session import Session

# seconds that a client may keep a process of ours waiting; who builds has more time than who keeps a site down
_PATIENCE, _WORKING = 10.0, 60.0
# how such a process tells its parent that nobody listens, that nothing was begun
_DEAF, _STILL_STOPPED = 16, 32

RESTART = Action(golive.restart, final=True)


def entered(session: Session, left: Words) -> None:
    """Whoever takes the lock first brings to its end what somebody who died began."""
    if trouble := scope.leave_login_session("hostout-agent"):
        session.warn(trouble)
    if left.job is not None:
        name = str(left.job.get("release"))
        note_killed(session, {"do": str(left.job.get("what")), "args": {"name": name}}, job.killed(session, name))
        session.note(f"the {left.job.get('what')} of release {name} had been killed: what it left running is ended")
    if golive.unfinished(session.site):
        _recover(session)
    if adoption.unfinished(session.site):
        adoption.adopt(session)


def _recover(session: Session) -> bool:
    """An unfinished switch is taken back by a process that outlives us; whether that came to its end."""
    with detached.asked_to_end(detached.go_on):
        code = detached.wait(detached.begin(session, "recover", lambda: _recovered(session)), session.lock.hear)
    _heard(session, code)
    return _is_whole(code)


def _recovered(session: Session) -> int:
    session.wire.patience = _PATIENCE
    try:
        golive.recover(session)
    except Exception as error:  # noqa: BLE001 - said; the next deployment may be what mends it
        session.warn(failure.of(error, session.site.path).message)
    return _code(session)


# ----- processes of their own -----------------------------------------------------------------------------------------


def to_its_end(session: Session, request: Request, action: Action) -> None:
    """The same in a process and session of its own: it goes on when the client goes, or sudo ends the agent.

    A client that is there but does not read is waited for a moment only.
    """
    # neither of the two leaves before that end
    with detached.asked_to_end(detached.go_on):
        child = detached.begin(session, str(request["do"]), lambda: _finish(session, request, action))
        # who waits for the lock is to see that somebody is at work
        code = detached.wait(child, session.lock.hear)
        if _is_whole(code):
            _heard(session, code)
        else:
            _take_back(session, request)
    if not session.stopped:
        _let_go(session)


def _finish(session: Session, request: Request, action: Action) -> int:
    """What that process does."""
    session.wire.patience = _PATIENCE
    perform(session, request, action)
    if session.guardian is not None and not session.stopped:
        session.guardian.tell()
    return _code(session)


def _take_back(session: Session, request: Request) -> None:
    """It was killed: what it left running ends, what it began is taken back, and the client hears of it."""
    session.lock.end_orphans()
    said = "see what is live before you go on"
    if golive.unfinished(session.site) and _recover(session):
        session.stopped = False
        said = f"{release.live_name(session.site) or 'nothing'} is live"
    failed = Failed(f"the process that did {request['do']} was killed: {said}")
    note_killed(session, request, failed)
    fail(session, request, failed)


def as_job(session: Session, request: Request, action: Action) -> None:
    """In such a process that goes on also when the agent is killed; we hear what the client says meanwhile."""

    def unwanted(number: int, frame: Any) -> None:
        session.wire.unwanted = True

    with detached.asked_to_end(unwanted):
        session.job = detached.begin(session, str(request["do"]), lambda: _work(session, request, action))
        # that was meant for the job
        session.wire.unwanted = False
    code = detached.wait(session.job, lambda: _listen(session))
    session.job = None
    if _is_whole(code):
        _heard(session, code, stopped=session.stopped)
    else:
        session.lock.end_orphans()
        failed = job.killed(session, str((request.get("args") or {}).get("name")))
        note_killed(session, request, failed)
        fail(session, request, failed)


def _work(session: Session, request: Request, action: Action) -> int:
    """What the process of a job does. What was stopped is not to wait for it."""
    session.wire.patience = _WORKING
    session.wire.only_speak()
    if session.guardian is not None:
        session.guardian.forget()
    perform(session, request, action)
    return _code(session)


def _listen(session: Session) -> None:
    """While a job runs: the client may cancel it; where the client is gone, what it had stopped starts at once."""
    if session.wire.cancelled() and session.job is not None:
        os.kill(session.job, signal.SIGTERM)
    if session.wire.gone and session.stopped:
        _start_again(session)


def _code(session: Session) -> int:
    """What a process of ours tells by its exit status."""
    return (_DEAF if session.wire.deaf else 0) | (_STILL_STOPPED if session.stopped else 0)


def _is_whole(code: int) -> bool:
    """Whether it came to its end by itself."""
    return code >= 0 and not code & ~(_DEAF | _STILL_STOPPED)


def _heard(session: Session, code: int, stopped: bool | None = None) -> None:
    if _is_whole(code):
        session.wire.deaf = session.wire.deaf or bool(code & _DEAF)
        session.stopped = bool(code & _STILL_STOPPED) if stopped is None else stopped


def stop(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action ``stop``, with somebody who starts that again should this process be killed."""
    if session.guardian is None:
        session.guardian = detached.guardian(session, lambda: _guard(session))
    try:
        return golive.stop(session, args)
    finally:
        if not session.stopped:
            session.guardian.dismiss()
            session.guardian = None


def _start_again(session: Session) -> None:
    session.wire.patience = _PATIENCE
    to_its_end(session, {"id": 0, "do": "restart", "args": {}}, RESTART)
    # whatever came of it: it is not tried again
    session.stopped = False


def _bring_back(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """What a guardian does: the release that was live runs again."""
    session.lock.end_orphans()
    if golive.unfinished(session.site):
        golive.recover(session)
        return {}
    return golive.restart(session, args)


def _guard(session: Session) -> int:
    perform(session, {"id": 0, "do": "restart", "args": {}}, Action(_bring_back))
    return 0


def _let_go(session: Session) -> None:
    """Nothing of ours is to be brought to an end any more: the next one may come in, unless a job goes on."""
    if session.guardian is not None:
        session.guardian.dismiss()
        session.guardian = None
    if session.job is None:
        session.lock.release()
        session.sharing = False


def leave(session: Session) -> None:
    """The client is gone. What it stopped and did not start again is started."""
    if session.stopped:
        _start_again(session)
    _let_go(session)
    session.lock.abandon()
