"""One file of a bundle: its bytes where they are few, else its hash and where it lies.

What does not belong here: which files travel, and what of their text (``bundle``).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from hostout.model import BundleFile, Stamp
from hostout.packaging import hashes
from hostout.packaging.memo import Memo

SMALL, HELD = 1 << 16, 1 << 24
"""Bytes of one file, and of all files together, that are held in memory."""

MEMORABLE = 1 << 20
"""A file of so many bytes is not hashed again by the next run; it takes a millisecond."""


def bundled(name: str, content: bytes, mode: int) -> BundleFile:
    """A file of these bytes."""
    return BundleFile(name, mode, hashlib.sha256(content).hexdigest(), content)


class Included:
    """Reads files that travel as they are; those behind the first ``HELD`` bytes stay where they are."""

    def __init__(self, memo: Memo) -> None:
        self._memo = memo
        self._room = HELD

    def read(self, name: str, path: Path) -> BundleFile:
        """A regular file; raises OSError."""
        status = path.stat()
        mode = 0o755 if status.st_mode & 0o100 else 0o644
        if status.st_size <= min(SMALL, self._room):
            content = path.read_bytes()
            self._room -= len(content)
            return bundled(name, content, mode)
        # looked at before it is read: one that changes meanwhile is not what it was when it is sent
        sha256 = self._memo.sha256(path) if status.st_size >= MEMORABLE else hashes.of_file(path)
        return BundleFile(name, mode, sha256, path=str(path), stamp=Stamp.of(status))
