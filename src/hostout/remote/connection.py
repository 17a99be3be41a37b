"""The Connection of a host part: a ``fabric.Connection`` that is careful about whom it talks to, and says what it does.

What does not belong here: how the transport comes about (``dialing``, ``hostkeys``, ``login``), how files are copied
(``transfer``).
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import fabric
import paramiko
from fabric.transfer import Result as TransferResult
from invoke.exceptions import CommandTimedOut, ThreadException, UnexpectedExit
from invoke.runners import normalize_hide
from paramiko.sftp import SFTPError
from paramiko.ssh_exception import SSHException

from hostout.errors import ConfigurationError, ConnectionFailed, RemoteError
from hostout.model import Emit, Event, Host
from hostout.remote import dialing, quoting, sshconfig, transfer
from hostout.remote.channel import Lines
from hostout.remote.credentials import Asker, PasswordCache, Passwords
from hostout.remote.hostkeys import ACCEPT_NEW, ASK, HostKeys, NotPinned
from hostout.remote.limits import Limits
from hostout.remote.login import Login
from hostout.remote.runner import Runner, Start
from hostout.remote.sshconfig import Target
from hostout.remote.sudo import Dialogue, SudoUnavailable, as_user, new_token

HOP = re.compile(r"(ssh://)?((?P<user>.+)@)?(\[(?P<bracketed>[^]]+)\]|(?P<address>[^:@]+))(:(?P<port>\d+))?/?")

MOMENT = 1.0

TYPES_OF_KEYS = 3
"""That a host has: Ed25519, ECDSA, RSA."""

LONGEST_WAY = 8
"""Jump hosts behind each other; more is a loop."""


class CommandFailed(RemoteError, UnexpectedExit):
    """A command ended with another status than 0. Also what Fabric raises, so that fabfiles may catch either."""

    def __init__(self, message: str, result: Any, *, host: str, tail: tuple[str, ...] = ()) -> None:
        RemoteError.__init__(self, message, host=host, command=result.command, tail=tail)
        self.result = result
        self.reason = None

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Around:
    """What connections of a run share: the person to ask, whom to tell, what is known already."""

    ask: Asker
    emit: Emit
    passwords: PasswordCache
    limits: Limits


def target_of(host: Host) -> Target:
    """Where and as whom a host part is reached, options and ssh configuration together. Connects to nothing."""
    if not host.address:
        raise ConfigurationError(f"[{host.name}] host: is missing, so there is nothing to connect to", host=host.name)
    return sshconfig.target(sshconfig.load(host.address, host.port, host.user), host.address)


def connect(
    host: Host, ask: Asker, emit: Emit, passwords: PasswordCache, label: str, limits: Limits | None = None
) -> Connection:
    """The opened connection to a host part. Raises ConnectionFailed, with one line that says why, if it cannot be."""
    connection = Connection(host, label, Around(ask, emit, passwords, limits or Limits()))
    connection.open()
    return connection


class Connection(fabric.Connection):  # type: ignore[misc]  # Fabric has no types
    """To one host part; opens itself when it is first used.

    ``hostout`` is the host object of the commands, set by whoever runs them. Raises ``ConnectionFailed`` whenever
    the host is lost, ``RemoteError`` when something fails there.
    """

    # Fabric's Connection takes an attribute that the class does not have for a configuration value
    hostout: Any = None
    part: str = ""
    label: str = ""
    target: Target
    around: Around
    passwords: Passwords
    jump: Connection | None = None
    _host_part: Host | None = None
    _pulse: dialing.Pulse | None = None

    def __init__(
        self, host: Host, label: str, around: Around, *, target: Target | None = None, way: int = 0, login: str = ""
    ) -> None:
        """``target``: a jump host on the ``way`` to a part that ``login`` logs into; else the part's own."""
        target = target or target_of(host)
        login = login or target.user
        jump = _jump(host, label, around, target, way, login)
        super().__init__(
            target.hostname,
            user=target.user,
            port=target.port,
            gateway=jump or target.proxy_command or False,
            config=fabric.Config(ssh_config=paramiko.SSHConfig()),
        )
        self.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        values = {
            "part": host.name,
            "label": label,
            "target": target,
            "around": around,
            "jump": jump,
            "passwords": Passwords(target.user, host if way == 0 else None, around.ask, around.passwords, login),
            "_host_part": host,
            "original_host": target.alias,
        }
        self._set(**values)

    # -- opening and closing

    def open(self) -> None:
        """Connects, checks the host's key, logs in; does nothing when that is done."""
        if self.is_connected:
            return
        try:
            transport = self._dial()
        except (ConnectionFailed, ConfigurationError) as error:
            error.host = error.host or self.part
            raise
        # the client serves SFTP and closing; it never connects by itself
        self.client._transport = transport
        pulse = dialing.Pulse(transport, self.around.limits)
        self._set(transport=transport, _pulse=pulse)
        pulse.start()

    def _dial(self) -> paramiko.Transport:
        host = self._host_part
        assert host is not None
        option = host.host_key if self.passwords.host else ACCEPT_NEW if host.host_key == ACCEPT_NEW else ASK
        keys = HostKeys(self.target, option, self.around.ask, self.around.emit, self.label)
        transport = self._handshake(keys)
        try:
            Login(transport, self.target, host.identity_file if self.passwords.host else None, self.passwords)()
        except BaseException:
            transport.close()
            raise
        return transport

    def _handshake(self, keys: HostKeys) -> paramiko.Transport:
        """A host shows one of its keys, of the type that we like best: the pinned one may be another of them."""
        refusal: NotPinned | None = None
        for _ in range(TYPES_OF_KEYS):
            try:
                return dialing.handshake(self._way(), self.target, keys, self.around.limits)
            except NotPinned as error:
                refusal = refusal or error
            except ConnectionFailed as error:
                if refusal is None:
                    raise
                # it has no other
                raise refusal from error
        assert refusal is not None
        raise refusal

    def _way(self) -> Any:
        if self.jump is not None:
            self.jump.open()
            return dialing.through_transport(self.jump.transport, self.target, self.around.limits)
        if self.target.proxy_command:
            return dialing.through_command(self.target.proxy_command)
        return dialing.to_address(self.target, self.around.limits)

    def close(self) -> None:
        """Ends the connection, and those to its jump hosts."""
        if self._pulse is not None:
            self._pulse.stop()
        super().close()
        if self.jump is not None:
            self.jump.close()

    def lost(self) -> ConnectionFailed:
        """The error of a connection that broke."""
        silent = self._pulse is not None and self._pulse.dead
        why = "it does not answer any more" if silent else "the connection was lost"
        return ConnectionFailed(f"{self.target.place}: {why}", host=self.part)

    def broke(self, error: BaseException | None = None) -> bool:
        """Whether the connection is gone, or (where there is an error) that is what the error is about.

        A channel ends a moment before its transport does.
        """
        # paramiko gives its own errors no number, those of a file system have one
        if error is None or not isinstance(error, OSError) or error.errno is None or isinstance(error, ConnectionError):
            until = time.monotonic() + MOMENT
            while self.is_connected and time.monotonic() < until:
                time.sleep(0.02)
        return not self.is_connected

    def create_session(self) -> Any:
        """A new raw channel. Raises ConnectionFailed when there is none within the limit."""
        with self.alive():
            self.open()
            return super().create_session()

    # -- commands

    def run(self, command: str, **options: Any) -> Any:
        """Runs a shell line as it stands, as the login user. Everything else is as Fabric's ``run`` has it."""
        return self._execute("run", command, self._start_plainly, options)

    def sudo(self, command: str, *, user: str | None = None, **options: Any) -> Any:
        """Runs a shell line as ``user`` (root), with sudo where we are somebody else; options as Fabric's ``sudo``.

        The whole line runs as that user (``cd /root && ls`` works). A ``pty`` is never asked for: it would show
        what is typed. Raises SudoUnavailable when there is no way to become that user.
        """
        options = {**options, "pty": False}
        options.pop("password", None)
        if self._host_part is not None and self._host_part.no_sudo:
            raise SudoUnavailable("sudo is not possible: no-sudo is set", "no-sudo")

        def start(channel: paramiko.Channel, line: str) -> tuple[bytes, bytes]:
            token = new_token()
            channel.exec_command(quoting.as_typed(quoting.join(as_user(user or "root", token, ("sh", "-c", line)))))
            return self.become(channel, token)

        return self._execute("sudo", command, start, options)

    def root(self, line: str) -> Any:
        """Runs a shell line of ours as root; our standard input is not for it."""
        return self.sudo(line, in_stream=False)

    def become(self, channel: paramiko.Channel, token: str) -> tuple[bytes, bytes]:
        """The dialogue with sudo on a channel whose command was made by ``as_user``; returns what was read too far."""
        try:
            return Dialogue(channel, token, self.passwords, self.target.hostname, self.around.limits)()
        except (SudoUnavailable, ConnectionFailed) as error:
            error.host = self.part
            raise

    @staticmethod
    def _start_plainly(channel: paramiko.Channel, line: str) -> tuple[bytes, bytes]:
        channel.exec_command(quoting.as_typed(line))
        return b"", b""

    def _execute(self, kind: str, command: str, start: Start, options: dict[str, Any]) -> Any:
        self.open()
        line = self._prefix_commands(command)
        options = self._streams(dict(options))
        if "stdout" not in normalize_hide(options.get("hide"), options.get("out_stream")):
            self.say(kind, line)
        runner = Runner(context=self, inline_env=self.inline_ssh_env, start=start)
        with self.alive(), self._explained(), _whole_lines(options):
            result = runner.run(line, **options)
        if result is not None and getattr(result, "exited", 0) == -1 and self.broke():
            raise self.lost()
        return result

    def _streams(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options for Fabric: output goes to ``emit`` line by line, input is ours if there is any."""
        options.setdefault("hide", self.config.run.hide)
        hidden = normalize_hide(options["hide"])
        terminal = options.get("pty") and sys.stdout is not None and sys.stdout.isatty()
        if not terminal and not options.get("asynchronous"):
            for stream, kind in (("stdout", "out"), ("stderr", "err")):
                name = f"{kind}_stream"
                if stream not in hidden and options.get(name) is None:
                    options[name] = Lines(partial(self.say, kind))
        if options.get("in_stream") is None and not _has_input():
            options["in_stream"] = False
        options.setdefault("encoding", "utf-8")
        return options

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Fabric's failures as ours, which are Fabric's as well."""
        try:
            yield
        except UnexpectedExit as error:
            if error.result.exited == -1 and self.broke():
                raise self.lost() from error
            raise self._command_failed(_failed(error.result), error.result) from error
        except CommandTimedOut as error:
            why = f"'{error.result.command}' did not end within {error.timeout} s"
            raise self._command_failed(why, error.result) from error

    def _command_failed(self, why: str, result: Any) -> CommandFailed:
        return CommandFailed(why, result, host=self.part, tail=_tail(result))

    @contextmanager
    def alive(self) -> Iterator[None]:
        """What paramiko raises when the host is gone is ConnectionFailed."""
        try:
            yield
        except (SSHException, EOFError, OSError, ThreadException) as error:
            if self.broke(error):
                raise self.lost() from error
            if isinstance(error, SSHException):
                raise ConnectionFailed(f"{self.target.place}: {error}", host=self.part) from error
            raise

    # -- files

    def put(self, local: Any, remote: str | None = None, preserve_mode: bool = True) -> Any:
        """Fabric's ``put``, but of folders too, and never half a file under its name (see ``transfer``).

        ``local`` may be a file object, as with Fabric; that one is left to Fabric.
        """
        if hasattr(local, "read"):
            return super().put(local, remote, preserve_mode)
        target = transfer.put(self, local, remote or Path(local).name)
        return TransferResult(orig_remote=remote, remote=target, orig_local=local, local=str(local), connection=self)

    def get(self, remote: str, local: Any = None, preserve_mode: bool = True) -> Any:
        """Fabric's ``get``, likewise."""
        if hasattr(local, "write"):
            return super().get(remote, local, preserve_mode)
        place = transfer.get(self, remote, local or Path(remote).name)
        return TransferResult(orig_remote=remote, remote=remote, orig_local=local, local=str(place), connection=self)

    @contextmanager
    def files(self) -> Iterator[paramiko.SFTPClient]:
        """An SFTP session of its own. Raises RemoteError where the host offers none."""
        with self.alive():
            self.open()
            session = self._new_files()
        try:
            yield session
        finally:
            session.close()

    def _new_files(self) -> paramiko.SFTPClient:
        try:
            session: paramiko.SFTPClient = self.client.open_sftp()
        except SFTPError as error:
            why = f"SFTP does not begin at {self.target.place} ({error}): does its login shell print something?"
            raise RemoteError(why, host=self.part) from error
        except SSHException as error:
            if self.broke(error):
                raise
            raise RemoteError(f"{self.target.place} offers no SFTP: {error}", host=self.part) from error
        return session

    # -- saying

    @property
    def emit(self) -> Emit:
        return self.around.emit

    def say(self, kind: str, text: str) -> None:
        """An Event about this host."""
        if kind in ("put", "get"):
            self.around.emit(Event("line", f"[{self.label}] {kind}: {text}", self.label))
        else:
            self.around.emit(Event(kind, text, self.label))


def _jump(host: Host, label: str, around: Around, target: Target, way: int, login: str) -> Connection | None:
    """The connection to the last host before the target, which has its own before it."""
    if not target.proxy_jump or target.proxy_command:
        return None
    if way >= LONGEST_WAY:
        raise ConfigurationError(f"ProxyJump of {target.alias}: a loop in the ssh configuration", host=host.name)
    *before, last = target.proxy_jump
    hop = _hop(last)
    if hop.port == target.port and (hop.alias == target.alias or hop.hostname == target.hostname):
        # what OpenSSH makes of "Host *" with a ProxyJump: the jump host itself is reached directly
        return None
    if before:
        hop = replace(hop, proxy_jump=tuple(before))
    return Connection(host, label, around, target=hop, way=way + 1, login=login)


def _hop(word: str) -> Target:
    """``user@host:port`` or ``ssh://user@host:port``, with what the ssh configuration says of that host."""
    match = HOP.fullmatch(word)
    if match is None:
        raise ConfigurationError(f"ProxyJump of the ssh configuration: {word} is no host")
    address = match["bracketed"] or match["address"]
    port = int(match["port"]) if match["port"] else None
    return sshconfig.target(sshconfig.load(address, port, match["user"]), address)


def _failed(result: Any) -> str:
    if result.exited == -1:
        return f"'{result.command}' was ended by a signal"
    return f"'{result.command}' failed with status {result.exited}"


def _tail(result: Any) -> tuple[str, ...]:
    """The last lines of what has not been shown."""
    texts = [getattr(result, stream) for stream in ("stdout", "stderr") if stream in result.hide]
    return tuple("\n".join(text.strip("\n") for text in texts if text.strip()).splitlines()[-20:])


@contextmanager
def _whole_lines(options: dict[str, Any]) -> Iterator[None]:
    """The last line of output is given, even when it has no end."""
    try:
        yield
    finally:
        for name in ("out_stream", "err_stream"):
            if isinstance(options.get(name), Lines):
                options[name].close()


def _has_input() -> bool:
    try:
        return sys.stdin is not None and sys.stdin.fileno() >= 0
    except (OSError, ValueError, AttributeError):
        return False
