"""Programs that run here while a release is made: bounded in time, their whole output in a log file that has no
passwords of URLs in it.

What does not belong here: what is run, and anything that runs on a host.
"""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hostout.gitvariables import without_redirections

TAIL = 20
"""Lines of a log that an error shows."""

LOOK = 0.5
"""Seconds between two looks at a program that runs."""

_USER = re.compile(rb"(?<=://)[^\s/]+@")
"""User and password of an address."""

_MEANWHILE: ContextVar[Callable[[], None]] = ContextVar("meanwhile")

UNWANTED = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "__PYVENV_LAUNCHER__")
"""Variables that would leak modules of this process into another interpreter."""


@dataclass(frozen=True)
class Finished:
    """How a program ended: ``status`` is its exit status, ``None`` when its time was over."""

    status: int | None
    log: Path

    @property
    def ok(self) -> bool:
        return self.status == 0

    def tail(self, lines: int = TAIL) -> tuple[str, ...]:
        """The last lines it wrote that are not empty."""
        return tail(self.log, lines)


@contextmanager
def meanwhile(begin: Callable[[], None]) -> Iterator[None]:
    """While this lasts, ``begin`` is called whenever a program was started here and is about to be waited for."""
    before = _MEANWHILE.set(begin)
    try:
        yield
    finally:
        _MEANWHILE.reset(before)


def run(
    argv: Sequence[str | os.PathLike[str]],
    log: Path,
    *,
    timeout: float,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    hopeless: Callable[[], bool] = bool,
) -> Finished:
    """Runs ``argv`` with its output in ``log``; after ``timeout`` seconds it and its children are killed.

    So they are as soon as it is ``hopeless``, which is asked every now and then. Its temporary files are gone
    afterwards, however it ended. Raises OSError where it failed and there is no room left for what it had to say.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="hostout-", ignore_cleanup_errors=True) as temporary,
        _written(log) as output,
        _given(stdin) as source,
        _started(argv, source, output, cwd, {"TMPDIR": temporary, **(environment or {})}) as process,
    ):
        until = time.monotonic() + timeout
        while not _ended(process, until - time.monotonic()):
            if time.monotonic() > until or hopeless():
                seconds = time.monotonic() - until + timeout
                output.write(f"\nnot finished after {seconds:.0f} seconds: stopped\n".encode())
                return Finished(None, log)
    if process.returncode != 0 and not os.statvfs(log.parent).f_bavail:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(log))
    return Finished(process.returncode, log)


@contextmanager
def _written(log: Path) -> Iterator[BinaryIO]:
    """Programs write there themselves, so passwords go out when they have ended; until then nobody else reads it."""
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
        os.fchmod(output.fileno(), 0o600)
        try:
            yield output
        finally:
            output.flush()
            _clean(log)


def _clean(log: Path) -> None:
    """In its place: what is shorter finds its room on a full disk as well."""
    with log.open("r+b") as file:
        said = file.read()
        clean = without_passwords(said)
        if clean != said:
            file.seek(0)
            file.write(clean)
            file.truncate()


def without_passwords(said: bytes) -> bytes:
    """Addresses without the user and password that they had in them."""
    return _USER.sub(b"", said)


@contextmanager
def _given(content: bytes) -> Iterator[BinaryIO]:
    """A file to read that from."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        yield file


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Waits for a moment, and not for longer than ``seconds``."""
    moment = max(0.0, min(seconds, LOOK))
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, or an old one: it is noticed up to 50 ms later
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment)
    else:
        try:
            # not select(), which takes no descriptor above 1023
            end = select.poll()
            end.register(descriptor, select.POLLIN)
            end.poll(1000 * moment)
        finally:
            os.close(descriptor)
    return process.poll() is not None


@contextmanager
def _started(
    argv: Sequence[str | os.PathLike[str]],
    source: BinaryIO,
    output: BinaryIO,
    cwd: Path | None,
    environment: Mapping[str, str],
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a session of its own, so that all of it can be ended whatever ends us (Ctrl-C too)."""
    process: subprocess.Popen[bytes] = subprocess.Popen(
        [os.fspath(word) for word in argv],
        stdin=source,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env=clean_environment(environment),
        start_new_session=True,
    )
    try:
        if begin := _MEANWHILE.get(None):
            begin()
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def clean_environment(more: Mapping[str, str]) -> dict[str, str]:
    """The environment of the user, ``PIP_*`` settings included, without what belongs to this interpreter alone, and
    without the repository of a git that started us: a build may call git in a folder of its own."""
    kept = {name: value for name, value in without_redirections(os.environ).items() if name not in UNWANTED}
    return {**kept, "PYTHONNOUSERSITE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", **more}


def tail(log: Path, lines: int = TAIL) -> tuple[str, ...]:
    """The last ``lines`` of a file that are not empty, without passwords of addresses; text that is not UTF-8 shows as
    replacement characters."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 65536))
        text = without_passwords(file.read()).decode("utf-8", "replace")
    return tuple([line.rstrip() for line in text.splitlines() if line.strip()][-lines:])
