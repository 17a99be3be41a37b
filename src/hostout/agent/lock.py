"""One at a time: the lock on ``path``.

The kernel drops it when the last process that has it ends, so there is no stale lock and nothing to unlock by hand.
The file says, a JSON object a line, who holds it, which processes of ours share it (``pid``, ``started``), what job
they do (``job``) and the session of the command that runs (``child``): so that the next one knows what somebody's
death left over. What does not belong here: deciding what needs the lock (``actions.py``).
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import durable, people, survivors
from .failure import Cancelled, Failed, existing, storage
from .protocol import HEARTBEAT, SILENCE

PATIENCE = 3.0
"""Seconds that everybody waits: the agent of a client that was interrupted needs a moment to leave."""

_LOOK = 0.2
# so many looks in a row show nobody alive before what is left is ended: a process that was just forked is not in yet
_DEAD = 4
_LONGEST = 1 << 20
_SILENT = 2.5 * HEARTBEAT
# that much longer than their agent waits for them: what they had stopped is started before it leaves
_MORE = 15.0


@dataclass(frozen=True)
class Words:
    """What a lock file says: the last word of each kind, and every process that ever shared the lock."""

    said: Mapping[str, Any] = field(default_factory=dict)
    processes: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, content: bytes) -> Words:
        """From the file, whose last line may be torn."""
        said: dict[str, Any] = {}
        processes = []
        for line in content.splitlines():
            words = as_object(line)
            said.update(words)
            if "started" in words:
                processes.append((int(words["pid"]), int(words["started"])))
        return cls(said, tuple(processes))

    @property
    def here(self) -> bool:
        """Whether its numbers are those of our processes: not of another container, nor of before a restart."""
        return self.said.get("where") == where()

    @property
    def living(self) -> set[int]:
        """Those of the processes that still run."""
        return {pid for pid, since in self.processes if self.here and survivors.alive(pid, since)}

    @property
    def dead(self) -> bool:
        """Whether somebody was here who did not leave in good order (where the lock is free, or ``here``)."""
        return bool(self.processes) and not self.living

    @property
    def job(self) -> Mapping[str, Any] | None:
        """The job that was begun and not ended, dead or alive."""
        job = self.said.get("job")
        return job if isinstance(job, dict) else None

    @property
    def working(self) -> bool:
        """Whether that job's process lives."""
        return self.here and self.job is not None and survivors.alive(int(self.job["pid"]), int(self.job["started"]))

    @property
    def heard(self) -> float:
        """When something was heard of whose it is, in seconds since 1970."""
        return float(self.said.get("heard") or self.said.get("since") or 0)

    @property
    def child(self) -> set[int]:
        """What lives of the session of the command that ran last."""
        child = self.said.get("child") if self.here else None
        return survivors.session(int(child[0]), int(child[1])) if child else set()

    def __str__(self) -> str:
        try:
            since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(float(self.said["since"])))
            return f"{self.said['user']} on {self.said['machine']} is at work here since {since} ({self.said['what']})"
        except (ValueError, KeyError, TypeError):
            return "somebody else is at work here"


