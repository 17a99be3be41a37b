"""Processes as the kernel tells of them: whether one still lives, and what a dead one left running.

What does not belong here: deciding that something has to be ended (``lock.py``).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator

_GRACE = 5.0
_LOOK = 0.05


def started(pid: int) -> int:
    """When a process began, in ticks since the boot (field 22 of ``/proc/<pid>/stat``); 0 where it lives no more."""
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] not in ("Z", "X") else 0


def alive(pid: int, since: int) -> bool:
    """Whether the process that began at ``since`` still runs; its number may be another's by now."""
    found = started(pid)
    return found == since if found else _hidden(pid)


def sharing(descriptor: int) -> set[int]:
    """Processes that have this very lock: the open file itself, inherited, and not just the same file."""
    named, inode = _link(f"/proc/self/fd/{descriptor}"), os.fstat(descriptor).st_ino
    return {pid for pid in _pids() if any(_locked(pid, number, inode) for number in _open(pid, named))}


def session(leader: int, since: int) -> set[int]:
    """What lives of the session whose leader began at ``since``."""
    if started(leader) not in (0, since):
        # nobody of that session is left: its number was free again
        return set()
    return {pid for pid in _pids() if started(pid) >= since and _stat(pid)[3:4] == [str(leader)]}


def end(pids: Iterable[int]) -> list[int]:
    """Ask them to end, then kill what does not; gives those that had to be asked."""
    begun = {pid: started(pid) for pid in pids if started(pid)}
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in _left(begun):
            _send(pid, number)
        _wait(begun)
    return sorted(begun)


def _left(begun: dict[int, int]) -> list[int]:
    return [pid for pid, since in begun.items() if alive(pid, since)]


def _wait(begun: dict[int, int]) -> None:
    deadline = time.monotonic() + _GRACE
    while _left(begun) and time.monotonic() < deadline:
        time.sleep(_LOOK)


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        # gone meanwhile, or another user's: whoever waits for it will see
        return


def _stat(pid: int) -> list[str]:
    """The fields after the name, which may contain anything; the first one is the state."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - once for every process there is
            return file.read().rpartition(b")")[2].decode("ascii").split()
    except OSError:
        return []


def _hidden(pid: int) -> bool:
    """Whether it lives where ``/proc`` shows only one's own."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return not _stat(pid)
    except ProcessLookupError:
        return False
    return False


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208


def _open(pid: int, named: str) -> list[str]:
    """The descriptors of a process that are the file of that name."""
    folder = f"/proc/{pid}/fd"
    try:
        return [number for number in os.listdir(folder) if _link(f"{folder}/{number}") == named]  # noqa: PTH208
    except OSError:
        return []


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115
    except OSError:
        return ""


def _locked(pid: int, number: str, inode: int) -> bool:
    """Whether the kernel says ``lock:`` of a descriptor; it does of those alone that hold it."""
    try:
        with open(f"/proc/{pid}/fdinfo/{number}") as file:  # noqa: PTH123
            return any(line.startswith("lock:") and f":{inode} " in line for line in file)
    except OSError:
        return False
