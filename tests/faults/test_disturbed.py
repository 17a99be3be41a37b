"""Two who deploy at once, and uploads that are not what they should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.conftest import Befall
from faults.contents import PACKAGE
from faults.field import Attempt

pytestmark = [pytest.mark.machine, pytest.mark.buildout, pytest.mark.faults]

HALF = "600000"
"""Bytes of an upload after which it ends; the whole is about twice as much."""


def test_two_clients_at_once(befall: Befall) -> None:
    """The second one deploys the same, or what is live: one of them gets its way, the other too or a line."""

    def strike(attempt: Attempt) -> None:
        attempt.wait()
        attempt.strikes()
        content = attempt.chance.choice(list(attempt.at.contents.values()))
        second = attempt.at.desk.call(content, attempt.part, "deploy")
        attempt.also = attempt.at.ids[attempt.part, content.letter]
        statuses = (attempt.call.end(), second.end())
        locked = "locked: " in attempt.call.text + second.text
        if statuses not in ((0, 0), (0, 1), (1, 0)) or (1 in statuses) != locked:
            attempt.found += [f"they ended with {statuses}; the second said:", second.text]

    befall(strike, often=20, seldom=6)


def test_partial_upload_damaged_on_the_host(befall: Befall) -> None:
    def strike(attempt: Attempt) -> None:
        attempt.call.end()
        attempt.strikes()
        attempt.found += attempt.at.rest()
        survey = attempt.at.survey
        partial = [path for root in (survey.cache, survey.path) for path in root.rglob(".partial/*")]
        if not partial:
            attempt.found.append("no partial upload is left that could be damaged")
        for path in partial:
            damage(path, attempt.chance.random())

    befall(strike, 6, 3, lambda number: {"FAULTS_UPLOAD": f"die:{HALF}"})


def test_wheel_changed_here_while_it_is_sent(befall: Befall) -> None:
    """The host takes nothing that is not what was announced; when the file is what it was, all is well again."""

    def strike(attempt: Attempt) -> None:
        kept = {path: path.read_bytes() for path in attempt.new.project.folder.rglob(f"{PACKAGE}-*.whl")}
        status = attempt.call.end()
        attempt.strikes()
        changed = [path for path, content in kept.items() if path.read_bytes() != content]
        if status != 1 or not changed:
            attempt.found.append(f"{len(changed)} files were changed, and it ended with {status}")
        for path, content in kept.items():
            path.write_bytes(content)

    befall(strike, 6, 3, lambda number: {"FAULTS_UPLOAD": f"flip:{HALF}"})


def damage(path: Path, where: float) -> None:
    """Another byte at some place of a file."""
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 0xFF
    with path.open("r+b") as file:
        file.write(content)
