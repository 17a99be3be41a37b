"""How the agent says no: one line, and what belongs to it.

What does not belong here: deciding what to do about it.
"""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM)


class Failed(Exception):
    """A request that cannot be done; becomes the event ``failed``.

    ``command`` is the command line that failed, ``tail`` its last lines, ``log`` the file with all of them, ``status``
    its exit status. ``details`` are for the program on the other side, not for people.
    """

    details: Mapping[str, Any] = {}

    def __init__(
        self, message: str, *, command: str = "", tail: Iterable[str] = (), log: str = "", status: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.command = command
        self.tail = list(tail)
        self.log = log
        self.status = status

    def fields(self) -> dict[str, Any]:
        """The fields of the event."""
        return {
            "message": self.message,
            "command": self.command,
            "tail": self.tail,
            "log": self.log,
            "status": self.status,
            **self.details,
        }

    def but(self, message: str) -> Failed:
        """The same failure, said differently."""
        return Failed(message, command=self.command, tail=self.tail, log=self.log, status=self.status)


class Cancelled(Failed):
    """The client wants no more of this: nothing that comes after it is done, not even where failures are ignored."""


def of(error: BaseException, path: Path) -> Failed:
    """Any error as what the client gets; one of the file system is at ``path`` where it names no other."""
    if isinstance(error, Failed):
        return error
    if isinstance(error, OSError):
        return storage(error, Path(os.fsdecode(error.filename)) if error.filename else path)
    lines = "".join(traceback.format_exception(type(error), error, error.__traceback__)).splitlines()
    return Failed(f"the agent has a bug: {type(error).__name__}: {error}", tail=lines[-20:])


def storage(error: OSError, path: Path, needed: int | None = None) -> Failed:
    """An error of the file system at ``path`` as one clear line; ``needed`` bytes were still to be written."""
    if error.errno in _FULL:
        return Failed(_full(path, needed))
    if error.errno == errno.EROFS:
        return Failed(f"{path}: the file system is read-only")
    if error.errno in _FORBIDDEN:
        return Failed(f"{path}: permission denied for user id {os.geteuid()}")
    return Failed(f"{path}: {error.strerror or error}")


def is_full(path: Path) -> bool:
    """Whether the file system of ``path`` has no room worth mentioning left."""
    free, inodes = room(path)
    return free < 1 << 20 or inodes < 8


def room(path: Path) -> tuple[int, int]:
    """Free bytes and inodes of the file system that holds ``path``, which need not exist yet."""
    status = os.statvfs(existing(path))
    # some file systems (btrfs) do not count inodes
    inodes = status.f_favail if status.f_files else 1 << 53
    return status.f_bavail * status.f_frsize, inodes


def existing(path: Path) -> Path:
    """``path``, or the nearest folder above it that exists and can be looked at."""
    for candidate in (path, *path.parents):
        try:
            candidate.stat()
        except OSError:
            continue
        return candidate
    return Path("/")


def size(number: int) -> str:
    """Bytes for people: ``12.3 MB``."""
    return f"{number / 1e6:.1f} MB"


def _full(path: Path, needed: int | None) -> str:
    free, inodes = room(path)
    if inodes < 8:
        return f"{path}: the file system has no inodes left"
    demand = f"{size(needed)} needed, " if needed else ""
    return f"{path}: no space left on the file system: {demand}{size(free)} free"
