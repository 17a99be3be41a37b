"""Unpacking many wheels at once, on all cores, as the owner of the cache.

Processes and not threads: for small files Python is the bottleneck. The agent has no file that a new interpreter could
start from, so they are forks; none outlives its parent by more than the wheel it is at.
What does not belong here: what an egg consists of (``wheel.py``), giving it its name (``shelf.py``).
"""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from . import durable, failure, people, wheel
from .failure import Cancelled, Failed, storage
from .people import Person
from .protocol import CHUNK

# seconds between two looks whether it is still wanted
_LOOK = 0.2


@dataclass(frozen=True)
class Job:
    """Make an egg for ``tag`` out of the wheel ``source`` in ``folder``; where ``digest`` is None, whatever it is."""

    source: Path
    digest: str | None
    tag: str
    folder: Path


@dataclass(frozen=True)
class Made:
    """The egg ``name``, complete in ``folder``, made from the wheel ``filename`` with this sha256."""

    name: str
    folder: Path
    filename: str
    digest: str


@dataclass(frozen=True)
class _Child:
    """A process and the pipe that it answers on."""

    pid: int
    answers: int


def unpack(jobs: Sequence[Job], owner: Person, unwanted: Callable[[], bool] = lambda: False) -> list[Made]:
    """Do them all; raises Failed with a line for each that cannot be done, Cancelled when they are ``unwanted``."""
    children: list[_Child] = []
    try:
        for share in _shares(jobs):
            children.append(_fork(share, owner))
        outcomes = [outcome for child in children for outcome in _answers(child, unwanted)]
    finally:
        _end(children)
    failed = [str(outcome["failed"]) for outcome in outcomes if "failed" in outcome]
    stopped = [str(outcome["failed"]) for outcome in outcomes if "stopped" in outcome]
    if failed:
        # a full disk is full for all
        raise Failed(stopped[0] if stopped else "; ".join(failed))
    return [Made(one["name"], Path(one["folder"]), one["filename"], one["digest"]) for one in outcomes]


def _shares(jobs: Iterable[Job]) -> list[list[Job]]:
    """One list of jobs for each core, the largest first and always to who has the least."""
    shares: list[list[Job]] = [[] for _ in range(os.cpu_count() or 1)]
    loads = [0] * len(shares)
    for size, job in sorted(((_size(job.source), job) for job in jobs), key=lambda pair: pair[0], reverse=True):
        least = loads.index(min(loads))
        loads[least] += size
        shares[least].append(job)
    return [share for share in shares if share]


def _size(path: Path) -> int:
    """A missing file is found by who opens it."""
    return path.stat().st_size if path.exists() else 0


def _fork(share: Sequence[Job], owner: Person) -> _Child:
    answers, sink = os.pipe()
    parent, pid = os.getpid(), os.fork()
    if pid:
        os.close(sink)
        return _Child(pid, answers)
    status = 1
    try:
        durable.write_all(sink, json.dumps(_done(share, parent, owner)).encode("ascii"))
        status = 0
    finally:
        # whatever happens, nothing of the parent's is done in the child as well
        os._exit(status)


def _done(share: Sequence[Job], parent: int, owner: Person) -> list[Mapping[str, Any]]:
    try:
        become(owner)
    except (Failed, OSError) as error:
        return [{"failed": failure.of(error, share[0].folder.parent).message, "stopped": True}]
    return list(_outcomes(share, parent))


def become(owner: Person) -> None:
    """Not root any more, for good; and none of the agent's ways to take a signal."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)
    people.check_can_act_as(owner)
    if people.is_root():
        os.setgroups(owner.groups())
        os.setgid(owner.gid)
        os.setuid(owner.uid)


def _outcomes(share: Iterable[Job], parent: int) -> Iterator[Mapping[str, Any]]:
    """What became of each job, as the parent reads it; none after one that would only fail like it."""
    for job in share:
        if os.getppid() != parent:
            return
        outcome = _outcome(job)
        yield outcome
        if "stopped" in outcome:
            return


def _outcome(job: Job) -> Mapping[str, Any]:
    try:
        return _do(job)
    except Failed as error:
        return {"failed": error.message}
    except OSError as error:
        return {"failed": storage(error, job.folder.parents[1]).message, "stopped": True}
    except Exception as error:  # noqa: BLE001 - a bug of ours; the parent says which wheel it was
        return {"failed": f"{job.source.name}: {type(error).__name__}: {error}"}


def _do(job: Job) -> Mapping[str, Any]:
    name = job.source.name
    with reading(job.source) as file:
        digest = checked(file, name, job.digest)
        with wheel.opened(file, name) as archive:
            egg = wheel.egg(archive, job.tag)
            for inner in ("", *sorted(egg.folders)):
                (job.folder / inner).mkdir(parents=True, exist_ok=True)
            wheel.write(archive, egg.files, job.folder)
    return {"name": egg.name, "folder": str(job.folder), "filename": name, "digest": digest}


def check(path: Path, digest: str) -> None:
    """Raise Failed where the file has another sha256, or is not there."""
    with reading(path) as file:
        checked(file, path.name, digest)


def reading(path: Path) -> IO[bytes]:
    """The file, opened; raises Failed where that cannot be done."""
    try:
        return durable.reading(path)
    except FileNotFoundError:
        raise Failed(f"{path} is not there") from None
    except OSError as error:
        raise storage(error, path) from error


def checked(file: IO[bytes], name: str, wanted: str | None) -> str:
    """The sha256 of an open file; raises Failed where it is not the ``wanted`` one."""
    digest = _digest(file)
    if wanted not in (None, digest):
        raise Failed(f"{name} is damaged on the host: its sha256 is {digest}, not {wanted}")
    return digest


def _digest(file: IO[bytes]) -> str:
    digest = sha256()
    while piece := file.read(CHUNK):
        digest.update(piece)
    return digest.hexdigest()


def _answers(child: _Child, unwanted: Callable[[], bool]) -> list[dict[str, Any]]:
    try:
        outcomes: list[dict[str, Any]] = json.loads(b"".join(_told(child, unwanted)))
    except ValueError:
        # nothing at all, or not to its end
        message = "unpacking wheels was broken off: the process that did it was killed, or the memory is full"
        raise Failed(message) from None
    return outcomes


def _told(child: _Child, unwanted: Callable[[], bool]) -> Iterator[bytes]:
    """All that it says until it ends."""
    while True:
        if unwanted():
            raise Cancelled("the build was cancelled")
        if select.select([child.answers], [], [], _LOOK)[0]:
            if not (data := os.read(child.answers, CHUNK)):
                return
            yield data


def _end(children: Iterable[_Child]) -> None:
    """Those that are still at work when another one has failed have nothing to do any more."""
    for child in children:
        os.close(child.answers)
        os.kill(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)
