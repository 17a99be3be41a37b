"""One at a time: the lock on ``path``.

The kernel drops it when the process dies, so there is no stale lock and nothing to unlock by hand.
What does not belong here: deciding what needs it (``serve.py``).
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import durable
from .failure import Failed, storage


class Lock:
    """``flock`` on a file that says who holds it."""

    def __init__(self, path: Path, wait: float = 0.0) -> None:
        self._path = path
        self._wait = wait
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether it is ours."""
        return self._descriptor is not None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a build's children inherit so that the lock outlives us with them; hooks never get it."""
        return () if self._descriptor is None else (self._descriptor,)

    def acquire(self, holder: Mapping[str, Any]) -> None:
        """Take it, or raise Failed with who has it; does nothing where it is held already."""
        if self._descriptor is not None:
            return
        descriptor = self._open()
        try:
            self._flock(descriptor)
            _say(descriptor, holder)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Let the next one in, also where children still have the descriptor."""
        if self._descriptor is None:
            return
        os.ftruncate(self._descriptor, 0)
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
        self._descriptor = None

    def _open(self) -> int:
        try:
            return durable.open_own(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            raise Failed(f"{self._path.parent.parent} has not been laid out by hostout") from None
        except OSError as error:
            raise storage(error, self._path) from error

    def _flock(self, descriptor: int) -> None:
        deadline = time.monotonic() + self._wait
        while True:
            try:
                return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Failed(f"locked: {_holder(descriptor)}") from None
                time.sleep(0.2)


def _say(descriptor: int, holder: Mapping[str, Any]) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({**holder, "since": time.time(), "pid": os.getpid()}).encode("ascii"), 0)


def _holder(descriptor: int) -> str:
    """Who holds it, for people; the file may be torn or empty."""
    try:
        said = json.loads(os.pread(descriptor, 4096, 0))
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(float(said["since"])))
        return f"{said['user']} on {said['machine']} is at work here since {since} ({said['what']})"
    except (ValueError, KeyError, TypeError):
        return "somebody else is at work here"
