"""Is it well? A URL as this host sees it, or a shell line, asked until it says yes or the time is over.

What does not belong here: what follows from a no.
"""

from __future__ import annotations

import http.client
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .failure import Failed
from .steps import Runner, Step

_LONGEST_TRY = 10.0


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


def passes(runner: Runner, check: Check) -> None:
    """Return when it is well; raises Failed when it is not within its time."""
    if check.check.startswith(("http://", "https://")):
        _url(runner, check)
    else:
        step = Step(check.check, timeout=check.timeout, retry=check.timeout, interval=check.interval)
        runner.one(step, "health-check")


def answer(url: str, timeout: float) -> str:
    """Nothing where the URL answers 2xx or 3xx (which is not followed), else what is wrong."""
    try:
        with _alarm(timeout), _opener().open(url, timeout=timeout) as response:
            return "" if 200 <= response.status < 400 else f"HTTP status {response.status}"
    except urllib.error.HTTPError as error:
        error.close()
        return "" if 300 <= error.code < 400 else f"HTTP status {error.code}"
    except urllib.error.URLError as error:
        return str(error.reason)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return str(error) or type(error).__name__


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """TimeoutError within when the seconds are over; a socket's own limit begins anew with every byte."""

    def ring(number: int, frame: Any) -> None:
        raise TimeoutError(f"no answer within {seconds:.3g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _url(runner: Runner, check: Check) -> None:
    deadline = time.monotonic() + check.timeout
    while wrong := answer(check.check, max(0.1, min(_LONGEST_TRY, deadline - time.monotonic()))):
        if time.monotonic() + check.interval > deadline:
            raise Failed(f"health-check failed: {check.check}: {wrong} (within {check.timeout:g} s)")
        time.sleep(check.interval)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Somewhere else is an answer; it may not be reachable from here."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Never."""


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay)
