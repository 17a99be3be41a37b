"""The cable between the developer and the host is pulled, for a second, for half a minute, for good."""

from __future__ import annotations

import time

import pytest

from faults.conftest import Befall
from faults.field import Attempt

pytestmark = [pytest.mark.machine, pytest.mark.buildout, pytest.mark.faults]

PATIENCE = 90.0
"""Seconds after which a client knows that its host is lost."""


def test_cable_cut_for_a_second(befall: Befall) -> None:
    def strike(attempt: Attempt) -> None:
        cut(attempt, 1)
        status = attempt.call.end(PATIENCE)
        if status:
            attempt.found.append(f"a second without a cable ended it with {status}")

    befall(strike, often=30, seldom=6)


def test_cable_cut_for_half_a_minute(befall: Befall) -> None:
    def strike(attempt: Attempt) -> None:
        cut(attempt, 30)
        ends(attempt)

    befall(strike, often=10, seldom=2)


def test_cable_cut_for_good(befall: Befall) -> None:
    """The developer's machine is not seen again; another one deploys next. Some wait until the client gives up."""

    def strike(attempt: Attempt) -> None:
        attempt.wait()
        attempt.at.desk.cut()
        attempt.strikes()
        if attempt.chance.random() < 0.3:
            ends(attempt)
        attempt.at.desk.destroy()
        attempt.call.kill()
        attempt.at.new_desk()

    befall(strike, often=10, seldom=2)


def cut(attempt: Attempt, seconds: float) -> None:
    attempt.wait()
    attempt.at.desk.cut()
    attempt.strikes()
    time.sleep(seconds)
    attempt.at.desk.mend()
    attempt.at.desk.reaches(attempt.at.machine.address)


def ends(attempt: Attempt) -> None:
    """The client ends by itself: done, or it says that it lost the host."""
    status = attempt.call.end(PATIENCE)
    if status not in (0, 3):
        attempt.found.append(f"a cut cable ended it with {status}")
