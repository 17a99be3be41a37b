"""What of a folder is in use: by processes that work, run or have files there, by file systems mounted there.

What does not belong here: what follows from it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_OCTAL = re.compile(rb"\\([0-7]{3})")


def by_processes(folder: Path) -> set[str]:
    """Names in ``folder`` that a process which we can see has to do with: cwd, program, command line, files, maps."""
    spelled = {os.fsencode(folder), os.fsencode(folder.resolve())}
    below = re.compile(rb"(?:%s)/([^/\s\x00:'\"]+)" % b"|".join(map(re.escape, spelled)))
    return {os.fsdecode(name) for said in _processes() for name in below.findall(said)}


def mounted(folder: Path) -> bool:
    """Whether another file system hangs somewhere in ``folder``."""
    real = os.fsencode(folder.resolve())
    return any(point == real or point.startswith(real + b"/") for point in _mounts())


def _mounts() -> Iterator[bytes]:
    """Mount points (proc(5): the fifth field, blanks as octal numbers)."""
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
            yield _OCTAL.sub(lambda found: bytes([int(found[1], 8)]), line.split()[4])


def _processes() -> Iterator[bytes]:
    """For each but this one, all paths that the kernel knows it by."""
    for process in Path("/proc").glob("[0-9]*"):
        if process.name != str(os.getpid()):
            yield b"\0".join((*_links(process), *_texts(process)))


def _links(process: Path) -> Iterator[bytes]:
    with suppress(OSError):
        for link in (process / "cwd", process / "exe", process / "root", *(process / "fd").iterdir()):
            with suppress(OSError):
                yield os.fsencode(link.readlink())


def _texts(process: Path) -> Iterator[bytes]:
    for name in ("cmdline", "maps"):
        with suppress(OSError):
            yield (process / name).read_bytes()
