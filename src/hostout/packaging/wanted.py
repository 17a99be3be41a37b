"""What is known of a distribution that a release needs: the files of the lock, and how it is installed here.

From both follows which files may be used for a host. What does not belong here: looking for files (``wheels``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from packaging.tags import Tag
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion

from hostout import lockfile
from hostout.lockfile import Lock
from hostout.model import LocalBuildout, Member
from hostout.packaging import repack, wheelfile
from hostout.packaging.fetching import Wish
from hostout.packaging.memo import Memo
from hostout.packaging.repack import Installed
from hostout.packaging.tags import Target, fits_python

Pin = tuple[str, str]
"""Name and version of a distribution."""

Key = tuple[NormalizedName, str]
"""The same, both normalised."""

OURS = ("0h", "0s")
"""How the build tags of files begin that we made: of known content, of a known source distribution."""


@dataclass(frozen=True)
class File:
    """A distribution's file by its name: what it is of, and its tags; a source distribution has none."""

    name: str
    pin: Pin
    build: str
    tags: frozenset[Tag]

    @property
    def key(self) -> Key:
        return key(self.pin)

    @property
    def is_wheel(self) -> bool:
        return self.name.endswith(".whl")

    @property
    def is_ours(self) -> bool:
        return self.build[:2] in OURS


def file(name: str) -> File | None:
    """None where it is no name of a wheel or of a source distribution."""
    try:
        if not name.endswith(".whl"):
            project, version = parse_sdist_filename(_plain_sdist(name))
            return File(name, (project, str(version)), "", frozenset())
        project, version, build, tags = parse_wheel_filename(name)
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None
    return File(name, (project, str(version)), "".join(map(str, build)), tags)


def key(pin: Pin) -> Key:
    """A pin, however it is spelt."""
    return canonicalize_name(pin[0]), lockfile.plain(pin[1])


@dataclass(frozen=True)
class Wanted:
    """One distribution for one host. ``locked`` are sha256 by file name, of those files of the lock that are for this
    host; ``origin`` is the sha256 of the file that was installed here, where that is known."""

    pin: Pin
    target: Target
    locked: Mapping[str, str]
    tested: frozenset[str]
    found: Installed | None
    origin: str
    memo: Memo

    @property
    def wheels(self) -> tuple[str, ...]:
        return tuple(sha256 for name, sha256 in self.locked.items() if name.endswith(".whl"))

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(sha256 for name, sha256 in self.locked.items() if not name.endswith(".whl"))

    def wish(self, source: Path | None = None) -> Wish:
        """As pip is asked for it."""
        return Wish(*self.pin, self.wheels, self.sources, source)

    @property
    def is_built_here(self) -> bool:
        """Whether what is installed was made of a source distribution, or of nobody knows what."""
        return not self.locked or self.origin in self.sources

    @cached_property
    def packable(self) -> Installed | None:
        """What is installed here, where that may be packed for the host."""
        known = not self.locked or self.origin in self.locked.values()
        return self.found if self.found and known and self.found.fits(self.target) else None

    @cached_property
    def build(self) -> str:
        """The build tag of a wheel that is packed here."""
        if self.origin and self.origin in self.sources:
            return repack.source_tag(self.sources)
        return repack.build_tag(self._content) if self.found else ""

    @cached_property
    def _content(self) -> str:
        return self.memo.of_installed(self.found.info) if self.found else ""

    def is_made_of_it(self, one: File) -> bool:
        """Whether a file of ours is of what was tested, by its name."""
        if one.build.startswith("0s"):
            return bool(self.sources) and one.build == repack.source_tag(self.sources)
        if self.packable:
            return one.build == self.build
        return not self.locked

    def rank(self, one: File) -> tuple[int, int, bool] | None:
        """How good a file is, the lower the better: tested, fitting, not made by us; None where it does not fit."""
        rank = self.target.rank(one.tags) if one.is_wheel else len(self.target.ranks)
        return None if rank is None else (self.locked.get(one.name, "") not in self.tested, rank, one.is_ours)

    def is_same(self, one: File, path: Path) -> bool:
        """Whether a file here is what was tested; raises Damaged where that shows only now.

        What we made may have been made for another host: in a rank its C library does not show.
        """
        if one.is_ours and one.is_wheel:
            fits = self.is_made_of_it(one) and repack.runs_there(one.tags, self.target)
            if fits:
                wheelfile.check(path)
            return fits
        if self.locked:
            return self.memo.sha256(path) in self.locked.values()
        if not one.is_wheel:
            return True
        content = self.memo.of_wheel(path)
        return not (self.found and self.found.tags == one.tags) or content == self._content


