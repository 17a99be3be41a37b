"""Compiles Python files beside themselves: a program of its own, for the Python that will import them.

It imports nothing of ours but ``syncing``. Bytecode is written under another name, synced, and only then gets its own:
Python takes a file that a power failure cut short behind its first 16 bytes for whole, and cannot import the module any
more.
What does not belong here: which files, as whom and when (``compiling.py``).
"""

from __future__ import annotations

import marshal
import os
import signal
import stat
import struct
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path
from typing import Any

from .syncing import sync

_CACHE, _TEMPORARY = "__pycache__", ".hostout-"
# more than that is data, and compiling it could take all memory
_LARGEST = 1 << 22
# bytes and files that are left to the application
_ROOM, _INODES = 1 << 26, 1000
# seconds of work that a sync follows: somebody may just start what is compiled, and does not wait for bytecode; then
# this share of what has been worked
_FIRST_TURN, _SHARE = 0.3, 0.1
# seconds after which a temporary file is nobody's
_ABANDONED = 86400.0


class Stopped(Exception):
    """Somebody asked us to end, the time is over, or the disk nearly full."""


def main(folders: Sequence[str], processes: int, seconds: float, idle: bool) -> None:
    """Compile what is below the folders and has no fitting bytecode, for so many seconds; says how many files.

    SIGTERM and SIGHUP end it early: what was compiled by then counts. ``idle``: only when nobody else wants the
    machine.
    """
    os.umask(0o022)
    if idle:
        _step_back()
    until = time.monotonic() + seconds
    warnings.simplefilter("ignore")
    _listen(_stop)
    places = _places(folders)
    if processes == 1:
        # the first ones are compiled before the last ones are found
        sys.stdout.write(f"{_compile(_ordered(folders), places, until)}\n")
        return
    files = list(_ordered(folders))
    children = [_fork(files[share::processes], places, until) for share in range(1, processes)]
    count = _compile(files[::processes], places, until)
    sys.stdout.write(f"{count + sum(map(_counted, children))}\n")


def _places(folders: Iterable[str]) -> list[str]:
    """One of the folders on each file system."""
    return list({Path(folder).stat().st_dev: folder for folder in folders if Path(folder).is_dir()}.values())


def _step_back() -> None:
    """The lowest priority there is, for the disk as well where that can be asked for."""
    os.nice(19)
    try:
        # where each session gets the same share (sched(7)), being nice counts within a session only
        Path("/proc/self/autogroup").write_text("19")
        subprocess.run(("ionice", "-c", "3", "-p", str(os.getpid())), stdin=subprocess.DEVNULL, check=False)
    except OSError:
        return


def _listen(handler: Any) -> None:
    """To who wants us to end: systemd sends both, one behind the other, to what is left of a session."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


def _stop(number: int, frame: Any) -> None:
    _listen(signal.SIG_IGN)
    raise Stopped


def _ordered(folders: Iterable[str]) -> Iterator[Path]:
    """What tests consist of comes last: it is hardly ever imported."""
    tests: list[Path] = []
    for path in (path for folder in folders for path in _sources(folder)):
        if _is_test(path):
            tests.append(path)
        else:
            yield path
    yield from tests


def _sources(folder: str) -> Iterator[Path]:
    """Files without fitting bytecode. What somebody who was killed left half done is removed."""
    for top, _, names in os.walk(folder):
        here = Path(top)
        if here.name == _CACHE:
            _tidy(here / name for name in names if name.startswith(_TEMPORARY))
        else:
            paths = (here / name for name in names if name.endswith(".py"))
            yield from (path for path in paths if not _is_compiled(path))


def _is_test(path: Path) -> bool:
    return path.name.startswith("test") or path.parent.name in ("tests", "testing")


def _tidy(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.lstat().st_mtime < time.time() - _ABANDONED:
            _remove(path)


def _is_compiled(path: Path) -> bool:
    """Also where there is nothing to be compiled: no file, or a large one."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
            return True
        with _bytecode(path).open("rb") as file:
            return file.read(16) == _header(status)
    except OSError:
        return False


