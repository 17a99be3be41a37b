"""Where things are below ``path`` and the cache. Pure: nothing here looks at the disk.

What does not belong here: making or reading what lies there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Site:
    """The two roots of a host part and what lies where below them."""

    path: Path
    cache: Path

    @property
    def releases(self) -> Path:
        """One folder a release, named ``0007-3f9a1c2b``."""
        return self.path / "releases"

    @property
    def current(self) -> Path:
        """The link to the live release."""
        return self.path / "current"

    @property
    def var(self) -> Path:
        """What lives through releases."""
        return self.path / "var"

    @property
    def own(self) -> Path:
        """What only the agent needs; belongs to whom the agent runs as."""
        return self.path / ".hostout"

    @property
    def lock(self) -> Path:
        """Locked while somebody changes ``path``; says who."""
        return self.own / "lock"

    @property
    def ledger(self) -> Path:
        """Every change, a JSON line each."""
        return self.own / "ledger.jsonl"

    @property
    def jobs(self) -> Path:
        """Logs, one a release."""
        return self.own / "jobs"

    @property
    def incoming(self) -> Path:
        """Files of bundles by sha256, until a release has them."""
        return self.own / "incoming"

    @property
    def downloads(self) -> Path:
        """What buildout calls its download cache."""
        return self.cache / "downloads"

    @property
    def dist(self) -> Path:
        """Wheels and sdists by name; where buildout looks for them."""
        return self.downloads / "dist"

    @property
    def eggs(self) -> Path:
        """Unpacked distributions, shared by all releases."""
        return self.cache / "eggs"

    @property
    def environments(self) -> Path:
        """Virtual environments with zc.buildout, by key."""
        return self.cache / "buildout"

    @property
    def egg_folders(self) -> Path:
        """What buildout makes in ``eggs`` (``eggs-directory-version = v5``): an egg folder each."""
        return self.eggs / "v5"

    @property
    def cached(self) -> dict[str, Path]:
        """Folders whose entries releases refer to by name."""
        return {"eggs": self.egg_folders, "downloads": self.dist, "environments": self.environments}

    def release(self, name: str) -> Path:
        """The folder of that release."""
        return self.releases / name

    def log(self, name: str) -> Path:
        """The log of that release, or of commands without one."""
        return self.jobs / f"{name}.log"

    def python(self, key: str) -> Path:
        """The interpreter of an environment."""
        return self.environments / key / "bin" / "python"
