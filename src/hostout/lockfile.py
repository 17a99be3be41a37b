"""``hostoutversions.cfg``: the versions of a tested buildout and the sha256 of the files that it consists of.

A buildout file of its own, made to be committed, and to be named in ``extends`` by whoever wants its pins. What does
not belong here: finding out what was tested (``recipe``), having the files (``packaging``).
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import canonicalize_name, canonicalize_version

from hostout import cfgfile
from hostout.errors import ConfigurationError

NAME = "hostoutversions.cfg"

VERSIONS, TESTED, OTHERS = "versions", "hostout-tested", "hostout-wheels"

SECTIONS = (TESTED, OTHERS)
"""The sections that buildout itself has no use for, and that are no content of a release."""

HEAD = """\
# What was tested: written by bin/buildout, to be committed. Every deployment takes these files and no others.
# A line that should not be here any more: remove it, and run bin/buildout.
"""

_ENDINGS = re.compile(r"\.(whl|egg|zip|tar\.gz|tgz|tar\.bz2|tbz|tar\.xz|txz|tar)$", re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-f]{64}").fullmatch
# reading and writing take milliseconds
_PATIENCE, _PAUSE = 10.0, 0.01


@dataclass(frozen=True)
class Locked:
    """A file by its name and sha256, and the distribution that it is of; two spellings of a name are one."""

    name: str
    version: str
    filename: str
    sha256: str

    def is_of(self, name: str, version: str) -> bool:
        """Whether it is a file of this distribution, however both are spelt."""
        return canonicalize_name(self.name) == canonicalize_name(name) and plain(self.version) == plain(version)


@dataclass(frozen=True)
class Lock:
    """``tested`` are the files that the tested buildout consists of: they count for the id of a release.

    ``others`` are files of the same distributions that went to hosts with another Python or platform: nothing else
    is taken for those, but they do not count. ``pins`` are (name, version) of all distributions, develop packages left
    out, also of those whose file is not known.
    """

    tested: tuple[Locked, ...] = ()
    others: tuple[Locked, ...] = ()
    pins: tuple[tuple[str, str], ...] = ()

    def tested_of(self, name: str, version: str) -> tuple[Locked, ...]:
        """The tested files of one distribution."""
        return tuple(one for one in self.tested if one.is_of(name, version))

    def of(self, name: str, version: str) -> tuple[Locked, ...]:
        """All files of one distribution, the tested ones first."""
        return (*self.tested_of(name, version), *(one for one in self.others if one.is_of(name, version)))


def read(path: Path | str) -> Lock:
    """The lock in a file, empty where there is no file; raises ConfigurationError with every line that is wrong."""
    path = Path(path)
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Lock()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    if problems := [f"{path}, line {line}: {problem}" for line, problem in _problems(content)]:
        raise ConfigurationError(problems)
    return _lock({s.name: {o.name: o.value for o in s.options} for s in cfgfile.parse(content)})


def text(lock: Lock) -> str:
    """The file: sorted, so that two of the same content are the same bytes and a merge shows what differs.

    All sections are there, also empty ones: what stands before those with hashes does not change with them.
    """
    sections = {VERSIONS: sorted(lock.pins, key=_folded), TESTED: _lines(lock.tested), OTHERS: _lines(lock.others)}
    return HEAD + "".join(_section(name, lines) for name, lines in sections.items())


def write(path: Path | str, lock: Lock, *, as_old: bool = False) -> bool:
    """Writes it whole or not at all, and only where that changes the file; says whether it did.

    ``as_old``: it keeps its time, so that nobody is told to run bin/buildout (a deployment noted files, no pin
    changed). Raises ConfigurationError where it cannot be written.
    """
    # behind a symbolic link is the file that others share
    path = Path(os.path.realpath(path))
    try:
        before = path.stat() if path.exists() else None
        if before and path.read_bytes() == text(lock).encode():
            return False
        _replace(path, text(lock), (before.st_atime_ns, before.st_mtime_ns) if before and as_old else None)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}") from error
    return True


def change(path: Path | str, how: Callable[[Lock], Lock], *, as_old: bool = False) -> bool:
    """Writes what ``how`` makes of the lock that is there now, which others change as well; see ``write``."""
    with _turn(Path(os.path.realpath(path)).parent):
        return write(path, how(read(path)), as_old=as_old)


def noted(now: Lock, before: Lock, files: Iterable[Locked]) -> Lock:
    """The lock with files that were chosen for the versions of ``before``: none of a version that is gone by now."""
    gone = set(before.pins) - set(now.pins)
    new = [one for one in files if not any(one.is_of(*pin) for pin in gone)]
    others = {(one.filename, one.sha256): one for one in (*now.others, *new)}
    for one in now.tested:
        others.pop((one.filename, one.sha256), None)
    return replace(now, others=tuple(others.values()))


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """One after the other, also bin/buildout and a deployment; where folders cannot be locked, at the same time."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be read: {error.strerror or error}") from error
    try:
        until = time.monotonic() + _PATIENCE
        while not _taken(descriptor) and time.monotonic() < until:
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # a network's file system: what is written is whole all the same
        return True
    return True


