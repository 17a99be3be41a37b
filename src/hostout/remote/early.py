"""Connections that are opened before their turn comes, side by side, while another host is worked on.

What does not belong here: which hosts (``session``), how one is opened (``connection``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from hostout.remote.credentials import Asker

AT_ONCE = 8
"""OpenSSH's ``MaxStartups``, that of a jump host of all of them too, drops some from the eleventh on."""


class Closing(Protocol):
    """What is opened."""

    def close(self) -> None: ...


Opened = TypeVar("Opened", bound=Closing)


class NeedsSomebody(Exception):
    """A question came up where none may be asked."""


class InTurn:
    """A person who is not asked by what is opened early: nobody would put the echo back when that is interrupted."""

    def __init__(self, person: Asker) -> None:
        self._person = person

    def secret(self, prompt: str) -> str | None:
        """What is typed unseen."""
        return self._now().secret(prompt)

    def line(self, prompt: str) -> str | None:
        """What is typed."""
        return self._now().line(prompt)

    def confirm(self, question: str) -> bool | None:
        """Yes or no."""
        return self._now().confirm(question)

    def _now(self) -> Asker:
        if isinstance(threading.current_thread(), _Opening):
            raise NeedsSomebody
        return self._person


class Early(Generic[Opened]):
    """What was begun by name, until somebody takes it."""

    def __init__(self) -> None:
        self._begun: dict[str, _Opening[Opened]] = {}
        self._slots = threading.Semaphore(AT_ONCE)

    def begin(self, name: str, open_it: Callable[[], Opened]) -> None:
        """Begins to open it, once for each name."""
        if name not in self._begun:
            self._begun[name] = _Opening(open_it, self._slots)
            self._begun[name].start()

    def take(self, name: str) -> Opened | None:
        """It, waited for; ``None`` where it was not begun, was taken, or somebody has to be asked.

        Raises what opening it raised.
        """
        opening = self._begun.get(name)
        return opening.take() if opening else None

    def close(self) -> None:
        """What nobody has taken is closed, also what is still being opened."""
        for opening in self._begun.values():
            opening.forget()


class _Opening(threading.Thread, Generic[Opened]):
    def __init__(self, open_it: Callable[[], Opened], slots: threading.Semaphore) -> None:
        super().__init__(daemon=True, name="hostout-opening")
        self._open = open_it
        self._slots = slots
        self._opened: Opened | None = None
        self._failure: Exception | None = None
        self._wanted = True
        self._over = threading.Lock()

    def run(self) -> None:
        with self._slots:
            if not self._wanted:
                return
            try:
                opened = self._open()
            except Exception as error:  # noqa: BLE001 - whatever it is: who takes it gets it
                self._failure = error
                return
        with self._over:
            if self._wanted:
                self._opened = opened
                return
        opened.close()

    def take(self) -> Opened | None:
        self.join()
        opened, failure = self._opened, self._failure
        self._opened = self._failure = None
        if failure is not None and not isinstance(failure, NeedsSomebody):
            raise failure
        return opened

    def forget(self) -> None:
        with self._over:
            self._wanted = False
        if self._opened is not None:
            self._opened.close()
            self._opened = None
