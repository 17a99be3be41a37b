"""How the hosts of a session are reached: over SSH, with one person to ask and passwords asked for once.

Loads Fabric, so it is imported when the first command needs a host. What does not belong here: which hosts, and in
which order (``session``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hostout.commands.host import HostoutHost
from hostout.errors import HostoutError
from hostout.model import Emit, Extent, Host, LocalBuildout, RunOptions, Secret
from hostout.remote.connection import Connection, connect, target_of
from hostout.remote.credentials import PasswordCache
from hostout.terminal import Terminal


class OverSsh:
    """What the connections and deployments of one session share."""

    def __init__(self, local: LocalBuildout, options: RunOptions, emit: Emit, hide: Callable[[Secret], None]) -> None:
        self.local = local
        self.options = options
        self.emit = emit
        self.terminal = Terminal()
        self.passwords = PasswordCache(hide)

    def login(self, host: Host) -> tuple[str, int]:
        """User and port, from the options and the ssh configuration. Connects to nothing."""
        target = target_of(host)
        return target.user, target.port

    def connect(self, host: Host, label: str) -> Connection:
        """An open connection. Raises ``ConnectionFailed``."""
        return connect(host, self.terminal, self.emit, self.passwords, label)

    def ask(self, question: str) -> str:
        """A line that somebody types. Raises ``HostoutError`` where nobody is there to ask."""
        answer = self.terminal.line(question)
        if answer is None:
            raise HostoutError(f"there is no terminal to ask on: {question.strip()}")
        return answer

    def deployment(self, host: HostoutHost, label: str) -> Any:
        """The deployment of a host, in which nothing has happened yet."""
        from hostout.assembly import deployment  # noqa: PLC0415 - only deployments pay for what it loads

        return deployment(host, label, self.local, self.options, self.emit, self.terminal.confirm)

    def prepare(self, hosts: Sequence[HostoutHost], extent: Extent, keep_going: bool) -> Mapping[str, HostoutError]:
        """Checks, packages and questions all hosts, before anything is changed on one; what went wrong by host."""
        from hostout.deploy.fleet import Candidate, prepare  # noqa: PLC0415 - as above

        candidates = [Candidate(host.deployment, host.run_checks) for host in hosts]
        return prepare(candidates, extent, keep_going=keep_going)
