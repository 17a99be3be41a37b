"""A command on a raw channel: its output in pieces and lines, its end.

What does not belong here: what the command is.
"""

from __future__ import annotations

import codecs
import select
import time
from collections.abc import Callable, Iterator

import paramiko

BLOCK = 1 << 16
LONGEST = 1 << 16
"""A line longer than this is cut: a host must not fill our memory."""

LINGER = 3.0
"""How long output is waited for after the command ended: a child of it may keep the output open for ever. sshd says
that a command has ended before it has sent its last output, which a lost packet may hold up for a second or two."""

STATUS_LIMIT = 10.0
OUT, ERR = "out", "err"


def pieces(channel: paramiko.Channel, limit: float | None = None) -> Iterator[tuple[str, bytes]]:
    """What arrives, ``("out" | "err", bytes)``, until the command ended or the connection did.

    With ``limit`` TimeoutError is raised when nothing came for so many seconds.
    """
    poller = select.poll()
    poller.register(channel.fileno(), select.POLLIN)
    heard = time.monotonic()
    while True:
        if channel.recv_ready():
            yield OUT, channel.recv(BLOCK)
            heard = time.monotonic()
        elif channel.recv_stderr_ready():
            yield ERR, channel.recv_stderr(BLOCK)
            heard = time.monotonic()
        elif _ended(channel, heard):
            return
        elif limit is not None and time.monotonic() - heard > limit:
            raise TimeoutError
        else:
            poller.poll(200)


def _ended(channel: paramiko.Channel, heard: float) -> bool:
    over = bool(channel.closed or channel.eof_received)
    over = over or (channel.exit_status_ready() and time.monotonic() - heard > LINGER)
    # what came between the last look and the end
    return over and not channel.recv_ready() and not channel.recv_stderr_ready()


def status(channel: paramiko.Channel) -> int:
    """The exit status of a command whose output has ended; -1 when there is none (a signal, a lost connection)."""
    channel.status_event.wait(STATUS_LIMIT)
    return channel.exit_status


class Lines:
    """Bytes in, whole lines of text out; what is not UTF-8 is replaced, what is too long is cut."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self.take = take
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._rest = ""

    def feed(self, data: bytes, final: bool = False) -> None:
        """The next bytes."""
        self.write(self._decode(data, final))

    def write(self, text: str) -> int:
        """The next text (what a stream is written to)."""
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            self._give(line)
        if len(self._rest) > LONGEST:
            self._give(self._rest)
            self._rest = ""
        return len(text)

    def flush(self) -> None:
        """A line is given when it is whole."""

    def close(self) -> None:
        """The last line, if it has no end of its own."""
        self.feed(b"", final=True)
        if self._rest:
            self._give(self._rest)
            self._rest = ""

    def _give(self, line: str) -> None:
        self.take(line.removesuffix("\r"))
