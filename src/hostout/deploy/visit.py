"""The agent on one host for the time of a run: started with the question, asked again, left.

What does not belong here: what it is asked to do (``engine``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from hostout.deploy import plan
from hostout.deploy.surroundings import Surroundings
from hostout.model import Facts, Host, Json, Release, Step
from hostout.remote.agent import Agent, Sending, SudoUnavailable, pack_meanwhile
from hostout.remote.early import Early


class Visit:
    """Starts an agent when one is needed; ``release`` gives what it is asked about, if that is known yet.

    All raise ``RemoteError`` when something fails on the host and ``ConnectionFailed`` when the host is lost.
    """

    def __init__(self, host: Host, around: Surroundings, release: Callable[[], Release | None]) -> None:
        self._host = host
        self._around = around
        self._release = release
        self._agent: Agent | None = None
        self._early: Early[Agent] = Early()

    def begin(self) -> None:
        """Begins to start the agent, beside what else is done; who needs it waits for it then."""
        if self._agent is None:
            # plugins are not called in a thread
            hooks = self._around.hooks()
            self._early.begin(self._host.name, lambda: self._start(hooks))

    @property
    def agent(self) -> Agent:
        if self._agent is None:
            self._agent = self._early.take(self._host.name) or self._start(self._around.hooks())
        return self._agent

    @property
    def facts(self) -> Facts:
        """What the host said when it was asked, until ``look_again``."""
        return self.agent.facts

    @property
    def heard(self) -> Facts | None:
        """The same, ``None`` before it was asked."""
        return self._agent.facts if self._agent else None

    def ask(self, step: Step, sent: Sequence[plan.Upload] = (), *, after: Sequence[Sending] = ()) -> Json:
        """Has a Step done, ``after`` others that go with it; returns its result."""
        return self.agent.request(step, sent, after=after)

    def facts_now(self) -> Facts:
        """The answer as of now."""
        return Facts(self.ask(plan.ask_again())["facts"])

    def look_again(self) -> Facts:
        """The same, and from now on that is what is known."""
        self.learn(self.facts_now())
        return self.facts

    def learn(self, facts: Facts) -> None:
        """From now on that is what is known."""
        self.agent.facts = facts

    def facts_without_root(self) -> Facts:
        """What the login user finds there. Nothing is changed, and nobody stays."""
        with contextlib.closing(self._start_as(become=False)) as agent:
            return agent.facts

    def leave(self) -> None:
        """Ends the agent; it starts again what it stopped. The connection stays open for other commands."""
        self._early.close()
        self._early = Early()
        if self._agent is not None:
            self._agent.close()
            self._agent = None

    def _start(self, hooks: plan.Hooks) -> Agent:
        pack_meanwhile()
        login = self._around.connection().user
        try:
            return self._start_as(become=plan.wants_root(self._host, hooks, login))
        except SudoUnavailable as error:
            if error.reason == "password" or not plan.may_do_without_root(self._host, login):
                raise
            return self._start_as(become=False)

    def _start_as(self, *, become: bool) -> Agent:
        around = self._around
        asked = plan.question(self._host, self._release(), around.client, around.options.lock_wait)
        return Agent.start(around.connection(), asked, become=become, emit=around.emit)
