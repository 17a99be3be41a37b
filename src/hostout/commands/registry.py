"""Which commands a host has, and the functions behind each in the order they run.

A host's own fabfiles come first, then its plugins in the order of ``extends``, the built-in commands last. What
does not belong here: running them (``chain``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from hostout.commands import loading
from hostout.commands.command import Command, Hook
from hostout.commands.loading import Loaded
from hostout.errors import ConfigurationError
from hostout.model import Extent, Plugin

BUILT_IN = "hostout.fabfile"


def normal(name: str) -> str:
    """Names that differ in ``-`` and ``_`` only are one command: Fabric shows the one and people write the other."""
    return name.replace("-", "_")


@dataclass(frozen=True)
class Commands:
    """The commands and hooks of one host; ``problems`` has a line for each file that could not be loaded."""

    functions: tuple[Command, ...] = ()
    hooks: tuple[Hook, ...] = ()
    problems: tuple[str, ...] = ()
    leaders: dict[str, str] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return normal(name) in self.leaders

    def chain(self, name: str) -> tuple[Command, ...]:
        """Every function of a command, in order; empty where the host has no such command."""
        leader = self.leaders.get(normal(name))
        return tuple(c for c in self.functions if self.leaders[normal(c.name)] == leader)

    def active(self, name: str) -> tuple[Command, ...]:
        """The functions that run by themselves: up to the first that replaces what follows."""
        chain = self.chain(name)
        ends = [index for index, command in enumerate(chain) if command.marks.replaces]
        return chain[: ends[0] + 1] if ends else chain

    def listing(self) -> dict[str, str]:
        """The first line of the documentation by name, aliases too, sorted."""
        shown: dict[str, tuple[str, str]] = {}
        for name in (name for command in self.functions for name in command.names):
            shown.setdefault(normal(name), (name, self.doc(name)))
        return dict(sorted(shown.values()))

    def doc(self, name: str) -> str:
        return next((command.doc for command in self.chain(name) if command.doc), "")

    def required(self, name: str) -> int:
        return max((command.required for command in self.active(name)), default=0)

    def deploys(self, name: str) -> bool:
        """Whether it is part of a deployment: every host is checked before the first one runs it."""
        return any(command.marks.deploys for command in self.chain(name))

    def extent(self, name: str) -> Extent:
        """How far it takes a deployment."""
        marks = [command.marks for command in self.chain(name)]
        return Extent(any(m.packages for m in marks), any(m.switches for m in marks))

    def misfits(self, name: str, arguments: Sequence[str]) -> list[str]:
        """A line for every function of the command that cannot take these arguments."""
        lines = (command.misfit(arguments) for command in self.active(name))
        return [line for line in lines if line]


def leaders(functions: Iterable[Command]) -> dict[str, str]:
    """By normalised name the one name that stands for all names of the same command.

    A command and its aliases are one: whoever joins ``cmd`` joins ``run``.
    """
    leader: dict[str, str] = {}
    for command in functions:
        keys = [normal(name) for name in command.names]
        joined = {leader.get(key, key) for key in keys}
        first = leader.get(keys[0], keys[0])
        leader.update({key: first for key in [*leader, *keys] if leader.get(key, key) in joined})
    return leader


class Registry:
    """Loads each file once, whatever the number of hosts that name it."""

    def __init__(self) -> None:
        self._fabfile = lru_cache(maxsize=None)(_attempt(loading.fabfile))
        self._module = lru_cache(maxsize=None)(_attempt(loading.plugin))
        self._hosts: dict[str, Commands] = {}

    def for_host(self, name: str, fabfiles: Iterable[str], plugins: Iterable[Plugin]) -> Commands:
        """Never raises: a listing shows what could be loaded, and ``problems``."""
        if name not in self._hosts:
            self._hosts[name] = self._load(fabfiles, plugins)
        return self._hosts[name]

    def _load(self, fabfiles: Iterable[str], plugins: Iterable[Plugin]) -> Commands:
        modules = dict.fromkeys([*(name for plugin in plugins for name in plugin.modules), BUILT_IN])
        results = [self._fabfile(path) for path in dict.fromkeys(fabfiles)] + [self._module(m) for m in modules]
        loaded = [result for result in results if isinstance(result, Loaded)]
        functions = tuple(command for one in loaded for command in one.commands)
        hooks = tuple(hook for one in loaded for hook in one.hooks)
        problems = tuple(line for result in results if isinstance(result, tuple) for line in result)
        return Commands(functions, hooks, problems, leaders(functions))


def _attempt(load: Callable[[str], Loaded]) -> Callable[[str], Loaded | tuple[str, ...]]:
    """What a file brings, or the lines that say why it brings nothing."""

    def attempt(name: str) -> Loaded | tuple[str, ...]:
        try:
            return load(name)
        except ConfigurationError as error:
            return error.problems

    return attempt
