"""The sha256 of files of any size, a block at a time.

What does not belong here: what is hashed, keeping hashes (``memo``).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO

BLOCK = 1 << 18


def of_file(path: Path) -> str:
    """64 hex digits; raises OSError."""
    with path.open("rb", buffering=0) as file:
        return of_stream(file)


def of_stream(stream: IO[bytes]) -> str:
    """The same, from where it stands to its end."""
    digest = hashlib.sha256()
    while block := stream.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()
