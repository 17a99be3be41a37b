"""Who is on our side of a connection in these tests: a person with prepared answers, and ears for what is said."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hostout.model import Emit, Event
from hostout.remote.connection import Connection
from hostout.remote.limits import Limits

PATIENT = Limits(connect=60, banner=60, login=60, channel=60, keepalive=0.3, silence=60, start=120)
"""For a machine that stands still now and then."""

QUICK = replace(PATIENT, banner=2, silence=2)
"""For a host that says nothing: whoever wants to hear from one that lives is more patient."""

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


def interrupting(emit: Emit, text: str) -> Emit:
    """The same, and Ctrl-C a moment after that text was heard."""

    def heard(event: Event) -> None:
        emit(event)
        if event.text == text:
            threading.Timer(0.3, _thread.interrupt_main).start()

    return heard


class Heard(list[Event]):
    """An Emit that remembers."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    def lines(self, *kinds: str) -> list[str]:
        return [event.text for event in self if event.kind in kinds]
