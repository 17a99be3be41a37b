"""What a request needs to know: the question, where things are, who is who, and whom to tell.

What does not belong here: doing anything with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import people, process
from .failure import Failed
from .guardian import Guardian
from .lock import Lock, Words
from .people import Person
from .protocol import NOTE, WARNING, Hangup, Wire
from .site import Site


@dataclass
class Session:
    """One client's visit.

    ``stopped``: the live release was stopped, and nothing has been started since. ``entered`` is called when the lock
    was taken, with what somebody who died left.
    ``sharing``: the cache is kept from being cleaned. ``guardian`` starts again what was stopped, ``job`` is the
    process of one that runs; ``log`` also gets what is said here. ``dry``: nothing is removed, only looked at.
    ``failed`` is the last request that did, but for those that run in a process of their own. ``received``: what tells
    of large files of bundles that came in this visit whether they are as they were, by sha256 (``handover.mark``).
    """

    question: Mapping[str, Any]
    wire: Wire
    site: Site
    lock: Lock
    entered: Callable[[Session, Words], None] = lambda session, left: None
    stopped: bool = False
    sharing: bool = False
    guardian: Guardian | None = None
    job: int | None = None
    log: Path | None = None
    dry: bool = False
    failed: Any = None
    received: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def effective(self) -> Person:
        """Who runs the application; raises Failed where there is no such user."""
        return self._somebody(people.owners(self.question).effective)

    @property
    def buildout(self) -> Person:
        """Who owns code and cache; raises Failed where there is no such user or group."""
        return self._somebody(people.owners(self.question).buildout)

    @property
    def shared_by_two(self) -> bool:
        """Whether what runs and who owns the code are two, so that ``var`` needs the group."""
        return self.effective.uid != self.buildout.uid

    def note(self, text: str) -> None:
        """Say something."""
        self._say(NOTE, text, text)

    def warn(self, text: str) -> None:
        """Say that something is not as it should be, and go on."""
        self._say(WARNING, text, f"warning: {text}")

    def take_lock(self, what: str) -> None:
        """Be the only one from here on; raises Failed with who else is, Hangup when the client has gone meanwhile."""
        if self.lock.held:
            return
        client = self.question.get("client") or {}
        holder = {"user": client.get("user", "?"), "machine": client.get("machine", "?"), "what": what}
        left = self.lock.acquire(holder, self._unwanted, self.note)
        try:
            self.entered(self, left)
        except BaseException:
            self.lock.release()
            raise

    def _unwanted(self) -> bool:
        if self.wire.owed:
            # what comes next is no request
            return False
        if self.wire.cancelled():
            return True
        if self.wire.gone:
            raise Hangup
        return False

    def _say(self, kind: str, text: str, written: str) -> None:
        self.wire.event(kind, text=text)
        if self.log is None:
            return
        try:
            process.say(self.log, f"{process.OURS}{written}")
        except OSError:
            # the disk is full or a hostile hand was here: the client has heard it
            return

    def _somebody(self, found: Person | None) -> Person:
        if found is None:
            owners = people.owners(self.question)
            missing = ", ".join((*owners.missing_users, *owners.missing_groups))
            raise Failed(f"no such user or group on this host: {missing}")
        return found
