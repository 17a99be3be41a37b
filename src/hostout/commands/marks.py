"""What the decorators write on functions of fabfiles and plugins, and what the registry reads there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

Marked = TypeVar("Marked", bound=Callable[..., Any])

HOOKS = ("check", "stop", "start", "health")
"""The moments of a deployment that a plugin can take part in, beside the commands that it joins."""

_ATTRIBUTE = "__hostout__"


@dataclass(frozen=True)
class Marks:
    """``replaces``: takes the place of all that follow. ``hook``: not a command but one of HOOKS. ``announce``: its
    ``Running command`` line is printed. ``deploys``: part of a deployment, every host is checked before it runs;
    ``packages``: and the release is made before; ``switches``: a release goes live. ``looks``: with ``--dry-run`` it
    runs as well, because it changes nothing then. ``aliases``: further names."""

    replaces: bool = False
    hook: str = ""
    announce: bool = True
    deploys: bool = False
    packages: bool = False
    switches: bool = False
    looks: bool = False
    aliases: tuple[str, ...] = ()


def marks(function: object) -> Marks:
    """The marks of a function, or of a Fabric task (whose body may carry them)."""
    own = getattr(function, "__dict__", {}).get(_ATTRIBUTE)
    if own is None:
        own = getattr(getattr(function, "body", None), _ATTRIBUTE, None)
    return own if isinstance(own, Marks) else Marks()


def _mark(function: Marked, **changes: Any) -> Marked:
    setattr(function, _ATTRIBUTE, replace(marks(function), **changes))
    return function


def replaces(function: Marked) -> Marked:
    """This function takes the place of all that follow in its chain; ``superfun(*args)`` calls them."""
    return _mark(function, replaces=True)


def hook(name: str) -> Callable[[Marked], Marked]:
    """``@hook("check")`` makes a function without arguments a hook of that name, not a command.

    ``check`` runs here, for every host before anything is changed anywhere, and may ``abort("why")``. ``stop``,
    ``start`` and ``health`` return the Steps (``command_step``) that the host does by itself, decided from options
    only.
    """
    return lambda function: _mark(function, hook=name)


def deploys(
    *, packages: bool = False, switches: bool = False, announce: bool = True
) -> Callable[[Marked], Marked]:
    """Marks a built-in command as part of a deployment."""
    return lambda function: _mark(function, deploys=True, packages=packages, switches=switches, announce=announce)


def looks(function: Marked) -> Marked:
    """Marks a built-in command that changes nothing, or says with ``--dry-run`` what it would change."""
    return _mark(function, looks=True)


def alias(*names: str) -> Callable[[Marked], Marked]:
    """Further names of a command."""
    return lambda function: _mark(function, aliases=names)
