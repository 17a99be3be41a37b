"""Running a command of somebody: own session, scrubbed environment, output to a file that is followed line by line.

The output goes to a file and not to a pipe because what a command leaves behind (a daemon) may keep it open for
ever. What does not belong here: which commands, and what their failure means.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from . import durable, people
from .failure import Failed, storage
from .people import Person
from .protocol import CHUNK, TAIL

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LONGEST = 1 << 16
_GRACE = 5.0

CANCELLED = "cancelled"
"""What a command that the client wanted no more was ``ended`` for."""

COMMAND, OURS = "$ ", "Hostout: "
"""What lines of a log begin with: a command that runs, what is not output of one."""

Line = Callable[[str], None]

# from <sys/prctl.h>
_PR_SET_PDEATHSIG = 1
try:
    _libc: Any = import_module("ctypes").CDLL(None)
except (ImportError, OSError):
    # a Python that was made without libffi, or linked without a library to load
    _libc = None


@dataclass(frozen=True)
class Command:
    """What to run as whom and where; ``timeout`` in seconds (None: as long as it takes).

    ``shown`` is what people read of it; ``keep`` are descriptors that it and its children inherit.
    """

    argv: tuple[str, ...]
    shown: str
    person: Person
    cwd: Path
    timeout: float | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    keep: tuple[int, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How it ended: exit status (negative: the signal), its last lines, and what we ended it for."""

    status: int
    tail: tuple[str, ...] = ()
    ended: str = ""

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.status == 0 and not self.ended

    def __str__(self) -> str:
        return self.ended or (f"signal {-self.status}" if self.status < 0 else f"status {self.status}")


def run(
    command: Command,
    log: Path,
    line: Line,
    cancelled: Callable[[], bool] = lambda: False,
    running: Callable[[int], None] = lambda leader: None,
) -> Outcome:
    """Run it to its end; each line of its output is appended to ``log`` and given to ``line``.

    It is ended with all it started in its session when its time is over, or when ``cancelled`` says so; and by the
    kernel when we are killed. ``running`` is told the leader of that session, and 0 when it has ended.
    """
    people.check_can_act_as(command.person)
    try:
        descriptor = _begun(durable.open_own(log, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), command)
    except OSError as error:
        line(f"{storage(error, log).message}: what follows is not in the log")
        # a full disk must not keep anybody from starting the application again
        descriptor = _begun(os.memfd_create("log"), command)
    try:
        output = Output(descriptor, line, os.fstat(descriptor).st_size)
        process = _start(command, descriptor, partial(_end_with, os.getpid()))
        try:
            running(process.pid)
            ended = _follow(process, output, _deadline(command.timeout), cancelled)
            running(0)
        except BaseException:
            _end(process)
            raise
        return Outcome(process.returncode, tuple(output.tail), ended and ended.format(command.timeout))
    finally:
        os.close(descriptor)


def environment(person: Person) -> dict[str, str]:
    """All that a command sees of an environment: nothing of the caller's, of Python's or of pip's."""
    return {
        "PATH": _PATH,
        "HOME": person.home,
        "USER": person.name,
        "LOGNAME": person.name,
        "SHELL": "/bin/sh",
        "LANG": "C.UTF-8",
    }


