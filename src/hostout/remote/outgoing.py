"""The bytes of a file that is sent, a block at a time: as they are, or compressed where that makes a difference.

What does not belong here: the wire that they go over (``agent``).
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from hostout.errors import RemoteError
from hostout.model import Stamp

BLOCK = 1 << 15

SAMPLE, WORTHWHILE, LARGEST_PACKED = 1 << 16, 0.8, 1 << 24
"""Bytes by which a file is judged, what has to remain of them at most, and the size that is too much to pack twice."""

LEVEL = 4
"""Of zlib: twice as quick as what is usual, and a twentieth larger."""


class Blob(Protocol):
    """Bytes to send: ``content``, or those of the local file ``path`` where there is one.

    ``stamp`` is that of the file when its hash was taken, where it is somebody's who may change it.
    """

    @property
    def path(self) -> str: ...

    @property
    def content(self) -> bytes: ...

    @property
    def size(self) -> int: ...

    @property
    def stamp(self) -> Stamp | None: ...


def blocks(blob: Blob, offset: int = 0, block: int = BLOCK) -> Iterator[bytes]:
    """Its bytes from ``offset`` on, ``block`` at a time; raises RemoteError where the file is not what it was."""
    if not blob.path:
        yield from (blob.content[at : at + block] for at in range(offset, len(blob.content), block))
        return
    try:
        with Path(blob.path).open("rb") as file:
            _check(blob, os.fstat(file.fileno()))
            file.seek(offset)
            left = blob.size - offset
            while left and (data := file.read(min(block, left))):
                left -= len(data)
                yield data
    except OSError as error:
        raise _unreadable(blob, error) from error
    if left:  # it was cut
        raise changed(blob)


def packed(blob: Blob) -> Iterator[bytes]:
    """All of it, compressed: the same bytes each time."""
    packer = zlib.compressobj(LEVEL)
    yield from (piece for data in blocks(blob) if (piece := packer.compress(data)))
    yield packer.flush()


def packed_size(blob: Blob) -> int:
    """How many bytes that makes, 0 where it is not worth it; raises RemoteError as ``blocks`` does.

    Nothing is kept of it: what is sent may be many such files.
    """
    if blob.size > LARGEST_PACKED:
        return 0
    start = next(blocks(blob, block=SAMPLE), b"")
    if len(zlib.compress(start, LEVEL)) > WORTHWHILE * len(start):
        return 0
    return sum(map(len, packed(blob)))


def check(blob: Blob) -> None:
    """Raises RemoteError where its file is not what it was when its hash was taken."""
    if blob.path:
        try:
            status = Path(blob.path).stat()
        except OSError as error:
            raise _unreadable(blob, error) from error
        _check(blob, status)


def changed(blob: Blob) -> RemoteError:
    """What to say of a file that is not what it was."""
    why = "is not what it was when this deployment began: deploy again when nothing writes to it any more"
    return RemoteError(f"upload: {blob.path} {why}")


def _check(blob: Blob, status: os.stat_result) -> None:
    if status.st_size != blob.size or blob.stamp not in (None, Stamp.of(status)):
        raise changed(blob)


def _unreadable(blob: Blob, error: OSError) -> RemoteError:
    return RemoteError(f"upload: {blob.path}: {error.strerror or error}")
