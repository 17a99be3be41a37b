"""The one rename that makes a release live, and the links that keep ``path/bin`` and its like working.

What does not belong here: what runs before and after (``golive.py``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from . import durable, people
from .failure import Failed, storage
from .release import RECORD, Release, live_name
from .release import live as release_live
from .session import Session
from .site import Site


def check(site: Site) -> None:
    """Raise Failed where ``current`` is not ours to move."""
    if os.path.lexists(site.current) and live_name(site) is None and not _dangling(site):
        raise Failed(f"{site.current} is not a link to a release: it was not made by hostout")


def to(session: Session, release: Release) -> None:
    """Make it live. Links that only the new one needs come before, those that it lacks go after."""
    site = session.site
    try:
        with people.acting_as_owner_of(site.path):
            _link(session, release)
            durable.link(site.current, f"releases/{release.name}")
            _drop_stale(site)
    except OSError as error:
        raise storage(error, site.current) from error


def off(site: Site) -> None:
    """No release is live any more; the links into it go with it."""
    try:
        site.current.unlink(missing_ok=True)
        _drop_stale(site)
        durable.sync_folder(site.path)
    except OSError as error:
        raise storage(error, site.current) from error


def linked(site: Site) -> bool:
    """Whether everything of the live release can be reached through ``path``."""
    live = release_live(site)
    return live is not None and all(os.path.lexists(site.path / name) for name in _visible(live))


def _dangling(site: Site) -> bool:
    """A link of ours whose release somebody removed."""
    return site.current.is_symlink() and str(site.current.readlink()).startswith("releases/")


def _link(session: Session, release: Release) -> None:
    for name in _visible(release):
        path = session.site.path / name
        if not os.path.lexists(path):
            path.symlink_to(_through(name))
        elif not _ours(path):
            session.warn(f"{path} is there and was not made by hostout: {release.name}/{name} is not linked")


def _visible(release: Release) -> Iterator[str]:
    """What of a release ``path`` shows; never what ``path`` itself has."""
    hidden = {RECORD, "var", "releases", "current", *durable.top(release.shared)}
    for entry in sorted(release.folder.iterdir()):
        if entry.name not in hidden and not entry.name.startswith("."):
            yield entry.name


def _drop_stale(site: Site) -> None:
    for path in list(site.path.iterdir()):
        if _ours(path) and not os.path.lexists(site.current / path.name):
            path.unlink()


def _ours(path: Path) -> bool:
    return path.is_symlink() and str(path.readlink()) == _through(path.name)


def _through(name: str) -> str:
    return f"current/{name}"