class Known:
    """The lock and the installed distributions of a buildout."""

    def __init__(self, local: LocalBuildout, memo: Memo) -> None:
        self.lock = lockfile.read(local.lock) if local.lock else Lock()
        self._memo = memo
        self._locked: dict[Key, list[lockfile.Locked]] = {}
        for one in (*self.lock.tested, *self.lock.others):
            self._locked.setdefault(key((one.name, one.version)), []).append(one)
        self._tested = frozenset(one.sha256 for one in self.lock.tested)
        self._members: dict[Key, list[Member]] = {}
        for member in (*local.environment, *local.working_set):
            if not member.develop:
                self._members.setdefault(key((member.name, member.version)), []).append(member)
        self._eggs = _eggs(local)

    def wanted(self, pin: Pin, target: Target) -> Wanted:
        """What is known of a distribution, for a host."""
        lines = self._locked.get(key(pin), [])
        locked = {one.filename: one.sha256 for one in lines if _is_for(one.filename, target)}
        found = self._installed(pin)
        origin = next((m.sha256 for m in self._members.get(key(pin), []) if m.sha256), "")
        return Wanted(pin, target, locked, self._tested, found, origin, self._memo)

    def digests(self, pin: Pin, python: str) -> list[str]:
        """What the id of a release says of a distribution: the tested files for this Python, else what it consists of
        here, else nothing."""
        lines = self._locked.get(key(pin), [])
        tested = {one.sha256 for one in lines if one.sha256 in self._tested and _is_for_python(one.filename, python)}
        if tested:
            return sorted(tested)
        found = self._installed(pin)
        return [f"content {self._memo.of_installed(found.info)}"] if found else []

    def _installed(self, pin: Pin) -> Installed | None:
        """The egg before what lies in the environment of zc.buildout."""
        places = [Path(member.location) for member in self._members.get(key(pin), [])]
        found = [repack.installed(place, *pin) for place in (*reversed(places), *self._eggs.get(key(pin), []))]
        return next((one for one in found if one), None)


def _eggs(local: LocalBuildout) -> dict[Key, list[Path]]:
    """The eggs of this Python, whoever needs them: those of a rehearsal are in no record."""
    python, found = ".".join(local.python.split(".")[:2]), dict[Key, list[Path]]()
    for path in sorted(Path(local.eggs_directory).glob("*.egg")):
        name, version, *rest = path.name.removesuffix(".egg").split("-")
        if rest[:1] == [f"py{python}"]:
            found.setdefault(key((name, version.replace("_", "-"))), []).append(path)
    return found


def _is_for(filename: str, target: Target) -> bool:
    one = file(filename)
    return one is not None and (not one.is_wheel or target.rank(one.tags) is not None)


def _is_for_python(filename: str, python: str) -> bool:
    one = file(filename)
    major, minor = (int(number) for number in python.split(".")[:2])
    return one is None or not one.is_wheel or fits_python(one.tags, (major, minor))


def _plain_sdist(name: str) -> str:
    """The parser knows two endings."""
    for ending in (".tgz", ".tar.bz2"):
        name = f"{name.removesuffix(ending)}.tar.gz" if name.endswith(ending) else name
    return name
