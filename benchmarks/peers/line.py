"""The way to a host: a relay that can be slow, and that counts what goes over it.

What does not belong here: what goes over it.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from relay import Relay, running


@dataclass
class Count:
    """What went over a line. ``turns``: how often something was sent up after something had come down."""

    up: int = 0
    down: int = 0
    turns: int = 0
    connections: int = 0

    def figures(self) -> dict[str, float]:
        """As a case gives them."""
        return {"bytes": self.up + self.down, "bytes up": self.up, "turns": self.turns, "connections": self.connections}


class Line(Relay):
    """A relay whose connections take a round trip to be made, as those of TCP do."""

    def __init__(self, address: str, port: int) -> None:
        super().__init__(address, port)
        self.count = Count()
        self._came_down = False

    def far(self, round_trip: float) -> None:
        """From now on the host is so many seconds away and back."""
        self.delay = round_trip / 2

    def counted_anew(self) -> Count:
        """What is counted from now on."""
        self.count = Count()
        return self.count

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count.connections += 1
        await asyncio.sleep(2 * self.delay)
        await super()._serve(reader, writer)

    async def _deliver(self, waiting: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        up = tuple(writer.get_extra_info("peername")[:2]) == self.target
        passed: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivering = asyncio.ensure_future(super()._deliver(passed, writer))
        item = (0.0, b"?")
        while item[1]:
            item = await waiting.get()
            passed.put_nowait(item)
            if item[1]:
                self._counted(up, len(item[1]))
        await delivering

    def _counted(self, up: bool, size: int) -> None:
        if up:
            self.count.up += size
            self.count.turns += self._came_down
        else:
            self.count.down += size
        self._came_down = not up


def line(address: str, port: int) -> contextlib.AbstractContextManager[Line]:
    """A running line to that address."""
    return running(Line(address, port))
