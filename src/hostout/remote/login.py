"""Logging in on a transport whose host key is trusted: keys first, then passwords.

What does not belong here: where passwords come from (``credentials``).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko
from paramiko.pkey import UnknownKeyType
from paramiko.ssh_exception import BadAuthenticationType, SSHException

from hostout.errors import ConfigurationError, ConnectionFailed
from hostout.model import Secret
from hostout.remote.credentials import TRIES, Passwords
from hostout.remote.questions import Questions
from hostout.remote.sshconfig import Target

DEFAULT_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
PASSWORD, INTERACTIVE = "password", "keyboard-interactive"
FEW = 4
"""Keys that every host lets one try; most end the connection at the sixth."""

FAILURES = (SSHException, OSError, EOFError)
"""What paramiko raises when a login fails: for a "no" as well as for a connection that breaks."""


@dataclass(frozen=True)
class Locked:
    """A private key that needs a passphrase."""

    path: str


class Login:
    """One login: who, with what, on which transport."""

    def __init__(
        self, transport: paramiko.Transport, target: Target, identity: str | None, passwords: Passwords
    ) -> None:
        self.transport = transport
        self.target = target
        self.identity = identity
        self.passwords = passwords
        self.tried = 0
        self._locked: list[str] = []
        self._agent_is_silent = False

    def __call__(self) -> None:
        """Logs in. Raises ConnectionFailed with one line that says why it could not."""
        with self._agent_keys() as held:
            remaining = self._with_keys(held)
        if remaining is None:
            remaining = self._allowed()
        if remaining:
            self._with_password(remaining)

    # keys

    @contextlib.contextmanager
    def _agent_keys(self) -> Iterator[tuple[paramiko.PKey, ...]]:
        """The keys of the user's ssh-agent; none where there is no agent, or one that does not answer, or not sense."""
        agents = list[paramiko.Agent]()
        asking = threading.Thread(target=_ask_agent, args=(agents.append,), daemon=True)
        asking.start()
        # one that is forwarded on a line that is dead never answers
        asking.join(self.transport.auth_timeout)
        self._agent_is_silent = asking.is_alive()
        try:
            yield agents[0].get_keys() if agents else ()
        finally:
            for agent in agents:
                agent.close()

    def _with_keys(self, held: Iterable[paramiko.PKey]) -> tuple[str, ...] | None:
        """What is still asked for after a key was accepted (nothing, as a rule); ``None`` when none was."""
        for key in self._keys(held):
            self.tried += 1
            try:
                return tuple(self.transport.auth_publickey(self.target.user, key))
            except BadAuthenticationType as error:
                return tuple(error.allowed_types)
            except FAILURES as error:
                # also a key that cannot sign (an agent whose user said no): the next one
                self._still_there(error)
        return None

    def _keys(self, agent_keys: Iterable[paramiko.PKey]) -> Iterator[paramiko.PKey]:
        """Keys in the order of OpenSSH; those that need a passphrase last, so that one is asked for if it must be."""
        held = {key.asbytes(): key for key in agent_keys}
        for path in self._named():
            yield from self._from_file(path, held)
        if not self.target.identities_only:
            yield from held.values()
        if not self._named():
            for path in DEFAULT_KEYS:
                yield from self._from_file(str(Path(path).expanduser()), held)
        for path in self._locked:
            yield from self._unlocked(path)

    def _named(self) -> list[str]:
        """Files of keys that the options and the ssh configuration name."""
        if not self.identity:
            return list(self.target.identity_files)
        path = Path(self.identity).expanduser()
        private = path.with_suffix("") if path.suffix == ".pub" else path
        # the private half may be in the agent only
        if not private.exists() and not private.with_name(f"{private.name}.pub").exists():
            raise ConfigurationError(f"identity-file: there is no {private}")
        return [str(private), *self.target.identity_files]

    def _from_file(self, path: str, held: dict[bytes, paramiko.PKey]) -> Iterator[paramiko.PKey]:
        """The key of a file: by the agent where that has it (its public half lies beside it), else read."""
        if (blob := _public_half(path.removesuffix(".pub"))) and blob in held:
            yield held.pop(blob)
            return
        key = self.passwords.cache.keys.get(path) or _read(path)
        if isinstance(key, Locked):
            self._locked.append(path)
        elif key is not None:
            held.pop(key.asbytes(), None)
            yield key

    def _unlocked(self, path: str) -> Iterator[paramiko.PKey]:
        """The key behind a passphrase; the password of the options may be it, else people are asked."""
        cache = self.passwords.cache
        with cache.asking:
            if path not in cache.keys:
                for passphrase in self._passphrases(path):
                    key = _read(path, passphrase)
                    if isinstance(key, paramiko.PKey):
                        cache.keys[path] = key
                        break
        if path in cache.keys:
            yield cache.keys[path]

    def _passphrases(self, path: str) -> Iterator[Secret]:
        if self.passwords.host and (configured := self.passwords.host.secrets.get("password")):
            yield configured
        for _ in range(TRIES):
            answer = self.passwords.ask.secret(f"Passphrase for key {path}: ")
            if not answer:
                return
            yield self.passwords.cache.learn(answer)

    # passwords

    def _allowed(self) -> tuple[str, ...]:
        """How the host lets this user in; empty when it asks for nothing at all."""
        try:
            self.transport.auth_none(self.target.user)
        except BadAuthenticationType as error:
            return tuple(error.allowed_types)
        except FAILURES as error:
            self._still_there(error)
            return (PASSWORD,)
        return ()

    def _with_password(self, allowed: tuple[str, ...]) -> None:
        method = self._method(allowed)
        if method is None:
            raise self._failure(self._no_key("the host takes keys only"))
        offered = 0
        for password in self.passwords.candidates(self._prompt()):
            offered += 1
            further = self._tried(method, password)
            if further is not None:
                self.passwords.worked(password)
                self._with_more(further)
                return
        if offered:
            raise self._failure(f"the password of {self.target.user} was not accepted")
        raise self._failure(
            self._no_key(
                f"no password of {self.target.user} is known and there is no terminal to ask on; "
                "set HOSTOUT_PASSWORD or password-command"
            )
        )

    def _with_more(self, wanted: tuple[str, ...]) -> None:
        """What the host wants behind the password: a one-time code, say."""
        if not wanted:
            return
        if INTERACTIVE not in wanted:
            raise self._failure(f"behind the password the host wants {' or '.join(wanted)} as well")
        try:
            further = Questions(self.transport, self._ask)(self.target.user)
        except FAILURES as error:
            self._still_there(error)
            raise self._failure("what it asks for behind the password was not accepted") from error
        self._with_more(further)

    def _method(self, allowed: tuple[str, ...]) -> Callable[[Secret], Sequence[str]] | None:
        if PASSWORD in allowed:
            return self._plain
        return self._interactive if INTERACTIVE in allowed else None

    def _prompt(self) -> str:
        return f"Password for {self.target.user} at {self.target.hostname}: "

    def _tried(self, method: Callable[[Secret], Sequence[str]], password: Secret) -> tuple[str, ...] | None:
        """What is still asked for after a password was accepted; ``None`` when it was not."""
        try:
            return tuple(method(password))
        except FAILURES as error:
            self._still_there(error)
            return None

    def _plain(self, password: Secret) -> Sequence[str]:
        return self.transport.auth_password(self.target.user, password.reveal(), fallback=False)

    def _interactive(self, password: Secret) -> Sequence[str]:
        """The first hidden question gets the password; whatever else is asked (a one-time code) goes to a person."""
        unused = [password.reveal()]
        return Questions(
            self.transport, lambda text, shown: unused.pop() if unused and not shown else self._ask(text, shown)
        )(self.target.user)

    def _ask(self, text: str, shown: bool) -> str:
        ask = self.passwords.ask
        return (ask.line(text) if shown else ask.secret(text)) or ""

    # failures

    def _no_key(self, otherwise: str) -> str:
        keys = "there is no key" if not self.tried else "no key was accepted"
        locked = f" ({', '.join(self._locked)} needs its passphrase)" if self._locked else ""
        silent = " (the ssh-agent does not answer)" if self._agent_is_silent else ""
        return f"{keys}{locked}{silent} and {otherwise}"

    def _still_there(self, error: Exception) -> None:
        """Raises when the failure was not a "no": the host went away, or said nothing."""
        if not self.transport.is_active():
            many = f" after {self.tried} keys: the option identity-file names the right one" if self.tried > FEW else ""
            raise self._failure(f"the host ended the connection during the login{many}") from error
        if "timeout" in str(error).lower():
            raise self._failure("the host does not answer the login") from error

    def _failure(self, why: str) -> ConnectionFailed:
        return ConnectionFailed(f"could not log into {self.target.place} as {self.target.user}: {why}")


