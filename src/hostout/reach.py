"""How the hosts of a session are reached: over SSH, with one person to ask and passwords asked for once.

Fabric is loaded when the first command needs a host; in a deployment while the packaging waits for another program, not
before that, as both would want the one core that a Python has. What does not belong here: which hosts, and in which
order (``session``).
"""

from __future__ import annotations

import contextlib
import getpass
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hostout.commands.host import HostoutHost
from hostout.errors import HostoutError
from hostout.model import Emit, Extent, Host, LocalBuildout, RunOptions, Secret
from hostout.remote.credentials import PasswordCache
from hostout.remote.early import Early, InTurn
from hostout.terminal import Terminal

if TYPE_CHECKING:
    from hostout.assembly import Packaging
    from hostout.remote.connection import Connection


class OverSsh:
    """What the connections and deployments of one session share."""

    def __init__(self, local: LocalBuildout, options: RunOptions, emit: Emit, hide: Callable[[Secret], None]) -> None:
        _have_a_name()
        self.local = local
        self.options = options
        self.emit = emit
        self.terminal = Terminal()
        self.passwords = PasswordCache(hide)
        self._early: Early[Connection] = Early()
        self._packagings: dict[str, Packaging] = {}
        self._loading = Loading()

    def login(self, host: Host) -> tuple[str, int]:
        """User and port, from the options and the ssh configuration. Connects to nothing."""
        from hostout.remote.connection import target_of  # noqa: PLC0415 - loads Fabric

        target = target_of(host)
        return target.user, target.port

    def connect(self, host: Host, label: str) -> Connection:
        """An open connection. Raises ``ConnectionFailed``."""
        opened = self._early.take(host.name)
        return self._connect(host, label) if opened is None else opened

    def connect_early(self, host: Host, label: str) -> None:
        """Begins to open the connection that ``connect`` gives later, beside what else is done."""
        self._early.begin(host.name, lambda: self._connect(host, label))

    def close(self) -> None:
        """Ends the connections that nobody has asked for in the end."""
        self._early.close()

    def _connect(self, host: Host, label: str) -> Connection:
        from hostout.remote.connection import connect  # noqa: PLC0415 - loads Fabric

        return connect(host, InTurn(self.terminal), self.emit, self.passwords, label)

    def ask(self, question: str) -> str:
        """A line that somebody types. Raises ``HostoutError`` where nobody is there to ask."""
        answer = self.terminal.line(question)
        if answer is None:
            raise HostoutError(f"there is no terminal to ask on: {question.strip()}")
        return answer

    def deployment(self, host: HostoutHost, label: str) -> Any:
        """The deployment of a host, in which nothing has happened yet."""
        from hostout.assembly import deployment  # noqa: PLC0415 - only deployments pay for what it loads

        return deployment(host, label, self._packaging(host.host_part), self.emit, self.options, self.terminal.confirm)

    def prepare(self, hosts: Sequence[HostoutHost], extent: Extent, keep_going: bool) -> Mapping[str, HostoutError]:
        """Checks, packages and questions all hosts, before anything is changed on one; what went wrong by host."""
        from hostout.deploy.fleet import Candidate, prepare  # noqa: PLC0415 - as above

        candidates = [Candidate(host, self._packaging(host.host_part).prepare) for host in hosts]
        return prepare(candidates, extent, keep_going=keep_going)

    def _packaging(self, host: Host) -> Packaging:
        from hostout.assembly import Packaging  # noqa: PLC0415 - as above

        if host.name not in self._packagings:
            self._packagings[host.name] = Packaging(host, self.local, self.emit, self._loading.begin)
        return self._packagings[host.name]


def _have_a_name() -> None:
    """Whoever has only a number (in a container, say) goes by that: Python knows no name then, and paramiko asks it."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = str(os.getuid())


class Loading:
    """Fabric and what needs it, loaded beside something else; whoever imports it next waits for that."""

    def __init__(self) -> None:
        self._begun = False

    def begin(self) -> None:
        """Begins, once."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._load, name="hostout-loading").start()

    def _load(self) -> None:
        # an error is met again, and reported, by who imports it next
        with contextlib.suppress(Exception):
            import_module("hostout.deploy.engine")
            import_module("hostout.remote.agent").pack_meanwhile()
