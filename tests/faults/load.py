"""Somebody who looks at the application all the time, over the network: what was lost, and for how long.

What does not belong here: what befalls the application meanwhile.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

PAUSE = 0.01
PATIENCE = 1.0


@dataclass
class Watch:
    """What was seen in a stretch of time (seconds of ``time.monotonic``): pages with when they came, and failures."""

    began: float
    pages: list[tuple[float, str]] = field(default_factory=list)
    failures: list[tuple[float, str]] = field(default_factory=list)
    ended: float = 0.0

    @property
    def lost(self) -> int:
        """Requests without an answer."""
        return len(self.failures)

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.ended or time.monotonic()) - self.began

    @property
    def gap(self) -> float:
        """The longest time without a page while requests failed; 0 where none failed."""
        times = [self.began, *(when for when, _ in self.pages), self.ended or time.monotonic()]
        gaps = [after - before for before, after in pairwise(times) if self._failed(before, after)]
        return max(gaps, default=0.0)

    def strangers(self, *known: str) -> list[str]:
        """Pages that none of the known releases serves."""
        return sorted({page for _, page in self.pages} - set(known))

    def _failed(self, before: float, after: float) -> bool:
        return any(before <= when <= after for when, _ in self.failures)


class Load:
    """A thread that asks for ``/`` of an address again and again, each time by a new connection."""

    def __init__(self, address: str, port: int) -> None:
        self._where = (address, port)
        self._watches: list[Watch] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True, name="load")
        self._thread.start()

    @contextmanager
    def watch(self) -> Iterator[Watch]:
        """Notes down what is seen meanwhile."""
        watch = Watch(time.monotonic())
        self._watches.append(watch)
        try:
            yield watch
        finally:
            self._watches.remove(watch)
            watch.ended = time.monotonic()

    def close(self) -> None:
        """Enough seen."""
        self._over.set()
        self._thread.join(10)

    def _ask(self) -> None:
        while not self._over.wait(PAUSE):
            page, failure = self.look()
            for watch in list(self._watches):
                if failure:
                    watch.failures.append((time.monotonic(), failure))
                else:
                    watch.pages.append((time.monotonic(), page))

    def look(self) -> tuple[str, str]:
        """One page, or why there was none."""
        connection = http.client.HTTPConnection(*self._where, timeout=PATIENCE)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            page = answer.read().decode()
            return (page, "") if answer.status == 200 else ("", str(answer.status))
        except (OSError, http.client.HTTPException) as error:
            return "", f"{type(error).__name__}: {error}"
        finally:
            connection.close()
