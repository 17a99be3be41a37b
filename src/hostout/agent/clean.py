"""Tidying up: releases that nobody needs, what interrupted deployments left; then the cache.

What does not belong here: deciding how many are kept (the client says so), which eggs go (``cache.py``), how
something is removed (``removal.py``).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import cache, job, journal, manifest, release, removal, usage
from .failure import Failed, storage
from .protocol import BAD, BUILT, GOOD, LIVE, STAGING
from .release import NAME, Release
from .removal import DAY, Place
from .session import Session
from .site import Site

_LOGS = 20
_JOB = re.compile(rf"({NAME.pattern})\.(log|json)")
_UNFINISHED = re.compile(rf"\.{NAME.pattern}\.[0-9a-f]{{8}}")
# nothing else of ours in path is made under such a name, and what people keep there may be: .backup.20261122
_NEW_LINK = re.compile(r"\.current\.[0-9a-f]{8}")
_UPLOAD = re.compile(r"[0-9a-f]{64}(\.[0-9a-f]{8})?")
_NEVER_LIVE = (STAGING, BUILT, BAD)


@dataclass
class Cleaned:
    """What was removed, what stays though nobody needs it, and what was freed, in bytes."""

    releases: list[str] = field(default_factory=list)
    kept: list[dict[str, str]] = field(default_factory=list)
    bytes: int = 0


def clean(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action: releases, then the cache."""
    done = _releases(session, int(args["keep"]))
    done.bytes += _leftovers(session)
    cached = cache.clean(session, done.releases)
    freed = done.bytes + cached.pop("bytes")
    return {"releases": done.releases, "kept": done.kept, **cached, "bytes": freed}


def would(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action: the same, and nothing is removed."""
    session.dry = True
    try:
        return clean(session, args)
    finally:
        session.dry = False


def tidy(session: Session, keep: int) -> None:
    """Remove releases beyond ``keep`` good ones, after a switch. Raises Failed."""
    done = _releases(session, keep)
    if done.releases:
        session.note(f"removed: {', '.join(done.releases)}")


@dataclass(frozen=True)
class _Rules:
    """Who stays. ``needed`` are not even asked about, ``used`` are those that a process uses; ``now`` in seconds."""

    live: Release
    needed: frozenset[str]
    used: set[str]
    now: float

    def why(self, one: Release) -> str:
        """Why a release that is not needed stays all the same; empty where it may go."""
        if one.number > self.live.number and (one.state == BUILT or self.now - _last(one) < DAY):
            return "it is newer than the live one"
        if one.name in self.used:
            return "a process uses it"
        if usage.mounted(one.folder):
            return "another file system is mounted in it"
        return _data(one)


def _releases(session: Session, keep: int) -> Cleaned:
    if keep < 1:
        raise Failed(f"at least one good release is kept, not {keep}")
    place, done = removal.in_path(session, "releases"), Cleaned()
    done.bytes = place.finish()
    every, live = release.everything(session.site), release.live(session.site)
    # nobody knows what is wanted where nothing is live
    rules = _rules(session.site, live, every, keep) if live else None
    for one in (one for one in every if NAME.fullmatch(one.name) and one.number):
        if rules is None or one.name not in rules.needed:
            why = (rules.why(one) if rules else "nothing is live") or _remove(place, one, done)
            done.kept += [{"name": one.name, "why": why}] if why else []
    _logs(session)
    return done


def _rules(site: Site, live: Release, every: Sequence[Release], keep: int) -> _Rules:
    good = [one.name for one in every if one.state == GOOD][-keep:]
    begun, building = journal.read(site) or {}, job.running(site) or {}
    busy = [str(name) for name in (begun.get("release"), begun.get("before"), building.get("release"))]
    return _Rules(live, frozenset({live.name, *good, *busy}), usage.by_processes(site.releases), time.time())


def _last(one: Release) -> float:
    """When something happened to it last."""
    return max(one.states.values(), default=one.folder.lstat().st_mtime)


def _data(one: Release) -> str:
    """What is in a release that neither we nor buildout made as it is now, as a reason to keep it."""
    try:
        drift = manifest.compare(one)
        if not drift.verified and not (one.state in _NEVER_LIVE and LIVE not in one.states):
            return "nobody wrote down what belongs to it: remove it by hand" if manifest.contents(one) else ""
    except OSError as error:
        return f"it cannot be looked at: {storage(error, one.folder).message}"
    through = ("var", *one.shared)
    foreign = [name for name in through if _is_real(one.folder / name)] + drift.strays
    changed = [name for name in drift.changed if name not in through and os.path.lexists(one.folder / name)]
    why = [f"in it is {_some(foreign)}, made by neither hostout nor buildout"] if foreign else []
    why += [f"{_some(changed)} was changed in it since it was built"] if changed else []
    return "; ".join(why)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _is_real(path: Path) -> bool:
    return os.path.lexists(path) and not path.is_symlink()


def _remove(place: Place, one: Release, done: Cleaned) -> str:
    """Why it could not be removed; what is left of it once it has no name any more is removed the next time."""
    try:
        aside = place.put_aside(one.name)
    except OSError as error:
        return f"it could not be removed: {storage(error, one.folder).message}"
    done.releases.append(one.name)
    done.bytes += place.discard(aside)
    return ""


def _leftovers(session: Session) -> int:
    """What interrupted deployments and uploads left, more than a day ago."""
    return (
        _old(removal.in_path(session, "releases"), _UNFINISHED)
        + _old(removal.in_path(session, ""), _NEW_LINK)
        + _old(removal.in_path(session, ".hostout/incoming"), _UPLOAD)
        + _old(removal.in_path(session, ".hostout/incoming/.partial"), _UPLOAD)
    )


def _old(place: Place, named: re.Pattern[str]) -> int:
    return sum(place.discard(name) for name in place.names() if named.fullmatch(name) and place.is_old(name))


def _logs(session: Session) -> None:
    """What tells of jobs of releases that are gone goes; the newest stay."""
    place = removal.in_path(session, ".hostout/jobs")
    found = [name for name in place.names() if _of_nothing(session.site, name)]
    newest = {name.partition(".")[0]: _written(place, found, name.partition(".")[0]) for name in found}
    gone = sorted(newest, key=newest.__getitem__)[:-_LOGS]
    for name in found:
        if name.partition(".")[0] in gone:
            place.discard(name)


def _written(place: Place, names: Iterable[str], of: str) -> float:
    return max((place.folder / name).lstat().st_mtime for name in names if name.startswith(f"{of}."))


def _of_nothing(site: Site, name: str) -> bool:
    found = _JOB.fullmatch(name)
    return found is not None and not os.path.lexists(site.release(found[1]))
