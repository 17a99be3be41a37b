"""Who is who on the host: the agent itself, the owners of code and of what runs, and acting as one of them.

What does not belong here: which file belongs to whom (``layout.py``), running commands (``process.py``).
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .failure import Failed

# behind each other, as many as the kernel follows
_LINKS = 40


@dataclass(frozen=True)
class Person:
    """A user of the host with the group that its files get."""

    name: str
    uid: int
    gid: int
    group: str
    home: str

    def groups(self) -> list[int]:
        """All groups of the user."""
        return os.getgrouplist(self.name, self.gid)


@dataclass(frozen=True)
class Owners:
    """``effective`` runs the application and owns ``var``; ``buildout`` owns code and cache. None: not there yet."""

    effective: Person | None
    buildout: Person | None
    missing_users: tuple[str, ...] = ()
    missing_groups: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """As the facts have it."""
        return {
            "effective": self.effective and asdict(self.effective),
            "buildout": self.buildout and asdict(self.buildout),
        }


def person(name: str) -> Person | None:
    """The user of that name, or None."""
    try:
        return _person(pwd.getpwnam(name))
    except KeyError:
        return None


def agent() -> Person:
    """Who the agent is."""
    return with_id(os.geteuid())


def name(uid: int) -> str:
    """The user of that id, for people."""
    return with_id(uid).name


def is_root() -> bool:
    """Whether the agent may act as anybody."""
    return os.geteuid() == 0


def login() -> str:
    """The user who logged in, also where sudo made us root."""
    return (is_root() and os.environ.get("SUDO_USER")) or agent().name


def owners(question: Mapping[str, Any]) -> Owners:
    """The owners that the question names, with their defaults: login user, effective user, its group."""
    effective_name = question.get("effective_user") or login()
    buildout_name = question.get("buildout_user") or effective_name
    group = question.get("buildout_group")
    effective, buildout = _known(effective_name), _known(buildout_name)
    missing_groups = (group,) if group and not _gid(group) else ()
    return Owners(
        effective=effective,
        buildout=None if missing_groups else _in_group(buildout, group),
        missing_users=tuple(sorted({name for name in (effective_name, buildout_name) if _known(name) is None})),
        missing_groups=missing_groups,
    )


def check_can_act_as(somebody: Person) -> None:
    """Raise Failed where the agent is neither root nor that person."""
    if not is_root() and somebody.uid != os.geteuid():
        raise Failed(f"cannot act as user {somebody.name}: the agent runs as {agent().name} and not as root")


@contextmanager
def acting_as(somebody: Person) -> Iterator[None]:
    """Files within are made, and permissions are checked, as that person's.

    So root never follows a link that the owner of a folder laid, and quotas count for the right one.
    """
    check_can_act_as(somebody)
    if not is_root() or somebody.uid == 0:
        yield
        return
    groups, gid = os.getgroups(), os.getegid()
    os.setgroups(somebody.groups())
    os.setegid(somebody.gid)
    os.seteuid(somebody.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


@contextmanager
def acting_as_owner_of(folder: Path) -> Iterator[None]:
    """Files within are made as by who owns ``folder``, where the agent is root; of a link of root's: where it leads.

    A link of root's there would be a word of root's, which the owner of the folder could give another name.
    """
    if not is_root():
        yield
        return
    with acting_as(with_id(real(folder).lstat().st_uid)):
        yield


def real(folder: Path) -> Path:
    """The folder that something really lies in, where it was root or we who moved it elsewhere with a link.

    A link of anybody else's, also behind those, is not followed: what comes back is that link.
    """
    for _ in range(_LINKS):
        if not folder.is_symlink() or folder.lstat().st_uid not in (0, os.geteuid()):
            break
        folder = folder.parent / folder.readlink()
    return folder


def give(descriptor: int, somebody: Person) -> None:
    """Make that person own an open file, where the agent is root."""
    if is_root():
        os.fchown(descriptor, somebody.uid, somebody.gid)


def _person(entry: pwd.struct_passwd) -> Person:
    return Person(entry.pw_name, entry.pw_uid, entry.pw_gid, _group_name(entry.pw_gid), entry.pw_dir)


def with_id(uid: int) -> Person:
    """Also a user without an entry in the password file, in the agent's group."""
    try:
        return _person(pwd.getpwuid(uid))
    except KeyError:
        return Person(str(uid), uid, os.getegid(), _group_name(os.getegid()), "/")


def _known(name: str) -> Person | None:
    """Like ``person``; the agent's own user is known even without an entry in the password file."""
    found = person(name)
    return agent() if found is None and name == agent().name else found


def _in_group(somebody: Person | None, group: str | None) -> Person | None:
    if somebody is None or not group:
        return somebody
    return Person(somebody.name, somebody.uid, grp.getgrnam(group).gr_gid, group, somebody.home)


def _gid(group: str) -> bool:
    try:
        grp.getgrnam(group)
    except KeyError:
        return False
    return True


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
