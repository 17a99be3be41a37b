"""The host as commands see it: its options, what it can do, and the other hosts.

What does not belong here: how a connection or a deployment is made; both are handed in.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from hostout.commands import chain
from hostout.commands.command import Command
from hostout.commands.registry import Commands
from hostout.errors import ConfigurationError
from hostout.model import Emit, Event, Extent, Host, LocalBuildout, RunOptions, Step


class Options(Mapping[str, Any]):
    """The options of a host part as text; a secret one is a ``Secret``, and never part of what prints.

    ``defaults`` are those that other options or the ssh configuration decide, found out when somebody asks.
    """

    def __init__(self, host: Host, defaults: Mapping[str, Callable[[], str]]) -> None:
        self._host = host.name
        self._values = dict(host.options)
        self._secrets = dict(host.secrets)
        self._defaults = defaults

    def __getitem__(self, name: str) -> Any:
        if name in self._defaults and not self._values.get(name):
            return self._defaults[name]()
        if name in self._values:
            return self._values[name]
        if name in self._secrets:
            return self._secrets[name]
        raise KeyError(f"{self._host} has no option '{name}'")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)


@dataclass(frozen=True)
class Services:
    """What a host object is given by the run that it belongs to.

    ``connect`` opens the connection, ``login`` knows (user, port) without one; ``deploy`` makes the deployment,
    ``prepare`` checks a host that a command is about to change; ``ask`` prompts for a line of text.
    """

    local: LocalBuildout
    options: RunOptions
    emit: Emit
    connect: Callable[[HostoutHost], Any]
    login: Callable[[HostoutHost], tuple[str, int]]
    deploy: Callable[[HostoutHost], Any]
    prepare: Callable[[HostoutHost, Extent], None]
    ask: Callable[[str], str]
    others: Callable[[str], Mapping[str, HostoutHost]]


class HostoutHost:
    """One host part. Every command of the host is a method: ``hostout.buildout()`` runs all functions of that name."""

    def __init__(self, host: Host, commands: Commands, services: Services) -> None:
        self.host_part = host
        self._commands = commands
        self._services = services
        self.name = host.name
        self.host = host.address
        self.path = host.path
        self.options = Options(host, self._defaults())
        self.emit = services.emit

    def _defaults(self) -> Mapping[str, Callable[[], str]]:
        return {
            "user": lambda: self.user,
            "effective-user": lambda: self.effective_user,
            "buildout-user": lambda: self.host_part.buildout_user or self.effective_user,
            "buildout-cache": lambda: self.buildout_cache,
        }

    def __repr__(self) -> str:
        return f"<hostout {self.name}>"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_") or name not in self.__dict__.get("_commands", ()):
            raise AttributeError(f"hostout has no command or attribute '{name}'")
        return partial(self.call, name)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Runs all functions of a command, in order, with these arguments."""
        if self._commands.deploys(name):
            self._services.prepare(self, self._commands.extent(name))
        return chain.run(self, name, self._commands.chain(name), args, kwargs)

    superfun = staticmethod(chain.superfun)

    def has_one_function(self, *names: str) -> bool:
        """Whether nobody has joined or replaced these commands, or one of them."""
        return all(len(self._commands.chain(name)) == 1 for name in names)

    def previews(self, command: Command, name: str) -> bool:
        """Whether a function runs at all: with ``--dry-run`` only what can be previewed does."""
        if not self._services.options.dry_run or command.marks.deploys or command.marks.looks:
            return True
        text = f"Command '{name}' from '{command.source}' cannot be previewed and is not run"
        self.emit(Event("hostout", text, data={"command": name, "source": command.source}))
        return False

    def ask(self, question: str) -> str:
        """A line that whoever runs the script types. Raises ``HostoutError`` where nobody is there."""
        return self._services.ask(question)

    # what only the connection can tell

    @cached_property
    def connection(self) -> Any:
        """The open ``fabric.Connection`` of this run; made when it is first used. Raises ``ConnectionFailed``."""
        connection = self._services.connect(self)
        connection.hostout = self
        return connection

    @property
    def has_connection(self) -> bool:
        return "connection" in self.__dict__

    @cached_property
    def deployment(self) -> Any:
        """The deployment of this run (``hostout.deploy``)."""
        return self._services.deploy(self)

    @property
    def has_deployment(self) -> bool:
        return "deployment" in self.__dict__

    @property
    def user(self) -> str:
        """Who logs in: as configured here, else as the ssh configuration has it."""
        return self.host_part.user or self._services.login(self)[0]

    @property
    def port(self) -> int:
        return self.host_part.port or self._services.login(self)[1]

    @property
    def effective_user(self) -> str:
        return self.host_part.effective_user or self.user

    def perform(self, steps: Sequence[Step]) -> None:
        """Has the host do Steps at once that it does by itself in a deployment, as who they say."""
        self.deployment.perform(steps)

    # what hostout 1 called them

    @property
    def hostouts(self) -> Mapping[str, HostoutHost]:
        """The other hosts of this buildout by name."""
        return self._services.others(self.name)

    @property
    def buildout_cache(self) -> str:
        """Eggs and downloads on the host: where it has them, once it was asked in this run; till then as configured."""
        said = self.deployment.cache if self.has_deployment else ""
        default = posixpath.join(posixpath.dirname(self.path.rstrip("/")), "buildout-cache")
        return said or self.host_part.buildout_cache or default

    def getRemoteBuildoutPath(self) -> str:
        return self.path

    def getLocalBuildoutPath(self) -> str:
        return self._services.local.directory

    def getDownloadCache(self) -> str:
        return posixpath.join(self.buildout_cache, "downloads")

    def getEggCache(self) -> str:
        return posixpath.join(self.buildout_cache, "eggs")

    def getPreCommands(self) -> list[str]:
        return list(self.host_part.pre_commands)

    def getPostCommands(self) -> list[str]:
        return list(self.host_part.post_commands)

    def getParts(self) -> list[str]:
        return list(self.host_part.parts)

    def localEggs(self) -> list[str]:
        """The distributions made of the develop packages: paths of files here."""
        return [distribution.path for distribution in self.deployment.release.develop]

    # hooks

    def run_checks(self) -> None:
        """Calls every ``check`` hook; raises ``Aborted`` where one says no, as a command would."""
        for hook in self._commands.hooks:
            if hook.kind == "check":
                chain.agreed(self, f"hook '{hook.kind}'", hook.source, chain.call_hook(self, hook))

    def steps(self, kind: str) -> tuple[Step, ...]:
        """The Steps of all ``stop``, ``start`` or ``health`` hooks, as the host runs them.

        Plugins stop in the reverse order of their start.
        """
        hooks = [hook for hook in self._commands.hooks if hook.kind == kind]
        ordered = hooks[::-1] if kind == "stop" else hooks
        return tuple(step for hook in ordered for step in _steps(chain.call_hook(self, hook), hook.source, kind))


def _steps(returned: Any, source: str, kind: str) -> Sequence[Step]:
    steps = list(returned or ())
    if not all(isinstance(step, Step) for step in steps):
        raise ConfigurationError(f"{source}: the hook '{kind}' must return a list of Steps (command_step makes one)")
    return steps
