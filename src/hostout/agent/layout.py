"""The folders of ``path`` and of the cache: made once, with their owners and modes.

What does not belong here: releases and what is in them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from . import adoption, manifest, people, release, tree
from .failure import Failed, storage
from .people import Person
from .session import Session
from .site import Site

# data that waits for its application, and what a file system of its own begins with
_HARMLESS = {"var", "lost+found"}
_OURS = ("releases", "current")


def kind(site: Site) -> str:
    """What ``path`` is: absent, empty, buildout (a person's or an older hostout's), hostout (ours), other."""
    if not os.path.lexists(site.path):
        return "absent"
    if adoption.pending(site):
        return "buildout"
    if site.own.is_dir():
        return "hostout"
    if not site.path.is_dir():
        return "other"
    return "other" if {entry.name for entry in site.path.iterdir()} - _HARMLESS else "empty"


def cache_folder(question: Mapping[str, Any], owner: Person | None) -> Path:
    """The cache that the question means: below it, in a folder of the owner's, where somebody else's is there."""
    given = question.get("cache")
    base = Path(given) if given else Path(question["path"]).parent / "buildout-cache"
    if owner is None:
        return base
    return base if _holder(base) in (None, owner.uid) else base / owner.name


def layout(session: Session, args: Mapping[str, Any]) -> None:
    """Make what is missing, correct what belongs to root and should not; from then on the lock is ours."""
    site = session.site
    found = _refuse_foreign(site)
    effective, buildout, agent = session.effective, session.buildout, people.agent()
    for somebody in (effective, buildout):
        people.check_can_act_as(somebody)
    old = found == "buildout" or adoption.done(site) or bool(adoption.unfinished(site))
    if old:
        _check_old(site, effective, buildout)
    _folder(site.path, buildout, 0o755, keep=old or found == "other")
    _folder(site.own, agent, 0o755)
    session.take_lock("layout")
    _folder(site.jobs, agent, 0o700)
    _folder(site.incoming, agent, 0o755)
    _folder(site.releases, buildout, 0o755, within=site.path)
    _folder(site.var, _of_var(session), 0o2775 if session.shared_by_two else 0o755, within=site.path, keep=old)
    _folder(site.cache, buildout, 0o755, keep=True)
    for folder in (site.downloads, site.dist, site.eggs, site.environments):
        _folder(folder, buildout, 0o755, within=site.cache)
    adoption.adopt(session, args.get("commands"))
    if old:
        _warn_of_var(session)


def share(session: Session, names: Iterable[str]) -> None:
    """Make sure that what lives through releases under these names is there; a folder where it is nothing yet.

    A name with a dot in its last part (``etc/site.ini``, not ``conf.d``) means a file, whose content is not ours
    to make. Raises Failed where the live release has what would be left behind.
    """
    for name in names:
        _nothing_left_behind(session.site, name)
    for name in sorted(names):
        path, file = session.site.path / name, _means_file(name)
        if not os.path.lexists(path):
            folder = path.parent if file else path
            mode = 0o2775 if session.shared_by_two else 0o755
            _folder(folder, _of_var(session), mode, within=session.site.path, keep=folder == session.site.path)
            if file:
                session.warn(f"{path} is not there: put it there, unless the application makes it")


def _means_file(name: str) -> bool:
    last = name.rpartition("/")[2]
    return "." in last and not last.endswith(".d")


def _nothing_left_behind(site: Site, name: str) -> None:
    """Raise Failed where that name is the live release's own, and what is there would not be in the next one."""
    path, live = site.path / name, release.live(site)
    for folder in (path, *list(path.parents)[: name.count("/")]):
        if folder.is_symlink() and str(folder.readlink()) == f"current/{folder.name}":
            into = "" if folder == path else f" into a folder that takes the place of the link {folder}"
            raise Failed(f"{path} is part of the live release: move it to {path}{into} before it can be shared")
    if live is None or os.path.lexists(path):
        return
    own = live.folder / name
    if os.path.lexists(own) and not (own.is_symlink() and str(own.readlink()) == release.way_out(name)):
        raise Failed(f"{own} is in the live release only: move it to {path} before it can be shared")


