"""Passwords and passphrases: from the options, the environment, or a person; asked for once.

What does not belong here: using them (``login``, ``sudo``).
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from hostout.errors import ConfigurationError
from hostout.model import Host, Secret

if TYPE_CHECKING:
    import paramiko

TRIES = 3
VARIABLE = "HOSTOUT_PASSWORD"


class Asker(Protocol):
    """A person at a terminal; every answer is ``None`` where there is none."""

    def secret(self, prompt: str) -> str | None:
        """What is typed unseen."""

    def line(self, prompt: str) -> str | None:
        """What is typed."""

    def confirm(self, question: str) -> bool | None:
        """Yes or no."""


def _ignore(secret: Secret) -> None:
    """Nobody has to know the secret."""


class PasswordCache:
    """What was asked for in this run, shared by all its hosts: passwords by user, unlocked keys by path.

    ``register`` is told every password that is learnt, so that it never gets printed.
    """

    def __init__(self, register: Callable[[Secret], None] = _ignore) -> None:
        self.register = register
        self.keys: dict[str, paramiko.PKey] = {}
        self.asking = threading.RLock()
        self._by_user: dict[str, Secret] = {}
        self._by_command: dict[str, Secret] = {}

    def of(self, user: str) -> Secret | None:
        """The password that worked for this user, on whichever host."""
        return self._by_user.get(user)

    def worked(self, user: str, password: Secret) -> None:
        """The password of a user is known from now on."""
        self._by_user[user] = password

    def of_command(self, command: str) -> Secret:
        """What a ``password-command`` prints, run once. Raises ConfigurationError when it fails."""
        with self.asking:
            if command not in self._by_command:
                self._by_command[command] = self.learn(_first_line(command))
            return self._by_command[command]

    def learn(self, value: str) -> Secret:
        """The value as a Secret that ``register`` knows."""
        secret = Secret(value)
        self.register(secret)
        return secret


def _first_line(command: str) -> str:
    # it may ask a person; what is piped into us is for a command on the host
    ours = None if sys.stdin is not None and sys.stdin.isatty() else subprocess.DEVNULL
    done = subprocess.run(["/bin/sh", "-c", command], stdin=ours, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise ConfigurationError(f"password-command: '{command}' failed with status {done.returncode}")
    lines = done.stdout.splitlines()
    if not (lines and lines[0]):
        raise ConfigurationError(f"password-command: '{command}' prints no password")
    return lines[0]


class Passwords:
    """The passwords to try for one user of one host, best first.

    ``host`` is the part whose options count; ``None`` for a jump host, which has none. ``login`` is the user of the
    part, whose password the environment has: another one's jump host is not told it.
    """

    def __init__(self, user: str, host: Host | None, ask: Asker, cache: PasswordCache, login: str) -> None:
        self.user = user
        self.login = login
        self.host = host
        self.ask = ask
        self.cache = cache

    def candidates(self, prompt: str) -> Iterator[Secret]:
        """One after the other, as long as none was right; people are asked three times, where there is a terminal.

        The caller says ``worked`` of the one that was right.
        """
        tried: list[str] = []
        for find in (self._configured, self._cached):
            if (password := find()) is not None and password.reveal() not in tried:
                tried.append(password.reveal())
                yield password
        yield from self._asked(prompt, tried)

    def _cached(self) -> Secret | None:
        return self.cache.of(self.user)

    def _configured(self) -> Secret | None:
        if self.host and (password := self.host.secrets.get("password")):
            return password
        if self.host and self.host.password_command:
            return self.cache.of_command(self.host.password_command)
        if self.user == self.login and (value := os.environ.get(VARIABLE)):
            return self.cache.learn(value)
        return None

    def _asked(self, prompt: str, tried: list[str]) -> Iterator[Secret]:
        for _ in range(TRIES):
            password = self._known_or_asked(prompt, tried)
            if password is None:
                return
            tried.append(password.reveal())
            yield password

    def _known_or_asked(self, prompt: str, tried: list[str]) -> Secret | None:
        """Who asked first has it for all: a password that worked elsewhere meanwhile comes before a question."""
        with self.cache.asking:
            known = self._cached()
            if known is not None and known.reveal() not in tried:
                return known
            answer = self.ask.secret(prompt)
            return None if answer is None else self.cache.learn(answer)

    def worked(self, password: Secret) -> None:
        """This one was right."""
        self.cache.worked(self.user, password)
