"""A buildout that a person or an older hostout made in ``path`` becomes release 0, nothing of it changed.

What buildout made moves into ``releases/0000-adopted``, each entry by exchanging it with a link ``current/<entry>``;
all else stays, and release 0 has links to it. At every moment every name is there, below ``path`` and in the release
alike: while it is not done, ``current`` in the release leads back to ``path``. What was begun is journalled; how far
it came shows on the disk. What does not belong here: deploying anything.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from . import durable, people, release, tree
from .failure import Failed, storage
from .protocol import GOOD
from .release import RECORD
from .session import Session
from .site import Site

NAME = "0000-adopted"
JOURNAL = "adoption.json"
# scripts last: what starts one of them meanwhile finds everything in the place that the script believes in
_MADE = ("parts", "develop-eggs", ".installed.cfg", ".mr.developer.cfg")
# what Python and setuptools read from the folder of a virtual environment or a package
_NOT_BUILDOUTS = ("pyvenv.cfg", "setup.cfg")
_OURS = ("releases", "current", ".hostout")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_EXCHANGE = 2
# glibc has no function for it before 2.28, musl for longer
_NUMBERS = {"x86_64": 316, "aarch64": 276}
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


def pending(site: Site) -> list[str]:
    """What of ``path`` would move, or has still to move after an adoption that was cut short; empty: nothing to do."""
    if not site.path.is_dir() or done(site):
        return []
    begun = unfinished(site)
    if begun:
        return [name for name in begun if not _is_ours(site.path / name)]
    if any(one.name != NAME for one in release.everything(site)):
        return []
    names = [name for name in _made(site.path) if not _is_ours(site.path / name)]
    return names if _is_buildout(site.path, names) else []


def done(site: Site) -> bool:
    """Whether release 0 is complete."""
    return bool(release.load(site.release(NAME)).record.get("adopted"))


def check(site: Site) -> None:
    """Raise Failed where what stands in ``path`` cannot move as it is; looks only."""
    device = site.path.stat().st_dev
    for name in () if unfinished(site) else pending(site):
        status = (site.path / name).lstat()
        if status.st_dev != device:
            raise Failed(f"{site.path / name} is a mount point: it cannot move into a release, nothing was changed")
        if not people.is_root() and stat.S_ISDIR(status.st_mode) and not os.access(site.path / name, os.W_OK):
            raise Failed(f"{site.path / name} belongs to user id {status.st_uid}: only root can move it into a release")
        for link in _leading_above(site.path, name):
            raise Failed(
                f"{link} is a link to {link.readlink()} and would lead elsewhere from a release: "
                "give it an absolute target; nothing was changed"
            )


def adopt(session: Session, commands: Mapping[str, Any] | None = None) -> None:
    """Make it release 0; continues one that was cut short. Called under the lock. Raises Failed.

    ``commands`` are those that stop and start it, as far as the client knows (``pre``, ``stop``, ``start``, ``post``).
    """
    site = session.site
    journal = _journal(site)
    entries = unfinished(site) or pending(site)
    if not entries:
        return
    check(site)
    try:
        with opened(people.real(site.path)) as path, durable.own_folder(site.own) as own:
            if not journal:
                _unclaimed(site)
                journal = {"entries": entries, "commands": commands or None}
                durable.write_in(own, JOURNAL, durable.as_json(journal))
            if not done(site):
                with _release(path) as folder:
                    _Adoption(session, path, folder, tuple(entries), journal.get("commands")).run()
            _end(own)
    except OSError as error:
        raise storage(error, site.path) from error


@dataclass(frozen=True)
class _Adoption:
    """One adoption: descriptors of ``path`` and of the release's folder, what moves, what stops and starts it."""

    session: Session
    path: int
    folder: int
    entries: tuple[str, ...]
    commands: Mapping[str, Any] | None

    def run(self) -> None:
        """All of it, or everything as before."""
        try:
            with self._as_owner():
                self._prepare()
            for name in self.entries:
                self._move(name)
            self._record()
        except (OSError, Failed):
            self._undo()
            raise
        self.session.note(f"{self.session.site.path} is release {NAME} now: {', '.join(sorted(self.entries))} moved")

    def _prepare(self) -> None:
        """The links, all of them before anything moves."""
        links = {name: f"current/{name}" for name in self.entries}
        links.update({name: release.way_out(name) for name in ("var", *self._kept())}, current="../..")
        for name, target in links.items():
            if not _there(self.folder, name):
                os.symlink(target, name, dir_fd=self.folder)
        os.fsync(self.folder)
        if _target(self.path, "current") != f"releases/{NAME}":
            with suppress(FileNotFoundError):
                # of a release that is gone
                os.unlink("current", dir_fd=self.path)
            os.symlink(f"releases/{NAME}", "current", dir_fd=self.path)

    def _kept(self) -> list[str]:
        """What stays in ``path``: to release 0, which may name it relative to itself, it is there as well."""
        hidden = {*self.entries, *_OURS, "var", "lost+found"}
        return [name for name in tree.names(self.path) if name not in hidden]

    def _move(self, name: str) -> None:
        if _target(self.path, name) == f"current/{name}":
            return
        try:
            if not _there(self.path, name):
                self._close_gap(name)
            elif _target(self.folder, name) != f"current/{name}":
                raise FileExistsError(errno.EEXIST, f"the release has a {name} as well")
            elif not _exchanged(self.path, self.folder, name):
                self._rename(name)
        except OSError as error:
            why = "is a mount point" if error.errno in (errno.EBUSY, errno.EXDEV) else error.strerror
            raise Failed(f"{self._shown(name)} {why}: it cannot move into a release, nothing was changed") from error

    def _rename(self, name: str) -> None:
        """Where the two cannot be exchanged: one after the other."""
        os.rename(name, f".{name}.link", src_dir_fd=self.folder, dst_dir_fd=self.folder)
        before = time.perf_counter()
        os.rename(name, name, src_dir_fd=self.path, dst_dir_fd=self.folder)
        os.rename(f".{name}.link", name, src_dir_fd=self.folder, dst_dir_fd=self.path)
        gap = 1000 * (time.perf_counter() - before)
        self.session.note(f"{self._shown(name)} was missing for {gap:.2f} ms: two names cannot be exchanged here")

    def _close_gap(self, name: str) -> None:
        """Between those two somebody ended us; or somebody took away what was to move."""
        if _target(self.folder, name) == f"current/{name}":
            os.unlink(name, dir_fd=self.folder)
        else:
            with self._as_owner():
                os.symlink(f"current/{name}", name, dir_fd=self.path)

    def _undo(self) -> None:
        """Everything back, then the links that we made go."""
        for name in self.entries:
            if _target(self.path, name) == f"current/{name}" and not _exchanged(self.path, self.folder, name):
                os.unlink(name, dir_fd=self.path)
                os.rename(name, name, src_dir_fd=self.folder, dst_dir_fd=self.path)
        if _target(self.path, "current") == f"releases/{NAME}":
            os.unlink("current", dir_fd=self.path)
        for name in tree.names(self.folder):
            if _target(self.folder, name) is not None:
                os.unlink(name, dir_fd=self.folder)
        with opened("releases", self.path) as releases, durable.own_folder(self.session.site.own) as own:
            os.rmdir(NAME, dir_fd=releases)
            _end(own)

    def _record(self) -> None:
        """With this it is the last good release."""
        for name in ("current", *(f".{name}.link" for name in self.entries)):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self.folder)
        os.fsync(self.path)
        os.fsync(self.folder)
        kept = [name for name in self._kept() if _target(self.folder, name) == release.way_out(name)]
        moved = [name for name in self.entries if _there(self.folder, name)]
        record = {
            "id": NAME.partition("-")[2],
            "adopted": True,
            "entries": moved,
            "shared": kept,
            "path": str(self.session.site.path),
            "format": 1,
            "part": self.session.question.get("part"),
            "client": self.session.question.get("client"),
            "state": GOOD,
            "since": self._age(moved),
            "states": {"live": self._age(moved), GOOD: round(time.time(), 3)},
        }
        known = {"commands": self.commands} if self.commands else {}
        durable.write_in(self.folder, RECORD, durable.as_json({**record, **known}))

    def _age(self, moved: Sequence[str]) -> float:
        """When it was built, as far as that can be known."""
        name = ".installed.cfg" if ".installed.cfg" in moved else moved[0]
        return os.stat(name, dir_fd=self.folder, follow_symlinks=False).st_mtime

    def _as_owner(self) -> AbstractContextManager[None]:
        return people.acting_as_owner_of(self.session.site.path)

    def _shown(self, name: str) -> Path:
        return self.session.site.path / name