def say(log: Path, text: str) -> None:
    """Add a line to a log; raises OSError."""
    descriptor = durable.open_own(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{text}\n".encode("utf-8", "replace"))
    finally:
        os.close(descriptor)


def last(log: Path) -> list[str]:
    """The last lines of a log; none where it cannot be read."""
    try:
        descriptor = durable.open_own(log, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return []
    with os.fdopen(descriptor, "rb") as file:
        file.seek(max(0, os.fstat(descriptor).st_size - _LONGEST))
        return file.read().decode("utf-8", "replace").splitlines()[-TAIL:]


def _begun(descriptor: int, command: Command) -> int:
    """The log with the command's line, ready for what it says."""
    try:
        # so that what runs as somebody else may open /dev/stderr
        people.give(descriptor, command.person)
        os.write(descriptor, f"{COMMAND}{command.shown}\n".encode("utf-8", "replace"))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class Output:
    """The part of a log from ``position`` on, as lines that are given to ``line`` as they come."""

    def __init__(self, descriptor: int, line: Line, position: int = 0) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL)
        self._descriptor = descriptor
        self._position = position
        self._rest = b""
        self._line = line

    def follow(self, end: float = float("inf")) -> bool:
        """Give on what is new before ``end``, at most a chunk; whether there was something."""
        size = int(min(end, os.fstat(self._descriptor).st_size))
        if size < self._position:
            # a script that opens /dev/stderr with ``>`` empties the file
            self._position = 0
        data = os.pread(self._descriptor, min(CHUNK, size - self._position), self._position)
        self._position += len(data)
        self._split(data)
        return bool(data)

    def finish(self, end: int | None = None) -> None:
        """The rest, up to ``end`` or what is there now: a daemon may go on writing."""
        end = os.fstat(self._descriptor).st_size if end is None else end
        while self.follow(end) and self._position < end:
            pass
        if self._rest:
            self._say(self._rest)
            self._rest = b""

    def _split(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._say(line)
        if len(self._rest) > _LONGEST:
            self._say(self._rest)
            self._rest = b""

    def _say(self, raw: bytes) -> None:
        text = raw.decode("utf-8", "replace").rstrip("\r")
        self.tail.append(text)
        self._line(text)


def leave(command: Command) -> int:
    """Start what outlives us and says nothing to anybody; gives its number. Raises Failed."""
    people.check_can_act_as(command.person)
    return _start(command, subprocess.DEVNULL).pid


@contextmanager
def beside(command: Command, seconds: float) -> Iterator[None]:
    """Run it while something else is done, and wait so many seconds for its end behind that; what it says nobody hears.
    Raises Failed."""
    people.check_can_act_as(command.person)
    process = _start(command, subprocess.DEVNULL, partial(_end_with, os.getpid()))
    try:
        yield
        pause(process.pid, seconds)
    finally:
        if process.poll() is None:
            _end(process)


def _start(command: Command, output: int, first: Callable[[], None] | None = None) -> subprocess.Popen[bytes]:
    """``first`` is done in the new process."""
    root = people.is_root()
    try:
        return subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=command.cwd,
            env={**environment(command.person), **command.environment},
            start_new_session=True,
            umask=0o022,
            pass_fds=command.keep,
            preexec_fn=first,
            user=command.person.uid if root else None,
            group=command.person.gid if root else None,
            extra_groups=command.person.groups() if root else None,
        )
    except OSError as error:
        raise Failed(f"{command.argv[0]} cannot be started in {command.cwd}: {error.strerror}") from error


def _end_with(parent: int) -> None:
    """In the new process: the kernel kills it when its parent dies, who may be killed without a last word."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _follow(process: subprocess.Popen[bytes], output: Output, deadline: float, cancelled: Callable[[], bool]) -> str:
    """Wait for its end; gives why we ended it, if we did."""
    ended = ""
    # asked before the output is read, so that nothing written before its end is missed
    while process.poll() is None:
        if time.monotonic() > deadline:
            ended = "no end within {:g} s"
        elif cancelled():
            ended = CANCELLED
        if ended:
            _end(process)
        # also then: what runs through sudo is root's, and cannot be ended by anybody else
        if not output.follow():
            pause(process.pid, 0.05)
    output.finish()
    return ended


def pause(child: int, seconds: float) -> None:
    """Wait so long, or until that child has ended: ``Popen.wait`` would notice that up to 50 ms later."""
    try:
        descriptor = os.pidfd_open(child)
    except (AttributeError, OSError):
        # an older kernel, or another system
        time.sleep(seconds)
        return
    try:
        end = select.poll()
        end.register(descriptor, select.POLLIN)
        end.poll(1000 * seconds)
    finally:
        os.close(descriptor)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole session: asked first, then killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(_GRACE)
        except (OSError, subprocess.TimeoutExpired):
            # gone already, or deaf to the first
            continue


def _deadline(timeout: float | None) -> float:
    return float("inf") if timeout is None else time.monotonic() + timeout
