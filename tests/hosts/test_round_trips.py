"""What a far host costs: the round trips of a deployment that has nothing to do, counted on a slow line.

The figure is (seconds on the slow line - seconds on a quick one) / its round trip, from the end of the login to the
end of the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from buildouts import environment
from hostout import config
from hostout.model import Event, Host, RunOptions
from hostout.reach import OverSsh
from hostout.session import Session
from machines import Machine
from projects import Project, hello
from relay import Relay, relay

pytestmark = [pytest.mark.buildout, pytest.mark.machine]

ROUND_TRIP = 1.0
"""Seconds: long, so that a busy machine does not matter."""

TRIES = 3

FAR = """
[{name}]
recipe = collective.hostout
extends = host1
host = 127.0.0.1:{port}
host-key = accept-new
user = {user}
"""


class Timed(OverSsh):
    """Remembers when the login was over; from then on the line is slow."""

    connected = 0.0
    logged_in: Callable[[], None]

    def connect(self, host: Host, label: str) -> Any:
        connection = super().connect(host, label)
        self.logged_in()
        self.connected = time.monotonic()
        return connection


@dataclass
class Runs:
    """Runs of the script in this process, over a line that can be slow."""

    project: Project
    line: Relay
    said: list[Event] = field(default_factory=list)

    def seconds(self, part: str, delay: float) -> float:
        """How long a deployment takes behind its login."""
        made: list[Timed] = []

        def reach(session: Session) -> Timed:
            made.append(Timed(session.configuration.local, session.options, session.emit, session.hide))
            made[0].logged_in = lambda: setattr(self.line, "delay", delay)
            return made[0]

        self.line.delay = 0.0
        configuration = config.load(self.project.folder / "parts" / "hostout")
        session = Session(configuration, RunOptions(), self.said.append, _fail, lambda secret: None, reach)
        assert session.run(session.select((part, "deploy"))) == 0
        return time.monotonic() - made[0].connected

    def trips(self, part: str, most: float) -> float:
        """Of a deployment that has nothing to do; looked at again where they are more than that."""
        for _ in range(TRIES):
            if (found := self._trips(part)) <= most:
                break
        return found

    def _trips(self, part: str) -> float:
        self.seconds(part, 0.0)
        self.said.clear()
        quick, slow = (min(self.seconds(part, way) for _ in range(TRIES)) for way in (0.0, ROUND_TRIP / 2))
        assert len([event for event in self.said if "is live already" in event.text]) == 2 * TRIES
        return (slow - quick) / ROUND_TRIP


def _fail(error: Exception) -> None:
    raise error


def test_a_deployment_with_nothing_to_do_takes_two_round_trips_and_one_more_for_a_password(
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    machine.add_user("app")
    machine.add_user("trusted", sudo="nopasswd")
    machine.add_user("admin", "s3cret pass", sudo="password")
    project = hello(environment("6.0.1"), tmp_path, machine)
    users = {"as_root": ("root", 2), "with_sudo": ("trusted", 2), "with_a_password": ("admin", 3)}
    with relay(machine.address, machine.port) as line:
        parts = "".join(FAR.format(name=name, port=line.port, user=user) for name, (user, _) in users.items())
        project.edit("buildout.cfg", "parts += host1", f"parts += host1 {' '.join(users)}")
        project.write("buildout.cfg", (project.folder / "buildout.cfg").read_text() + parts)
        project.build()
        project.succeed("as_root", "deploy")
        monkeypatch.setenv("HOME", str(project.home))
        monkeypatch.setenv("HOSTOUT_PASSWORD", "s3cret pass")
        runs = Runs(project, line)
        figures = {name: runs.trips(name, most + 0.6) for name, (_, most) in users.items()}
    with capsys.disabled():
        print(f"\nround trips of a deployment with nothing to do: {_shown(figures)}")  # noqa: T201
    assert {name: figure for name, figure in figures.items() if figure > users[name][1] + 0.6} == {}


def _shown(figures: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {figure:.2f}" for name, figure in figures.items())


