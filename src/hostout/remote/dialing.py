"""From a Target to a transport that is logged in: socket, key exchange, host key, login, and the pulse afterwards.

Every wait has its limit, every failure becomes one line. What does not belong here: what is done on the connection.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import subprocess
import threading
from typing import Any

import paramiko
from paramiko.ssh_exception import ChannelException, SSHException

from hostout.errors import ConnectionFailed
from hostout.remote.hostkeys import HostKeys
from hostout.remote.limits import Limits
from hostout.remote.sshconfig import Target

# paramiko reports to its log what it also raises; without a handler Python would print that, traceback and all
logging.getLogger("paramiko").addHandler(logging.NullHandler())


def to_address(target: Target, limits: Limits) -> socket.socket:
    """A TCP connection to the first address of the host that takes one. Raises ConnectionFailed."""
    try:
        found = socket.getaddrinfo(target.hostname, target.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else str(error)
        raise ConnectionFailed(f"{target.hostname}: the name does not resolve ({reason})") from error
    failures = []
    for family, kind, protocol, _, address in found:
        try:
            return _connected(socket.socket(family, kind, protocol), address, target.connect_timeout or limits.connect)
        except OSError as error:
            failures.append(_refusal(target, str(address[0]), error))
    raise ConnectionFailed("; ".join(failures))


def _connected(connection: socket.socket, address: Any, limit: float) -> socket.socket:
    try:
        connection.settimeout(limit)
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # as OpenSSH does: a small packet behind another one would wait until the host has acknowledged that, which takes a
    # round trip, or the 40 ms by which Linux puts it off
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _refusal(target: Target, address: str, error: OSError) -> str:
    name = target.hostname if address == target.hostname else f"{target.hostname} ({address})"
    if isinstance(error, TimeoutError):
        return f"{name}, port {target.port} does not answer"
    if isinstance(error, ConnectionRefusedError):
        return f"{name}, port {target.port} refused the connection"
    return f"{name}, port {target.port}: {error.strerror or error}"


def through_command(command: str) -> socket.socket:
    """A connection whose other end is the standard input and output of a local command (``ProxyCommand``).

    The command ends itself when its input does; its standard error is ours. Ctrl-C is not for it: what it means is to
    be said to the host.
    """
    ours, its = socket.socketpair()
    line = f"trap '' INT; exec {command}"
    with its:
        # forgotten on purpose: nobody waits for it but the thread that collects its status
        proxy = subprocess.Popen(["/bin/sh", "-c", line], stdin=its.fileno(), stdout=its.fileno())
    threading.Thread(target=proxy.wait, daemon=True).start()
    return ours


def through_transport(jump: paramiko.Transport, target: Target, limits: Limits) -> paramiko.Channel:
    """A connection that a jump host makes for us. Raises ConnectionFailed."""
    destination = (target.hostname, target.port)
    try:
        return jump.open_channel("direct-tcpip", destination, ("127.0.0.1", 0), timeout=limits.channel)
    except ChannelException as error:
        raise ConnectionFailed(f"{target.place}: the jump host could not connect to it ({error.text})") from error
    except (SSHException, EOFError, OSError) as error:
        raise ConnectionFailed(f"{target.place}: the jump host does not connect to it ({error})") from error


def handshake(
    connection: socket.socket | paramiko.Channel, target: Target, keys: HostKeys, limits: Limits
) -> paramiko.Transport:
    """The encrypted transport to a host whose key was checked; nobody is logged in yet. Raises ConnectionFailed."""
    try:
        transport = paramiko.Transport(connection)
    except (SSHException, OSError, EOFError) as error:
        connection.close()
        raise ConnectionFailed(f"{target.place}: {error}") from error
    try:
        _set(transport, keys, limits, target.connect_timeout or limits.banner)
        _exchange_keys(transport, target)
        keys.check(transport.get_remote_server_key())
    except BaseException:
        transport.close()
        raise
    return transport


def _set(transport: paramiko.Transport, keys: HostKeys, limits: Limits, banner: float) -> None:
    """``banner``: ConnectTimeout of the ssh configuration is the limit of the first exchange too, as OpenSSH has it.

    Ciphers that need no digest beside them come first: an upload costs a third less time here (measured).
    """
    transport.daemon = True
    transport.banner_timeout = banner
    transport.handshake_timeout = banner
    transport.auth_timeout = limits.login
    transport.channel_timeout = limits.channel
    options = transport.get_security_options()
    options.key_types = keys.preferred(options.key_types)
    options.ciphers = tuple(sorted(options.ciphers, key=lambda name: "gcm" not in name))


def _exchange_keys(transport: paramiko.Transport, target: Target) -> None:
    try:
        transport.start_client(timeout=transport.banner_timeout + 1)
    except (SSHException, OSError, EOFError) as error:
        raise ConnectionFailed(f"{target.place}: {_broken_handshake(error)}") from error


def _broken_handshake(error: Exception) -> str:
    """What to call a failure of the first exchange; the cause hides in what paramiko chains to it."""
    text = str(error)
    causes = (error, error.__cause__, error.__context__)
    if any(isinstance(cause, TimeoutError) for cause in causes) or "timeout" in text.lower():
        return "accepts connections, but says nothing"
    if "protocol version" in text.lower() and "indecipherable" in text.lower():
        return "does not speak SSH"
    if "banner" in text.lower() and not any(isinstance(cause, EOFError | ConnectionError) for cause in causes):
        return "does not speak SSH"
    if isinstance(error, EOFError) or not text or "banner" in text.lower():
        return "ended the connection before the login"
    return f"no SSH connection: {text}"


class Pulse(threading.Thread):
    """Asks the host for a sign of life now and then, and closes the transport of a host that gives none."""

    def __init__(self, transport: paramiko.Transport, limits: Limits) -> None:
        super().__init__(daemon=True, name="hostout-pulse")
        self.transport = transport
        self.limits = limits
        self.dead = False
        self._stop_now = threading.Event()

    def run(self) -> None:
        while not self._stop_now.wait(self.limits.keepalive) and self.transport.is_active():
            # the answer is waited for without limit there; a thread of its own can be given up
            beat = threading.Thread(target=self._ask, daemon=True)
            beat.start()
            beat.join(self.limits.silence)
            if beat.is_alive() and not self._stop_now.is_set():
                self.dead = True
                self.transport.close()
                return

    def _ask(self) -> None:
        with contextlib.suppress(SSHException, OSError, EOFError):  # the transport ended: everybody notices
            self.transport.global_request("keepalive@openssh.com", wait=True)

    def stop(self) -> None:
        """No more questions."""
        self._stop_now.set()
