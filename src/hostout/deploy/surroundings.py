"""What a deployment is given by the run that it belongs to. Values only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hostout.deploy.plan import Client, Contents, Hooks
from hostout.model import Emit, Event, Facts, Indexes, Release, RunOptions

if TYPE_CHECKING:
    from hostout.remote.connection import Connection


class Packaging(Protocol):
    """What makes the Release of a host and finds the files for it (the room ``packaging``, handed in)."""

    def prepare(self) -> Release: ...

    def contents(self, release: Release, facts: Facts) -> Contents: ...

    def indexes(self) -> Indexes: ...

    def has_here(self, name: str) -> bool: ...


@dataclass(frozen=True)
class Surroundings:
    """Everything that a Deployment cannot decide from its Host.

    ``confirm`` asks on a terminal and gives ``None`` where there is none; ``label`` is the host's in brackets.
    """

    packaging: Packaging
    connection: Callable[[], Connection]
    hooks: Callable[[], Hooks]
    confirm: Callable[[str], bool | None]
    emit: Emit
    client: Client
    options: RunOptions
    label: str

    def say(self, text: str) -> None:
        """A line of ours; one that begins with a tab stands as it is."""
        kind = "line" if text.startswith("\t") else "hostout"
        self.emit(Event(kind, text, host=self.label))

    def warn(self, text: str) -> None:
        """A line about something that is not as it should be."""
        self.emit(Event("warning", f"[{self.label}] {text}", host=self.label))
