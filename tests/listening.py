"""Who is on our side of a connection in these tests: a person with prepared answers, and ears for what is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hostout.model import Event
from hostout.remote.connection import Connection
from hostout.remote.limits import Limits

QUICK = Limits(connect=2, banner=2, login=5, channel=5, keepalive=0.3, silence=2, start=10)

LogIn = Callable[..., Connection]
"""Connects to an embedded host; see the fixture ``log_in``."""


@dataclass
class Person:
    """Somebody at a terminal with prepared answers; without any, there is no terminal."""

    secrets: list[str] | None = None
    yes: bool | None = None
    asked: list[str] = field(default_factory=list)

    def secret(self, prompt: str) -> str | None:
        self.asked.append(prompt)
        return self.secrets.pop(0) if self.secrets else None

    def line(self, prompt: str) -> str | None:
        return self.secret(prompt)

    def confirm(self, question: str) -> bool | None:
        self.asked.append(question)
        return self.yes


class Heard(list[Event]):
    """An Emit that remembers."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    def lines(self, *kinds: str) -> list[str]:
        return [event.text for event in self if event.kind in kinds]
