"""Runs the functions of a command one after the other, and knows for which host.

What does not belong here: which functions those are (``registry``), what they can do there (``environment``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostout.commands.command import Command, Hook
from hostout.commands.failure import described, failed_at
from hostout.errors import Aborted, HostoutError
from hostout.model import Event

if TYPE_CHECKING:
    from hostout.commands.host import HostoutHost

OURS = Path(__file__).parent.parent
"""Where an error is our own bug and keeps its traceback."""


@dataclass
class Rest:
    """What follows the function that runs: ``used`` once ``superfun`` has called it."""

    name: str
    commands: tuple[Command, ...]
    used: bool = False


_host: ContextVar[HostoutHost] = ContextVar("host")
_rest: ContextVar[Rest] = ContextVar("rest")


def current() -> HostoutHost:
    """The host that the running command is for. Raises ``HostoutError`` outside of a command."""
    try:
        return _host.get()
    except LookupError:
        raise HostoutError("no command is running here, so there is no host to do this on") from None


@contextmanager
def _set(variable: ContextVar[Any], value: object) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def run(host: HostoutHost, name: str, commands: Sequence[Command], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Runs the functions in order until one replaces or has called the rest; returns what the last one returned.

    Raises ``Aborted`` where one returns anything but ``None`` or ``True``.
    """
    result = None
    with _set(_host, host):
        for index, command in enumerate(commands):
            rest = Rest(name, tuple(commands[index + 1 :]))
            result = _one(host, command, rest, args, kwargs)
            if command.marks.replaces or rest.used:
                break
    return result


def _one(host: HostoutHost, command: Command, rest: Rest, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    if not host.previews(command, rest.name):
        return None
    if command.marks.announce:
        host.emit(announcement(rest.name, command.source))
    with _set(_rest, rest):
        result = guarded(host, f"command '{rest.name}'", command.source, lambda: _call(host, command, args, kwargs))
    return agreed(host, f"command '{rest.name}'", command.source, result)


def agreed(host: HostoutHost, what: str, source: str, result: Any) -> Any:
    """The result, if it says yes: ``None`` or ``True``. Raises ``Aborted``."""
    if result is not None and result is not True:
        raise Aborted(f"{what} from '{source}' returned {result!r}", host=host.name)
    return result


def announcement(name: str, source: str) -> Event:
    text = f"Running command '{name}' from '{source}'"
    return Event("hostout", text, data={"command": name, "source": source})


def _call(host: HostoutHost, command: Command, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    if not command.task:
        return command.function(*args, **kwargs)
    connection = host.connection
    for before in command.before:
        before(connection)
    result = command.function(connection, *args, **kwargs)
    for after in command.after:
        after(connection)
    return result


def superfun(*args: Any, **kwargs: Any) -> Any:
    """Calls what follows the running function in its chain; ``None`` where nothing follows."""
    rest = _rest.get(None)
    if rest is None:
        raise HostoutError("superfun calls what follows in a command's chain: no command is running here")
    rest.used = True
    return run(current(), rest.name, rest.commands, args, kwargs)


def call_hook(host: HostoutHost, hook: Hook) -> Any:
    """What a hook returns."""
    with _set(_host, host):
        return guarded(host, f"hook '{hook.kind}'", hook.source, hook.function)


def guarded(host: HostoutHost, what: str, source: str, call: Callable[[], Any]) -> Any:
    """Calls somebody's function; what goes wrong in it is one line that names it, not our traceback."""
    try:
        return call()
    except HostoutError as error:
        error.host = error.host or host.name
        raise
    except SystemExit as stop:
        why = "" if stop.code is None or isinstance(stop.code, int) else str(stop.code)
        raise Aborted(why, host=host.name) from stop
    except Exception as error:
        if Path(source).is_relative_to(OURS):
            raise
        raise HostoutError(_line(what, source, error), host=host.name) from error


def _line(what: str, source: str, error: Exception) -> str:
    line = failed_at(source, error)
    place = f"{what} from '{source}', line {line}" if line else f"{what} from '{source}'"
    return f"{place}: {_said(error)}"


def _said(error: Exception) -> str:
    """One line; Invoke's own errors say what failed in their result."""
    result = getattr(error, "result", None)
    if result is not None and hasattr(result, "command"):
        return f"a command here failed with status {result.exited}: {result.command}"
    return described(error)
