"""SIGKILL of the client, of the agent and of the jobs, at any moment of a deployment."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from faults.conftest import Befall
from faults.contents import DEPLOY, SWITCH
from faults.field import Attempt, Field
from faults.processes import Process
from faults.table import Row

pytestmark = [pytest.mark.machine, pytest.mark.buildout, pytest.mark.faults]


def test_client_killed(befall: Befall) -> None:
    def strike(attempt: Attempt) -> None:
        attempt.wait()
        attempt.strikes()
        attempt.call.kill()

    befall(strike, often=50, seldom=10)


@pytest.mark.parametrize("part", [SWITCH, DEPLOY])
def test_client_killed_between_steps(befall: Befall, shared_field: Field, row: Row, part: str) -> None:
    """At every boundary: 0 is before the first of them, the last one behind the last."""

    def strike(attempt: Attempt) -> None:
        attempt.call.end()
        attempt.strikes()

    boundaries = len(shared_field.steps[part]) + 1
    row.kind = f"client killed between steps, downtime = {'switch' if part == SWITCH else 'deploy'}"
    befall(strike, boundaries, boundaries, lambda number: {"part": part, "FAULTS_KILL": str(number)})


def test_agent_killed(befall: Befall) -> None:
    def strike(attempt: Attempt) -> None:
        attempt.wait()
        kill(attempt, attempt.at.processes.agents)

    befall(strike, often=50, seldom=10)


def test_job_killed(befall: Befall) -> None:
    def strike(attempt: Attempt) -> None:
        seen: set[int] = set()
        which = attempt.chance.choice((1, 2))
        while attempt.call.running and len(seen) < which:
            seen |= {process.number for process in attempt.at.processes.jobs()}
        attempt.call.sleep(attempt.chance.uniform(0, attempt.duration / 2))
        kill(attempt, attempt.at.processes.jobs)

    befall(strike, often=50, seldom=10)


def test_agent_and_jobs_killed_together(befall: Befall) -> None:
    """Nobody is left on the host who could start what was stopped: the client, which is still there, sees to it."""

    def strike(attempt: Attempt) -> None:
        attempt.wait()
        kill(attempt, attempt.at.processes.of_agent)

    befall(strike, often=50, seldom=10)


def kill(attempt: Attempt, victims: Callable[[], list[Process]]) -> None:
    """Kills the first that there are from now on, if there are any before the deployment ends."""
    found = victims()
    while attempt.call.running and not found:
        found = victims()
    for process in found:
        process.kill()
    attempt.strikes()