def unfinished(site: Site) -> list[str]:
    """The entries of an adoption that was not brought to its end."""
    return [str(name) for name in _journal(site).get("entries") or ()]


def _journal(site: Site) -> Mapping[str, Any]:
    """What was begun, if somebody did whom we trust; else nothing."""
    try:
        journal, author = durable.read_signed_json(site.own / JOURNAL)
    except (OSError, ValueError):
        return {}
    return journal if not people.is_root() or author == 0 else {}


def _end(own: int) -> None:
    """Nothing is left to be done."""
    os.unlink(JOURNAL, dir_fd=own)
    os.fsync(own)


def _unclaimed(site: Site) -> None:
    """Raise Failed where what we would make is somebody's."""
    ours = (_target(None, site.current) or "").startswith("releases/")
    for path in (site.release(NAME), *(() if ours else (site.current,))):
        if os.path.lexists(path):
            raise Failed(f"{path} is there and was not made by hostout: move it away")


def _made(path: Path) -> list[str]:
    """What in ``path`` has a name that buildout gives, in the order in which it moves."""
    entries = {entry.name: entry for entry in os.scandir(path)}
    configuration = [name for name, entry in sorted(entries.items()) if _is_configuration(entry)]
    return [name for name in dict.fromkeys((*_MADE, *configuration, "bin")) if name in entries]


