"""The host dies: killed and started again, or without power, which also loses what was not on its disk yet."""

from __future__ import annotations

import pytest

from faults.conftest import Befall
from faults.field import Attempt

pytestmark = [pytest.mark.machine, pytest.mark.buildout, pytest.mark.faults]


def test_machine_killed(befall: Befall) -> None:
    def strike(attempt: Attempt) -> None:
        attempt.wait()
        attempt.strikes()
        attempt.at.machine.restart(crash=True)
        attempt.call.kill()

    befall(strike, often=30, seldom=10)


def test_power_failure(befall: Befall) -> None:
    def strike(attempt: Attempt) -> None:
        attempt.wait()
        attempt.strikes()
        attempt.at.machine.lose_power()
        attempt.call.kill()

    befall(strike, often=30, seldom=10)
