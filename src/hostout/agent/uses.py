"""Who is made of what: the distributions that releases of every buildout sharing the cache were built from.

What does not belong here: what follows from it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import references, release, sharing
from .failure import Failed, storage
from .protocol import BUILT, GOOD, LIVE
from .release import Release
from .site import Site

# one that did not get so far, or went bad, is made again from what the next deployment brings
_IN_USE = (BUILT, LIVE, GOOD)


@dataclass(frozen=True)
class Use:
    """One release of the buildout at ``path``, and the distribution as its record has it."""

    path: Path
    release: str
    dist: Mapping[str, Any]

    def __str__(self) -> str:
        return f"release {self.release} in {self.path}"


def others(site: Site, but: str, fits: Callable[[Mapping[str, Any]], bool]) -> list[Use]:
    """Distributions that ``fits`` says yes to, of all releases in use but this site's ``but``.

    Raises Failed where it cannot be told who shares the cache, or what one of them uses.
    """
    every = [(path, one) for path, one in _in_use(site) if (path, one.name) != (site.path, but)]
    return [Use(path, one.name, dist) for path, one in every for dist in _dists(one) if fits(dist)]


def adopted(site: Site, eggs: Collection[str]) -> dict[str, Use]:
    """Those of the eggs that releases name which do not say what they were made from. Raises Failed as ``others``."""
    found = {}
    try:
        for path, one in _in_use(site):
            if "dists" not in one.record:
                found.update(dict.fromkeys(references.of_release(one).eggs.intersection(eggs), Use(path, one.name, {})))
    except OSError as error:
        raise storage(error, site.path) from error
    return found


def _in_use(site: Site) -> Iterator[tuple[Path, Release]]:
    for path in sharing.paths(site):
        for one in _releases(Site(path, site.cache)):
            yield path, one


def _releases(site: Site) -> list[Release]:
    try:
        next(site.releases.iterdir(), None)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise Failed(f"{site.path} shares the cache, and what it uses cannot be read: {error.strerror}") from error
    live = release.live_name(site)
    return [one for one in release.everything(site) if one.state in _IN_USE or one.name == live]


def _dists(one: Release) -> list[Mapping[str, Any]]:
    """All that the release, and the environment that built it, were made from; develop packages aside.

    The version of those says their content: any file of that version is the right one.
    """
    every = [dist for name in ("dists", "environment_dists") for dist in one.listed(name)]
    return [dist for dist in every if isinstance(dist, dict) and dist.get("filename") and not dist.get("develop")]
