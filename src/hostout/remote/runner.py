"""How Fabric runs a command here: the same interface and Result, with streams that hold.

Fabric's own Runner decodes each block on its own, joins everything it ever read at each block, and copies input byte by
byte; for a million lines that is not good enough. What does not belong here: what is printed (``connection``).
"""

from __future__ import annotations

import codecs
import os
import select
import threading
from collections.abc import Callable, Iterator
from typing import Any

import paramiko
from fabric.runners import Remote

from hostout.remote.channel import BLOCK, LINGER

KEPT = 8 * 1024 * 1024
"""Characters of shown output that a Result keeps at least, the last ones; hidden output is kept whole."""


Start = Callable[[paramiko.Channel, str], tuple[bytes, bytes]]
"""Starts a command on a channel; returns what it has written already, to standard output and error."""


class Runner(Remote):  # type: ignore[misc]  # Fabric has no types
    """A command of a Connection, which ``start`` starts."""

    read_chunk_size = BLOCK

    def __init__(self, *arguments: Any, start: Start, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._start = start
        self._early: dict[str, bytes] = {}
        self._progress = 0
        self._waited_at = -1
        self._late = False

    @property
    def timed_out(self) -> bool:
        return self._late

    def kill(self) -> None:
        # noted before the channel ends: Fabric asks whether the timer's thread is gone, which it may not be yet
        self._late = True
        super().kill()

    def send_start_message(self, command: str) -> None:
        out, err = self._start(self.channel, command)
        self._early = {"out": out, "err": err}
        if not self.streams["in"] and not self.watchers and not self.using_pty:
            # no input: its end, so that a command that reads does not wait for ever
            self.channel.shutdown_write()

    def read_proc_stdout(self, num_bytes: int) -> bytes:
        return self._early.pop("out", b"") or bytes(self.channel.recv(num_bytes))

    def read_proc_stderr(self, num_bytes: int) -> bytes:
        return self._early.pop("err", b"") or bytes(self.channel.recv_stderr(num_bytes))

    def read_proc_output(self, reader: Callable[[int], bytes]) -> Iterator[str]:
        decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        while data := reader(self.read_chunk_size):
            yield decode(data)
        if rest := decode(b"", True):
            yield rest

    def _handle_output(self, buffer_: list[str], hide: bool, output: Any, reader: Callable[[int], bytes]) -> None:
        size = 0
        for text in self.read_proc_output(reader):
            self._progress += 1
            buffer_.append(text)
            size += len(text)
            if not hide:
                self.write_our_output(stream=output, string=text)
                if size > 2 * KEPT:
                    buffer_[:] = ["".join(buffer_)[-KEPT:]]
                    size = KEPT
            self.respond(buffer_)

    def _thread_join_timeout(self, target: Callable[..., Any]) -> float | None:
        """The command has ended: its output is read to the end, unless a child of it keeps the channel open."""
        thread = self.threads[target]
        while target != self.handle_stdin and thread.is_alive():
            before = self._progress
            if self._waited_at != before:  # once for both outputs
                thread.join(LINGER)
            if self._progress == before:
                self._waited_at = before
                return 0.0
        return None

    def send_interrupt(self, interrupt: BaseException) -> None:
        if not self.using_pty:
            self.channel.close()
        super().send_interrupt(interrupt)

    def respond(self, buffer_: Any) -> None:
        if self.watchers:
            super().respond(buffer_)

    def handle_stdin(self, input_: Any, output: Any, echo: bool = False) -> None:
        if not self.using_pty and (descriptor := _descriptor(input_)) is not None:
            self._copy(descriptor, self.program_finished)
        else:
            super().handle_stdin(input_, output, echo)

    def _copy(self, descriptor: int, finished: threading.Event) -> None:
        """Input in blocks, to its end; of a terminal as whole lines, which it edits and shows itself."""
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        while not finished.is_set():
            if not poller.poll(10):
                continue
            data = os.read(descriptor, BLOCK)
            try:
                if not data:
                    self.channel.shutdown_write()
                    return
                self.channel.sendall(data)
            except (OSError, EOFError):
                # the command reads no more; how it ended is told elsewhere
                return


def _descriptor(stream: Any) -> int | None:
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None
