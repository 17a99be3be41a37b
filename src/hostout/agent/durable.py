"""Writing so that a power failure leaves the old content or the new one, whole; and content by its sha256.

What does not belong here: what is written.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from .protocol import CHUNK

# from <linux/fs.h>
_FICLONE = 0x40049409
# bytes of a file that are written in one go
_AT_ONCE = 1 << 23


def write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace ``path``: temporary name, sync, rename. Never writes through a link that lies in the way."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        write_in(folder, path.name, content, mode)
    finally:
        os.close(folder)


def write_in(folder: int, name: str, content: bytes, mode: int = 0o644) -> None:
    """The same in an open folder."""
    temporary = f".{name}.{secrets.token_hex(4)}"
    try:
        _create(folder, temporary, content, mode)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
    os.fsync(folder)


def write_json(path: Path, value: Mapping[str, Any], mode: int = 0o644) -> None:
    """The same for a JSON object: sorted, one blank of indent."""
    write(path, as_json(value), mode)


def as_json(value: Mapping[str, Any]) -> bytes:
    """How JSON objects that people read are written."""
    return json.dumps(value, sort_keys=True, indent=1).encode("ascii") + b"\n"


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``; raises OSError or ValueError."""
    return read_signed_json(path)[0]


def read_signed_json(path: Path) -> tuple[dict[str, Any], int]:
    """The same with the user id that owns the very file it was read from; a link or a pipe in its place is an error."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path}: not a file")
        try:
            value = json.load(file)
        except RecursionError as error:
            raise ValueError(f"{path}: nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: not a JSON object")
    return value, status.st_uid


def open_own(path: Path, flags: int, mode: int = 0o644) -> int:
    """A descriptor of ``path`` in a folder of the agent's. Raises OSError where root finds another's there.

    The folder lies where the application's user may rename it and lay a link in its place; nothing is followed.
    """
    with own_folder(path.parent, path) as folder:
        return os.open(path.name, flags | os.O_NOFOLLOW, mode, dir_fd=folder)


@contextmanager
def own_folder(folder: Path, asked: Path | None = None, within: int | None = None) -> Iterator[int]:
    """A descriptor of that folder itself; raises OSError, which names ``asked``, where root finds another's there.

    ``within``: an open folder that it is relative to.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=within)
    try:
        if os.geteuid() == 0 and os.fstat(descriptor).st_uid != 0:
            raise NotADirectoryError(errno.ENOTDIR, "its folder does not belong to root", str(asked or folder))
        yield descriptor
    finally:
        os.close(descriptor)


def link(path: Path, target: str) -> None:
    """Make ``path`` a symbolic link to ``target`` in one rename, whatever link it was before."""
    if not (path.is_symlink() and str(path.readlink()) == target):
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        temporary.symlink_to(target)
        try:
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def write_all(descriptor: int, content: bytes) -> None:
    """All of it, whatever one call takes; raises OSError."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reading(path: Path) -> IO[bytes]:
    """A file, opened, maybe through a link; raises OSError. A pipe in its place holds nobody up and is an error."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a file", str(path))
    return file


def sha256(path: Path) -> str:
    """Hex digest of the content of ``path``; raises OSError."""
    digest = hashlib.sha256()
    with reading(path) as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def copy(source: Path, target: Path, mode: int) -> str:
    """Copy content to the new file ``target``; gives its sha256.

    Where the file system can (XFS, Btrfs), the two share the room until one of them is written to. A hard link would be
    one file under two names: whoever writes to it changes both.
    """
    digest = hashlib.sha256()
    with reading(source) as original, target.open("x+b") as new:
        os.fchmod(new.fileno(), mode)
        cloned = _cloned(original.fileno(), new.fileno())
        begun = 0
        for piece in iter(lambda: (new if cloned else original).read(CHUNK), b""):
            digest.update(piece)
            if not cloned:
                new.write(piece)
                begun = begin_to_sync(new.fileno(), begun, new.tell())
    return digest.hexdigest()


def begin_to_sync(descriptor: int, begun: int, written: int) -> int:
    """Has the kernel begin to write what it holds back of a file, beside what is still to come; waits for nothing.

    ``begun`` is what this gave the last time: up to there it was told; ``written`` is the size now. The advice drops
    only what is on disk already (posix_fadvise(2)), which hardly any of that is: it is read again soon.
    """
    if written - begun < _AT_ONCE:
        return begun
    os.posix_fadvise(descriptor, begun, written - begun, os.POSIX_FADV_DONTNEED)
    return written


def _cloned(source: int, target: int) -> bool:
    """Whether the file system could; see ioctl_ficlone(2)."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def _create(folder: int, name: str, content: bytes, mode: int) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(descriptor, mode)
        file.flush()
        os.fsync(descriptor)


def outside(name: str) -> bool:
    """Whether a relative ``name`` with ``/`` is empty, absolute, or leads up or through ``.``."""
    parts = name.split("/")
    return any(part in ("", ".", "..") for part in parts) or "\0" in name


def top(names: Iterable[str]) -> set[str]:
    """The first components of relative names."""
    return {name.split("/", 1)[0] for name in names}