class _Agent(paramiko.Agent):
    """paramiko leaves the connection open to one that talks no sense."""

    def _connect(self, connection: Any) -> None:
        whole: Any = super()
        try:
            whole._connect(connection)
        except BaseException:
            connection.close()
            raise


def _ask_agent(found: Callable[[paramiko.Agent], object]) -> None:
    with contextlib.suppress(SSHException, OSError, EOFError):
        found(_Agent())


def _public_half(path: str) -> bytes | None:
    with contextlib.suppress(OSError, ValueError, IndexError, SSHException):
        return paramiko.pkey.PublicBlob.from_string(Path(path + ".pub").read_text()).key_blob
    return None


def _read(path: str, passphrase: Secret | None = None) -> paramiko.PKey | Locked | None:
    """The private key in a file; ``None`` where there is none that we could use."""
    password: Any = passphrase.reveal().encode() if passphrase else None
    try:
        return paramiko.PKey.from_path(path, password)
    except (paramiko.PasswordRequiredException, TypeError):
        # TypeError is what cryptography raises for an encrypted key without a password
        return Locked(path)
    except UnknownKeyType:
        # one that we cannot sign with (DSA, a security key): its agent may, if it has it
        return None
    except (OSError, ValueError, SSHException):
        return Locked(path) if passphrase else None
