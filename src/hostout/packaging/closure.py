"""Which distributions a release needs, and which of them are develop packages.

What does not belong here: asking zc.buildout (``rehearsal``), building (``develop``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from hostout.errors import ConfigurationError, PackagingError
from hostout.model import Host, LocalBuildout, Member
from hostout.packaging import wheelfile
from hostout.packaging.develop import Package, Released
from hostout.packaging.rehearsal import Rehearsal, builds_the_same, exact, is_checkout

UNUSED = ("mr-developer",)
"""Recorded distributions that no host needs: there are no checkouts there."""


@dataclass(frozen=True)
class Closure:
    """``shipped`` is every distribution that a release needs; ``known`` are pinned beside them, should a recipe ask."""

    shipped: tuple[Member, ...]
    known: tuple[Member, ...]


def closure(host: Host, local: LocalBuildout, rehearsal: Rehearsal) -> Closure:
    """What the rehearsal found; where the host builds what is built here, all that was used here as well.

    A recipe may ask for eggs only while it installs its part: nobody but the tested buildout knows of those.
    """
    _check_single(rehearsal.members, host)
    found = {canonicalize_name(m.name): m for m in rehearsal.members}
    used = {canonicalize_name(m.name): m for m in _used(local)}
    shipped = {**used, **found} if builds_the_same(host, local) else found
    return Closure(_sorted(shipped.values()), _sorted(m for key, m in used.items() if key not in shipped))


def unknown(found: Iterable[Member], local: LocalBuildout) -> list[Member]:
    """The members that nothing in the local buildout uses."""
    known = {canonicalize_name(m.name) for m in (*local.working_set, *local.environment)}
    return [member for member in found if canonicalize_name(member.name) not in known]


def _used(local: LocalBuildout) -> Iterator[Member]:
    """The recorded working set without what the environment of zc.buildout has in this very version.

    Where a distribution is there twice, the egg comes last and so wins over what lies in that environment.
    """
    environment = {(canonicalize_name(m.name), exact(m.version)) for m in local.environment}
    for member in sorted(local.working_set, key=lambda m: m.location not in local.environment_path):
        key = canonicalize_name(member.name)
        if key not in UNUSED and (key, exact(member.version)) not in environment:
            yield dataclasses.replace(member, version=exact(member.version), develop=is_checkout(member, local))


def _sorted(members: Iterable[Member]) -> tuple[Member, ...]:
    return tuple(sorted(members, key=lambda m: canonicalize_name(m.name)))


def _check_single(found: Iterable[Member], host: Host) -> None:
    """One version of each: a pin can only name one."""
    versions: dict[str, set[str]] = {}
    for member in found:
        versions.setdefault(canonicalize_name(member.name), set()).add(member.version)
    problems = [
        f"[{host.name}] {name} is needed in {len(several)} versions ({', '.join(sorted(several))}): pin one of them"
        for name, several in sorted(versions.items())
        if len(several) > 1
    ]
    if problems:
        raise ConfigurationError(problems, host=host.name)


def packages(members: Iterable[Member], local: LocalBuildout) -> list[Package]:
    """The develop packages among ``members``; raises PackagingError where the folder of one cannot be told."""
    sources: dict[str, str] = {canonicalize_name(m.name): m.source for m in local.working_set if is_checkout(m, local)}
    return [Package(m.name, m.version, _folder(m, sources, local)) for m in members if m.develop]


def _folder(member: Member, sources: Mapping[str, str], local: LocalBuildout) -> Path:
    """The project folder: recorded, or the folder of option ``develop`` that the package's modules lie in."""
    if source := member.source or sources.get(canonicalize_name(member.name)):
        return Path(source)
    location = Path(member.location)
    folders = [folder for word in local.develop if location.is_relative_to(folder := Path(local.directory, word))]
    above = sorted(folders, key=lambda folder: len(folder.parts), reverse=True) or [location, *location.parents]
    for folder in above:
        if any((folder / name).exists() for name in ("pyproject.toml", "setup.py")):
            return folder
    raise PackagingError(f"develop package {member.name}: no setup.py or pyproject.toml at or above {location}")


def check_dependencies(released: Iterable[Released], found: Closure, local: LocalBuildout) -> None:
    """A dependency added since ``bin/buildout`` ran is in no working set: said here, before a build on a host fails."""
    known = {canonicalize_name(m.name) for m in (*found.shipped, *local.environment)}
    lost = [(r.package.name, name) for r in released for name in _requires(r) if canonicalize_name(name) not in known]
    if lost:
        lines = [f"develop package {package} needs {name}, which this buildout has not got" for package, name in lost]
        raise PackagingError("\n".join([*lines, "run bin/buildout first"]))


def _requires(released: Released) -> list[str]:
    lines = HeaderParser().parsestr(wheelfile.metadata(released.wheel)).get_all("Requires-Dist", [])
    return [requirement.name for line in lines if (requirement := _always(line))]


def _always(line: str) -> Requirement | None:
    """A requirement that holds here without any extra."""
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return None
    return requirement if requirement.marker is None or requirement.marker.evaluate({"extra": ""}) else None
