"""One host: asks it, does the Steps of ``plan`` there in the order of a deployment, and remembers where it stands.

What does not belong here: what the Steps are (``plan``), how bytes get there (``remote``), the commands' chain
(``commands``).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from hostout.deploy import bootstrap, fetching, plan, preflight
from hostout.deploy.consent import Consent
from hostout.deploy.preview import Preview
from hostout.deploy.readiness import Readiness
from hostout.deploy.surroundings import Surroundings
from hostout.deploy.visit import Visit
from hostout.errors import ConnectionFailed, HostoutError, RemoteError
from hostout.model import Extent, Facts, Host, Json, Release, Step
from hostout.remote import outgoing
from hostout.remote.agent import Agent, Sending, Unfit

STARTS_WITHIN, SWITCHES_WITHIN, LOOK = 120.0, 10.0, 0.3
"""Seconds that we wait for an application that the host starts again by itself, for somebody else's switch to what we
want as well, and between two looks."""


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
        self._contents: plan.Contents | None = None
        self._done: set[str] = set()
        self.whole = False
        self.visit = Visit(host, around, lambda: self._release)
        self._consent = Consent(host, around)
        self._readiness = Readiness(host, around, self.visit, self._consent)
        self._cold = False
        self._stopped = False
        self._staged = ""
        self._ahead: list[Sending] = []
        self._sends_with_the_build = False
        self._built = ""
        self._overtaken = ""
        self._looked = False

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
        return self.visit.agent

    @property
    def facts(self) -> Facts:
        """What the host said when it was asked."""
        return self.visit.facts

    @property
    def cache(self) -> str:
        """The folder that the host has its cache in, empty before it was asked."""
        return self.visit.heard["cache"]["directory"] if self.visit.heard else ""

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
            return self._readiness.nothing_to_do(self.release, self.facts)
        except Unfit:  # predeploy installs Python there
            return False

    @property
    def live(self) -> str:
        """The name of the release that was live when the host was asked."""
        return plan.live_name(self.facts)

    def begin(self, extent: Extent) -> None:
        """Begins to ask the host what ``prepare`` wants to know, beside others; no person is asked for anything."""
        if extent.packages:
            _ = self.release
        self.visit.begin()

    def prepare(self, extent: Extent) -> None:
        """Everything that can be known before anything changes. Raises NotReady with all that is in the way."""
        self._readiness.check(self.release if extent.packages else None, extent)

    # the phases

    def bootstrap(self) -> None:
        """Installs Python and creates the users that a deployment needs, where they are missing."""
        try:
            facts = self.facts
        except Unfit:
            self._as_root(bootstrap.one_line(bootstrap.INSTALL_PYTHON))
            if self.around.options.dry_run:
                self._cold = True
                self.around.say("what would follow depends on the Python that is there then")
                return
            facts = self.facts
        lines = bootstrap.accounts(facts["missing_users"], facts["missing_groups"])
        for line in lines:
            self._as_root(line)
        if lines and not self.around.options.dry_run:
            self._forget_host()

    @contextmanager
    def sending_with_the_build(self, allowed: bool) -> Iterator[None]:
        """From the upload to the build nobody wants to see the host, where that is ``allowed``: what is small waits for
        what is made of it, which saves round trips."""
        self._sends_with_the_build = allowed
        try:
            yield
        finally:
            self._sends_with_the_build = False
            self._forget(self._ahead)
            self._ahead = []

    def predeploy(self) -> None:
        """The host can take a deployment; with ``downtime = deploy`` the application stops."""
        self.bootstrap()
        if self._cold:
            return
        if plan.runs_as_root(self.facts):
            self.around.warn("the application runs as root; set effective-user to a user of its own")
        if self._underway is None:
            self._layout()
            self._look_again()
        if not self._spared and self.host.downtime == "deploy":
            self._stop()

    def uploadeggs(self) -> None:
        """The distributions that the host lacks, and the environment of zc.buildout."""
        for message in self.release.messages:
            self.around.say(message)
        if self._spared:
            return
        if warning := plan.other_python(self.release, self.facts):
            self.around.warn(warning)
        self._bring_distributions()

    def uploadbuildout(self) -> str:
        """The configuration; returns the name of the new release, which is ``staging`` (empty: none is needed).

        In ``sending_with_the_build`` it is when that begins.
        """
        if self._spared:
            return ""
        self._bring_distributions()
        self._send("file")
        # whoever had the lock before us may have taken that number
        facts = self.facts if self._looked else self.visit.facts_now()
        name = plan.next_name(self.release, facts, anew=self.around.options.force)
        step = plan.stage(name, self.host, self.release, self.contents, self.facts, self.around.client)
        self._do_with_the_next(step) if self._may_wait else self._do(step)
        self._staged = name
        return name

    def buildout(self, arguments: Sequence[str] = ()) -> str:
        """Builds the newest staging release, without one the content of the live one again; returns its name."""
        if self._cold or self._overtaken:
            return self._overtaken
        if self._underway is not None:
            return self._take_up(self._underway)
        name = self._staged or self._newest("staging") or self._live_again()
        self._build(plan.build(name, self.host, arguments), name)
        self._staged, self._built = "", name
        if not self.whole and not self.around.options.dry_run:
            self.around.say(f"release {name} is built, not live; postdeploy makes it live")
        return name

    def postdeploy(self) -> str:
        """The newest built release goes live, or the one before is live again; returns its name."""
        if self._cold or self._overtaken:
            return self._overtaken
        name = self._built or self._newest_built()
        self._built = ""
        self._judge(self._switch(name))
        return name

    def rollback(self, target: str, force: bool) -> str:
        """Back to a release: a name, a number, an id, ``-n``, or (empty) the last good one before the live one.

        Uploads and builds nothing; returns the name of what is live then. ``force``: also to one that is bad.
        """
        for name in preflight.strays(self.facts):
            self.around.warn(preflight.stays(name, self.live))
        if line := preflight.changed(self.facts, self.live):
            self.around.warn(line)
        result = self._change(plan.rollback(target, force, self.host, self.around.hooks()))
        self._judge(result)
        return str(result.get("name", ""))

    def ask(self, step: Step) -> Json:
        """What the host says to a Step that changes nothing, or tidies up; needs no release."""
        return self.visit.ask(step)

    def perform(self, steps: Sequence[Step]) -> None:
        """Has the host do at once what it does by itself in a deployment (Steps of hooks), and say it as it does."""
        for step in steps:
            self._do(plan.said(step))

    def note_put(self, target: str) -> None:
        """What was put into the live release is noted down there: it is not what was deployed."""
        line = plan.put_where(self.host, target)
        asked = self.around.connection().run(line, hide=True, warn=True, in_stream=False)
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
            self._see_it_start()
        else:
            self._do(plan.restart(self.around.hooks()))

    def close(self) -> None:
        """Ends the agent; the connection stays open for other commands."""
        self.visit.leave()

    # how a phase is done

    def _layout(self) -> None:
        if "layout" not in self._done:
            result = self._do(plan.layout(plan.takes_over(self.host, self.around.hooks(), self.facts)))
            self._done.add("layout")
            if "facts" in result:
                self.visit.learn(Facts(result["facts"]))

    def _bring_distributions(self) -> None:
        self._layout()
        self._fetch()
        self._send("dist")
        for step in plan.environment(self.release, self.contents, self.facts):
            self._once(step)

    def _fetch(self) -> None:
        """What the host gets by itself need not be sent."""
        lacking = plan.uploads(self.contents, self.facts)
        step = fetching.fetch(self.host, lacking, self.around.packaging.indexes())
        if step is None or "fetch" in self._done:
            return
        self._done.add("fetch")
        result = self._do(step) or fetching.all_of_it(step)
        self.visit.learn(fetching.learned(self.facts, result))
        if self.host.eggs_from == "index" and (refusal := fetching.refused(step, result)):
            raise self._failure(refusal)
        for line in fetching.remarks(result):
            self.around.say(line)
        for line in fetching.warnings(result):
            self.around.warn(line)

    def _send(self, to: str) -> None:
        sent = [u for u in plan.uploads(self.contents, self.facts) if u.to == to]
        if sent and to not in self._done:
            damaged = self._receive(sent).get("damaged", ())
            if again := [u for u in sent if u.sha256 in damaged]:
                names = ", ".join(u.name for u in again)
                self.around.warn(f"what was there of an earlier upload is damaged or gone: {names} is sent once more")
                self._receive(again, whole=True)
        self._done.add(to)

    def _receive(self, sent: Sequence[plan.Upload], *, whole: bool = False) -> Json:
        """Files are compressed where that helps; wheels are already."""
        if not self.around.options.dry_run:
            sent = [replace(u, packed=outgoing.packed_size(u)) if u.to == "file" else u for u in sent]
        step = plan.receive(sent, self.facts, whole=whole)
        if self._may_wait and plan.is_small(step):
            self._do_with_the_next(step, sent)
            return {}
        return self._do(step, sent)

    def _stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._do(plan.stop(self.host, self.around.hooks()))

    def _look_again(self) -> None:
        """With the lock in hand: who had it before may have built or deployed the same."""
        if not self.whole or self.around.options.dry_run:
            return
        self._looked = True
        if self._readiness.nothing_to_do(self.release, self.facts):
            self._give_way()

    def _give_way(self) -> None:
        """Somebody else was quicker."""
        self._overtaken = self.live
        self.around.say(f"release {self.live} is live already")

    @property
    def _spared(self) -> bool:
        """Whether nothing has to be sent, or can be known about it."""
        return self._cold or bool(self._overtaken) or self._underway is not None

    @property
    def _underway(self) -> plan.Underway | None:
        """What a whole deployment takes up, instead of making the same release once more."""
        if not self.whole or self.around.options.force:
            return None
        return plan.underway(self.release, self.facts)

    def _take_up(self, found: plan.Underway) -> str:
        """The end of a build that somebody began is waited for; what is built is made live next."""
        if found.said:
            self.around.say(f"release {found.name} is being built already, {found.said}: following it")
            self._build(plan.follow(found.name), found.name)
        else:
            self.around.say(f"release {found.name} is built already")
        self._built = found.name
        if found.said and not self.around.options.dry_run:
            self._see_what_became_of(found.name)
        return found.name

    def _see_what_became_of(self, name: str) -> None:
        """Others followed as well, and may have been quicker, or be switching to it this moment."""
        until = time.monotonic() + SWITCHES_WITHIN
        while not plan.is_live(self.release, self.visit.look_again()):
            state = plan.state(self.facts, name)
            if state not in ("built", "live"):
                raise self._failure(f"release {name} is {state or 'gone'} meanwhile: somebody else went on with it")
            if state == "built" or time.monotonic() > until:
                # who makes it live needs the lock, and says who has it
                return
            time.sleep(LOOK)
        self._give_way()

    def _build(self, step: Step, name: str) -> None:
        try:
            self._do(step)
        except RemoteError as error:
            raise self._explained(error, name) from error

    def _newest_built(self) -> str:
        name = self._newest("built")
        if not name:
            raise self._failure("no release is built; the command buildout builds one")
        return name

    def _switch(self, name: str) -> Json:
        """The host goes live, also without what it found in the release before when somebody agrees to that."""
        try:
            return self._golive(name)
        except RemoteError as error:
            if not error.strays:
                raise
            self._consent.to_leave(self.visit.facts_now())
            return self._golive(name)

    def _golive(self, name: str) -> Json:
        """The host does it by itself. What it leaves stopped where that fails is for ``recover``."""
        step = plan.golive(name, self.host, self.around.hooks(), stopped=self._stopped, strays=self._consent.strays)
        stopped, self._stopped = self._stopped, False
        try:
            return self._change(step)
        except RemoteError:
            # refused before it began: nothing has been started either
            self._stopped = stopped and not self.agent.gone and self.visit.facts_now().data.get("switching", False)
            raise

    def _change(self, step: Step) -> Json:
        """Has the host take one release for another. Whoever was to bring that to its end there may be killed too."""
        try:
            return self._do(step)
        except RemoteError:
            if self.agent.gone:
                self._see_it_start()
            raise

    def _see_it_start(self) -> None:
        """The host starts by itself what an agent that is gone had stopped; while there is a line, we wait for it."""
        self.around.say("the host starts the application again by itself")
        if not self.around.connection().is_connected:
            return
        self.visit.leave()
        until = time.monotonic() + STARTS_WITHIN
        with contextlib.suppress(ConnectionFailed):  # then nobody can wait for it, and it happens all the same
            while self.visit.facts_now().data.get("switching"):
                self._see_to_it(last=time.monotonic() > until)
                time.sleep(LOOK)

    def _see_to_it(self, *, last: bool) -> None:
        """Whoever was to start it may be dead as well: who gets the lock then does. Raises the last try's failure."""
        try:
            self.visit.ask(plan.recover())
        except RemoteError:
            if last:
                raise

    def _judge(self, result: Json) -> None:
        """What went live and is not known to be well is said."""
        if result.get("state") == "live":
            why = "a post-command failed, and there is no health-check"
            self.around.warn(f"release {result['name']} is not good: {why}")

    def _explained(self, error: RemoteError, name: str) -> RemoteError:
        """The failure of a build, with the files of the buildout here that it did not find there."""
        missed = plan.missed(error.tail, self.host.path, name, self.around.packaging.has_here)
        message = "; ".join([error.message, *map(plan.left_out, missed)])
        return RemoteError(message, host=error.host, command=error.command, tail=error.tail, log=error.log)

    def _newest(self, state: str) -> str:
        """Asked anew: commands of this run may have made it."""
        return plan.newest(self.visit.facts_now(), state)

    def _live_again(self) -> str:
        facts = self.visit.facts_now()
        live = plan.live_name(facts)
        if not live:
            raise self._failure("there is no release to build; deploy makes one")
        name = plan.release_name(facts["next"], live.partition("-")[2])
        self._do(plan.stage_again(name, live, self.around.client))
        return name

    def _once(self, step: Step) -> None:
        if step.do not in self._done:
            self._do(step)
            self._done.add(step.do)

    def _do(self, step: Step, sent: Sequence[plan.Upload] = ()) -> Json:
        if self.around.options.dry_run:
            for line in self._preview.lines(step):
                self.around.say(line)
            return {}
        self._announce(step, sent)
        before, self._ahead = self._ahead, []
        try:
            return self.visit.ask(step, sent, after=before)
        except HostoutError:
            self._forget(before)
            raise

    def _forget(self, waited: Sequence[Sending]) -> None:
        """Whether these were done nobody knows: whoever tries again begins with them."""
        if waited:
            self._done -= {"dist", "file"}
            self._staged = ""

    @property
    def _may_wait(self) -> bool:
        return self._sends_with_the_build and not self.around.options.dry_run

    def _do_with_the_next(self, step: Step, sent: Sequence[plan.Upload] = ()) -> None:
        self._announce(step, sent)
        self._ahead.append(Sending(step, sent))

    def _announce(self, step: Step, sent: Sequence[plan.Upload]) -> None:
        if sent or step.do == "fetch":
            self.around.say(step.text)

    @property
    def _preview(self) -> Preview:
        owner, agent = self.facts["owners"]["effective"], self.facts["user"]
        effective = owner["name"] if owner else self.host.effective_user or agent
        return Preview(self.host, self.facts, effective, root=agent)

    def _as_root(self, line: str) -> None:
        if self.around.options.dry_run:
            self.around.say(f"would run as root: {line}")
        else:
            self.around.connection().root(line)

    def _forget_host(self) -> None:
        """What the host said no longer holds, or was not asked about this release: the next look asks again."""
        self.close()
        # an agent that ends starts again what it stopped
        self._stopped = False
        self._contents = None

    def _failure(self, text: str) -> RemoteError:
        return RemoteError(text, host=self.host.name)
