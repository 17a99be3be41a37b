"""Filling buildout's egg cache from wheels: each egg complete under its name, or absent.

What is there already is taken where it is known to be made from the same file, or found to be equal. What is no wheel
becomes one first: buildout finds nothing left to unpack, and nothing to compile.
What does not belong here: what an egg consists of (``wheel.py``), buildout's own run.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from . import distname, sharing, syncing, uses
from .failure import Failed, storage
from .people import acting_as
from .release import Release
from .session import Session
from .shelf import Shelf
from .site import Site
from .unpack import Job, Made, unpack

Dist = Mapping[str, Any]
"""A distribution as a record has it: ``filename``, ``sha256``, ``develop``."""


Make = Callable[[Dist, Path], Path]
"""Makes a wheel of a source distribution in that folder; gives its path."""


def fill(session: Session, release: Release, make: Make | None = None) -> list[str]:
    """Unpack every wheel of the release that the cache has no whole egg of; gives the names of the new eggs.

    Broken eggs are moved aside. With ``make`` source distributions become eggs as well; without it buildout makes
    those. Raises Failed, with no egg changed, where one that another release is made from would have to be replaced, or
    where a wheel cannot be made.
    """
    shelf = shelf_of(session.site, release)
    if not release.record.get("dists"):
        return []
    try:
        alone = _is_alone(session.site)
        with _owning(session, shelf):
            shelf.prepare(alone)
            missing = _missing(shelf, _wheels(release))
            broken = _broken(shelf, _others(release))
            unmade = [dist for dist in _others(release) if make and not _is_made(shelf, dist)]
        _refuse_replacing(session, release, shelf, broken)
        if not (missing or broken or unmade):
            return []
        with _made(session, shelf, missing, unmade, make) as made, shelf.turn(session.buildout):
            with _owning(session, shelf):
                _move_aside(session, shelf, [egg for egg, _ in broken])
            _shelve(session, release, shelf, made)
            return [one.name for one in made]
    except OSError as error:
        raise storage(error, shelf.folder) from error


def settle(session: Session, release: Release) -> None:
    """Note down the eggs that buildout itself made, from what is no wheel, in a build that succeeded. Raises Failed."""
    shelf, others = shelf_of(session.site, release), _others(release)
    if not others:
        return
    try:
        # the note vouches for what it speaks of
        syncing.sync(shelf.folder)
        with shelf.turn(session.buildout), _owning(session, shelf):
            shelf.note([(egg, str(dist["sha256"])) for dist in others for egg in _eggs(shelf, dist)])
    except OSError as error:
        raise storage(error, shelf.folder) from error


def shelf_of(site: Site, release: Release) -> Shelf:
    """The folder of eggs as the Python that builds the release sees it."""
    key = str(release.record.get("environment") or "none")
    pythons = [path.name for path in (site.environments / key / "lib").glob("python*")]
    own = "{}.{}".format(*sys.version_info)
    version = pythons[0].removeprefix("python") if pythons else own
    return Shelf(site.egg_folders, f"py{version}-{sysconfig.get_platform()}")


@contextmanager
def _owning(session: Session, shelf: Shelf) -> Iterator[None]:
    """Acting as the owner of the cache; what that owner cannot do is one line."""
    with acting_as(session.buildout):
        try:
            yield
        except OSError as error:
            raise storage(error, shelf.folder) from error


def _is_alone(site: Site) -> bool:
    """Whether nobody else builds from this cache, as far as it can be told."""
    try:
        return sharing.paths(site) == [site.path]
    except Failed:
        return False


def _wheels(release: Release) -> list[Dist]:
    return [dist for dist in release.record.get("dists") or () if str(dist["filename"]).endswith(".whl")]


def _others(release: Release) -> list[Dist]:
    return [dist for dist in release.record.get("dists") or () if not str(dist["filename"]).endswith(".whl")]


def _eggs(shelf: Shelf, dist: Dist) -> list[str]:
    key = distname.key(str(dist["filename"]))
    return shelf.of({key}) if key else []


def _missing(shelf: Shelf, wheels: Iterable[Dist]) -> list[Dist]:
    """Those without an egg that is known to be made from them; of a develop package the version says the content."""
    known = shelf.known()
    digests, keys = set().union(*known.values()), set(map(distname.egg_key, known))
    return [
        dist
        for dist in wheels
        if dist["sha256"] not in digests and not (dist.get("develop") and distname.key(str(dist["filename"])) in keys)
    ]


def _broken(shelf: Shelf, others: Iterable[Dist]) -> list[tuple[str, Dist]]:
    """Eggs that a crash left behind while buildout made them, and those made from another file."""
    found = [(egg, dist) for dist in others for egg in _eggs(shelf, dist)]
    return [(egg, dist) for egg, dist in found if not _fits(shelf, egg, dist)]


def _is_made(shelf: Shelf, dist: Dist) -> bool:
    return any(_fits(shelf, egg, dist) for egg in _eggs(shelf, dist))


def _fits(shelf: Shelf, egg: str, dist: Dist) -> bool:
    sources = shelf.sources(egg)
    return dist["sha256"] in sources if sources else shelf.intact(egg)


@contextmanager
def _made(
    session: Session, shelf: Shelf, wheels: Sequence[Dist], sources: Sequence[Dist], make: Make | None
) -> Iterator[list[Made]]:
    """The eggs, before they get their names; that of a source distribution is one of that file."""
    with shelf.workplace(session.buildout) as work:
        built = {make(dist, work / f"wheel{number}"): dist for number, dist in enumerate(sources)} if make else {}
        files = [(session.site.dist / str(dist["filename"]), _digest(dist)) for dist in wheels]
        files += [(path, None) for path in built]
        jobs = [Job(path, digest, shelf.tag, work / str(number)) for number, (path, digest) in enumerate(files)]
        made = {one.name: one for one in unpack(jobs, session.buildout, partial(_looked, session, work))}
        # a name stands for a complete egg, also after a power failure; that of an egg that was there already as well
        syncing.sync(work, shelf.folder)
        origin = {path.name: dist for path, dist in built.items()}
        yield [_of_source(one, origin[one.filename]) if one.filename in origin else one for one in made.values()]


def _looked(session: Session, work: Path) -> bool:
    """Whether nobody wants it any more. What others unpack gets to the disk meanwhile: the sync at their end finds
    little to wait for."""
    syncing.sync(work)
    return session.wire.cancelled()


def _of_source(one: Made, dist: Dist) -> Made:
    return replace(one, filename=str(dist["filename"]), digest=str(dist["sha256"]))


def _digest(dist: Dist) -> str | None:
    return None if dist.get("develop") else str(dist["sha256"])


def _shelve(session: Session, release: Release, shelf: Shelf, made: Sequence[Made]) -> None:
    """Give them their names; an egg that is there already stays where it is equal."""
    dists = {str(dist["filename"]): dist for dist in (*_wheels(release), *_others(release))}
    with _owning(session, shelf):
        new = [one for one in made if not shelf.exists(one.name)]
        other = [one for one in made if one not in new and not _is_there(shelf, one)]
    _refuse_replacing(session, release, shelf, [(one.name, dists[one.filename]) for one in other])
    with _owning(session, shelf):
        _move_aside(session, shelf, [one.name for one in other])
        for one in (*new, *other):
            shelf.take(one.name, one.folder)
        shelf.note([(one.name, one.digest) for one in made], {one.name for one in (*new, *other)})


def _is_there(shelf: Shelf, one: Made) -> bool:
    return one.digest in shelf.sources(one.name) or shelf.same(one.name, one.folder)


def _refuse_replacing(session: Session, release: Release, shelf: Shelf, eggs: Sequence[tuple[str, Dist]]) -> None:
    """Raise Failed where a release of any buildout was made from the egg that is there."""
    lines = []
    adopted = uses.adopted(session.site, [egg for egg, _ in eggs]) if eggs else {}
    for egg, dist in eggs:
        users = [] if dist.get("develop") else uses.others(session.site, release.name, _another_file(dist))
        if users:
            with _owning(session, shelf):
                source = ", ".join(sorted(shelf.sources(egg))) or str(users[0].dist["sha256"])
            lines.append(
                f"{egg} in the cache is made from a file with the sha256 {source}, and {users[0]} uses it; "
                f"{dist['filename']} has {dist['sha256']}: what differs needs a version of its own"
            )
        elif egg in adopted:
            lines.append(
                f"{egg} in the cache is not what {dist['filename']} makes, and {adopted[egg]} uses it: "
                "what differs needs a version of its own, or this host another buildout-cache"
            )
    if lines:
        raise Failed("; ".join(lines))


def _another_file(dist: Dist) -> Callable[[Dist], bool]:
    """Whether a distribution is this one in other bytes."""
    key = distname.key(str(dist["filename"]))
    return lambda used: used["sha256"] != dist["sha256"] and distname.key(str(used["filename"])) == key


def _move_aside(session: Session, shelf: Shelf, eggs: Iterable[str]) -> None:
    for egg in eggs:
        aside = shelf.put_aside(egg)
        session.note(f"{egg} in the cache was incomplete, or made from another file: made anew, the old one is {aside}")


__all__ = ["fill", "settle", "shelf_of"]
