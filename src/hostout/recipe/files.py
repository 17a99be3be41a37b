"""Which file each distribution was installed from: hashed when buildout fetches it, else found out at the end.

What nobody knows stays unknown: a guess would be worse. What does not belong here: which distributions there are
(``workingset``), what becomes of it (``locking``).
"""

from __future__ import annotations

import csv
import functools
import hashlib
import logging
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import zc.buildout
import zc.buildout.easy_install
from packaging.utils import canonicalize_name

from hostout import lockfile
from hostout.model import Json, Member
from hostout.recipe import records
from hostout.recipe.wrapping import Wrapping

Key = tuple[str, str]
"""A distribution: its normalised name and version."""


@dataclass(frozen=True)
class File:
    """What a distribution was installed from."""

    filename: str
    sha256: str


def key_of(name: str, version: str) -> Key:
    """The distribution, however name and version are spelt."""
    return str(canonicalize_name(name)), lockfile.plain(version)


def _says(filename: str) -> Key:
    """The distribution that a file is of by its name; of none where an address has another name for it."""
    try:
        return key_of(*lockfile.distribution_of(filename))
    except ValueError:
        return "", ""


def sha256_of(path: Path) -> str:
    """Of the file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@dataclass
class Watch:
    """Looks on while buildout fetches files, from ``start`` to ``stop``.

    ``fetched`` has them by distribution, ``installed`` what was made of them. A file that is not the one of its name in
    ``lock`` ends the run before anything of it is unpacked.
    """

    lock: lockfile.Lock
    fetched: dict[Key, File] = field(default_factory=dict)
    installed: dict[Key, Any] = field(default_factory=dict)
    _wrapping: Wrapping = field(default_factory=Wrapping)

    def start(self) -> None:
        """Wraps the one place where buildout fetches a distribution, and the one that gives it when it is installed."""
        self._wrapping.wrap(zc.buildout.easy_install.Installer, "_fetch", self._fetching)
        self._wrapping.wrap(zc.buildout.easy_install.Installer, "_get_dist", self._installing)

    def stop(self) -> None:
        """Puts everything back."""
        self._wrapping.undo()

    def _fetching(self, original: Any) -> Any:
        def fetch(installer: Any, dist: Any, *args: Any) -> Any:
            fetched = original(installer, dist, *args)
            self._saw(dist, fetched)
            return fetched

        return fetch

    def _installing(self, original: Any) -> Any:
        def get_dist(*args: Any) -> Any:
            dists = original(*args)
            found = {key_of(dist.project_name, dist.version): dist for dist in dists}
            self.installed.update({key: dist for key, dist in found.items() if key in self.fetched})
            return dists

        return get_dist

    def _saw(self, dist: Any, fetched: Any) -> None:
        path = Path(fetched.location) if fetched else None
        if path is None or not path.is_file():
            return  # a folder in find-links, a checkout
        file = File(path.name, sha256_of(path))
        wrong = contradictions(self.lock, [file])
        if wrong and fetched.location != dist.location:
            path.unlink()  # we have just fetched it, perhaps into the download cache
        if wrong:
            raise zc.buildout.UserError(f"{wrong[0]}; it comes from {_shown(dist.location)}, and is not installed")
        key = key_of(dist.project_name, dist.version)
        if _says(file.filename) == key:
            self.fetched[key] = file


def contradictions(lock: lockfile.Lock, files: Iterable[File]) -> list[str]:
    """A line for each file that the lock has by this name and with another sha256."""
    known = {one.filename: one.sha256 for one in (*lock.tested, *lock.others)}
    return [
        f"{file.filename} is not the file that was tested: its sha256 is {file.sha256}, in {lockfile.NAME} it is "
        f"{known[file.filename]} (remove that line if the file is right)"
        for file in files
        if known.get(file.filename, file.sha256) != file.sha256
    ]


class Files:
    """What is known of files at the end of a run, and kept for the next in ``folder``.

    ``cache`` is the option ``download-cache``, ``fetched`` what a ``Watch`` saw.
    """

    def __init__(self, folder: Path, cache: str | None, fetched: Mapping[Key, File]) -> None:
        self.path = folder / records.FILES
        self.cache = Path(cache, "dist") if cache else None  # where buildout keeps distributions in it
        self.fetched = fetched
        self._before = records.read(self.path)
        self._eggs: dict[str, Json] = {}

    def described(self, member: Member, environment: bool) -> Member:
        """The member with the file that it was installed from, where that is known, and the place where one is."""
        if member.develop:
            return member
        unpacked = _metadata(member)
        file = self._file(member, unpacked)
        if file and unpacked:
            self._eggs[str(unpacked)] = [*_stamp(unpacked), file.filename, file.sha256]
        found = "environment" if environment else "eggs"
        found = "download-cache" if file and self._is_cached(file.filename) else found
        known = file or File("", "")
        return replace(member, filename=known.filename, sha256=known.sha256, found=found)

    def learn(self, files: Mapping[str, Json]) -> None:
        """What others know, as it is kept."""
        self._before = {**self._before, "eggs": {**files, **self._before.get("eggs", {}), **self._eggs}}

    def keep(self) -> None:
        """Writes down what this run found out."""
        records.write(self.path, {"format": 1, "eggs": self._eggs})

    def rescue(self, dists: Iterable[Any]) -> None:
        """Writes down what can be told of these after a run that failed, and keeps what there was before."""
        for dist in dists:
            self.described(Member(dist.project_name, dist.version, dist.location), environment=False)
        self._eggs = {**self._before.get("eggs", {}), **self._eggs}
        if self._eggs:
            self.keep()

    def _file(self, member: Member, unpacked: Path | None) -> File | None:
        key = key_of(member.name, member.version)
        kept = self._kept(key, unpacked) if unpacked else None
        # what lies in a site-packages was not installed by buildout
        fetched = self._fetched(key, unpacked) if member.location.endswith(".egg") else None
        return fetched or kept or self._of_cache(key, unpacked)

    def _kept(self, key: Key, unpacked: Path) -> File | None:
        """What the run before knew, where what is unpacked there is still the same."""
        *stamp, filename, sha256 = self._before.get("eggs", {}).get(str(unpacked), ["", "", ""])
        return File(filename, sha256) if stamp == _stamp(unpacked) and _says(filename) == key else None

    def _fetched(self, key: Key, unpacked: Path | None) -> File | None:
        """What buildout fetched in this run; before we looked on, its index knew the hash, and checked it."""
        if key in self.fetched or unpacked is None or unpacked.stat().st_mtime < _began():
            return self.fetched.get(key)
        locations = [dist.location for dist in _available(key)]
        cached = [location for location in locations if Path(location).parent == self.cache]
        file = _of_address((cached or locations)[-1]) if locations else None
        return file if file and _says(file.filename) == key else None

    def _of_cache(self, key: Key, unpacked: Path | None) -> File | None:
        """A file of the download cache; of a wheel one can tell whether it is what lies there unpacked."""
        paths = [path for path in self._cached.get(key[0], ()) if _says(path.name) == key]
        wheels = [path for path in paths if path.suffix == ".whl" and unpacked and _is_unpacked(path, unpacked)]
        return File(wheels[0].name, sha256_of(wheels[0])) if wheels else None

    @functools.cached_property
    def _cached(self) -> dict[str, list[Path]]:
        """The distributions of the download cache by normalised name."""
        found: dict[str, list[Path]] = {}
        for path in sorted(self.cache.iterdir()) if self.cache and self.cache.is_dir() else ():
            found.setdefault(_says(path.name)[0], []).append(path)
        return found

    def _is_cached(self, filename: str) -> bool:
        return self.cache is not None and (self.cache / filename).is_file()


def _metadata(member: Member) -> Path | None:
    """The folder with the metadata of what lies unpacked: an egg has one, a ``site-packages`` one for each."""
    names = _folders(member.location)
    wanted = key_of(member.name, member.version)
    if len(names) > 1:
        names = [name for name in names if _is_of(name, wanted)]
    return Path(member.location, names[0]) if len(names) == 1 else None


@functools.lru_cache(maxsize=1000)
def _folders(location: str) -> list[str]:
    try:
        return [name for name in os.listdir(location) if name == "EGG-INFO" or name.endswith(".dist-info")]  # noqa: PTH208
    except OSError:
        return []


def _is_of(name: str, key: Key) -> bool:
    distribution, _, version = name.removesuffix(".dist-info").partition("-")
    return key_of(distribution, version) == key


def _stamp(unpacked: Path) -> list[int]:
    """Changes when something else is unpacked there; nobody writes into a folder of metadata later."""
    return [unpacked.stat().st_mtime_ns]


def _began() -> float:
    """When this process began, as ``logging`` has it, which buildout loads first."""
    now = logging.makeLogRecord({})
    return now.created - now.relativeCreated / 1000


def _available(key: Key) -> list[Any]:
    """What the indexes that buildout has asked have of a version, the one that it takes last (``_obtain``)."""
    every = [dist for index in zc.buildout.easy_install._indexes.values() for dist in index[key[0]]]
    return sorted(dist for dist in every if key_of(dist.project_name, dist.version) == key)


def _of_address(location: str) -> File | None:
    parts = urlsplit(location)
    if not parts.scheme:
        return File(Path(location).name, sha256_of(Path(location))) if Path(location).is_file() else None
    algorithm, _, digest = parts.fragment.partition("=")
    return File(unquote(parts.path.rpartition("/")[2]), digest) if algorithm == "sha256" else None


def _is_unpacked(wheel: Path, unpacked: Path) -> bool:
    """Whether the content of a wheel lies there with the hashes that it says: by the RECORD of both."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.endswith(".dist-info/RECORD") and name.count("/") == 1]
            wanted = dict(_hashes(archive.read(names[0]).decode())) if names else {}
        there = dict(_hashes((unpacked / "RECORD").read_text(encoding="utf-8")))
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    return bool(wanted) and wanted.items() <= there.items()


def _hashes(record: str) -> Iterator[tuple[str, str]]:
    """Path and hash of what a RECORD has, without what installers move elsewhere."""
    for row in csv.reader(record.splitlines()):
        if len(row) > 1 and row[1] and not row[0].partition("/")[0].endswith(".data"):
            yield row[0], row[1]


def _shown(location: str) -> str:
    """An address without a password that may be in it, and without the fragment with its hash."""
    parts = urlsplit(location)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
