"""Whoever follows a build that somebody else began: what becomes of the release while it is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from hostout.deploy import engine, plan
from hostout.deploy.engine import Deployment
from hostout.deploy.surroundings import Surroundings
from hostout.errors import RemoteError
from hostout.model import Event, Facts, Json, Release, RunOptions, Step
from hostout.remote.agent import Sending
from planned import CLIENT, HOST, LIVE, RELEASE, facts, release_fact

NAME = "0007-3f9a1c2b"
BEGUN = {"what": "build", "release": NAME, "since": 0, "user": "root", "machine": "vm"}
BUILT = {"releases": [release_fact(7, "built")]}
SWITCHING = {"releases": [release_fact(7, "live")], "live": NAME}


class Packed:
    """A release that was made before."""

    def prepare(self) -> Release:
        return RELEASE


@dataclass
class Visit:
    """A host that says something else each time it is asked; ``asked`` are the Steps."""

    answers: list[Facts]
    asked: list[str] = field(default_factory=list)

    @property
    def facts(self) -> Facts:
        return self.answers[0]

    def look_again(self) -> Facts:
        self.answers.pop(0)
        return self.facts

    def ask(self, step: Step, sent: Sequence[Any] = (), *, after: Sequence[Sending] = ()) -> Json:
        self.asked.append(step.do)
        return {}

    def leave(self) -> None:
        """Nobody is there."""


def following(*later: dict[str, Any]) -> tuple[Deployment, Visit, list[str]]:
    """A deployment of the release that somebody builds; ``later`` is what the host says of it afterwards."""
    said: list[str] = []

    def emit(event: Event) -> None:
        said.append(event.text)

    around: Any = Surroundings(
        packaging=Packed(),  # type: ignore[arg-type]  # nothing else is asked of it
        connection=lambda: None,  # type: ignore[arg-type,return-value]
        hooks=lambda: plan.Hooks((), (), ()),
        confirm=lambda question: None,
        emit=emit,
        client=CLIENT,
        options=RunOptions(),
        label="h",
    )
    deployment = Deployment(HOST, around)
    deployment.whole = True
    visit = Visit([facts(job=BEGUN), *(facts(**each) for each in later)])
    deployment.visit = visit  # type: ignore[assignment]
    return deployment, visit, said


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "LOOK", 0.0)


def test_what_nobody_went_on_with_is_built_and_goes_live_next() -> None:
    deployment, visit, said = following(BUILT)
    assert deployment.buildout() == NAME
    assert visit.asked == ["follow"] and not any("is live already" in line for line in said)


def test_a_switch_that_somebody_else_has_begun_is_waited_for() -> None:
    deployment, _, said = following(SWITCHING, SWITCHING, LIVE)
    assert deployment.buildout() == NAME
    assert said[-1] == f"release {NAME} is live already"


def test_a_switch_that_comes_to_nothing_is_done_once_more() -> None:
    deployment, _, said = following(SWITCHING, BUILT)
    assert deployment.buildout() == NAME
    assert said[-1].endswith("following it")


def test_a_switch_without_end_is_left_to_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SWITCHES_WITHIN", 0.0)
    deployment, visit, _ = following(SWITCHING, SWITCHING)
    assert deployment.buildout() == NAME
    assert visit.facts["live"] == NAME


def test_what_somebody_else_gave_up_is_a_line() -> None:
    deployment, _, _ = following({"releases": [release_fact(7, "bad")]})
    with pytest.raises(RemoteError, match=f"release {NAME} is bad meanwhile: somebody else went on with it"):
        deployment.buildout()
