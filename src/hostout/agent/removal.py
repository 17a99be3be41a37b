"""Removing things from a folder of somebody's: renamed first, so that nothing has its name and is half there.

Done as the folder's owner, who may have laid links anywhere; no link is followed. What does not belong here: what goes.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import people, tree
from .failure import storage
from .session import Session

DAY = 86400.0
"""Seconds for which what might be needed yet is left alone."""

_ASIDE = re.compile(r"\.removed-.*")


@dataclass(frozen=True)
class Place:
    """The folder ``below`` ``top``; of the two, ``top`` alone may be reached through links."""

    session: Session
    top: Path
    below: str

    @property
    def folder(self) -> Path:
        """As a path."""
        return self.top / self.below

    def names(self) -> list[str]:
        """Of what is in it; nothing where it cannot be read."""
        try:
            with self._opened() as folder:
                return tree.names(folder)
        except OSError:
            return []

    def is_old(self, name: str) -> bool:
        """Whether it is there and has not been changed for a day."""
        try:
            return (self.folder / name).lstat().st_mtime < time.time() - DAY
        except OSError:
            return False

    def put_aside(self, name: str) -> str:
        """Take its name away from it, for good; gives the new one. Raises OSError."""
        if self.session.dry:
            return name
        aside = f".removed-{name.lstrip('.')}-{secrets.token_hex(4)}"
        with self._opened() as folder:
            os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
        return aside

    def discard(self, name: str) -> int:
        """Remove what nobody needs under that name; gives the bytes freed. What cannot be removed is said."""
        try:
            return self._remove(name)
        except (OSError, RecursionError) as error:
            self._say(name, error)
            return 0

    def remove(self, name: str) -> int:
        """Put it aside and discard it; gives the bytes freed, nothing where it is said that it could not be removed."""
        try:
            return self.discard(self.put_aside(name))
        except OSError as error:
            self._say(name, error)
            return 0

    def finish(self) -> int:
        """Remove what was put aside before; gives the bytes freed."""
        return sum(self.discard(name) for name in self.names() if _ASIDE.fullmatch(name))

    def _say(self, name: str, error: OSError | RecursionError) -> None:
        path = self.folder / name
        reason = storage(error, path).message if isinstance(error, OSError) else "nested too deep"
        self.session.warn(f"{path} could not be removed: {reason}")

    def _remove(self, name: str) -> int:
        try:
            with self._opened() as folder:
                return tree.size(name, folder) if self.session.dry else tree.remove(name, folder)
        except PermissionError:
            if not people.is_root():
                raise
        # in there is something that another user (root, by a command of theirs) has made
        with tree.opened(self.top, self.below) as folder:
            return tree.size(name, folder) if self.session.dry else tree.remove(name, folder)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        with people.acting_as_owner_of(self.folder), tree.opened(self.top, self.below) as folder:
            yield folder


def in_path(session: Session, below: str) -> Place:
    """A folder below ``path``."""
    return Place(session, session.site.path, below)


def in_cache(session: Session, folder: Path) -> Place:
    """A folder of the cache."""
    return Place(session, session.site.cache, str(folder.relative_to(session.site.cache)))