def owners(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action: code and cache to the buildout's owner, ``var`` and ``shared`` to who runs the application."""
    site, live = session.site, release.live(session.site)
    data = _group_writable if session.shared_by_two else _writable
    _all(site.path, "releases", session.buildout, _as_built, deep=False)
    for one in release.everything(site):
        if one.name != adoption.NAME:
            _all(*one.below, session.buildout, _as_built)
    for folder in (site.downloads, site.eggs, site.environments):
        _all(site.cache, folder.name, session.buildout, _readable)
    shared = live.shared if live and live.name != adoption.NAME else ()
    for name in ("var", *shared):
        _all(site.path, name, _of_var(session), data)
    return {}


def settle_var(session: Session) -> None:
    """After a build by another than who runs the application: what it left in ``var`` is handed over."""
    if people.is_root() and session.shared_by_two:
        builder = session.buildout.uid
        _all(session.site.path, "var", _of_var(session), _group_writable, lambda status: status.st_uid == builder)


def _refuse_foreign(site: Site) -> str:
    """The kind of ``path``, where it is one that we may lay out."""
    found = kind(site)
    if found == "other" and not site.path.is_dir():
        raise Failed(f"{site.path} is not a folder")
    if site.releases.is_symlink():
        raise Failed(f"{site.releases} is a link, releases are in a folder: mount there what they are to be kept on")
    taken = [str(site.path / name) for name in _OURS if os.path.lexists(site.path / name)]
    if found in ("buildout", "other") and taken and not site.own.is_dir():
        raise Failed(f"{taken[0]} is there and was not made by hostout: choose another path, or move it away")
    return found


def _check_old(site: Site, *people_of_it: Person) -> None:
    """Raise Failed where what an older hostout or a person left could not be taken over; nothing was touched yet."""
    adoption.check(site)
    for somebody in people_of_it:
        with people.acting_as(somebody):
            if not os.access(site.path, os.X_OK, effective_ids=True):
                raise Failed(f"{site.path} cannot be entered by user {somebody.name}: nothing was changed")


def _warn_of_var(session: Session) -> None:
    """The data of an older hostout keeps its owner, also where another runs the application from now on."""
    var = people.real(session.site.var)
    owner, wanted = var.lstat().st_uid, _of_var(session)
    if owner != wanted.uid:
        session.warn(
            f"{var} belongs to user id {owner} and not to {wanted.name}, who runs the application: "
            "the command resetpermissions hands it over"
        )


def _holder(base: Path) -> int | None:
    """Who fills a cache: the owner of its eggs, else of the cache itself; None where that is still open.

    What root has is a folder made for whoever comes, unless there are eggs in it: those are what root runs.
    """
    eggs = base / "eggs"
    try:
        holder = (eggs if eggs.exists() else base).stat().st_uid
        return holder if holder or (eggs.exists() and any(eggs.iterdir())) else None
    except OSError:
        return None


def _of_var(session: Session) -> Person:
    """Who owns data: who runs the application, in the group of the code's owner where they are two."""
    effective, buildout = session.effective, session.buildout
    if not session.shared_by_two:
        return effective
    return Person(effective.name, effective.uid, buildout.gid, buildout.group, effective.home)


def _folder(path: Path, owner: Person, mode: int, *, within: Path | None = None, keep: bool = False) -> None:
    """Make it, parents too; one that is there and root's is handed over unless ``keep``.

    Below ``within`` it is made as by that folder's owner, who may have laid links there; else as by the agent.
    """
    try:
        if not path.is_dir():
            with people.acting_as_owner_of(within) if within else nullcontext():
                path.mkdir(mode=0o755, parents=True)
                maker = os.geteuid()
            _hand_over(path, within, maker, owner, mode)
        elif not keep and people.is_root():
            # behind a link of somebody's it is not ours to give
            with suppress(NotADirectoryError):
                _hand_over(path, within, 0, owner)
    except OSError as error:
        raise storage(error, path) from error


def _hand_over(path: Path, within: Path | None, maker: int, owner: Person, mode: int | None = None) -> None:
    """The maker's folder becomes the owner's: itself, not what a link or another folder in its place leads to."""
    top = within or path.parent
    with tree.reached(top, str(path.relative_to(top))) as descriptor:
        if os.fstat(descriptor).st_uid == maker:
            people.give(descriptor, owner)
            if mode is not None:
                os.fchmod(descriptor, mode)


def _all(
    top: Path,
    below: str,
    owner: Person,
    mode: Callable[[os.stat_result], int],
    wanted: Callable[[os.stat_result], bool] = lambda status: True,
    deep: bool = True,
) -> None:
    """Owner and mode of a folder and, where ``deep``, of everything in it; of no file, nor behind links of others."""
    with suppress(FileNotFoundError, NotADirectoryError), tree.reached(top, below) as reached:
        for name, folder in _walk(reached) if deep else [(".", reached)]:
            # what runs meanwhile may take it away
            with suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if wanted(status) and not _not_theirs(name, status):
                    _set(name, folder, status, owner, mode(status))


def _walk(top: int) -> Iterator[tuple[str, int]]:
    """Every entry as (name, descriptor of its folder); ``top`` itself last."""
    for _, folders, files, descriptor in os.fwalk(".", dir_fd=top, follow_symlinks=False):
        for name in (*folders, *files):
            yield name, descriptor
    yield ".", top


def _not_theirs(name: str, status: os.stat_result) -> bool:
    """What is never given away: what the agent itself says of a release, and files with a second name elsewhere."""
    return name in (release.RECORD, manifest.FILE) or (stat.S_ISREG(status.st_mode) and status.st_nlink > 1)


def _set(name: str, folder: int, status: os.stat_result, owner: Person, mode: int) -> None:
    if people.is_root() and (status.st_uid, status.st_gid) != (owner.uid, owner.gid):
        os.chown(name, owner.uid, owner.gid, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            # the new owner never said that others may run it as him
            mode &= 0o777
    elif not people.is_root() and status.st_uid != os.geteuid():
        raise Failed(f"{name} belongs to user id {status.st_uid}: only root can change that")
    plain = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    if plain and stat.S_IMODE(status.st_mode) != mode:
        _set_mode(name, folder, mode)


def _set_mode(name: str, folder: int, mode: int) -> None:
    """Through a descriptor, so that no link that came in between is followed."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _readable(status: os.stat_result) -> int:
    """Code: its owner alone writes, everybody reads; what could be run still can."""
    mode = stat.S_IMODE(status.st_mode)
    runnable = stat.S_ISDIR(status.st_mode) or mode & 0o100
    return (mode | 0o644 | (0o111 if runnable else 0)) & ~0o022


def _as_built(status: os.stat_result) -> int:
    """The same, but what a recipe made for its owner alone (a file with a password) stays that."""
    return _readable(status) if stat.S_IMODE(status.st_mode) & 0o077 else _writable(status)


def _writable(status: os.stat_result) -> int:
    """Data: its owner reads and writes; what others may do stays."""
    return stat.S_IMODE(status.st_mode) | (0o700 if stat.S_ISDIR(status.st_mode) else 0o600)


def _group_writable(status: os.stat_result) -> int:
    """Data of two users: the group as well, and new files get that group."""
    return _writable(status) | (0o2070 if stat.S_ISDIR(status.st_mode) else 0o060)
