"""Writing so that a power failure leaves the old content or the new one, whole; and content by its sha256.

What does not belong here: what is written.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .protocol import CHUNK


def write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace ``path``: temporary name, sync, rename. Never writes through a link that lies in the way."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        _create(temporary, content, mode)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_json(path: Path, value: Mapping[str, Any], mode: int = 0o644) -> None:
    """The same for a JSON object: sorted, one blank of indent."""
    write(path, json.dumps(value, sort_keys=True, indent=1).encode("ascii") + b"\n", mode)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``; raises OSError or ValueError."""
    value = json.loads(path.read_bytes())
    if not isinstance(value, dict):
        raise ValueError(f"{path}: not a JSON object")
    return value


def append(path: Path, line: bytes) -> None:
    """Add a line in one write; a line that a crash tore off before is ended first."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        end = os.fstat(descriptor).st_size
        torn = end and os.pread(descriptor, 1, end - 1) != b"\n"
        os.write(descriptor, (b"\n" if torn else b"") + line + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link(path: Path, target: str) -> None:
    """Make ``path`` a symbolic link to ``target`` in one rename, whatever link it was before."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    temporary.symlink_to(target)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Hex digest of the content of ``path``; raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def copy(source: Path, target: Path, mode: int) -> str:
    """Copy content to the new file ``target``; gives its sha256."""
    digest = hashlib.sha256()
    with source.open("rb") as original, target.open("xb") as new:
        os.fchmod(new.fileno(), mode)
        for piece in iter(lambda: original.read(CHUNK), b""):
            digest.update(piece)
            new.write(piece)
    return digest.hexdigest()


def _create(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
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
