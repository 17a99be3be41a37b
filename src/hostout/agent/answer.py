"""The main loop: one request after the other until the client is gone.

What does not belong here: what can be asked (``actions.py``), how it is done (``perform.py``, ``watch.py``).
"""

from __future__ import annotations

from . import failure, watch
from .actions import ACTIONS
from .failure import Failed
from .perform import Request, fail, locked, perform
from .protocol import CANCEL, FAILED, SILENCE, Hangup
from .session import Session


def serve(session: Session) -> int:
    """Until its end; gives the exit status."""
    session.entered = watch.entered
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
    if request.get("after") and request["after"] == session.failed:
        fail(session, request, Failed(f"{request.get('do')} was not begun: what it was to follow failed"))
    elif action is None:
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