def _replace(path: Path, content: str, times: tuple[int, int] | None) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if times:
            os.utime(temporary, ns=times)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def locked(filename: str, sha256: str, pins: Mapping[str, str] | None = None) -> Locked:
    """A line of the lock; ``pins`` (normalised name to name) tell how the name is spelt.

    Raises ValueError where this is not the name of a wheel, an sdist or an egg.
    """
    name, version = distribution_of(filename)
    return Locked((pins or {}).get(canonicalize_name(name), name), version, filename, sha256)


def distribution_of(filename: str) -> tuple[str, str]:
    """Name and version of the distribution that a file is of, as the name of the file spells them.

    Raises ValueError where this is not the name of a wheel, an sdist or an egg.
    """
    ending = _ENDINGS.search(filename)
    stem = filename[: ending.start()] if ending else ""
    if ending and ending[1].lower() in ("whl", "egg"):
        name, version = (*stem.split("-"), "")[:2]
    else:
        name, _, version = stem.rpartition("-")
    if not name or not version:
        raise ValueError(f"{filename} is not the name of a wheel, an sdist or an egg")
    return name, version.replace("_", "-") if ending and ending[1].lower() == "egg" else version


def plain(version: str) -> str:
    """A version by which it can be compared: ``1.0`` and ``1.0.0`` are one; what is no version stays as it is."""
    return canonicalize_version(version)


def _lock(sections: Mapping[str, Mapping[str, str]]) -> Lock:
    pins = sections.get(VERSIONS, {})
    spelt = {str(canonicalize_name(name)): name for name in pins}
    files = {name: [locked(*line, spelt) for line in sections.get(name, {}).items()] for name in SECTIONS}
    return Lock(tuple(files[TESTED]), tuple(files[OTHERS]), tuple(pins.items()))


def _problems(content: str) -> Iterator[tuple[int, str]]:
    """What is wrong with which line; all that buildout's grammar would pass over is wrong here too."""
    sections = cfgfile.parse(content)
    known = {section.line for section in sections} | {o.line for section in sections for o in section.options}
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip() and line[0] not in "#;" and number not in known:
            yield number, f"{line.strip()!r} is nothing that bin/buildout writes here; remove it"
    for section in sections:
        if section.name not in (VERSIONS, *SECTIONS) or section.condition:
            yield section.line, f"[{section.name}] does not belong here: this file is written by bin/buildout"
        elif section.name in SECTIONS:
            yield from ((o.line, problem) for o in section.options if (problem := _wrong(o.name, o.value)))
    yield from _contradictions([o for section in sections for o in section.options])


def _contradictions(options: Iterable[cfgfile.Option]) -> Iterator[tuple[int, str]]:
    """What a merge of two locks leaves behind: one file, or one name, with two values."""
    first: dict[str, cfgfile.Option] = {}
    for option in options:
        other = first.setdefault(option.name, option)
        if other.value != option.value:
            yield option.line, f"{option.name} stands in line {other.line} with another value; keep one of them"


def _wrong(filename: str, sha256: str) -> str:
    try:
        distribution_of(filename)
    except ValueError as error:
        return str(error)
    return "" if _SHA256(sha256) else f"{filename}: {sha256!r} is not a sha256 (64 hex digits)"


def _lines(files: Iterable[Locked]) -> list[tuple[str, str]]:
    return sorted({(one.filename, one.sha256) for one in files}, key=_folded)


def _section(name: str, lines: Iterable[tuple[str, str]]) -> str:
    return f"\n[{name}]\n" + "".join(f"{option} = {value}\n" for option, value in lines)


def _folded(line: tuple[str, str]) -> tuple[str, str]:
    return line[0].lower(), line[0]
