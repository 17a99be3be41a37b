"""The one rename that makes a release live, and the links that keep ``path/bin`` and its like working.

What does not belong here: what runs before and after (``golive.py``).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from . import durable, people
from .failure import Failed, storage
from .protocol import GOOD, LIVE
from .release import NAME, RECORD, Release, everything, live_name
from .release import live as release_live
from .session import Session
from .site import Site


def current(site: Site) -> str:
    """What ``current`` is: absent, link (to a release), dangling (its release is gone), foreign (not made by us)."""
    if live_name(site) is not None:
        return "link"
    if not os.path.lexists(site.current):
        return "absent"
    return "dangling" if named(site) else "foreign"


def check(site: Site) -> None:
    """Raise Failed where ``current`` is not ours to move."""
    if current(site) == "foreign":
        raise Failed(f"{site.current} is not a link to a release: it was not made by hostout; move it away first")


def mend(session: Session) -> bool:
    """Put back ``current`` where something was live and it is lost; whether it was.

    Without it nobody reaches the application that runs, neither to stop it nor to go back to it. Raises Failed.
    """
    site = session.site
    was = was_live(site)
    if was is None or live_name(site) is not None:
        return False
    found = f"{site.current} names {named(site)}, which is not there" if named(site) else f"{site.current} is missing"
    session.note(f"{found}; the last that was live is {was.name}: it leads there again")
    to(session, was)
    return True


def was_live(site: Site, but: str = "") -> Release | None:
    """The release that was switched to last of those that nobody took back, ``but`` that of this name."""
    seen = [one for one in everything(site) if one.state in (LIVE, GOOD) and one.name != but]
    return max(seen, key=lambda one: (_since(one), one.number), default=None)


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


def back(session: Session, release: Release) -> None:
    """The same with the one that was live before, also where there is no room for another link."""
    site = session.site
    try:
        to(session, release)
    except Failed:
        if named(site) == release.name:
            raise
        try:
            with people.acting_as_owner_of(site.path):
                # not one rename, but what is live now must not stay
                site.current.unlink(missing_ok=True)
                site.current.symlink_to(f"releases/{release.name}")
                _drop_stale(site)
        except OSError as error:
            raise storage(error, site.current) from error
        to(session, release)


def off(site: Site) -> None:
    """No release is live any more; the links into it go with it."""
    try:
        site.current.unlink(missing_ok=True)
        _drop_stale(site)
        durable.sync_folder(site.path)
    except OSError as error:
        raise storage(error, site.current) from error


def linked(site: Site, made: Collection[str] | None = None) -> bool:
    """Whether everything of the live release, or what is ``made`` of that, can be reached through ``path``."""
    live = release_live(site)
    if live is None:
        return False
    return all(os.path.lexists(site.path / name) for name in _visible(live) if made is None or name in made)


def named(site: Site) -> str:
    """What a link of ours says, also where that release is gone; nothing where it is not ours."""
    try:
        folder, _, name = str(site.current.readlink()).partition("/")
    except OSError:
        return ""
    return name if folder == "releases" and NAME.fullmatch(name) else ""


def _since(release: Release) -> float:
    """When it went live last."""
    since = release.record.get("since")
    return float(since) if isinstance(since, (int, float)) else 0.0


def _link(session: Session, release: Release) -> None:
    for name in _visible(release):
        path = session.site.path / name
        if not os.path.lexists(path):
            path.symlink_to(_through(name))
        elif not _ours(path):
            session.warn(f"{path} is there and was not made by hostout: {release.name}/{name} is not linked")


def _visible(release: Release) -> Iterator[str]:
    """What of a release ``path`` shows; never what ``path`` itself has.

    Of dot files, which are for the next buildout in that very folder, only those of an adopted one: it was ``path``.
    """
    hidden = {RECORD, "var", "releases", "current", *durable.top(release.shared)}
    adopted = release.listed("entries")
    for entry in sorted(release.folder.iterdir()):
        if entry.name not in hidden and (entry.name in adopted or not entry.name.startswith(".")):
            yield entry.name


def _drop_stale(site: Site) -> None:
    live = release_live(site)
    shown = set(_visible(live)) if live else set()
    for path in list(site.path.iterdir()):
        if _ours(path) and path.name not in shown:
            path.unlink()


def _ours(path: Path) -> bool:
    return path.is_symlink() and str(path.readlink()) == _through(path.name)


def _through(name: str) -> str:
    return f"current/{name}"
