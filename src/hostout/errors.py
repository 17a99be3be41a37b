"""The errors a user can meet, one tree; each knows the exit status of the script.

What does not belong here: our own bugs. Those stay ordinary exceptions and end in a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable


class HostoutError(Exception):
    """One clear line for the user: what is wrong, where, and what to do.

    ``status`` is the exit status of the script (SPEC: 1 failed on a host, 2 usage or
    configuration, 3 not reached, 4 aborted, 130 interrupted). ``host`` is the name of the host
    part that it concerns, where there is one.
    """

    status = 1

    def __init__(self, message: str, *, host: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.host = host


class ConfigurationError(HostoutError):
    """Options, records or the command line are wrong; ``problems`` has every mistake, a line each."""

    status = 2

    def __init__(self, problems: str | Iterable[str], *, host: str | None = None) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems), host=host)


class PackagingError(HostoutError):
    """A distribution could not be built or found here; nothing has been sent to any host."""

    status = 2


class ConnectionFailed(HostoutError):
    """The host could not be reached or logged into, or the connection was lost."""

    status = 3


class RemoteError(HostoutError):
    """Something failed on a host.

    ``command`` is the command line that failed, ``tail`` its last lines, ``log`` the path of the whole log
    on the host; empty where there is none. ``strays`` is what a release may not leave behind unasked.
    """

    status = 1

    def __init__(
        self,
        message: str,
        *,
        host: str | None = None,
        command: str = "",
        tail: Iterable[str] = (),
        log: str = "",
        strays: Iterable[str] = (),
    ) -> None:
        super().__init__(message, host=host)
        self.command = command
        self.tail = tuple(tail)
        self.log = log
        self.strays = tuple(strays)


class NotReady(RemoteError):
    """A host cannot take a deployment as it stands, nothing was changed; ``problems`` has all of it, a line each."""

    def __init__(self, problems: Iterable[str], *, host: str | None = None, tail: Iterable[str] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems), host=host, tail=tail)


class Aborted(HostoutError):
    """A plugin, a fabfile or the user said no."""

    status = 4
