"""One host: asks it, does the Steps of ``plan`` there in the order of a deployment, and remembers where it stands.

What does not belong here: what the Steps are (``plan``), how bytes get there (``remote``), the commands' chain
(``commands``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hostout.deploy import bootstrap, plan
from hostout.errors import Aborted, RemoteError
from hostout.model import Emit, Event, Facts, Host, Json, Release, RunOptions, Step
from hostout.remote.agent import Agent, SudoUnavailable, Unfit
from hostout.remote.connection import Connection


class Packaging(Protocol):
    """What makes the Release of a host and finds the files for it (the room ``packaging``, handed in)."""

    def prepare(self) -> Release: ...

    def contents(self, release: Release, facts: Facts) -> plan.Contents: ...

    def has_here(self, name: str) -> bool: ...


@dataclass(frozen=True)
class Surroundings:
    """What a Deployment is given: everything it cannot decide from its Host.

    ``confirm`` asks on a terminal and gives ``None`` where there is none; ``label`` is the host's in brackets.
    """

    packaging: Packaging
    connection: Callable[[], Connection]
    hooks: Callable[[], plan.Hooks]
    confirm: Callable[[str], bool | None]
    emit: Emit
    client: plan.Client
    options: RunOptions
    label: str


class Deployment:
    """The state of one deployment to one host, from "nothing known" to "live".

    Each public method is a phase; it does what the phases before it have not done yet. All raise
    ``RemoteError`` when something fails on the host and ``ConnectionFailed`` when the host is lost. With
    ``--dry-run`` they ask, and say what they would do. ``whole``: all phases follow each other, nobody has to be
    told what is still to do.
    """

    def __init__(self, host: Host, around: Surroundings) -> None:
        self.host = host
        self.around = around
        self._release: Release | None = None
        self._agent: Agent | None = None
        self._contents: plan.Contents | None = None
        self._done: set[str] = set()
        self.whole = False
        self._stopped = False
        self._staged = ""
        self._built = ""

    # what is known

    @property
    def release(self) -> Release:
        """What is deployed: develop packages built, configuration bundled. Connects to nothing."""
        if self._release is None:
            self._release = self.around.packaging.prepare()
            self._forget_host()
        return self._release

    @property
    def agent(self) -> Agent:
        if self._agent is None:
            self._agent = self._start_agent()
        return self._agent

    @property
    def facts(self) -> Facts:
        """What the host said when it was asked."""
        return self.agent.facts

    @property
    def contents(self) -> plan.Contents:
        """The files that serve the release on this host."""
        if self._contents is None:
            self._contents = self.around.packaging.contents(self.release, self.facts)
        return self._contents

    @property
    def already_live(self) -> bool:
        """Nothing to do: the same content is live, good and unchanged (and nobody insists)."""
        try:
            return not self.around.options.force and plan.is_live(self.release, self.facts)
        except Unfit:  # predeploy installs Python there
            return False

    @property
    def live(self) -> str:
        """The name of the release that was live when the host was asked."""
        return plan.live_name(self.facts)

    def prepare(self, *, packages: bool) -> None:
        """Everything that can be known before anything changes; ``packages``: a release will be uploaded."""
        if packages:
            _ = self.release
        try:
            self._check_host(packages)
        except Unfit as unfit:
            self._agree(f"{unfit.message}; bootstrap installs it")

    def _check_host(self, packages: bool) -> None:
        if found := plan.problems(self.host, self.facts):
            raise self._failure("; ".join(found))
        if missing := plan.missing_accounts(self.facts):
            self._agree(f"no {', no '.join(missing)} on the host; bootstrap creates what is missing")
        if packages and not self.already_live:
            self._check_room()

    def _check_room(self) -> None:
        if found := plan.room(self.host, plan.uploads(self.contents, self.facts), self.facts):
            raise self._failure("; ".join(found))

    def _agree(self, what: str) -> None:
        """The user agrees to ``what``: ``--yes``, or an answer on a terminal; else the deployment ends here."""
        if self.around.options.yes:
            return
        answer = self.around.confirm(f"[{self.around.label}] {what}. Go on?")
        if answer is None:
            raise self._failure(f"{what} (deploy with --yes, or run the command bootstrap first)")
        if not answer:
            raise Aborted(f"{what}: not wanted", host=self.host.name)

    # the phases

    def bootstrap(self) -> None:
        """Installs Python and creates the users that a deployment needs, where they are missing."""
        try:
            facts = self.facts
        except Unfit:
            self._as_root(bootstrap.one_line(bootstrap.INSTALL_PYTHON))
            facts = self.facts
        lines = bootstrap.accounts(facts["missing_users"], facts["missing_groups"])
        for line in lines:
            self._as_root(line)
        if lines and not self.around.options.dry_run:
            self._forget_host()

    def predeploy(self) -> None:
        """The host can take a deployment; with ``downtime = deploy`` the application stops."""
        self.bootstrap()
        if plan.runs_as_root(self.facts):
            self._warn("the application runs as root; set effective-user to a user of its own")
        self._once(plan.layout())
        if self.host.downtime == "deploy" and self.live and not self._stopped:
            self._stopped = True
            self._do(plan.stop(self.host, self.around.hooks()))

    def uploadeggs(self) -> None:
        """The distributions that the host lacks, and the environment of zc.buildout."""
        for message in self.release.messages:
            self._say(message)
        if warning := plan.other_python(self.release, self.facts):
            self._warn(warning)
        self._bring_distributions()

    def uploadbuildout(self) -> str:
        """The configuration; returns the name of the new release, which is ``staging``."""
        self._bring_distributions()
        self._send("file")
        # asked anew: whoever had the lock before us may have taken that number
        name = plan.release_name(self._facts_now()["next"], self.release.id)
        self._do(plan.stage(name, self.host, self.release, self.contents, self.facts, self.around.client))
        self._staged = name
        return name

    def buildout(self, arguments: Sequence[str] = ()) -> str:
        """Builds the newest staging release, without one the content of the live one again; returns its name."""
        name = self._staged or self._newest("staging") or self._live_again()
        try:
            self._do(plan.build(name, self.host, arguments))
        except RemoteError as error:
            raise self._explained(error, name) from error
        self._staged, self._built = "", name
        if not self.whole:
            self._say(f"release {name} is built, not live; postdeploy makes it live")
        return name

    def postdeploy(self) -> str:
        """The newest built release goes live, or the one before is live again; returns its name."""
        name = self._built or self._newest("built")
        if not name:
            raise self._failure("no release is built; the command buildout builds one")
        stopped, self._stopped, self._built = self._stopped, False, ""
        result = self._do(plan.golive(name, self.host, self.around.hooks(), stopped=stopped))
        if result.get("state") == "live":
            self._warn(f"release {name} is not good: a post-command failed, and nothing else says that it is well")
        return name

    def perform(self, steps: Sequence[Step]) -> None:
        """Has the host do at once what it does by itself in a deployment (the Steps of hooks)."""
        for step in steps:
            self._do(step)

    def note_put(self, target: str) -> None:
        """What was put into the live release is noted down there: it is not what was deployed."""
        asked = self.around.connection().run(plan.put_where(self.host, target), hide=True, warn=True)
        found = plan.put_into(self.host, asked.stdout)
        if found:
            self._do(plan.put(*found))

    def setowners(self) -> None:
        """Owners and modes of buildout and cache as a deployment makes them."""
        self._do(plan.owners())

    def recover(self) -> None:
        """After a failure between the stop and the switch: the old release is started again."""
        if not self._stopped:
            return
        self._stopped = False
        if self.agent.gone:
            self._say(f"the host starts release {self.live} again by itself")
        else:
            self._do(plan.restart(self.around.hooks()))

    def close(self) -> None:
        """Ends the agent; the connection stays open for other commands."""
        if self._agent is not None:
            self._agent.close()
            self._agent = None

    # how a phase is done

    def _bring_distributions(self) -> None:
        self._once(plan.layout())
        self._send("dist")
        for step in plan.environment(self.release, self.contents, self.facts):
            self._once(step)

    def _send(self, to: str) -> None:
        sent = [u for u in plan.uploads(self.contents, self.facts) if u.to == to]
        if sent and to not in self._done:
            self._do(plan.receive(sent, self.facts), sent)
        self._done.add(to)

    def _explained(self, error: RemoteError, name: str) -> RemoteError:
        """The failure of a build, with the files of the buildout here that it did not find there."""
        missed = plan.missed(error.tail, self.host.path, name, self.around.packaging.has_here)
        message = "; ".join([error.message, *map(plan.left_out, missed)])
        return RemoteError(message, host=error.host, command=error.command, tail=error.tail, log=error.log)

    def _newest(self, state: str) -> str:
        """Asked anew: commands of this run may have made it."""
        return plan.newest(self._facts_now(), state)

    def _live_again(self) -> str:
        facts = self._facts_now()
        live = plan.live_name(facts)
        if not live:
            raise self._failure("there is no release to build; deploy makes one")
        name = plan.release_name(facts["next"], live.partition("-")[2])
        self._do(plan.stage_again(name, live, self.around.client))
        return name

    def _facts_now(self) -> Facts:
        return Facts(self.agent.request(plan.ask_again())["facts"])

    def _once(self, step: Step) -> None:
        if step.do not in self._done:
            self._do(step)
            self._done.add(step.do)

    def _do(self, step: Step, sent: Sequence[plan.Upload] = ()) -> Json:
        if self.around.options.dry_run:
            self._say(f"would {step.text}")
            return {}
        if sent:
            self._say(step.text)
        return self.agent.request(step, sent)

    def _as_root(self, line: str) -> None:
        if self.around.options.dry_run:
            self._say(f"would run as root: {line}")
        else:
            self.around.connection().root(line)

    def _start_agent(self) -> Agent:
        connection = self.around.connection()
        asked = plan.question(self.host, self._release, self.around.client, self.around.options.lock_wait)
        become = plan.wants_root(self.host, self.around.hooks(), connection.user)
        try:
            return Agent.start(connection, asked, become=become, emit=self.around.emit)
        except SudoUnavailable as error:
            if error.reason == "password" or not plan.may_do_without_root(self.host, connection.user):
                raise
            return Agent.start(connection, asked, become=False, emit=self.around.emit)

    def _forget_host(self) -> None:
        """What the host said no longer holds, or was not asked about this release: the next look asks again."""
        self.close()
        # an agent that ends starts again what it stopped
        self._stopped = False
        self._contents = None

    def _say(self, text: str) -> None:
        kind = "line" if text.startswith("\t") else "hostout"
        self.around.emit(Event(kind, text, host=self.around.label))

    def _warn(self, text: str) -> None:
        self.around.emit(Event("warning", f"[{self.around.label}] {text}", host=self.around.label))

    def _failure(self, text: str) -> RemoteError:
        return RemoteError(text, host=self.host.name)
