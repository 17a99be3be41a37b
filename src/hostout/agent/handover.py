"""Large files that came for a release get their place in it, instead of being copied there once more.

What does not belong here: how they come (``uploads.py``), which places there are (``stage.py``).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import tree
from .people import acting_as
from .session import Session
from .store import incoming

LARGE = 1 << 20
"""So many bytes are worth it; what is smaller is copied as quickly."""


def remember(session: Session, digest: str, descriptor: int) -> None:
    """A file of a bundle has its name, and nobody else has it open."""
    if os.fstat(descriptor).st_size >= LARGE:
        session.received[digest] = mark(descriptor)


def mark(descriptor: int) -> tuple[int, ...]:
    """What changes when anybody writes to a file."""
    status = os.fstat(descriptor)
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def hand_over(session: Session, file: Mapping[str, Any], work: Path, mode: int) -> bool:
    """Whether a file of the bundle has its place below ``work`` now; else it is to be copied there.

    Only what this very agent received and hashed, and nobody has touched since. Its name among what came is to be
    removed next: until then it has two.
    """
    digest = str(file.get("sha256"))
    if digest not in session.received:
        return False
    try:
        with incoming(session.site) as folder:
            descriptor = os.open(digest, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        try:
            if session.received[digest] != mark(descriptor):
                return False
            _link(session, descriptor, work, str(file["name"]), mode)
        finally:
            os.close(descriptor)
    except OSError:
        # another file system, or one without hard links; what is wrong otherwise, the copy tells
        return False
    return True


def _link(session: Session, descriptor: int, work: Path, name: str, mode: int) -> None:
    """The owner of the code lays the link, into its own folder; the kernel wants the file to be its own for that."""
    owner = session.buildout
    above, _, last = name.rpartition("/")
    with acting_as(owner):
        (work / above).mkdir(mode=0o755, parents=True, exist_ok=True)
    with tree.opened(work, above) as folder:
        status = os.fstat(folder)
        os.fchown(descriptor, owner.uid, status.st_gid if status.st_mode & stat.S_ISGID else owner.gid)
        os.fchmod(descriptor, mode)
        with acting_as(owner):
            # linkat(2): the very file, whatever has its name by now
            os.link(f"/proc/self/fd/{descriptor}", last, dst_dir_fd=folder, follow_symlinks=True)
