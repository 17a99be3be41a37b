"""The disk fills up, has no inodes left or breaks in the middle of a deployment; then somebody helps it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from faults.conftest import Befall
from faults.disk import Disk
from faults.field import Attempt

pytestmark = [pytest.mark.machine, pytest.mark.buildout, pytest.mark.faults]


def full(fill: Callable[[Disk], None]) -> Callable[[Attempt], None]:
    """The disk is filled, and has room again when the host has come to rest."""

    def strike(attempt: Attempt) -> None:
        attempt.wait()
        fill(attempt.at.machine.disk)
        attempt.strikes()
        attempt.call.end()
        attempt.found += [f"still there on the full disk: {line}" for line in attempt.at.rest()]
        attempt.found += attempt.at.answers()
        attempt.at.machine.disk.make_room()

    return strike


def test_disk_full(befall: Befall) -> None:
    befall(full(Disk.fill), often=30, seldom=10)


def test_inodes_used_up(befall: Befall) -> None:
    befall(full(Disk.use_up_inodes), often=30, seldom=10)


def test_disk_read_only(befall: Befall) -> None:
    def strike(attempt: Attempt) -> None:
        attempt.wait()
        attempt.at.machine.disk.break_down()
        attempt.strikes()
        attempt.call.end()
        attempt.found += [f"still there on the broken disk: {line}" for line in attempt.at.rest()]
        attempt.at.machine.repair_disk()

    befall(strike, often=30, seldom=10)
