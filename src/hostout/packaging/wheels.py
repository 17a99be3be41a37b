"""A file for every pinned distribution that fits a host's Python, and is what was tested.

The order: what the host has, the files here, what is installed here packed again, what pip fetches, the source. What
does not belong here: how pip is called (``fetching``), which tags fit (``tags``), which files are right (``wanted``),
which distributions a release needs.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

from packaging.utils import canonicalize_name

from hostout import lockfile
from hostout.errors import ConfigurationError, PackagingError
from hostout.lockfile import Locked
from hostout.model import Distribution, Emit, Event, Facts, LocalBuildout, Release, Stamp
from hostout.packaging import buildneeds, fetching, hashes, repack
from hostout.packaging.fetching import Notes
from hostout.packaging.indexes import link_folders
from hostout.packaging.memo import Memo
from hostout.packaging.places import Places, writing
from hostout.packaging.rehearsal import exact
from hostout.packaging.tags import Target
from hostout.packaging.wanted import File, Key, Known, Pin, Wanted, file, key
from hostout.packaging.wheelfile import Damaged

T = TypeVar("T")


def choose(
    release: Release, local: LocalBuildout, facts: Facts, emit: Emit
) -> tuple[tuple[Distribution, ...], tuple[Distribution, ...]]:
    """One distribution for each of ``release.requirements``, and for each of ``release.environment``; behind the first
    ones, what the host needs to build those that are sources.

    ``path`` is empty where the host has the file already. Raises PackagingError that lists all that are missing.
    """
    target = Target.of(facts["python"])
    develop = {canonicalize_name(d.name): d for d in release.develop}
    pins = [p for p in (*release.requirements, *release.environment) if canonicalize_name(p[0]) not in develop]
    search = Search(sorted(set(pins)), local, facts, emit)
    chosen = search.run()
    _check_develop(release.develop, target)
    parts = tuple(develop.get(canonicalize_name(p[0])) or chosen[p] for p in release.requirements)
    needed = _for_builds(parts, release, local, target, emit)
    search.remember()
    return (*parts, *needed), tuple(chosen[p] for p in release.environment)


def pack_environment(local: LocalBuildout) -> None:
    """Packs what zc.buildout itself runs from, as far as it is pure Python: the first deployment finds it packed, which
    would take it half a second for setuptools and pip. Raises PackagingError."""
    # without a C library, so that nothing fits that was compiled for one
    python = {"implementation": sys.implementation.name, "platform": sysconfig.get_platform(), "libc": None}
    pins = {(m.name, exact(m.version)) for m in local.environment}
    facts = Facts({"python": {**python, "version": local.python}, "have": {}})
    Search(sorted(pins), local, facts, lambda event: None).pack()


class Search:
    """The files for one host: each step of ``run`` finds some of those that are left."""

    def __init__(self, pins: Sequence[Pin], local: LocalBuildout, facts: Facts, emit: Emit) -> None:
        self._local, self._emit = local, emit
        self._target = Target.of(facts["python"])
        self._memo = Memo.of(local)
        known = Known(local, self._memo)
        self._lock = known.lock
        self._wanted = [known.wanted(pin, self._target) for pin in pins]
        self._have = _by_key((name, str(sha256)) for name, sha256 in facts["have"].items())
        self._chosen: dict[Pin, Distribution] = {}
        self._damaged: dict[Path, Stamp] = {}
        self._files = self._listed(_folders(local))

    def run(self) -> Mapping[Pin, Distribution]:
        """Raises PackagingError with all that nothing was found for."""
        self._take(self._on_host)
        self._take(self._here)
        self._pack(wanted for wanted in self._left() if wanted.is_built_here)
        self._take(self._only_on_host)
        self._take(self._source_as_before)
        notes = self._fetch() if self._left() else Notes()
        self._say(notes)
        self._check_complete(notes)
        return self._chosen

    def pack(self) -> None:
        """What ``run`` would pack here because nothing else will do, and no more."""
        self._take(self._here)
        self._pack(wanted for wanted in self._left() if wanted.is_built_here)
        self._save_hashes()

    def remember(self) -> None:
        """Notes down what was hashed, and in the lock the files that were not in it: nobody takes others from now on.

        The lock is there only where bin/buildout has written it.
        """
        self._save_hashes()
        new = [_line(d) for d in self._chosen.values() if d.path and not d.made]
        if new and self._local.lock and Path(self._local.lock).exists():
            try:
                lockfile.change(self._local.lock, lambda now: lockfile.noted(now, self._lock, new), as_old=True)
            except ConfigurationError as error:
                self._emit(Event("warning", error.message))

    # the steps

    def _left(self) -> list[Wanted]:
        return [wanted for wanted in self._wanted if wanted.pin not in self._chosen]

    def _take(self, find: Callable[[Wanted], Distribution | None]) -> None:
        for wanted in self._left():
            if found := find(wanted):
                self._chosen[wanted.pin] = found

    def _on_host(self, wanted: Wanted) -> Distribution | None:
        """A wheel that the host has, where it is known to be the right one."""
        return next((d for d, one in self._there(wanted) if one.is_wheel and self._is_right(wanted, one, d)), None)

    def _is_right(self, wanted: Wanted, one: File, there: Distribution) -> bool:
        if one.is_ours:
            return wanted.is_made_of_it(one)
        if wanted.locked:
            return there.sha256 in wanted.locked.values()
        here = [path for known, path in self._same(wanted) if known.name == one.name]
        return any(self._memo.sha256(path) == there.sha256 for path in here)

    def _only_on_host(self, wanted: Wanted) -> Distribution | None:
        """A wheel of which nothing is known here: somebody else deployed it."""
        return next((d for d, one in self._there(wanted) if one.is_wheel and not wanted.locked), None)

    def _there(self, wanted: Wanted) -> list[tuple[Distribution, File]]:
        """What the host has of it, the best first."""
        fitting = _ranked(wanted, self._have.get(key(wanted.pin), []))
        return [(Distribution(*wanted.pin, one.name, sha256, 0, ""), one) for one, sha256 in fitting]

    def _here(self, wanted: Wanted) -> Distribution | None:
        return next((self._distribution(wanted.pin, path) for one, path in self._same(wanted) if one.is_wheel), None)

    def _source(self, wanted: Wanted) -> Distribution | None:
        """A source distribution, here or there, that the host makes a wheel of."""
        here = (self._distribution(wanted.pin, path) for one, path in self._same(wanted) if not one.is_wheel)
        there = (d for d, one in self._there(wanted) if not one.is_wheel and d.sha256 in wanted.locked.values())
        return next(here, None) or next(there, None)

    def _source_as_before(self, wanted: Wanted) -> Distribution | None:
        """The same where it is the only file that was tested, and known to be nothing that can be built here."""
        found = self._source(wanted) if wanted.sources and not wanted.wheels else None
        known = found is not None and buildneeds.are_known(found.sha256, self._local, self._target)
        return found if known else None

    def _same(self, wanted: Wanted) -> Iterator[tuple[File, Path]]:
        """The files here that are what was tested, the best first; one that is damaged is said, and left aside."""
        for one, path in _ranked(wanted, self._files.get(key(wanted.pin), [])):
            try:
                if not self._is_damaged(path) and wanted.is_same(one, path):
                    yield one, path
            except Damaged as error:
                self._damaged[path] = Stamp.of(path.stat())
                self._emit(Event("warning", f"{error.message}; left aside"))

    def _is_damaged(self, path: Path) -> bool:
        """Whether that was said of it, and nothing else has come in its place."""
        return path in self._damaged and self._damaged[path] == Stamp.of(path.stat())

    def _pack(self, some: Iterable[Wanted]) -> None:
        """What is installed here, on all cores."""
        folder = Places.of(self._local).wheels
        todo = [(wanted, found) for wanted in some if (found := wanted.packable)]
        if not todo:
            return
        with writing(folder), ThreadPoolExecutor() as threads:
            folder.mkdir(parents=True, exist_ok=True)
            builds = [wanted.build for wanted, _ in todo]
            paths = list(threads.map(repack.pack, [found for _, found in todo], builds, [folder] * len(todo)))
        for (wanted, _), path in zip(todo, paths, strict=True):
            self._chosen[wanted.pin] = self._distribution(wanted.pin, path)

    def _fetch(self) -> Notes:
        left = self._left()
        self._emit(Event("hostout", f"Fetching {len(left)} distributions for {self._target}"))
        sources = {w.pin: next((path for one, path in self._same(w) if not one.is_wheel), None) for w in left}
        notes = fetching.fetch([wanted.wish(sources[wanted.pin]) for wanted in left], self._local, self._target)
        self._files = self._listed(_folders(self._local))
        self._take(self._here)
        self._pack(self._left())
        self._take(self._source)
        return notes

    def _save_hashes(self) -> None:
        with writing(Places.of(self._local).root):
            self._memo.save()

    # what is said

    def _say(self, notes: Notes) -> None:
        for name, reason in notes.yanked.items():
            why = f" ({reason})" if reason and reason != "<none given>" else ""
            self._warn(name, f"was yanked from the index{why}: taken all the same, as it is what was tested", notes)
        for name, came in notes.changed.items():
            self._warn(name, f"is not what was tested on the index: {came}; what is installed here is taken", notes)

    def _warn(self, name: str, text: str, notes: Notes) -> None:
        for pin in self._chosen:
            if canonicalize_name(pin[0]) == name:
                self._emit(Event("warning", f"{pin[0]} {pin[1]} {text}"))

    def _check_complete(self, notes: Notes) -> None:
        left = {wanted.pin: self._wrong(wanted, notes) for wanted in self._left()}
        if not left:
            return
        wrong = [f"    {name} = {version}: {why}" for (name, version), why in left.items() if why]
        missing = [f"    {name} = {version}" for (name, version), why in left.items() if not why]
        lines = ["not what was tested, and so not used:", *wrong] if wrong else []
        lines += [f"no wheel for {self._target} of:", *missing] if missing else []
        silent = f"; no answer from {', '.join(notes.silent)}" if notes.silent else ""
        log = f"the log of pip: {fetching.log(self._local)}"
        raise PackagingError("\n".join([*lines, f"looked in: {', '.join(self._looked_in())}{silent}; {log}"]))

    def _wrong(self, wanted: Wanted, notes: Notes) -> str:
        """What there is of it, and why that is not used; nothing where there is nothing."""
        paths = [path for one, path in self._files.get(key(wanted.pin), []) if self._is_wrong(wanted, one, path)]
        came = [notes.changed[wanted.wish().key]] if wanted.wish().key in notes.changed else []
        found = [*came, *(f"{path} has the sha256 {self._memo.sha256(path)}" for path in paths)]
        right = ", ".join(f"{name} = {sha256}" for name, sha256 in wanted.locked.items())
        lock = [f"{Path(self._local.lock).name} has {right}"] if right else []
        return "; ".join([*found, *lock] if found else [])

    def _is_wrong(self, wanted: Wanted, one: File, path: Path) -> bool:
        """Whether it would fit, were it the right one."""
        return not one.is_ours and wanted.rank(one) is not None and not self._is_damaged(path)

    def _looked_in(self) -> list[str]:
        index = _without_password(self._local.index or "the index of pip")
        return [*(str(folder) for folder in _folders(self._local)), index]

    def _listed(self, folders: Iterable[Path]) -> dict[Key, list[tuple[File, Path]]]:
        paths = (path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir()))
        return _by_key((path.name, path) for path in paths)

    def _distribution(self, pin: Pin, path: Path) -> Distribution:
        sha256, size = self._memo.sha256(path), path.stat().st_size
        return Distribution(*pin, path.name, sha256, size, str(path), made=_is_ours(path.name))


def _by_key(named: Iterable[tuple[str, T]]) -> dict[Key, list[tuple[File, T]]]:
    """Files by what they are of, as far as their names say it."""
    found: dict[Key, list[tuple[File, T]]] = {}
    for name, value in named:
        if one := file(name):
            found.setdefault(one.key, []).append((one, value))
    return found


def _ranked(wanted: Wanted, files: Iterable[tuple[File, T]]) -> list[tuple[File, T]]:
    """Those that fit the host, the best first; of equal ones that which was found first."""
    ranked = [(rank, number, pair) for number, pair in enumerate(files) if (rank := wanted.rank(pair[0])) is not None]
    return [pair for _, _, pair in sorted(ranked, key=lambda one: one[:2])]


def _folders(local: LocalBuildout) -> Iterator[Path]:
    """Where this buildout keeps distributions: its download cache, ours, folders among ``find-links``."""
    if local.download_cache:
        yield Path(local.download_cache) / "dist"
    yield Places.of(local).wheels
    yield from link_folders(local)


def _is_ours(filename: str) -> bool:
    one = file(filename)
    return one is not None and one.is_ours


def _line(dist: Distribution) -> Locked:
    return Locked(dist.name, dist.version, dist.filename, dist.sha256)


def _for_builds(
    parts: Iterable[Distribution], release: Release, local: LocalBuildout, target: Target, emit: Emit
) -> list[Distribution]:
    """The wheels that the host needs to build the source distributions among these."""
    sources = [d for d in parts if not d.filename.endswith(".whl") and d.path]
    environment = {str(canonicalize_name(name)): version for name, version in release.environment}
    found: dict[str, Distribution] = {}
    for dist in sources:
        emit(Event("hostout", f"No wheel for {target}, built on the host: {dist.name} = {dist.version}"))
        for path in buildneeds.wheels(Path(dist.path), dist.sha256, local, target, environment):
            found[path.name] = _named(path)
    return [found[name] for name in sorted(found)]


def _named(path: Path) -> Distribution:
    one = file(path.name)
    assert one is not None, f"pip fetched a file that is no distribution: {path}"
    return Distribution(*one.pin, path.name, hashes.of_file(path), path.stat().st_size, str(path))


def _check_develop(develop: Iterable[Distribution], target: Target) -> None:
    files = [(d.filename, file(d.filename)) for d in develop]
    wrong = [name for name, one in files if one is None or not repack.runs_there(one.tags, target)]
    if wrong:
        raise PackagingError(
            f"compiled here and so not for the host ({target}): {', '.join(wrong)}; "
            "deploy from a machine or a container like it, with a C library that is no newer"
        )


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
