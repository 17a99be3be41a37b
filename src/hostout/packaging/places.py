"""Where packaging keeps what it makes: everything lies below ``parts/hostout`` of the local buildout. And what is said
where nothing can be written.

What does not belong here: the records that the recipe writes there.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hostout.errors import PackagingError
from hostout.model import LocalBuildout


@dataclass(frozen=True)
class Places:
    """``root`` is ``parts/hostout``."""

    root: Path

    @classmethod
    def of(cls, local: LocalBuildout) -> Places:
        return cls(Path(local.parts_directory) / "hostout")

    @property
    def wheels(self) -> Path:
        """Distributions: develop packages built here, and what was fetched for hosts."""
        return self.root / "dist"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def extends(self) -> Path:
        """Configuration files that were fetched, by the hash of their URL."""
        return self.root / "extends"

    @property
    def hashes(self) -> Path:
        """Hashes of files that did not change since; of a name that no record of a host has, as the next one."""
        return self.root / ".hashes.json"

    @property
    def environments(self) -> Path:
        """What develop packages were built in."""
        return self.root / "build"

    @property
    def builds(self) -> Path:
        """What it takes to build source distributions on a host."""
        return self.root / ".builds.json"

    def rehearsal(self, part: str) -> Path:
        """What the last rehearsal for this part found, and for which input."""
        return self.root / f"{part}.rehearsal.json"

    def configuration(self, part: str) -> Path:
        """The generated configuration as people can read it here."""
        return self.root / f"{part}.cfg"


REFUSALS = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM),
        *(errno.EEXIST, errno.ENOTDIR, errno.EISDIR),
    }
)
"""What a disk says that is full or broken, or that has something else in the place of what is ours."""


@contextmanager
def on_disk(local: LocalBuildout) -> Iterator[None]:
    """What the disk here refuses is one line, whatever it was for; all else is a mistake of ours."""
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        where = error.filename or f"{Places.of(local).root} or {tempfile.gettempdir()}"
        raise PackagingError(f"{where}: {error.strerror}") from error


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """What cannot be written is one line."""
    try:
        yield
    except OSError as error:
        raise PackagingError(f"{folder} cannot be written to: {error.strerror or error}") from error
