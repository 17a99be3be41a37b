"""A TCP relay on loopback that holds every chunk back: a line to a host that is far away.

What does not belong here: what goes over the line.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import TypeVar

BLOCK = 1 << 16


class Relay:
    """``port`` on 127.0.0.1 is that of ``address``, with ``delay`` seconds added to either way."""

    def __init__(self, address: str, port: int) -> None:
        self.target = (address, port)
        self.delay = 0.0
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def run(self, opened: threading.Event, end: asyncio.Event) -> None:
        """Serves until ``end``; closes all that was opened then."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        opened.set()
        async with server:
            await end.wait()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self.target)
        self._writers += [writer, there_writer]
        try:
            await asyncio.gather(self._carry(reader, there_writer), self._carry(there_reader, writer))
        finally:
            writer.close()
            there_writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Every chunk in its order, each so much later than it came, whatever is under way already."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivering = asyncio.ensure_future(self._deliver(waiting, writer))
        data = b"?"
        while data:
            try:
                data = await reader.read(BLOCK)
            except ConnectionError:
                data = b""
            waiting.put_nowait((asyncio.get_running_loop().time() + self.delay, data))
        await delivering

    async def _deliver(self, waiting: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        """What one side sent, and at its end that it has ended."""
        with contextlib.suppress(ConnectionError):
            while (item := await waiting.get())[1]:
                await asyncio.sleep(item[0] - asyncio.get_running_loop().time())
                writer.write(item[1])
                await writer.drain()
            await asyncio.sleep(item[0] - asyncio.get_running_loop().time())
        writer.close()


def relay(address: str, port: int) -> contextlib.AbstractContextManager[Relay]:
    """A running relay to that address."""
    return running(Relay(address, port))


R = TypeVar("R", bound=Relay)


@contextlib.contextmanager
def running(one: R) -> Iterator[R]:
    """It runs until the end, in a thread of its own."""
    opened, loop = threading.Event(), asyncio.new_event_loop()
    end = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(one.run(opened, end)))
    thread.start()
    try:
        assert opened.wait(60)
        yield one
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(10)
        loop.close()
