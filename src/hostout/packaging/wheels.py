"""A file for every pinned distribution that fits a host's Python: found here, on the host, or fetched.

The order: what the host has, the caches here, then pip. What does not belong here: how pip is called (``fetching``),
which tags fit (``tags``), which distributions a release needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from hostout.errors import PackagingError
from hostout.model import Distribution, Emit, Event, Facts, LocalBuildout, Release
from hostout.packaging import fetching
from hostout.packaging.indexes import link_folders
from hostout.packaging.places import Places
from hostout.packaging.tags import Target

Pin = tuple[str, str]
"""Name and version of a distribution."""


@dataclass(frozen=True)
class Store:
    """Wheels that fit one host, each pin's best first; the rank of those on the host is their own."""

    target: Target
    found: dict[tuple[NormalizedName, Version], tuple[int, str]] = field(default_factory=dict)

    def add(self, names: Iterable[str]) -> None:
        """Takes up files by their names or paths, as far as they are wheels that fit."""
        for name in names:
            try:
                project, version, _, tags = parse_wheel_filename(Path(name).name)
            except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
                continue
            rank = self.target.rank(tags)
            if rank is not None:
                key = (project, version)
                self.found[key] = min(self.found.get(key, (rank, name)), (rank, name))

    def get(self, pin: Pin) -> str | None:
        """The best file for a pin."""
        found = self.found.get((canonicalize_name(pin[0]), Version(pin[1])))
        return found[1] if found else None


def choose(
    release: Release, local: LocalBuildout, facts: Facts, emit: Emit
) -> tuple[tuple[Distribution, ...], tuple[Distribution, ...]]:
    """One distribution for each of ``release.requirements``, and for each of ``release.environment``.

    ``path`` is empty where the host has the file already. Raises PackagingError that lists all that are missing.
    """
    target = Target.of(facts["python"])
    develop = {canonicalize_name(d.name): d for d in release.develop}
    pins = [p for p in (*release.requirements, *release.environment) if canonicalize_name(p[0]) not in develop]
    chosen = _chosen(sorted(set(pins)), local, facts, target, emit)
    _check_develop(release.develop, target)
    parts = tuple(develop.get(canonicalize_name(p[0])) or chosen[p] for p in release.requirements)
    return parts, tuple(chosen[p] for p in release.environment)


def _chosen(
    pins: Sequence[Pin], local: LocalBuildout, facts: Facts, target: Target, emit: Emit
) -> Mapping[Pin, Distribution]:
    there = Store(target)
    there.add(facts["have"])
    chosen = {p: _on_host(p, name, facts["have"][name]) for p in pins if (name := there.get(p))}
    here = Store(target)
    here.add(str(path) for folder in _folders(local) for path in sorted(folder.glob("*.whl")))
    missing = [p for p in pins if p not in chosen and not here.get(p)]
    if missing:
        here.add(_fetched(missing, local, target, emit))
    chosen.update({p: distribution(p, Path(name)) for p in pins if p not in chosen and (name := here.get(p))})
    _check_complete([p for p in pins if p not in chosen], target, local)
    return chosen


def _folders(local: LocalBuildout) -> Iterator[Path]:
    """Where this buildout keeps distributions: its download cache, ours, folders among ``find-links``."""
    if local.download_cache:
        yield Path(local.download_cache) / "dist"
    yield Places.of(local).wheels
    yield from link_folders(local)


def _fetched(missing: Sequence[Pin], local: LocalBuildout, target: Target, emit: Emit) -> list[str]:
    emit(Event("hostout", f"Fetching {len(missing)} distributions for {target}"))
    fetching.wheels(missing, local, target)
    return [str(path) for path in Places.of(local).wheels.glob("*.whl")]


def distribution(pin: Pin, path: Path) -> Distribution:
    """A file here as the distribution that ``pin`` asks for."""
    content = path.read_bytes()
    return Distribution(*pin, path.name, hashlib.sha256(content).hexdigest(), len(content), str(path))


def _on_host(pin: Pin, name: str, sha256: str) -> Distribution:
    return Distribution(*pin, name, sha256, 0, "")


def _check_develop(develop: Iterable[Distribution], target: Target) -> None:
    fits = Store(target)
    fits.add(d.filename for d in develop)
    wrong = [d.filename for d in develop if not fits.get((d.name, d.version))]
    if wrong:
        files = ", ".join(wrong)
        raise PackagingError(f"built here and so not for the host ({target}): {files}; deploy from a machine like it")


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _check_complete(missing: Sequence[Pin], target: Target, local: LocalBuildout) -> None:
    if not missing:
        return
    listed = "\n".join(f"    {name} = {version}" for name, version in missing)
    where = ", ".join(
        [*(str(folder) for folder in _folders(local)), _without_password(local.index or "the index of pip")]
    )
    raise PackagingError(
        f"no wheel for {target} of:\n{listed}\nlooked in: {where}; the log of pip: {fetching.log(local)}"
    )
