"""Cleaning the cache: eggs, downloads and environments that no release of any buildout that shares it refers to.

Never what is younger than a day, what was there before us, eggs that somebody else made, or while anybody builds.
What does not belong here: who shares it (``sharing.py``), who refers to what (``references.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import nullcontext
from typing import Any

from . import people, references, removal, sharing, usage
from .distname import Key, egg_key, key
from .failure import Failed, storage
from .references import References
from .session import Session
from .shelf import Shelf, unaside
from .site import Site


def clean(session: Session, removed: Collection[str]) -> dict[str, Any]:
    """What was removed by kind, the ``bytes`` that were freed, and why ``cache`` was left alone (None: it was not).

    ``removed`` are releases of our own that are gone, or would be.
    """
    done: dict[str, Any] = {"eggs": [], "downloads": [], "environments": [], "bytes": 0, "cache": None}
    try:
        with nullcontext() if session.dry else sharing.alone(session.site, session.lock.descriptors):
            _clean(session, removed, done)
    except Failed as failure:
        done["cache"] = failure.message
    except OSError as error:
        done["cache"] = storage(error, session.site.cache).message
    return done


def _clean(session: Session, removed: Collection[str], done: dict[str, Any]) -> None:
    site = session.site
    wanted, before = _referred(session, removed), sharing.before(site)
    wanted.eggs |= usage.by_processes(site.egg_folders)
    for kind, folder in site.cached.items():
        place = removal.in_cache(session, folder)
        done["bytes"] += place.finish()
        there = {name for below, _, name in (each.rpartition("/") for each in before) if below == place.below}
        old, kept = filter(place.is_old, place.names()), getattr(wanted, kind) | there
        unneeded = [name for name in old if name not in kept]
        if kind == "eggs":
            unneeded = _eggs(site, unneeded, kept, set(map(key, wanted.dists)))
        done["bytes"] += sum(map(place.remove, unneeded))
        done[kind] += [name for name in unneeded if not name.startswith(".")]
    partial = removal.in_cache(session, site.downloads / ".partial")
    done["bytes"] += sum(partial.discard(name) for name in partial.names() if partial.is_old(name))


def _eggs(site: Site, names: Iterable[str], kept: Collection[str], dists: Collection[Key | None]) -> list[str]:
    """Those of ours that are made from none of these; one that was put aside goes when any of its name would."""
    shelf = Shelf(site.egg_folders, "")
    with people.acting_as_owner_of(site.cache):
        ours = {name: unaside(name) for name in names if shelf.is_ours(name)}
    return [name for name, egg in ours.items() if egg not in kept and egg_key(egg) not in dists]


def _referred(session: Session, removed: Collection[str]) -> References:
    """By every buildout that shares the cache; raises Failed where one of them cannot be read."""
    found = References()
    for path in sharing.paths(session.site):
        try:
            found.add(references.of_path(path, removed if path == session.site.path else ()))
        except OSError as error:
            raise Failed(
                f"{path} shares {session.site.cache} and cannot be read ({storage(error, path).message}); "
                f"if it is gone for good, remove {sharing.registration(session.site, path)}"
            ) from error
    return found
