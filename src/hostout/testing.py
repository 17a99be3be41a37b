"""A host inside the process: a real SSH server on a loopback port whose commands run here, in a temporary home.

For tests (ours and those of plugins) and for the demonstration. It needs no root and no installed server::

    with EmbeddedHost(tmp_path, password="s3cret") as host:
        host.write_known_hosts(home / ".ssh" / "known_hosts")
        ...                                   # ssh -p {host.port} {host.user}@{host.address}
        assert host.commands == ["uname -a"]

It knows no other users, no sudo and no systemd: whoever runs it is whom commands run as. What does not belong
here: anything that the client side needs.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import getpass
import hashlib
import logging
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)
from paramiko.server import InteractiveQuery
from paramiko.sftp import SFTP_OK

# what clients do wrong is theirs to say
logging.getLogger("paramiko").addHandler(logging.NullHandler())

BLOCK = 64 * 1024
DRAINED = 30.0
"""Seconds that a client may take for what a command has written when it ends."""

GONE = (OSError, EOFError, paramiko.SSHException)
"""What paramiko raises when the client is gone."""
CONTROLLING_TERMINAL = (
    "import fcntl,os,sys,termios; fcntl.ioctl(0,termios.TIOCSCTTY,0); os.execvp(sys.argv[1],sys.argv[1:])"
)


class EmbeddedHost:
    """An SSH server in ``folder``; a context manager, everything it started is gone afterwards.

    ``user`` (default: the local user) logs in with ``password``, or with one of ``authorized_keys`` (lines as in
    ``~/.ssh/authorized_keys``, or paths of public key files). ``interactive`` takes the password by
    keyboard-interactive only. ``noise`` is what the login shell says before each command. ``environment`` is added to
    that of the commands, whose ``PATH`` begins with ``bin`` of the folder, so that a test can put programs there.

    What happened: ``connections``, ``attempts`` (logins tried), ``logins`` (users let in), ``commands`` (what was
    run), ``received`` and ``sent`` (bytes on the wire). Faults: :attr:`silent`, :attr:`speed` (bytes a second that it
    takes from a client), :meth:`freeze`, :meth:`drop_after`, :meth:`change_host_key`;
    :meth:`clear_faults` ends them for the next connections.
    """

    address = "127.0.0.1"

    def __init__(
        self,
        folder: Path | str,
        *,
        user: str | None = None,
        password: str | None = None,
        authorized_keys: Iterable[str | Path] = (),
        interactive: bool = False,
        port: int = 0,
        shell: str = "/bin/sh",
        noise: str = "",
        environment: dict[str, str] | None = None,
        linger: float = 5.0,
    ) -> None:
        self.folder = Path(folder)
        self.home = self.folder / "home"
        self.bin = self.folder / "bin"
        self.user = user or getpass.getuser()
        self.password = password
        self.authorized = {key for source in authorized_keys for key in _public_keys(source)}
        self.interactive = interactive
        self.port = port
        self.shell = shell
        self.noise = noise
        self.environment = environment or {}
        self.linger = linger
        self.silent = False
        self.speed: float | None = None
        self.connections = 0
        self.attempts: list[str] = []
        self.logins: list[str] = []
        self.commands: list[str] = []
        self.received = 0
        self.sent = 0
        self._limit: int | None = None
        self._open: list[_Line] = []
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self.host_key = _host_key(self.folder / "host_key")

    # -- life

    def __enter__(self) -> EmbeddedHost:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> EmbeddedHost:
        """Listens on ``port`` (chosen by the system where it was 0) and serves until ``stop``."""
        for folder in (self.home, self.bin):
            folder.mkdir(parents=True, exist_ok=True)
        self._listener = socket.create_server((self.address, self.port), backlog=100)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Ends listening, every connection, and every command still running."""
        if self._listener is not None:
            with contextlib.suppress(OSError):  # not connected: that is what it says of a listening socket elsewhere
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self.disconnect()
        for process in list(self._running):
            _kill(process)

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            line = _Line(connection, self)
            self._open.append(line)
            if not self.silent:
                threading.Thread(target=_talk, args=(self, line), daemon=True).start()

    # -- what clients need to know

    @property
    def fingerprint(self) -> str:
        """``SHA256:…`` of the host key, as OpenSSH prints it."""
        digest = hashlib.sha256(self.host_key.asbytes()).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @property
    def known_hosts_line(self) -> str:
        """The line of a ``known_hosts`` file that makes this host known."""
        return f"[{self.address}]:{self.port} {self.host_key.get_name()} {self.host_key.get_base64()}\n"

    def write_known_hosts(self, path: Path | str) -> Path:
        """Adds this host to the ``known_hosts`` file ``path`` (made where missing); returns it."""
        path = Path(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("a") as known:
            known.write(self.known_hosts_line)
        return path

    # -- faults

    def change_host_key(self) -> None:
        """Shows another host key from the next connection on."""
        (self.folder / "host_key").unlink()
        self.host_key = _host_key(self.folder / "host_key")

    def drop_after(self, received: int) -> None:
        """Cuts every connection as soon as ``received`` more bytes came from clients."""
        self._limit = self.received + received

    def clear_faults(self) -> None:
        """The next connections work."""
        self.silent, self.speed, self._limit = False, None, None

    def disconnect(self) -> None:
        """Cuts all connections now."""
        for line in list(self._open):
            line.cut()

    def freeze(self) -> None:
        """Neither reads nor writes any more on the connections there are, without closing them."""
        for line in list(self._open):
            line.frozen.set()

    # -- called by the connections

    def count_received(self, size: int) -> bool:
        """Counts; says whether the line holds."""
        with self._lock:
            self.received += size
            return self._limit is None or self.received < self._limit

    def count_sent(self, size: int) -> None:
        """Counts what went to clients."""
        with self._lock:
            self.sent += size

    def forget(self, line: _Line) -> None:
        """A connection ended."""
        if line in self._open:
            self._open.remove(line)

    def variables(self) -> dict[str, str]:
        """The environment of commands."""
        return {
            "HOME": str(self.home),
            "USER": self.user,
            "LOGNAME": self.user,
            "SHELL": self.shell,
            "LANG": "C.UTF-8",
            "PATH": os.pathsep.join((str(self.bin), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")),
            **self.environment,
        }

    @contextlib.contextmanager
    def running(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Remembers a process while it runs."""
        self._running.add(process)
        try:
            yield
        finally:
            self._running.discard(process)


def make_key(path: Path | str, passphrase: str | None = None) -> Path:
    """A new private key (ECDSA) in ``path`` and its public one in ``path.pub``; returns ``path``."""
    path = Path(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = paramiko.ECDSAKey.generate()
    key.write_private_key_file(str(path), password=passphrase)
    path.with_name(path.name + ".pub").write_text(f"{key.get_name()} {key.get_base64()} made-by-hostout\n")
    return path


def _host_key(path: Path) -> paramiko.ECDSAKey:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        make_key(path)
    return paramiko.ECDSAKey.from_private_key_file(str(path))


def _public_keys(source: str | Path) -> Iterator[str]:
    """The base64 parts of the keys in a path, or in text as in ``authorized_keys``."""
    text = source.read_text() if isinstance(source, Path) else source
    for line in text.splitlines():
        yield next(word for word in line.split() if word.startswith("AAAA"))


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class _Line:
    """A socket for paramiko that counts, freezes and breaks as the host is told to.

    What is in ``begin`` is called before it is read from again.
    """

    def __init__(self, connection: socket.socket, host: EmbeddedHost) -> None:
        self.connection = connection
        self.host = host
        self.frozen = threading.Event()
        self.begin: list[Callable[[], object]] = []

    def recv(self, size: int) -> bytes:
        # who reads on has answered what it read before: a command that ends at once must not close its channel
        # before the client was told that it began
        while self.begin:
            self.begin.pop(0)()
        self._hold()
        data = self.connection.recv(size)
        if not self.host.count_received(len(data)):
            self.cut()
            raise OSError(errno.ECONNRESET, "dropped on purpose")
        if self.host.speed:
            time.sleep(len(data) / self.host.speed)
        self._hold()
        return data

    def send(self, data: bytes) -> int:
        self._hold()
        size = self.connection.send(data)
        self.host.count_sent(size)
        return size

    def _hold(self) -> None:
        while self.frozen.is_set() and self.connection.fileno() != -1:
            time.sleep(0.02)

    def cut(self) -> None:
        """Ends the connection without a farewell."""
        with contextlib.suppress(OSError):  # gone already
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close()

    def close(self) -> None:
        self.host.forget(self)
        self.connection.close()

    def settimeout(self, seconds: float | None) -> None:
        with contextlib.suppress(OSError):  # closed already: recv says so
            self.connection.settimeout(seconds)

    @property
    def _closed(self) -> bool:  # paramiko looks at this of a socket when the interpreter ends
        return self.connection.fileno() == -1

    def getpeername(self) -> Any:
        return self.connection.getpeername()


def _talk(host: EmbeddedHost, line: _Line) -> None:
    """One connection from key exchange to its end."""
    transport = paramiko.Transport(line)  # type: ignore[arg-type]  # it wants just these methods of a socket
    transport.add_server_key(host.host_key)
    transport.set_subsystem_handler("sftp", _Sftp, _Files)
    rules = _Rules(host, line)
    try:
        transport.start_server(server=rules)
    except (paramiko.SSHException, EOFError, OSError):
        line.close()
        return
    while transport.is_active():
        channel = transport.accept(1.0)
        if channel is not None and channel.get_id() in rules.forwards:
            target = rules.forwards.pop(channel.get_id())
            threading.Thread(target=_forward, args=(channel, target), daemon=True).start()
    line.close()


class _Rules(paramiko.ServerInterface):
    """Who may log in and what a session may ask for, as ``EmbeddedHost`` was told."""

    def __init__(self, host: EmbeddedHost, line: _Line) -> None:
        self.host = host
        self.line = line
        self.entered = False
        self.sizes: dict[int, tuple[int, int]] = {}
        self.variables: dict[int, dict[str, str]] = {}
        self.forwards: dict[int, tuple[str, int]] = {}

    def get_allowed_auths(self, username: str) -> str:
        methods = ["publickey"] if self.host.authorized else []
        if self.host.password is not None:
            methods.append("keyboard-interactive" if self.host.interactive else "password")
        return ",".join(methods)

    def _decide(self, method: str, user: str, fits: bool) -> int:
        self.host.attempts.append(method)
        if not fits or user != self.host.user:
            return AUTH_FAILED
        if not self.entered:  # a client may ask whether a key would do before it signs with it
            self.host.logins.append(user)
        self.entered = True
        return AUTH_SUCCESSFUL

    def check_auth_password(self, username: str, password: str) -> int:
        fits = password == self.host.password and not self.host.interactive
        return self._decide("password", username, fits)

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return self._decide("publickey", username, key.get_base64() in self.host.authorized)

    def check_auth_interactive(self, username: str, submethods: str) -> int | InteractiveQuery:
        if not self.host.interactive or username != self.host.user:
            return AUTH_FAILED
        return InteractiveQuery("", "", ("Password: ", False))

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        return self._decide("keyboard-interactive", self.host.user, list(responses) == [self.host.password])

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if kind == "session":
            return OPEN_SUCCEEDED
        return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        self.forwards[chanid] = destination
        return OPEN_SUCCEEDED

    def check_channel_env_request(self, channel: paramiko.Channel, name: bytes, value: bytes) -> bool:
        self.variables.setdefault(channel.get_id(), {})[name.decode()] = value.decode()
        return True

    def check_channel_pty_request(
        self,
        channel: paramiko.Channel,
        term: bytes,
        width: int,
        height: int,
        pixelwidth: int,
        pixelheight: int,
        modes: bytes,
    ) -> bool:
        self.sizes[channel.get_id()] = (height, width)
        return True

    def check_channel_window_change_request(
        self, channel: paramiko.Channel, width: int, height: int, pixelwidth: int, pixelheight: int
    ) -> bool:
        return True

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        return self._start(channel, command.decode("utf-8", "surrogateescape"))

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        return self._start(channel, None)

    def _start(self, channel: paramiko.Channel, command: str | None) -> bool:
        number = channel.get_id()
        session = _Session(self.host, channel, command, self.sizes.get(number), self.variables.get(number, {}))
        if command is not None:
            self.host.commands.append(command)
        self.line.begin.append(threading.Thread(target=session.run, daemon=True).start)
        return True


class _Session:
    """A command of a client, run here: its three streams, its status, its end."""

    def __init__(
        self,
        host: EmbeddedHost,
        channel: paramiko.Channel,
        command: str | None,
        size: tuple[int, int] | None,
        variables: dict[str, str],
    ) -> None:
        self.host = host
        self.channel = channel
        self.size = size
        self.argv = [host.shell] if command is None else [host.shell, "-c", command]
        self.variables = {**host.variables(), **variables}

    def run(self) -> None:
        """Runs the command to its end, or to that of the connection."""
        if self.host.noise:
            with contextlib.suppress(*GONE):
                self.channel.sendall(self.host.noise.encode())
        if self.size is None:
            process, pumps = self._with_pipes()
        else:
            process, pumps = self._with_terminal(self.size)
        with self.host.running(process):
            outputs = [_thread(pump, *arguments) for pump, *arguments in pumps]
            self._wait(process)
            for thread, (_, source, _) in zip(outputs, pumps, strict=True):
                _join_while_full(thread, source)
            self._report(process.returncode)
            # like sshd: a child that kept the output keeps the channel open
            for thread in outputs:
                thread.join()
        _hang_up(self.channel)

    def _with_pipes(self) -> tuple[subprocess.Popen[bytes], list[tuple[Callable[..., None], Any, Any]]]:
        process = subprocess.Popen(
            self.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.host.home,
            env=self.variables,
            start_new_session=True,
        )
        assert process.stdin and process.stdout and process.stderr
        _thread(self._feed, process.stdin.fileno(), process.stdin.close)
        return process, [
            (_pump, process.stdout, self.channel.sendall),
            (_pump, process.stderr, self.channel.sendall_stderr),
        ]

    def _with_terminal(
        self, size: tuple[int, int]
    ) -> tuple[subprocess.Popen[bytes], list[tuple[Callable[..., None], Any, Any]]]:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", CONTROLLING_TERMINAL, *self.argv],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=self.host.home,
            env={**self.variables, "TERM": "xterm"},
            start_new_session=True,
        )
        os.close(slave)
        keyboard = os.dup(master)
        _thread(self._feed, keyboard, lambda: os.close(keyboard))
        return process, [(_pump, os.fdopen(master, "rb", buffering=0), self.channel.sendall)]

    def _feed(self, descriptor: int, close: Callable[[], None]) -> None:
        """Hands what the client sends to the command, until either of them ends it."""
        with contextlib.suppress(*GONE):  # or the command reads no more
            while data := self.channel.recv(BLOCK):
                _write(descriptor, data)
        with contextlib.suppress(OSError):
            close()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        """Until the command ends; when the client is gone it gets ``linger`` seconds to notice."""
        gone: float | None = None
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
                return
            if self.channel.closed:
                gone = gone or time.monotonic()
                if time.monotonic() - gone > self.host.linger:
                    _kill(process)

    def _report(self, status: int) -> None:
        if status < 0:  # ended by a signal: what a shell makes of it
            status = 128 - status
        with contextlib.suppress(*GONE):
            self.channel.send_exit_status(status)


def _thread(target: Callable[..., None], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread


def _join_while_full(pump: threading.Thread, source: Any) -> None:
    """Until a pump has ended, or stands before an empty pipe: a child of the command keeps that open."""
    pump.join(0.5)
    until = time.monotonic() + DRAINED
    while pump.is_alive() and _waiting(source) and time.monotonic() < until:
        pump.join(0.1)


def _waiting(source: Any) -> int:
    """Bytes that nobody has read yet."""
    try:
        (size,) = struct.unpack("i", fcntl.ioctl(source, termios.FIONREAD, bytes(4)))
    except (OSError, ValueError):  # closed
        return 0
    return int(size)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _pump(source: Any, send: Callable[[bytes], None]) -> None:
    """From a file of a process to the client until its end; goes on reading when the client is gone."""
    with source:
        while True:
            try:
                data = os.read(source.fileno(), BLOCK)
            except OSError:  # EIO: the last one closed the terminal
                return
            if not data:
                return
            with contextlib.suppress(*GONE):
                send(data)


def _forward(channel: paramiko.Channel, target: tuple[str, int]) -> None:
    """What a jump host does: a connection from here to ``target`` through the channel."""
    try:
        connection = socket.create_connection(target, timeout=10)
    except OSError:
        _hang_up(channel)
        return
    connection.settimeout(None)
    back = _thread(_pump, connection, channel.sendall)
    with contextlib.suppress(*GONE):
        while data := channel.recv(BLOCK):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
    back.join(5)
    connection.close()
    _hang_up(channel)


def _hang_up(channel: paramiko.Channel) -> None:
    """Says goodbye to a client that may be gone."""
    with contextlib.suppress(*GONE):
        channel.close()


def _answers(method: Callable[..., Any]) -> Callable[..., Any]:
    """Turns errors of the file system into the answers of SFTP."""

    def answer(self: _Files, *arguments: Any) -> Any:
        try:
            result = method(self, *arguments)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        return SFTP_OK if result is None else result

    return answer


class _Sftp(paramiko.SFTPServer):
    """Closes the files of a client that went away, which paramiko forgets when it cannot say goodbye."""

    def finish_subsystem(self) -> None:
        for file in self.file_table.values():
            file.close()
        with contextlib.suppress(*GONE):
            super().finish_subsystem()


class _Files(paramiko.SFTPServerInterface):
    """SFTP on the file system here; relative paths begin in the home of the host."""

    def __init__(self, server: _Rules, *arguments: Any, **options: Any) -> None:
        super().__init__(server, *arguments, **options)
        self.home = server.host.home

    def _path(self, path: str) -> Path:
        return self.home / path

    def canonicalize(self, path: str) -> str:
        return os.path.realpath(self._path(path))

    @_answers
    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes]:
        return [
            paramiko.SFTPAttributes.from_stat(entry.lstat(), entry.name) for entry in sorted(self._path(path).iterdir())
        ]

    @_answers
    def stat(self, path: str) -> paramiko.SFTPAttributes:
        return paramiko.SFTPAttributes.from_stat(self._path(path).stat())

    @_answers
    def lstat(self, path: str) -> paramiko.SFTPAttributes:
        return paramiko.SFTPAttributes.from_stat(self._path(path).lstat())

    @_answers
    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle:
        mode = attr.st_mode if attr.st_mode is not None else 0o666
        descriptor = os.open(self._path(path), flags, mode)
        handle = paramiko.SFTPHandle(flags)
        file = os.fdopen(descriptor, "rb" if flags & os.O_ACCMODE == os.O_RDONLY else "wb")
        handle.readfile = handle.writefile = file  # type: ignore[attr-defined]  # SFTPHandle reads these two
        return handle

    @_answers
    def chattr(self, path: str, attr: paramiko.SFTPAttributes) -> None:
        paramiko.SFTPServer.set_file_attr(str(self._path(path)), attr)

    @_answers
    def remove(self, path: str) -> None:
        self._path(path).unlink()

    @_answers
    def rename(self, oldpath: str, newpath: str) -> None:
        if self._path(newpath).exists():  # SFTP version 3 never replaces; posix_rename does
            raise FileExistsError(errno.EEXIST, newpath)
        self._path(oldpath).rename(self._path(newpath))

    @_answers
    def posix_rename(self, oldpath: str, newpath: str) -> None:
        self._path(oldpath).replace(self._path(newpath))

    @_answers
    def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> None:
        self._path(path).mkdir(mode=attr.st_mode if attr.st_mode is not None else 0o777)

    @_answers
    def rmdir(self, path: str) -> None:
        self._path(path).rmdir()

    @_answers
    def readlink(self, path: str) -> str:
        return str(self._path(path).readlink())

    @_answers
    def symlink(self, target_path: str, path: str) -> None:
        self._path(path).symlink_to(target_path)
