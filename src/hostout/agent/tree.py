"""A folder tree through descriptors: whatever its owner lays in the way, no link in it is followed.

What does not belong here: what a tree means (``manifest.py``), and whose it is (the caller acts as that person).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# deeper than anybody builds; what is below is not looked at
_DEEPEST = 100
# behind each other, as many as the kernel follows
_LINKS = 40


class Entry(NamedTuple):
    """Something in a tree: its ``path`` relative to the top, its status, and the descriptor of its folder."""

    path: str
    status: os.stat_result
    folder: int

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    @property
    def is_file(self) -> bool:
        """A regular file."""
        return stat.S_ISREG(self.status.st_mode)

    @property
    def is_folder(self) -> bool:
        """A folder, not a link to one."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_link(self) -> bool:
        """A symbolic link."""
        return stat.S_ISLNK(self.status.st_mode)

    def target(self) -> str:
        """Of a link."""
        return os.readlink(self.name, dir_fd=self.folder)

    def open(self) -> int:
        """A descriptor of a file; raises OSError. A pipe that has come in its place holds nobody up."""
        return os.open(self.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self.folder)


def _everything(path: str) -> bool:
    return True


@contextmanager
def opened(top: Path, below: str = "") -> Iterator[int]:
    """A descriptor of the folder ``below`` ``top``; of these two, ``top`` alone may be reached through links."""
    descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in filter(None, below.split("/")):
            inner = os.open(name, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def reached(top: Path, below: str) -> Iterator[int]:
    """The same, and of links below ``top`` those are followed that root or we laid: data may have moved elsewhere."""
    descriptor, left, links = os.open(top, os.O_RDONLY | os.O_DIRECTORY), below.split("/"), 0
    try:
        while left:
            inner, more = _entered(left.pop(0) or ".", descriptor)
            os.close(descriptor)
            descriptor, left, links = inner, more + left, links + bool(more)
            if links > _LINKS:
                raise NotADirectoryError(errno.ELOOP, os.strerror(errno.ELOOP), below)
        yield descriptor
    finally:
        os.close(descriptor)


def _entered(name: str, folder: int) -> tuple[int, list[str]]:
    """A descriptor of that folder; of a link that may be followed, of where its way begins, and that way."""
    link = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=folder)
    try:
        status = os.fstat(link)
        if not stat.S_ISLNK(status.st_mode) or status.st_uid not in (0, os.geteuid()):
            return os.open(name, _FOLDER, dir_fd=folder), []
        target = os.readlink("", dir_fd=link)
    finally:
        os.close(link)
    return os.open("/" if target.startswith("/") else ".", _FOLDER, dir_fd=folder), target.split("/")


def names(folder: int) -> list[str]:
    """Of all that an open folder has, in order."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)


def content(folder: int, name: str, largest: int) -> bytes:
    """Of the regular file ``name`` in an open folder. Raises OSError, also where it is larger or no file."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > largest:
            raise OSError(errno.EFBIG, "not a file of ours", name)
        return file.read(largest)


@dataclass(frozen=True)
class Look:
    """What a walk shows, and which folders it enters. ``strict``: one that may not be read is an error."""

    wanted: Callable[[str], bool] = _everything
    enter: Callable[[str], bool] = _everything
    strict: bool = False


def walk(folder: int, look: Look) -> Iterator[Entry]:
    """What is below ``folder``, in order, folders before what is in them. Raises OSError.

    An entry can be opened while the walk stands at it. What disappears meanwhile is left out.
    """
    return _walk(folder, "", look, 0)


def inside(entry: Entry, look: Look) -> Iterator[Entry]:
    """The same for what is below a folder that a walk stands at; their paths go on from its own."""
    return _below(entry, look, 0)


def _walk(folder: int, prefix: str, look: Look, depth: int) -> Iterator[Entry]:
    for path in filter(look.wanted, (prefix + name for name in names(folder))):
        try:
            status = os.stat(path.rpartition("/")[2], dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue
        entry = Entry(path, status, folder)
        yield entry
        if entry.is_folder and depth < _DEEPEST and look.enter(path):
            yield from _below(entry, look, depth + 1)


def _below(entry: Entry, look: Look, depth: int) -> Iterator[Entry]:
    try:
        descriptor = os.open(entry.name, _FOLDER, dir_fd=entry.folder)
    except (FileNotFoundError, NotADirectoryError):
        # gone, or a link by now
        return
    except PermissionError:
        if look.strict:
            raise
        return
    try:
        yield from _walk(descriptor, f"{entry.path}/", look, depth)
    finally:
        os.close(descriptor)


def size(name: str, folder: int) -> int:
    """The bytes that removing an entry of ``folder`` would free. Raises OSError."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        return _freed(status)
    descriptor = os.open(name, _FOLDER, dir_fd=folder)
    try:
        return sum(size(each, descriptor) for each in names(descriptor))
    finally:
        os.close(descriptor)


def _freed(status: os.stat_result) -> int:
    return status.st_blocks * 512 if status.st_nlink == 1 else 0


def remove(name: str, folder: int) -> int:
    """Remove an entry of ``folder`` with all below it; gives the bytes that this freed. Raises OSError."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(name, dir_fd=folder)
        return _freed(status)
    freed = _empty(name, folder)
    os.rmdir(name, dir_fd=folder)
    return freed


def _empty(name: str, folder: int) -> int:
    descriptor = os.open(name, _FOLDER, dir_fd=folder)
    try:
        if os.geteuid() == os.fstat(descriptor).st_uid:
            # recipes unpack archives whose folders not even their owner may write
            os.fchmod(descriptor, 0o700)
        return sum(remove(each, descriptor) for each in names(descriptor))
    finally:
        os.close(descriptor)
