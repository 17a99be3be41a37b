"""The lock of a buildout: what a run found out, together with what others found out before.

What does not belong here: finding out, the file's form (``lockfile``).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import zc.buildout

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


def moved(before: Lock, members: Iterable[Member], pinned: Iterable[str]) -> list[str]:
    """Distributions of another version than in the lock of the run before, though nobody has pinned another one."""
    known = {key_of(name, "")[0]: version for name, version in before.pins}
    fixed = {key_of(name, "")[0] for name in pinned}
    here = {key_of(m.name, "")[0]: m for m in members if not m.develop}
    changed = {key: m for key, m in here.items() if key not in fixed and known.get(key, m.version) != m.version}
    return [f"{m.name} {m.version} (was {known[key]})" for key, m in sorted(changed.items())]


def _merged(before: Lock, every: list[Member], whole: bool) -> Lock:
    pins = _pins(() if whole else before.pins, every)
    spelt = {key_of(name, "")[0]: name for name, _ in pins}
    here = [lockfile.locked(m.filename, m.sha256, spelt) for m in every if m.sha256]
    used = {key_of(m.name, m.version) for m in every}

    def stays(one: Locked) -> bool:
        return not whole or key_of(one.name, one.version) in used

    tested = {one.filename: one for one in [*filter(stays, before.tested), *here]}
    others = (one for one in filter(stays, before.others) if one.filename not in tested)
    return Lock(tuple(tested.values()), tuple(others), tuple(pins))


def _pins(before: Iterable[tuple[str, str]], every: Iterable[Member]) -> list[tuple[str, str]]:
    """One for each name: where buildout's environment has another version than the parts, it is that of the parts."""
    found = {key_of(name, "")[0]: (name, version) for name, version in before}
    now: dict[str, tuple[str, str]] = {}
    for member in every:
        now.setdefault(key_of(member.name, "")[0], (member.name, member.version))
    return list({**found, **now}.values())
