"""The folder of eggs: what is there, from which file each was made, and giving an egg its name.

Beside ``eggs/v5``, ``eggs/.hostout/v5/<egg>.json`` says the sha256 of the file that an egg was made from, which folder
it speaks of, and whether we made that: what somebody else made may be needed by who never told us.
In ``eggs/v5`` names that begin with a dot are no eggs for buildout.
All that is asked for no owner is called while acting as the owner of the cache.
What does not belong here: unpacking, and what is done about an egg that is not as it should be (``eggs.py``).
"""

from __future__ import annotations

import base64
import csv
import fcntl
import filecmp
import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import durable
from .distname import Key, egg_key
from .failure import Failed
from .people import Person, acting_as
from .usage import by_processes

_WORK = ".fill-"
# what buildout makes eggs in; a leftover of a crash would be taken for the distributions in it
_BUILDOUTS_WORK = re.compile(r"tmp[a-z0-9_]{8}")
_ASIDE = re.compile(r"\.aside-[0-9a-f]{6}-(.+)")
# seconds; pip can be seen at its work there, buildout is done with what pip made in no time
_LONGEST_BUILD, _LONGEST_MOVE = 3600, 300
_PATIENCE = 300.0
# written by who installs (pip, nobody), by Python and by Zope, which compiles translations where they lie
_INSTALLERS = ("INSTALLER", "REQUESTED", "direct_url.json", "RECORD")
_COMPILED = (".pyc", ".pyo", ".mo")
# how those begin, in either order of bytes
_TRANSLATIONS = (b"\xde\x12\x04\x95", b"\x95\x04\x12\xde")


