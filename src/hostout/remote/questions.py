"""keyboard-interactive: questions of the host that come in paramiko's thread, answered in the one that logs in.

That one may be interrupted, and puts the echo of the terminal back then; and by it is decided whether anybody may be
asked (``early``). What does not belong here: the answers (``login``).
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

import paramiko
from paramiko.auth_handler import AuthHandler
from paramiko.ssh_exception import AuthenticationException, SSHException

LOOK = 0.05
"""Seconds between two looks whether the host wants to know something."""

Question = tuple[str, bool]
"""Its text, and whether what is typed may be seen."""


class Questions:
    """One login; ``answer`` is called for each question."""

    def __init__(self, transport: paramiko.Transport, answer: Callable[[str, bool], str]) -> None:
        self.transport = transport
        self.answer = answer
        self._asked = queue.SimpleQueue[Sequence[Question]]()
        self._answers = queue.SimpleQueue["list[str] | None"]()

    def __call__(self, user: str) -> tuple[str, ...]:
        """Logs in; returns what the host wants besides. Raises what paramiko does, and what ``answer`` does.

        The host has the time of ``auth_timeout`` for each word, a person all that the host gives.
        """
        over, limit = threading.Event(), self.transport.auth_timeout
        handler = self.transport.auth_handler = AuthHandler(self.transport)
        handler.auth_interactive(user, self._hear, over)
        until = time.monotonic() + limit
        while not over.is_set() and self.transport.is_active():
            if time.monotonic() > until:
                raise AuthenticationException("Authentication timeout.")
            if self._answered():
                until = time.monotonic() + limit
        return tuple(handler.wait_for_response(over))

    def _hear(self, title: str, instructions: str, questions: Sequence[Question]) -> list[str]:
        """In paramiko's thread."""
        self._asked.put(questions)
        answers = self._answers.get()
        if answers is None:
            raise SSHException("nobody answers")
        return answers

    def _answered(self) -> bool:
        """Whether there was something to answer."""
        try:
            questions = self._asked.get(timeout=LOOK)
        except queue.Empty:
            return False
        answers = None
        try:
            answers = [self.answer(text, shown) for text, shown in questions]
        finally:
            self._answers.put(answers)
        return True
