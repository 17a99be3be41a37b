"""One call of the script: the selected hosts, their commands, and what they share (prompts, headings, connections).

What does not belong here: the words of the command line (``cmdline``), how hosts are reached (``reach``, loaded when
the first command needs it).
"""

from __future__ import annotations

import contextlib
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any, Protocol

from hostout.cmdline import Selection, UnknownWord, select_commands, select_hosts
from hostout.commands.host import HostoutHost, Services
from hostout.commands.registry import Commands, Registry
from hostout.config import Configuration
from hostout.errors import ConfigurationError, HostoutError
from hostout.model import Emit, Event, Extent, Host, RunOptions, Secret

if TYPE_CHECKING:

    class Reach(Protocol):
        """How hosts are reached (the module ``reach``)."""

        def login(self, host: Host) -> tuple[str, int]: ...

        def connect(self, host: Host, label: str) -> Any: ...

        def connect_early(self, host: Host, label: str) -> None: ...

        def close(self) -> None: ...

        def deployment(self, host: HostoutHost, label: str) -> Any: ...

        def prepare(
            self, hosts: Sequence[HostoutHost], extent: Extent, keep_going: bool
        ) -> Mapping[str, HostoutError]: ...

        def ask(self, question: str) -> str: ...


class Session:
    """All hosts of one call, made when they are asked for; ``reach`` is called once a command needs a host."""

    def __init__(
        self,
        configuration: Configuration,
        options: RunOptions,
        emit: Emit,
        report: Callable[[HostoutError], None],
        hide: Callable[[Secret], None],
        reach: Callable[[Session], Reach],
    ) -> None:
        self.configuration = configuration
        self.options = options
        self.emit = emit
        self.report = report
        self.hide = hide
        self._make_reach = reach
        self._registry = Registry()
        self._hosts: dict[str, HostoutHost] = {}
        self._selected: tuple[str, ...] = ()
        self._announced: set[str] = set()
        self._prepared: dict[str, Extent] = {}

    @cached_property
    def reach(self) -> Reach:
        return self._make_reach(self)

    # what there is

    def host(self, name: str) -> HostoutHost:
        """The host object of a part. Raises ``ConfigurationError`` where the part is wrong."""
        if name not in self._hosts:
            part = self.configuration.host(name)
            for secret in part.secrets.values():
                self.hide(secret)
            self._hosts[name] = HostoutHost(part, self.commands(name), self._services)
        return self._hosts[name]

    def commands(self, name: str) -> Commands:
        """The commands of a host, also of one whose options are wrong."""
        fabfiles, plugins = self.configuration.command_sources(name)
        found = self._registry.for_host(name, filter(os.path.isfile, fabfiles), plugins)
        missing = self.configuration.missing_fabfiles(name)
        return replace(found, problems=(*missing, *found.problems)) if missing else found

    @cached_property
    def _services(self) -> Services:
        return Services(
            local=self.configuration.local,
            options=self.options,
            emit=self.emit,
            connect=self._connect,
            login=lambda host: self.reach.login(host.host_part),
            deploy=lambda host: self.reach.deployment(host, self.label(host)),
            prepare=self._prepare_one,
            ask=lambda question: self.reach.ask(question),
            others=self._others,
        )

    def _others(self, name: str) -> Mapping[str, HostoutHost]:
        return Others(self, tuple(other for other in self.configuration.names if other != name))

    # the command line

    def select(self, words: tuple[str, ...]) -> Selection:
        """The words as hosts, commands and arguments. Raises ``UnknownWord`` and other ``ConfigurationError``."""
        hosts, rest = select_hosts(words, self.configuration.names)
        if not rest:
            return Selection(hosts)
        available = self._loaded(hosts)
        commands, arguments = select_commands(
            rest,
            lambda word: any(word in of_host for of_host in available.values()),
            lambda word: max(of_host.required(word) for of_host in available.values()),
        )
        if not commands:
            raise UnknownWord("command", rest[0], self.shared_commands(hosts))
        self._every_host_has(commands, available)
        return Selection(hosts, commands, arguments)

    def _loaded(self, hosts: Iterable[str]) -> dict[str, Commands]:
        """Raises ``ConfigurationError`` where a file cannot be loaded, with all that is wrong with the options too."""
        available = {host: self.commands(host) for host in hosts}
        broken = [line for of_host in available.values() for line in of_host.problems]
        if broken:
            raise ConfigurationError(dict.fromkeys([*self.configuration.problems(available), *broken]))
        return available

    def shared_commands(self, hosts: Iterable[str]) -> dict[str, str]:
        """The commands that all these hosts have, with the first line of their documentation."""
        first, *others = (self.commands(host) for host in hosts)
        return {name: doc for name, doc in first.listing().items() if all(name in other for other in others)}

    def _every_host_has(self, commands: Iterable[str], available: Mapping[str, Commands]) -> None:
        for name in commands:
            lacking = [host for host, of_host in available.items() if name not in of_host]
            if lacking:
                shared = self.shared_commands(available)
                raise UnknownWord("command", name, shared, f" of {' '.join(lacking)}")

    # running

    def check(self, selection: Selection) -> None:
        """Raises ``ConfigurationError`` with everything that is wrong before anything runs."""
        self.configuration.check(selection.hosts)
        for name in selection.hosts:
            # now, so that its secrets are known before anything is printed
            self.host(name)
        if refused := [line for name in selection.hosts for line in self._not_without_root(name)]:
            raise ConfigurationError(refused)
        *leading, last = selection.commands
        calls = [*((name, ()) for name in leading), (last, selection.arguments)]
        misfits = [
            line
            for host in selection.hosts
            for name, arguments in calls
            for line in self.commands(host).misfits(name, arguments)
        ]
        if misfits:
            raise ConfigurationError(dict.fromkeys(misfits))

    def _not_without_root(self, name: str) -> list[str]:
        """What ``no-sudo`` makes impossible, where the configuration leaves it to that of ssh who logs in."""
        part = self.host(name).host_part
        others = part.effective_user or part.buildout_user
        # asking loads Fabric
        asks = part.no_sudo and others and not part.user
        return self.configuration.not_as(name, self.host(name).user) if asks else []

    def run(self, selection: Selection) -> int:
        """All commands on one host, then the next host; returns the exit status."""
        self._selected = selection.hosts
        self.check(selection)
        try:
            return self._finish(selection, self._outcomes(selection))
        finally:
            self.close()

    def _outcomes(self, selection: Selection) -> dict[str, int]:
        """The exit status of each host that was tried."""
        outcomes = {name: self.failed(error) for name, error in self._prepare(selection).items()}
        for name in selection.hosts:
            if any(outcomes.values()) and not self.options.keep_going:
                break
            if name not in outcomes:
                outcomes[name] = self._run_host(self.host(name), selection)
        return outcomes

    def _finish(self, selection: Selection, outcomes: Mapping[str, int]) -> int:
        not_run = [name for name in selection.hosts if name not in outcomes]
        if not_run:
            self.emit(Event("error", f"not run on: {' '.join(not_run)}", data={"hosts": not_run}))
        status = max(outcomes.values())
        if not status:
            self.emit(Event("done"))
        return status

    def _run_host(self, host: HostoutHost, selection: Selection) -> int:
        last = len(selection.commands) - 1
        try:
            for index, name in enumerate(selection.commands):
                host.call(name, *(selection.arguments if index == last else ()))
        except HostoutError as error:
            error.host = error.host or host.name
            status = self.failed(error)
            self._recover(host)
            return status
        except BaseException:
            self._recover(host)
            raise
        return 0

    def failed(self, error: HostoutError) -> int:
        """Says what went wrong; returns its exit status."""
        self.report(error)
        return error.status

    def _recover(self, host: HostoutHost) -> None:
        """What a deployment stopped and did not bring to its end is started again."""
        if host.has_deployment:
            try:
                host.deployment.recover()
            except HostoutError as error:
                error.host = error.host or host.name
                self.failed(error)

    # deployments

    def _prepare(self, selection: Selection) -> Mapping[str, HostoutError]:
        """All hosts that are about to be changed, before the first one is; the errors by host."""
        deploying = [name for name in selection.commands if any(self._deploys(host, name) for host in selection.hosts)]
        if not deploying:
            return {}
        hosts = selection.hosts
        extents = (self.commands(host).extent(name) for host in hosts for name in deploying)
        extent = reduce(operator.or_, extents)
        try:
            failed = self.reach.prepare([self.host(name) for name in hosts], extent, self.options.keep_going)
        except HostoutError as error:
            error.host = error.host or hosts[0]
            return {error.host: error}
        self._prepared.update({name: extent for name in hosts if name not in failed})
        return failed

    def _deploys(self, host: str, command: str) -> bool:
        return self.commands(host).deploys(command)

    def _prepare_one(self, host: HostoutHost, extent: Extent) -> None:
        """A command that a fabfile calls, and that nobody saw coming."""
        before = self._prepared.get(host.name)
        if before is None or before | extent != before:
            for error in self.reach.prepare([host], extent, False).values():
                raise error
            self._prepared[host.name] = extent if before is None else before | extent

    # connections

    def label(self, host: HostoutHost) -> str:
        """The address, or the part's name where two selected parts share one."""
        same = [name for name in self._selected if name != host.name and self.host(name).host == host.host]
        return host.name if same else host.host

    def _connect(self, host: HostoutHost) -> Any:
        self._announce_logins(host)
        connection = self.reach.connect(host.host_part, self.label(host))
        for other in self._later_than(host):
            self.reach.connect_early(other.host_part, self.label(other))
        return connection

    def _later_than(self, host: HostoutHost) -> Iterator[HostoutHost]:
        """Selected hosts whose turn comes: what the first one asks a person for may serve them too."""
        if host.name in self._selected:
            later = self._selected[self._selected.index(host.name) + 1 :]
            yield from (other for other in map(self.host, later) if not other.has_connection)

    def _announce_logins(self, host: HostoutHost) -> None:
        """One heading a user, for all hosts of this call, before the first of them is connected to."""
        if host.name in self._announced:
            return
        names = [host.name] if host.name not in self._selected else self._selected
        by_user: dict[str, list[str]] = {}
        for one in map(self.host, names):
            by_user.setdefault(one.user, []).append(self.label(one))
        for user, labels in by_user.items():
            self.emit(Event("login", data={"user": user, "hosts": labels}))
        self._announced.update(names)

    def close(self) -> None:
        """Ends deployments and connections."""
        for host in self._hosts.values():
            with contextlib.suppress(HostoutError, OSError, EOFError):
                if host.has_deployment:
                    host.deployment.close()
                if host.has_connection:
                    host.connection.close()
        if "reach" in self.__dict__:
            with contextlib.suppress(OSError, EOFError):
                self.reach.close()


class Others(Mapping[str, HostoutHost]):
    """The other hosts of a buildout by name; one that nobody asks for is not looked at."""

    def __init__(self, session: Session, names: Sequence[str]) -> None:
        self._session = session
        self._names = names

    def __getitem__(self, name: str) -> HostoutHost:
        if name not in self._names:
            raise KeyError(name)
        return self._session.host(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
