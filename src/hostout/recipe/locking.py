"""The lock of a buildout: what a run found out, together with what others found out before.

What does not belong here: finding out, the file's form (``lockfile``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import zc.buildout
from packaging.requirements import InvalidRequirement, Requirement

from hostout import lockfile
from hostout.errors import ConfigurationError
from hostout.lockfile import Lock, Locked
from hostout.model import Member
from hostout.recipe.files import File, contradictions, key_of


def read(path: Path) -> Lock:
    """The lock of the run before, somebody else's perhaps; raises zc.buildout.UserError where it is broken."""
    try:
        return lockfile.read(path)
    except ConfigurationError as error:
        raise zc.buildout.UserError("\n".join(error.problems)) from error


def update(path: Path, before: Lock, members: Iterable[Member], environment: Iterable[Member], whole: bool) -> bool:
    """Writes the lock where it changes, and says whether it did; raises zc.buildout.UserError with a line for each file
    that contradicts it.

    ``whole``: these are all distributions of the buildout, so that lines of any other go.
    """
    every = [member for member in (*members, *environment) if not member.develop]
    if wrong := contradictions(before, dict.fromkeys(File(m.filename, m.sha256) for m in every if m.sha256)):
        again = "remove the eggs of these distributions, and run bin/buildout"
        raise zc.buildout.UserError("\n".join([*wrong, f"{again} to have them installed from the right files"]))
    try:
        return lockfile.change(path, lambda now: _merged(now, every, whole))
    except ConfigurationError as error:
        raise zc.buildout.UserError(error.message) from error


def _merged(before: Lock, every: list[Member], whole: bool) -> Lock:
    pins = _pins(_kept(before.pins, every) if whole else before.pins, every)
    spelt = {key_of(name, "")[0]: name for name, _ in pins}
    here = [lockfile.locked(m.filename, m.sha256, spelt) for m in every if m.sha256]
    used = {key_of(*pin) for pin in (*pins, *((m.name, m.version) for m in every))}

    def stays(one: Locked) -> bool:
        return not whole or key_of(one.name, one.version) in used

    tested = {one.filename: one for one in [*filter(stays, before.tested), *here]}
    others = (one for one in filter(stays, before.others) if one.filename not in tested)
    return Lock(tuple(tested.values()), tuple(others), tuple(pins))


def _kept(before: Iterable[tuple[str, str]], every: list[Member]) -> list[tuple[str, str]]:
    """Of what nobody needs here, what somebody with another Python or platform does."""
    names = {key_of(m.name, "")[0] for m in every}
    gone = {key: pin for pin in before if (key := key_of(*pin)[0]) not in names}
    elsewhere = _needed_elsewhere(every) if gone else ()
    return [pin for key, pin in gone.items() if key in elsewhere]


def _needed_elsewhere(every: Iterable[Member]) -> set[str]:
    """Normalised names that these require where they run on something else than this."""
    found: set[str] = set()
    for member in every:
        for dist in metadata.distributions(path=[member.location]):
            if key_of(dist.name or "", "") == key_of(member.name, ""):
                found.update(_not_here(dist.requires or ()))
    return found


def _not_here(requirements: Iterable[str]) -> Iterator[str]:
    """The names; extras do not count, for who leaves one out does so everywhere."""
    for text in requirements:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue
        if wanted.marker and "extra" not in str(wanted.marker) and not wanted.marker.evaluate():
            yield key_of(wanted.name, "")[0]


def _pins(before: Iterable[tuple[str, str]], every: Iterable[Member]) -> list[tuple[str, str]]:
    """One for each name: where buildout's environment has another version than the parts, it is that of the parts."""
    found = {key_of(name, "")[0]: (name, version) for name, version in before}
    now: dict[str, tuple[str, str]] = {}
    for member in every:
        now.setdefault(key_of(member.name, "")[0], (member.name, member.version))
    return list({**found, **now}.values())