def _bytecode(path: Path) -> Path:
    return Path(cache_from_source(str(path)))


def _header(status: os.stat_result) -> bytes:
    """The first 16 bytes of bytecode that is valid as long as its source is as it was (PEP 552)."""
    return MAGIC_NUMBER + struct.pack("<3L", 0, int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)


def _fork(files: Sequence[Path], places: Iterable[str], until: float) -> tuple[int, int]:
    """A process with its share; gives its number, and where it says how many files it compiled."""
    answer, sink = os.pipe()
    if pid := os.fork():
        os.close(sink)
        return pid, answer
    try:
        os.write(sink, b"%d" % _compile(files, places, until))
    finally:
        os._exit(0)


def _counted(child: tuple[int, int]) -> int:
    """What that process said, once it has ended; nothing where it was killed."""
    pid, answer = child
    with os.fdopen(answer, "rb") as file:
        said = file.read()
    os.waitpid(pid, 0)
    return int(said or 0)


def _compile(files: Iterable[Path], places: Iterable[str], until: float) -> int:
    """How many were compiled; what cannot be compiled is left as it is."""
    # from now on, and for this process, the kernel notes what it could not write
    disks = [os.open(place, os.O_RDONLY | os.O_DIRECTORY) for place in places]
    made: list[tuple[Path, Path]] = []
    count, begun = 0, time.monotonic()
    end = begun + _FIRST_TURN
    try:
        for path in files:
            _check_room(path, until)
            _write(path, made)
            if time.monotonic() > end:
                count += _name(made, disks)
                now = time.monotonic()
                end = now + max(_FIRST_TURN, _SHARE * (now - begun))
    except (Stopped, OSError):
        # a disk that is full is full for all files
        until = 0
    _listen(signal.SIG_IGN)
    with suppress(OSError):  # one that loses what it took: whoever imports that compiles it
        count += _name(made, disks)
    return count


def _check_room(path: Path, until: float) -> None:
    """Raise Stopped where nothing more is to be written."""
    room = os.statvfs(path.parent)
    # a file system that does not count its files has none free
    few = room.f_files and room.f_favail < _INODES
    if time.monotonic() > until or few or room.f_bavail * room.f_frsize < _ROOM:
        raise Stopped


def _write(path: Path, made: list[tuple[Path, Path]]) -> None:
    """The bytecode of one file under a temporary name, noted in ``made``; raises OSError where all would fail."""
    target = _bytecode(path)
    temporary = target.with_name(f"{_TEMPORARY}{os.getpid()}-{len(made)}.pyc")
    try:
        content = _compiled(path)
        target.parent.mkdir(mode=0o755, exist_ok=True)
        _put(temporary, content)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        # a template, a test's bad example, another Python's
        return
    except (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError):
        # another user's, or moved away meanwhile
        return
    made.append((temporary, target))


def _put(path: Path, content: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(content)
    except BaseException:
        _remove(path)
        raise


def _compiled(path: Path) -> bytes:
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        source = file.read()
    code = SourceFileLoader("<bytecode>", str(path)).source_to_code(source, str(path))
    return _header(status) + marshal.dumps(code)


def _name(made: list[tuple[Path, Path]], disks: Iterable[int]) -> int:
    """What is on disk now gets its names; gives how many did. Raises OSError, and nothing of it stays."""
    try:
        sync(*(disks if made else ()))
    except OSError:
        for temporary, _ in made:
            _remove(temporary)
        made.clear()
        raise
    count = sum(_renamed(*one) for one in made)
    made.clear()
    return count


def _renamed(temporary: Path, target: Path) -> bool:
    try:
        temporary.replace(target)
    except OSError:
        _remove(temporary)
        return False
    return True


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError:
        # gone already, or another user's
        return
