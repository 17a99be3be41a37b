"""What a request needs to know: the question, where things are, who is who, and whom to tell.

What does not belong here: doing anything with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import people
from .failure import Failed
from .lock import Lock
from .people import Person
from .protocol import NOTE, WARNING, Wire
from .site import Site


@dataclass
class Session:
    """One client's visit. ``stopped``: the live release was stopped, and nothing has been started since."""

    question: Mapping[str, Any]
    wire: Wire
    site: Site
    lock: Lock
    stopped: bool = False

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
        self.wire.event(NOTE, text=text)

    def warn(self, text: str) -> None:
        """Say that something is not as it should be, and go on."""
        self.wire.event(WARNING, text=text)

    def take_lock(self, what: str) -> None:
        """Be the only one from here on; raises Failed with who else is."""
        client = self.question.get("client") or {}
        self.lock.acquire({"user": client.get("user", "?"), "machine": client.get("machine", "?"), "what": what})

    def _somebody(self, found: Person | None) -> Person:
        if found is None:
            owners = people.owners(self.question)
            missing = ", ".join((*owners.missing_users, *owners.missing_groups))
            raise Failed(f"no such user or group on this host: {missing}")
        return found
