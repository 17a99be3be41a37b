"""Becoming another user on a host: the command line for it, and the dialogue with sudo.

A password is sent only when sudo asks for it with a random word that nobody else knows, never ahead; nothing
else is sent before the command itself has said that it runs. What does not belong here: where passwords come from.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence

import paramiko

from hostout.errors import ConnectionFailed, RemoteError
from hostout.model import Secret
from hostout.remote.channel import OUT, pieces, status
from hostout.remote.credentials import Passwords
from hostout.remote.limits import Limits

ASKED, MISSING, OPENED = "-password", "-missing", "-opened"
"""What stands behind the random word: a prompt of sudo, and two lines of our own."""

BECOME = (
    'p=$1; u=$2; shift 2; if [ "$(id -un)" = "$u" ]; then exec "$@"; fi; '
    'if [ "$(id -u)" = 0 ]; then if [ "$u" = root ]; then exec "$@"; fi; '
    'command -v sudo >/dev/null 2>&1 || exec runuser -u "$u" -- "$@"; fi; '
    f'command -v sudo >/dev/null 2>&1 || {{ printf "%s\\n" "$p{MISSING}" >&2; exit 127; }}; '
    f'exec sudo -H -k -S -p "$p{ASKED}" -u "$u" -- "$@"'
)
"""Runs what follows as user ``$2``, directly where we are that user; sudo prompts with ``$1``."""

SAY_OPENED = f'printf "%s\\n" "$1{OPENED}" >&2; shift; exec "$@"'
"""Says on standard error that it runs, then runs what follows."""


BESIDE = (
    '{ printf %s "$1" | { shift; exec 3<&0 0<&4 4<&-; '
    'sh -c \'f=/proc/$PPID/fd/3; exec 3<&-; exec "$@" "$f"\' hostout "$@"; exit $?; }; } 4<&0'
)
"""Runs what follows with one argument more: a file that holds ``$1``.

sudo closes every descriptor but the first three, and standard input is for the password: so a shell that waits keeps
a pipe open, which root reads by its place in ``/proc``. It costs no file and no round trip.
"""


class SudoUnavailable(RemoteError):
    """Nobody becomes root there.

    ``reason`` is ``missing`` (no sudo), ``refused`` (not in sudoers), ``password`` (wrong or unknown), ``no-sudo``.
    """

    def __init__(self, message: str, reason: str, tail: Sequence[str] = ()) -> None:
        super().__init__(message, tail=tail)
        self.reason = reason


def as_user(user: str, token: str, command: Sequence[str]) -> list[str]:
    """The argv that runs ``command`` as ``user`` and says so."""
    inner = ["sh", "-c", SAY_OPENED, "hostout", token, *command]
    return ["sh", "-c", BECOME, "hostout", token, user, *inner]


def beside(text: str, command: Sequence[str]) -> list[str]:
    """The argv that runs ``command`` with the name of a file that holds ``text`` behind its other arguments."""
    return ["sh", "-c", BESIDE, "hostout", text, *command]


def new_token() -> str:
    """A word that cannot occur by chance, made of letters and digits only."""
    return secrets.token_hex(16)


def lines(said: bytes) -> list[str]:
    """As text, without empty ones."""
    return [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]


class Gate:
    """Reads standard error until the command runs.

    ``feed`` gives what happened: ``ASKED`` (sudo wants a password), ``OPENED`` (the command runs, what follows is its
    own: ``rest``), ``MISSING`` (there is no sudo). ``lines`` is what sudo said meanwhile.
    """

    def __init__(self, token: str) -> None:
        self.rest = b""
        self._word = re.compile(token.encode() + b"(" + b"|".join(w.encode() for w in (ASKED, MISSING, OPENED)) + b")")
        self._buffer = b""
        self._said = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """The next bytes of standard error."""
        self._buffer += data
        while match := self._word.search(self._buffer):
            self._said += self._buffer[: match.start()]
            self._buffer = self._buffer[match.end() :]
            word = match[1].decode()
            if word == OPENED:
                self.rest, self._buffer = self._buffer.removeprefix(b"\n"), b""
            yield word

    def lines(self) -> list[str]:
        """What sudo said, without empty lines."""
        return lines(self._said + self._buffer)


class Dialogue:
    """The talk with sudo on a channel, from the start of the command to the moment it runs."""

    def __init__(self, channel: paramiko.Channel, token: str, passwords: Passwords, place: str, limits: Limits) -> None:
        self.channel = channel
        self.gate = Gate(token)
        self.passwords = passwords
        self.user = passwords.user
        self.place = place
        self.limits = limits
        self._candidates = passwords.candidates(f"[sudo] password for {passwords.user} at {place}: ")
        self._sent: Secret | None = None
        self._refused = False
        self._out = b""

    def __call__(self) -> tuple[bytes, bytes]:
        """Returns what the command has written so far. Raises SudoUnavailable or ConnectionFailed."""
        try:
            for stream, data in pieces(self.channel, self.limits.start):
                if stream == OUT:
                    self._out += data
                elif self._heard(data):
                    return self._out, self.gate.rest
        except TimeoutError:
            silence = f"sudo at {self.place} said nothing for {self.limits.start:.0f} s"
            raise self._unavailable(silence, "refused") from None
        raise self._ended()

    def _heard(self, data: bytes) -> bool:
        """Answers; true when the command runs."""
        for word in self.gate.feed(data):
            if word == OPENED:
                if self._sent is not None:
                    self.passwords.worked(self._sent)
                return True
            if word == MISSING:
                raise self._unavailable(f"{self.user} is not root at {self.place}, and there is no sudo", "missing")
            self._answer()
        return False

    def _answer(self) -> None:
        tried, self._sent = self._sent, next(self._candidates, None)
        self._refused = tried is not None
        if self._sent is not None:
            self.channel.sendall(self._sent.reveal().encode() + b"\n")
        elif tried is not None:
            raise self._wrong_password()
        else:
            raise self._unavailable(
                f"sudo at {self.place} asks for the password of {self.user}, none is known and there is no "
                "terminal to ask on; set HOSTOUT_PASSWORD or password-command",
                "password",
            )

    def _ended(self) -> Exception:
        if status(self.channel) == -1:
            return ConnectionFailed(f"the connection to {self.place} was lost")
        if self._refused:
            return self._wrong_password()
        said = self.gate.lines() or lines(self._out) or ["it ended without a word"]
        return self._unavailable(f"{self.user} does not become root at {self.place}: {said[-1]}", "refused")

    def _wrong_password(self) -> SudoUnavailable:
        return self._unavailable(f"sudo at {self.place} does not accept the password of {self.user}", "password")

    def _unavailable(self, text: str, reason: str) -> SudoUnavailable:
        self.channel.close()
        return SudoUnavailable(text, reason, self.gate.lines())
