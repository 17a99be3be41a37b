"""Processes of ours that outlive the agent: a session and a scope of their own, the lock with them.

What does not belong here: what they do (``watch.py``), the records of a job (``job.py``).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from . import process, scope
from .guardian import Guardian
from .protocol import Wire
from .session import Session

_LOOK = 0.02

Work = Callable[[], int]
"""What such a process does; gives its exit status."""


def begin(session: Session, what: str, work: Work) -> int:
    """Start a process that does ``work``, shares lock and wire, and ends; gives its number."""
    child = os.fork()
    if child == 0:
        _live(session, what, work)
    return child


def ended(child: int) -> int | None:
    """How it ended, negative where a signal ended it; None as long as it runs."""
    found, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def wait(child: int, meanwhile: Callable[[], None] = lambda: None) -> int:
    """Until it has ended, and how; ``meanwhile`` is done again and again."""
    while (code := ended(child)) is None:
        meanwhile()
        process.pause(child, _LOOK)
    return code


def guardian(session: Session, work: Work) -> Guardian:
    """From now on ``work`` is done when this process, and what it forks from now on, died without a word to it."""
    read, write = os.pipe()
    with asked_to_end(go_on):
        child = begin(session, "guard", lambda: _watch(session.wire, read, write, work))
    os.close(read)
    return Guardian(child, write)


@contextmanager
def asked_to_end(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """What SIGTERM does within, here and in the processes that are begun."""
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def go_on(number: int, frame: Any) -> None:
    """A signal that changes nothing; not SIG_IGN, which would be inherited by what hooks start."""


def _live(session: Session, what: str, work: Work) -> NoReturn:
    code = 1
    try:
        os.setsid()
        _hold_no_terminal()
        session.lock.join()
        # why that cannot be was said when the lock was taken
        scope.leave_login_session(f"hostout-{what}")
        code = work()
    finally:
        os._exit(code)


def _hold_no_terminal() -> None:
    """The connection's standard streams end with the connection."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)


def _watch(wire: Wire, read: int, write: int, work: Work) -> int:
    os.close(write)
    wire.fall_silent()
    return 0 if os.read(read, 1) else work()