def _is_configuration(entry: os.DirEntry[str]) -> bool:
    name = entry.name
    return name.endswith(".cfg") and name not in _NOT_BUILDOUTS and entry.is_file(follow_symlinks=False)


def _is_buildout(path: Path, names: Sequence[str]) -> bool:
    """A folder ``bin`` alone, or a configuration of something else, makes none."""
    scripts = "bin" in names and os.path.lexists(path / "bin" / "buildout")
    return scripts or bool({*_MADE, "buildout.cfg"} & set(names))


def _is_ours(path: Path) -> bool:
    return _target(None, path) == f"current/{path.name}"


def _leading_above(path: Path, name: str) -> Iterator[Path]:
    """Relative links that lead out of ``path``: from two folders further down they would lead elsewhere."""
    found = [path / name]
    while found:
        entry = found.pop()
        if entry.is_symlink():
            depth = len(entry.relative_to(path).parts) - 1
            target = str(entry.readlink())
            if not target.startswith("/") and _climbs(target, depth):
                yield entry
        elif entry.is_dir():
            # what nobody lets us read is not ours to judge
            with suppress(PermissionError), os.scandir(entry) as inside:
                found.extend(Path(one.path) for one in inside if one.is_symlink() or one.is_dir())


def _climbs(target: str, depth: int) -> bool:
    """Whether a relative target, read that many folders down, leads above them all."""
    for part in target.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            return True
    return False


@contextmanager
def opened(name: str | Path, folder: int | None = None) -> Iterator[int]:
    """A descriptor of a folder, which no link laid there meanwhile can replace."""
    descriptor = os.open(name, _FOLDER, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _release(path: int) -> Iterator[int]:
    """The release's folder, made if it is not there; who owns ``path`` owns it."""
    with opened("releases", path) as releases:
        if not _there(releases, NAME):
            os.mkdir(NAME, 0o755, dir_fd=releases)
            os.fsync(releases)
        with opened(NAME, releases) as folder:
            owner = os.fstat(path)
            if people.is_root() and os.fstat(folder).st_uid == 0:
                os.fchown(folder, owner.st_uid, owner.st_gid)
            yield folder


def _exchanged(one: int, other: int, name: str) -> bool:
    """Swap the two entries of that name at once; False where kernel or file system cannot. Raises OSError."""
    try:
        # not every Python has it, and nothing else needs it
        ctypes: Any = import_module("ctypes")
    except ImportError:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    args = (one, os.fsencode(name), other, os.fsencode(name), ctypes.c_uint(_EXCHANGE))
    number = _NUMBERS.get(os.uname().machine)
    if hasattr(libc, "renameat2"):
        failed = libc.renameat2(*args)
    elif number:
        failed = libc.syscall(ctypes.c_long(number), *args)
    else:
        return False
    code = ctypes.get_errno() if failed else 0
    if code and code not in _CANNOT:
        raise OSError(code, os.strerror(code), name)
    return not code


def _there(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _target(folder: int | None, name: str | Path) -> str | None:
    """What a link says; None where it is none."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return None

