"""What every benchmark relies on: that what is measured side by side is, and that its figures are right.

What does not belong here: any speed; a busy machine must not fail a test.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest

from agentclient import exists, until

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import measure
from measure import Case, Failed, Measured, Report, program, side_by_side


def test_every_round_runs_all_cases_in_turn_and_the_first_does_not_count() -> None:
    went: list[str] = []
    cases = [Case(name, partial(went.append, name), prepare=partial(went.append, "-")) for name in "ab"]
    taken = side_by_side(cases, 2)
    assert "".join(went) == "-a-b" * 3
    assert [len(taken[name].samples) for name in "ab"] == [2, 2]


def test_no_round_begins_when_the_time_is_over_but_one_counts() -> None:
    taken = side_by_side([Case("slow", lambda: time.sleep(0.05))], 50, warm=1, within=0.01)
    assert len(taken["slow"].samples) == 1


def test_medians_spread_and_ratios() -> None:
    few = Measured("few", tuple({"seconds": value, "bytes": 10.0} for value in (3.0, 1.0, 2.0)))
    many = Measured("many", tuple({"seconds": float(value)} for value in range(1, 10)))
    assert (few.median(), few.spread(), many.median(), many.spread()) == (2, (1, 3), 5, (2.5, 7.5))
    assert many.ratio(few) == 2.5
    assert many.ratios(few) == [1 / 3, 2, 1.5]
    assert few.median("bytes") == 10


def test_a_program_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="status -9"):
        program(["sh", "-c", "sleep 60 & echo $! > child; wait"], tmp_path, limit=3)
    child = int((tmp_path / "child").read_text())
    for _ in until("the child is gone"):
        if not exists(child):
            break


def test_the_memory_of_a_program_is_its_own(tmp_path: Path) -> None:
    ours = bytearray(200_000_000)
    large = "import time; a = bytearray(50_000_000); time.sleep(2)"
    ran = program([sys.executable, "-c", large], tmp_path, memory=True)
    assert 50e6 < ran.rss < 150e6 or not Path("/proc/self/status").exists()
    assert len(ours) == 200_000_000


def test_a_report_says_which_goals_are_reached_and_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    cases = [Case("one", lambda: {"seconds": 1.0}), Case("two", lambda: {"seconds": 2.0}, "one", 1.5)]
    report = Report("some", "Some figures")
    report.table("numbers", cases, side_by_side(cases, 3))
    report.goal("memory", 100e6, 120e6, "B")
    report.plot("some", "a <plot>", "hosts", "seconds", {"two": {1: 0.5, 20: 2.0}}, logarithmic=True)
    report.close()
    said = capsys.readouterr().out
    assert "2.00      1.5  one" in said
    assert "numbers: two against one        2.00        1.50  NOT reached" in said
    assert "memory                      100.0 MB    120.0 MB  reached" in said
    kept = json.loads((tmp_path / "some.json").read_text())
    assert [goal["reached"] for goal in kept["goals"]] == [False, True]
    assert kept["tables"][0]["cases"][1]["ratio"] == 2
    assert "a <plot>" in ElementTree.parse(tmp_path / "some.svg").getroot().itertext()
