"""Hashes of large files, kept from one run to the next for as long as a file's size and times stay the same.

What does not belong here: what is hashed, and what a hash is compared with.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Callable
from pathlib import Path

from hostout.model import Json, LocalBuildout, Stamp
from hostout.packaging import contents, hashes
from hostout.packaging.places import Places


class Memo:
    """The hashes of one buildout; ``save`` writes them where one was added."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Json] = _read(path)
        self._changed = False

    @classmethod
    def of(cls, local: LocalBuildout) -> Memo:
        """As it was left by the run before."""
        return cls(Places.of(local).hashes)

    def sha256(self, path: Path) -> str:
        """Of a file."""
        return self._get("file", path, path, lambda: hashes.of_file(path))

    def of_wheel(self, path: Path) -> str:
        """The content of a wheel; raises Damaged."""
        return self._get("content", path, path, lambda: contents.of_wheel(path))

    def of_installed(self, info: Path) -> str:
        """The content of an egg or a part of ``site-packages``; an installer writes RECORD last."""
        record = info / "RECORD"
        mark = record if record.is_file() else info / "METADATA"
        return self._get("content", info, mark, lambda: contents.of_installed(info))

    def save(self) -> None:
        """Raises OSError."""
        if self._changed:
            temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps({**_read(self._path), **self._known}, indent=0, sort_keys=True) + "\n")
            temporary.replace(self._path)
        self._changed = False

    def _get(self, kind: str, path: Path, mark: Path, compute: Callable[[], str]) -> str:
        stamp, key = list(dataclasses.astuple(Stamp.of(mark.stat()))), f"{kind} {path}"
        known = self._known.get(key)
        if not (isinstance(known, list) and known[1:] == stamp):
            known = [compute(), *stamp]
            self._known[key] = known
            self._changed = True
        return str(known[0])


def _read(path: Path) -> dict[str, Json]:
    """Nothing where there is no file, or one that a crash left half written: all is hashed again."""
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
