"""Faults that befall a deployment to a host that has never seen one: there is no release to go back to."""

from __future__ import annotations

import pytest

from faults.conftest import Befall
from faults.field import Attempt, Field

pytestmark = [pytest.mark.machine, pytest.mark.buildout, pytest.mark.faults]


def test_first_deployment_and_everybody_on_the_host_is_killed(befall: Befall, shared_field: Field) -> None:
    def strike(attempt: Attempt) -> None:
        attempt.wait()
        for process in attempt.at.processes.of_agent():
            process.kill()
        attempt.strikes()

    befall(strike, often=20, seldom=4, attempt=shared_field.first_attempt)


def test_first_deployment_and_the_client_is_killed(befall: Befall, shared_field: Field) -> None:
    def strike(attempt: Attempt) -> None:
        attempt.wait()
        attempt.strikes()
        attempt.call.kill()

    befall(strike, often=20, seldom=3, attempt=shared_field.first_attempt)


def test_first_deployment_and_the_power_fails(befall: Befall, shared_field: Field) -> None:
    def strike(attempt: Attempt) -> None:
        attempt.wait()
        attempt.strikes()
        attempt.at.machine.lose_power()
        attempt.call.kill()

    befall(strike, often=20, seldom=4, attempt=shared_field.first_attempt)
