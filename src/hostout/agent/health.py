"""Is it well? A URL as this host sees it, or a shell line, asked until it says yes or the time is over.

What does not belong here: what follows from a no, how a URL is asked (``page.py``).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

from .failure import Cancelled, Failed
from .session import Session
from .steps import Runner, Step

_LONGEST_TRY = 10.0
# the last try gets so much, also where there is less left
_SHORTEST_TRY = 1.0


@dataclass(frozen=True)
class Check:
    """``check`` is a URL or a shell line; seconds for all tries, and between two."""

    check: str
    timeout: float = 60.0
    interval: float = 1.0

    @classmethod
    def of(cls, value: Any) -> Check | None:
        """From the wire: an object, a bare text, or nothing."""
        if not value:
            return None
        if isinstance(value, str):
            return cls(value)
        return cls(str(value["check"]), float(value.get("timeout") or 60.0), float(value.get("interval") or 1.0))

    @property
    def is_url(self) -> bool:
        """Whether a page is asked for."""
        return self.check.startswith(("http://", "https://"))


def passes(runner: Runner, check: Check) -> None:
    """Return when it is well; raises Failed when it is not within its time."""
    deadline, tried = time.monotonic() + check.timeout, _page if check.is_url else _line
    while True:
        left = max(deadline - time.monotonic(), min(_SHORTEST_TRY, check.timeout))
        wrong = tried(runner, check, left)
        if wrong is None:
            return
        if time.monotonic() + check.interval > deadline:
            raise wrong.but(f"{wrong.message} (within {check.timeout:g} s)")
        time.sleep(check.interval)


def now(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action: is it well at this moment? A URL, asked once."""
    check = Check.of(args["health_check"])
    wrong = answer(check.check, min(_LONGEST_TRY, check.timeout)) if check else ""
    if wrong:
        raise Failed(f"health-check failed: {check.check if check else ''}: {wrong}")
    return {}


def answer(url: str, timeout: float) -> str:
    """Nothing where the URL answers 2xx or 3xx (which is not followed), else what is wrong.

    Asked by a process of its own, which an alarm ends: neither looking up a name nor a page that comes byte by byte
    keeps to a limit of seconds.
    """
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        _say(url, timeout, sink)
    os.close(sink)
    with os.fdopen(source, "rb") as file:
        said = file.read()
    os.waitpid(child, 0)
    return said[1:].decode("utf-8", "replace") if said else f"no answer within {timeout:.3g} s"


def _say(url: str, timeout: float, sink: int) -> NoReturn:
    """The life of that process: a dot, and what is wrong."""
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, timeout)
        # imported where it is needed: what it needs takes longer than all else that an agent imports for a deployment
        wrong = import_module(".page", __package__).wrong(url, timeout)
        os.write(sink, b"." + wrong.encode("utf-8", "replace")[:2000])
    finally:
        os._exit(0)


def _page(runner: Runner, check: Check, seconds: float) -> Failed | None:
    """One try: why it is not well."""
    wrong = answer(check.check, min(_LONGEST_TRY, seconds))
    return Failed(f"health-check failed: {check.check}: {wrong}") if wrong else None


def _line(runner: Runner, check: Check, seconds: float) -> Failed | None:
    """The same with a shell line, which is ended when the time is over."""
    try:
        runner.one(Step(check.check, timeout=round(seconds, 1) or seconds), "health-check")
    except Cancelled:
        raise
    except Failed as failure:
        return failure
    return None