@dataclass(frozen=True)
class Shelf:
    """``folder`` is buildout's ``eggs/v5``; ``tag`` is Python and platform of the eggs that count."""

    folder: Path
    tag: str

    @property
    def _notes(self) -> Path:
        return self.folder.parent / ".hostout" / self.folder.name

    def prepare(self, alone: bool) -> None:
        """Make the folder, and remove what broken-off work left in it; ``alone``: no other buildout works here."""
        for folder in (self.folder, self._notes):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        for note in self._notes.glob("*.egg.json"):
            if not self.exists(note.name.removesuffix(".json")):
                note.unlink(missing_ok=True)
        for entry in os.scandir(self.folder):
            if entry.name.startswith(_WORK):
                _remove_abandoned(Path(entry.path))
            elif _BUILDOUTS_WORK.fullmatch(entry.name) and self._is_left(entry, alone):
                # does nothing to what is no folder
                shutil.rmtree(entry.path, ignore_errors=True)

    def known(self) -> dict[str, frozenset[str]]:
        """The sha256 of the files that each egg is known to be made from; those without a note are not there."""
        names = [path.name.removesuffix(".json") for path in self._notes.glob(f"*-{self.tag}.egg.json")]
        return {name: found for name in names if (found := self.sources(name))}

    def sources(self, egg: str) -> frozenset[str]:
        """The same of one egg; nothing where another folder than the one that was noted down has the name now."""
        return frozenset(map(str, self._noted(egg).get("sha256") or ()))

    def is_ours(self, name: str) -> bool:
        """Whether we made what has that name: an egg, or what became of one."""
        return bool(name.startswith(_WORK) or _ASIDE.fullmatch(name) or self._noted(name).get("made"))

    def exists(self, egg: str) -> bool:
        """Whether something has that name."""
        return os.path.lexists(self.folder / egg)

    def of(self, keys: Container[Key]) -> list[str]:
        """The eggs of these distributions, however their names and versions are spelt."""
        return sorted(path.name for path in self.folder.glob(f"*-{self.tag}.egg") if egg_key(path.name) in keys)

    def same(self, egg: str, made: Path) -> bool:
        """Whether that egg is what was ``made``; bytecode and what installers write aside."""
        there = self.folder / egg
        try:
            return stat.S_ISDIR(there.lstat().st_mode) and _equal(_files(made), _files(there))
        except OSError:
            return False

    def intact(self, egg: str) -> bool:
        """Whether the files of an egg are what its own RECORD says."""
        try:
            return _as_recorded(self.folder / egg)
        except (OSError, ValueError, IndexError):
            return False

    def take(self, egg: str, made: Path) -> None:
        """Give a finished egg its name."""
        made.rename(self.folder / egg)

    def put_aside(self, egg: str) -> Path:
        """Take its name from an egg; gives where it is until none of its name is needed. Also where it is read-only."""
        aside = self.folder / f".aside-{secrets.token_hex(3)}-{egg}"
        (self.folder / egg).rename(aside)
        with suppress(OSError):
            # cleaning goes by age; an egg of somebody else's may go at once
            os.utime(aside, follow_symlinks=False)
        return aside

    def note(self, eggs: Iterable[tuple[str, str]], made: Container[str] = ()) -> None:
        """Note down from which sha256 eggs were made, in addition to what is noted; they are on disk already.

        ``made``: those that we made, and did not find there.
        """
        durable.sync_folder(self.folder)
        for egg, digest in eggs:
            sources, ours = {*self.sources(egg), digest}, egg in made or self.is_ours(egg)
            value = {"sha256": sorted(sources), "mark": self._mark(egg), "made": ours}
            temporary = self._notes / f".{secrets.token_hex(4)}"
            temporary.write_bytes(durable.as_json(value))
            temporary.replace(self._note(egg))
        durable.sync_folder(self._notes)

    @contextmanager
    def workplace(self, owner: Person) -> Iterator[Path]:
        """A folder of the owner's for what is being made; one that a crash left goes with the next ``prepare``."""
        with acting_as(owner):
            path, descriptor = self._claimed()
        try:
            yield path
        finally:
            with acting_as(owner):
                shutil.rmtree(path, ignore_errors=True)
            os.close(descriptor)

    @contextmanager
    def turn(self, owner: Person) -> Iterator[None]:
        """One at a time gives names here."""
        with acting_as(owner):
            descriptor = os.open(self._notes / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            deadline = time.monotonic() + _PATIENCE
            while not _locked(descriptor):
                if time.monotonic() > deadline:
                    raise Failed(f"{self.folder}: another deployment does not get done with its eggs")
                time.sleep(0.05)
            yield
        finally:
            os.close(descriptor)

    def _claimed(self) -> tuple[Path, int]:
        while True:
            path = self.folder / f"{_WORK}{secrets.token_hex(6)}"
            path.mkdir(mode=0o755)
            if (descriptor := _claim(path)) is not None:
                return path, descriptor

    def _note(self, egg: str) -> Path:
        return self._notes / f"{egg}.json"

    def _noted(self, egg: str) -> Mapping[str, Any]:
        """The note on the folder that has the name; nothing where it speaks of another one."""
        try:
            note = durable.read_json(self._note(egg))
        except (OSError, ValueError):
            return {}
        mark = self._mark(egg)
        return note if mark and note.get("mark") == mark else {}

    def _is_left(self, entry: os.DirEntry[str], alone: bool) -> bool:
        """Whether nobody works in a folder of buildout's any more, who may be somebody that runs it by hand."""
        try:
            quiet = time.time() - entry.stat(follow_symlinks=False).st_mtime
        except FileNotFoundError:
            # that moment they came to their end
            return False
        return quiet > (_LONGEST_MOVE if alone else _LONGEST_BUILD) and entry.name not in by_processes(self.folder)

    def _mark(self, egg: str) -> list[int] | None:
        """What tells this folder from another one that is made under its name: its metadata is never written again."""
        for metadata in (f"{egg[: -len('.egg')]}.dist-info/METADATA", "EGG-INFO/PKG-INFO"):
            with suppress(OSError):
                status = (self.folder / egg / metadata).lstat()
                return [status.st_size, status.st_mtime_ns]
        return None


def unaside(name: str) -> str:
    """The name that an egg had before it was put aside; any other one as it is."""
    found = _ASIDE.fullmatch(name)
    return found[1] if found else name


def _claim(path: Path) -> int | None:
    """A descriptor that keeps others from removing the folder; None where somebody has it, or it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    if _locked(descriptor) and os.path.lexists(path):
        return descriptor
    os.close(descriptor)
    return None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_abandoned(path: Path) -> None:
    descriptor = _claim(path)
    if descriptor is not None:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def _files(egg: Path) -> dict[str, Path]:
    """What decides whether two eggs are the same, by relative name."""
    found = {}
    for folder, _, names in os.walk(egg, onerror=_raise):
        inside = os.path.relpath(folder, egg)
        installed = _INSTALLERS if folder.endswith(".dist-info") else ()
        kept = (name for name in names if name not in installed)
        found.update({os.path.normpath(f"{inside}/{name}"): Path(folder, name) for name in kept})
    return found


def _raise(error: OSError) -> None:
    raise error


def _equal(made: dict[str, Path], there: dict[str, Path]) -> bool:
    """Sizes and modes of all are compared before the bytes of any are."""
    more = [name for name in there.keys() - made.keys() if not name.endswith(_COMPILED)]
    wanted = {name for name in made if not name.endswith(_COMPILED[:2])}
    if more or wanted - there.keys():
        return False
    fixed = [name for name in wanted if not _is_translations(there[name])]
    alike = all(_sort(made[name]) == _sort(there[name]) for name in fixed)
    return alike and all(filecmp.cmp(made[name], there[name], shallow=False) for name in fixed)


def _is_translations(path: Path) -> bool:
    """Whether Zope may have compiled the file once more: that says the same in other bytes, and none is empty."""
    if path.suffix != ".mo" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in _TRANSLATIONS


def _sort(path: Path) -> tuple[int, int, int]:
    status = path.lstat()
    return stat.S_IFMT(status.st_mode), status.st_mode & 0o100, status.st_size


def _as_recorded(egg: Path) -> bool:
    """Raises OSError, ValueError or IndexError where RECORD is missing or damaged."""
    (record,) = egg.glob("*.dist-info/RECORD")
    with record.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row and row[1]]
    return bool(rows) and all(_row_fits(egg, record.parent.name, *row[:2]) for row in rows)


def _row_fits(egg: Path, info: str, name: str, digest: str) -> bool:
    """What zc.buildout takes out when it makes an egg may be missing."""
    top, _, rest = name.partition("/")
    path = egg / (f"{info}/{rest}" if top.endswith(".dist-info") else name)
    if name.startswith(("/", "../")) or name.endswith(_COMPILED[:2]):
        return True
    if not path.exists():
        return top == "bin" or path.name == "__init__.py"
    if _is_translations(path):
        return True
    kind, _, wanted = digest.partition("=")
    found = hashlib.new(kind, path.read_bytes()).digest()
    return base64.urlsafe_b64encode(found).rstrip(b"=").decode() == wanted
