"""What happened to ``path``: one JSON object a line, only ever appended.

A last line that a power failure tore is cut and kept aside, so that every line stays readable.
What does not belong here: the state of a release; that is in its ``release.json``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import durable, protocol

# so much of its end is looked at: many times the longest line
_TAIL = 1 << 20
# and so much is read of it: some hundred thousand lines
_READ = 1 << 26


def append(path: Path, entry: Mapping[str, Any]) -> str | None:
    """Add a line with the time of now; gives a warning where the last one was torn. Raises OSError."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = json.dumps({"time": stamp, **entry}, sort_keys=True).encode("ascii")
    descriptor = durable.open_own(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        warning = _mend(path, descriptor)
        _add(descriptor, line + b"\n")
    finally:
        os.close(descriptor)
    return warning


def entries(path: Path) -> tuple[list[dict[str, Any]], str | None]:
    """All that can be read of it, oldest first, and a note where something cannot. Raises OSError."""
    try:
        descriptor = durable.open_own(path, os.O_RDONLY)
    except FileNotFoundError:
        return [], None
    with os.fdopen(descriptor, "rb") as file:
        file.seek(max(0, os.fstat(descriptor).st_size - _READ))
        lines = file.read(_READ).splitlines()
    found = [entry for entry in map(_entry, lines) if entry is not None]
    broken = len(lines) - len(found)
    return found, f"{path}: {broken} of {len(lines)} lines cannot be read" if broken else None


def _add(descriptor: int, line: bytes) -> None:
    """All of it, or nothing."""
    before = os.fstat(descriptor).st_size
    try:
        view = memoryview(line)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, before)
        raise


def _mend(path: Path, descriptor: int) -> str | None:
    """Cut what is behind the last line that is whole; it is kept beside the ledger."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _TAIL, max(0, size - _TAIL))
    torn = tail[_whole(tail) :]
    if not torn:
        return None
    aside = path.with_name(f"{path.name}.torn-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    _keep(aside, torn)
    os.ftruncate(descriptor, size - len(torn))
    return f"the last line of {path} was torn off while it was written: what there was of it is in {aside}"


def _keep(aside: Path, torn: bytes) -> None:
    with durable.own_folder(aside.parent) as folder:
        durable.write_in(folder, aside.name, torn)


def _whole(tail: bytes) -> int:
    """How many bytes of it end with a line that can be read."""
    end = tail.rfind(b"\n") + 1
    while end:
        start = tail.rfind(b"\n", 0, end - 1) + 1
        if _entry(tail[start : end - 1]) is not None:
            return end
        end = start
    return 0


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        return protocol.decode(line)
    except ValueError:
        return None