class Lock:
    """``flock`` on a file that says who holds it."""

    def __init__(self, path: Path, wait: float = 0.0) -> None:
        self._path = path
        self._wait = PATIENCE + wait
        self._descriptors: list[int] = []
        self._heard = 0.0

    @property
    def held(self) -> bool:
        """Whether it is ours."""
        return bool(self._descriptors)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a build's children inherit so that the lock outlives us with them; hooks never get it."""
        return tuple(self._descriptors)

    def acquire(
        self,
        holder: Mapping[str, Any],
        unwanted: Callable[[], bool] = lambda: False,
        say: Callable[[str], None] = lambda text: None,
    ) -> Words:
        """Take it, or raise Failed with who has it; does nothing where it is held already.

        Gives what the file says of somebody who died with it, empty as a rule: what that one left running has been
        ended. Waiting ends with Cancelled when it is ``unwanted``.
        """
        if self.held:
            return Words()
        descriptor = self._open()
        try:
            self._wait_for(descriptor, unwanted, say)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptors = [descriptor]
        left = _read(descriptor)
        # at once: who has it and is not named is taken for a leftover
        self.join()
        survivors.end(left.child if left.dead else ())
        self._restart({**holder, "since": time.time(), "where": where(), **_self()})
        return left if left.dead else Words()

    def keep(self, descriptor: int | None) -> bool:
        """Another lock that is held, inherited and given back together with this one; whether there is one."""
        if descriptor is not None:
            self._descriptors.append(descriptor)
        return descriptor is not None

    def join(self) -> None:
        """Say that this process, which was just forked, shares it."""
        self.note(**_self())

    def note(self, **words: Any) -> None:
        """Add to what the file says."""
        if not self.held:
            return
        try:
            os.write(self._descriptors[0], json.dumps(words).encode("ascii") + b"\n")
        except OSError:
            # on a full disk it locks all the same, and the application has to come up again
            return

    def hear(self) -> None:
        """Something was heard of who we hold it for: that is for those who wait."""
        if self.held and time.monotonic() - self._heard > 1:
            self._heard = time.monotonic()
            # the file's time would be another way, but only its owner sets that, and we may act as somebody else
            self.note(heard=time.time())

    def running(self, pid: int) -> None:
        """Say which command runs, as the leader of a session; 0: none any more."""
        self.note(child=[pid, survivors.started(pid)] if pid else None)

    def end_orphans(self) -> list[int]:
        """End what a process of ours left when it was killed; gives their numbers. A job that lives is nobody's."""
        words = _read(self._descriptors[0]) if self.held else Words()
        if not self.held or words.working:
            return []
        sharers = survivors.sharing(self._descriptors[0]) - words.living - {os.getpid()}
        return survivors.end(sharers | words.child)

    def release(self) -> None:
        """Let the next one in, also where children still have the descriptor."""
        for descriptor in self._descriptors[1:]:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        if self.held:
            os.ftruncate(self._descriptors[0], 0)
            fcntl.flock(self._descriptors[0], fcntl.LOCK_UN)
        self.abandon()

    def abandon(self) -> None:
        """Leave it to the others that have it: a job that goes on without us."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _open(self) -> int:
        try:
            descriptor = durable.open_own(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except FileNotFoundError:
            raise Failed(f"{self._path.parent.parent} has not been laid out by hostout") from None
        except OSError as error:
            owner = _owner(self._path)
            forbidden = isinstance(error, PermissionError) and owner != os.geteuid()
            raise (_foreign(self._path, owner) if forbidden else storage(error, self._path)) from error
        owner = os.fstat(descriptor).st_uid
        if owner != os.geteuid():
            # whoever owns it could write into it whom we are to end
            os.close(descriptor)
            raise _foreign(self._path, owner)
        return descriptor

    def _wait_for(self, descriptor: int, unwanted: Callable[[], bool], say: Callable[[str], None]) -> None:
        deadline, looks, patient = time.monotonic() + self._wait, 0, False
        heard = _read(descriptor).heard
        while not _taken(descriptor):
            words = _read(descriptor)
            looks = looks + 1 if words.here and words.dead else 0
            if looks == _DEAD:
                survivors.end(survivors.sharing(descriptor) | words.child)
            elif time.monotonic() >= deadline:
                if patient or words.working or words.heard > heard:
                    raise Failed(f"locked: {words}")
                # a line that is cut ends no connection: nobody knows yet whether they are there
                if time.time() - heard > _SILENT:
                    patient, deadline = True, time.monotonic() + SILENCE + _MORE
                    say(f"{words}, but nothing is heard of them: waiting until the host knows that they are gone")
            if unwanted():
                raise Cancelled(f"waited in vain: {words}")
            time.sleep(_LOOK)

    def _restart(self, words: Mapping[str, Any]) -> None:
        try:
            os.ftruncate(self._descriptors[0], 0)
        finally:
            self.note(**words)


def said(path: Path) -> Words:
    """What the file at ``path`` says, for who does not want the lock; empty where there is none to be read."""
    try:
        descriptor = durable.open_own(path, os.O_RDONLY | os.O_NONBLOCK, 0)
    except OSError:
        return Words()
    try:
        return _read(descriptor)
    finally:
        os.close(descriptor)


def _owner(path: Path) -> int:
    """Whose it is, or the folder that it would be made in."""
    return (path if os.path.lexists(path) else existing(path)).lstat().st_uid


def _foreign(path: Path, owner: int) -> Failed:
    name, me = people.name(owner), people.agent().name
    return Failed(f"{path} belongs to {name}, not to {me}: log in as who deployed here before, or remove it")


def where() -> str:
    """What a process number means something in: this start of the machine, this container."""
    return Path("/proc/sys/kernel/random/boot_id").read_text() + str(Path("/proc/self/ns/pid").readlink())


def _self() -> dict[str, int]:
    return {"pid": os.getpid(), "started": survivors.started(os.getpid())}


def _read(descriptor: int) -> Words:
    return Words.of(os.pread(descriptor, _LONGEST, 0))


def as_object(line: bytes) -> dict[str, Any]:
    """The JSON object of a line; empty where it is torn."""
    try:
        words = json.loads(line)
    except ValueError:
        return {}
    return words if isinstance(words, dict) else {}


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
