"""What somebody who looks at the application notices of a deployment and of a rollback that nothing befalls."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from faults.contents import DEPLOY, LETTERS, SWITCH
from faults.field import Field
from faults.load import Watch

pytestmark = [pytest.mark.machine, pytest.mark.buildout, pytest.mark.faults]

TIMES = 3


def told(what: str, watches: list[Watch]) -> str:
    each = ", ".join(f"{watch.lost} of {watch.lost + len(watch.pages)} (gap {watch.gap:.2f} s)" for watch in watches)
    return f"requests lost during {what}: {each}"


@pytest.mark.parametrize("part", [SWITCH, DEPLOY])
def test_during_a_deployment(shared_field: Field, say: Callable[[str], None], part: str) -> None:
    watches = [deployed(shared_field, part) for _ in range(TIMES)]
    say(told(f"a deployment with downtime = {'switch' if part == SWITCH else 'deploy'}", watches))
    # with downtime = switch it answers while the new release is built
    most = 0.5 if part == SWITCH else 1.0
    # not of each: a machine that stands still for a moment answers nobody
    assert any(watch.gap < most * watch.seconds for watch in watches)


def test_during_a_rollback(shared_field: Field, say: Callable[[str], None]) -> None:
    watches = []
    for _ in range(TIMES):
        deployed(shared_field, SWITCH)
        before = shared_field.survey.live().name
        with shared_field.load.watch() as watch:
            call = shared_field.desk.call(shared_field.contents["A"], SWITCH, "rollback")
            assert call.end() == 0, call.text
        watches.append(watch)
        assert shared_field.survey.live().name < before
        assert shared_field.survey.problems(shared_field.survey.live_id()) == []
        assert shared_field.answers() == []
    say(told("a rollback", watches))
    assert any(watch.gap < watch.seconds / 2 for watch in watches)


def deployed(field: Field, part: str) -> Watch:
    """A deployment of the content that is not live."""
    letter = next(letter for letter in LETTERS if field.survey.live_id() not in field.ids_of(letter))
    with field.load.watch() as watch:
        call = field.desk.call(field.contents[letter], part, "deploy")
        assert call.end() == 0, call.text
    assert watch.strangers(*field.pages) == []
    return watch
