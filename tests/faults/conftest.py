"""The field that the tests of a worker share, and how often faults are tried.

What does not belong here: the options and the table at the end (``tests/conftest.py``: they have to be there where no
test runs).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from faults import field
from faults.field import Field, Strike
from faults.table import LINE, ROW, Row
from machine_base import ENVIRONMENT
from machines import Testbed

FULL = ENVIRONMENT.get("HOSTOUT_FAULTS") == "full"
ENOUGH = 3
"""Failed tries after which no more of a kind are made."""

Befall = Callable[..., None]


@pytest.fixture(scope="session")
def shared_field(testbed: Testbed) -> Iterator[Field]:
    """Made once for each worker: half a minute."""
    with field.opened(testbed) as opened:
        yield opened


@pytest.fixture
def row(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Iterator[Row]:
    """The row of this test in the table."""
    row = Row(request.node.name.removeprefix("test_").replace("_", " "))
    yield row
    record_property(ROW, row.as_json())


@pytest.fixture
def say(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Adds a sentence below the table."""
    return lambda text: record_property(LINE, text)


@pytest.fixture
def befall(shared_field: Field, row: Row, seed: str) -> Befall:
    """Tries a fault, ``often`` times or ``seldom`` (in CI), each at another moment; fails with all that was wrong.

    ``each`` is the environment of each try.
    """

    def run(
        strike: Strike,
        often: int,
        seldom: int,
        each: Callable[[int], dict[str, str]] = lambda number: {},
        attempt: Callable[..., list[str]] = shared_field.attempt,
    ) -> None:
        failures = []
        for number in range(often if FULL else seldom):
            chance = random.Random(f"{seed} {row.kind} {number}")
            found = attempt(row, strike, chance, **each(number))
            if found:
                failures.append("\n".join([f"try {number} of {row.kind!r}, seed {seed}:", *found]))
                shared_field.put_right()
            if len(failures) == ENOUGH:
                break
        if failures:
            pytest.fail("\n\n".join(failures), pytrace=False)

    return run
