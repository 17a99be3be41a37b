"""What goes to a host with what: which Steps of a deployment wait for no answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from hostout import fabfile
from hostout.deploy import plan
from hostout.deploy.engine import Deployment
from hostout.deploy.surroundings import Surroundings
from hostout.errors import RemoteError
from hostout.model import Facts, Indexes, Json, Release, RunOptions, Step
from hostout.remote.agent import Sending
from planned import BUILDOUT, CLIENT, CONFIG, CONTENTS, HELLO, HOST, RELEASE, facts

LARGE = replace(HELLO, size=plan.SMALL)


@dataclass
class Packed:
    """A release and its files, which were made before."""

    contents_: plan.Contents

    def prepare(self) -> Release:
        return RELEASE

    def contents(self, release: Release, facts: Facts) -> plan.Contents:
        return self.contents_

    def indexes(self) -> Indexes:
        return Indexes()

    def has_here(self, name: str) -> bool:
        return False


@dataclass
class Visit:
    """A host that does all that is asked of it: what, and with what before it. One of these may fail."""

    facts: Facts
    fails: str = ""
    asked: list[list[str]] = field(default_factory=list)
    agent: Any = field(default_factory=lambda: SimpleNamespace(gone=False))

    def ask(self, step: Step, sent: Sequence[Any] = (), *, after: Sequence[Sending] = ()) -> Json:
        together = [*(each.step.do for each in after), step.do]
        self.asked.append(together)
        if self.fails in together:
            raise RemoteError(f"{self.fails} fails", host="host1")
        return {}

    def facts_now(self) -> Facts:
        return self.facts

    def leave(self) -> None:
        """Nobody is there."""


def deployment(visit: Visit, contents: plan.Contents = CONTENTS, downtime: str = "switch") -> Deployment:
    """One of which all phases follow each other."""
    around: Any = Surroundings(
        packaging=Packed(contents),
        connection=lambda: None,  # type: ignore[arg-type,return-value]
        hooks=lambda: plan.Hooks((), (), ()),
        confirm=lambda question: None,
        emit=lambda event: None,
        client=CLIENT,
        options=RunOptions(),
        label="h",
    )
    made = Deployment(replace(HOST, eggs_from="here", downtime=downtime), around)
    made.visit = visit  # type: ignore[assignment]
    made.whole = True
    return made


def build(made: Deployment, together: bool = True) -> None:
    """From the beginning until it is built."""
    made.predeploy()
    with made.sending_with_the_build(together):
        made.uploadeggs()
        made.uploadbuildout()
        made.buildout()


HAS = {BUILDOUT.filename: BUILDOUT.sha256}


def test_what_is_small_waits_for_no_answer() -> None:
    visit = Visit(facts(environment=True, have=HAS, blobs=[CONFIG.sha256]))
    build(deployment(visit))
    assert visit.asked == [["layout"], ["receive", "stage", "build"]]


def test_environment_takes_with_it_what_it_is_made_of() -> None:
    visit = Visit(facts())
    build(deployment(visit))
    assert visit.asked == [["layout"], ["receive", "environment"], ["receive", "stage", "build"]]


def test_what_is_large_is_seen_to_arrive() -> None:
    visit = Visit(facts(environment=True, have=HAS))
    build(deployment(visit, replace(CONTENTS, parts=(*CONTENTS.parts, LARGE))))
    assert visit.asked == [["layout"], ["receive"], ["receive", "stage", "build"]]


def test_what_goes_on_with_an_earlier_upload_may_be_damaged_and_is_waited_for() -> None:
    visit = Visit(facts(environment=True, have=HAS, partial={HELLO.sha256: 1}))
    build(deployment(visit))
    assert visit.asked == [["layout"], ["receive"], ["receive", "stage", "build"]]


def test_commands_of_somebody_else_see_each_step() -> None:
    visit = Visit(facts(environment=True, have=HAS))
    build(deployment(visit), together=False)
    assert visit.asked == [["layout"], ["receive"], ["receive"], ["stage"], ["build"]]


STOPPED = {"environment": True, "have": HAS, "live": "0001-aa"}


@pytest.mark.parametrize("fails", ["receive", "stage", "build"])
def test_nothing_that_waited_is_sent_after_a_failure(fails: str) -> None:
    visit = Visit(facts(**STOPPED), fails)
    made = deployment(visit, downtime="deploy")
    with pytest.raises(RemoteError, match=f"{fails} fails"):
        build(made)
    made.recover()
    assert visit.asked == [["layout"], ["stop"], ["receive", "receive", "stage", "build"], ["restart"]]


def test_what_waits_is_dropped_where_something_else_fails_before() -> None:
    visit = Visit(facts(**STOPPED))
    made = deployment(visit, downtime="deploy")
    made.predeploy()
    with pytest.raises(RuntimeError), made.sending_with_the_build(True):
        made.uploadeggs()
        raise RuntimeError
    made.recover()
    assert visit.asked == [["layout"], ["stop"], ["restart"]]
    visit.asked.clear()
    build(made)
    assert visit.asked == [["stop"], ["receive", "receive", "stage", "build"]]


@pytest.mark.parametrize("fails", ["receive", "stage", "build"])
def test_a_second_try_sends_again_what_may_not_have_arrived(fails: str) -> None:
    visit = Visit(facts(environment=True, have=HAS), fails)
    made = deployment(visit)
    with pytest.raises(RemoteError, match=f"{fails} fails"):
        build(made)
    visit.asked.clear()
    visit.fails = ""
    build(made)
    assert visit.asked == [["receive", "receive", "stage", "build"]]


@pytest.mark.parametrize("alone", [True, False])
def test_a_deployment_sends_at_once_what_somebody_sends_before_or_after_it(
    monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    visit = Visit(facts(environment=True, have=HAS))
    made = deployment(visit)
    phases = {phase: [getattr(made, phase)] for phase in fabfile.PHASES}
    if not alone:
        phases["uploadbuildout"].insert(0, lambda: visit.asked.append(["somebody looks"]))
    phases["predeploy"].append(made.uploadeggs)
    phases["postdeploy"] = [lambda: visit.asked.append(["live"]), made.uploadbuildout]
    host = SimpleNamespace(
        deployment=made,
        call=lambda name: [function() for function in phases[name]],
        has_one_function=lambda *names: all(len(phases[name]) == 1 for name in names),
    )
    monkeypatch.setattr(fabfile, "current", lambda: host)
    monkeypatch.setattr(Deployment, "already_live", False)
    fabfile.deploy()
    uploaded = [["receive", "stage", "build"]] if alone else [["somebody looks"], ["receive"], ["stage"], ["build"]]
    assert visit.asked == [["layout"], ["receive"], *uploaded, ["live"], ["stage"]]
