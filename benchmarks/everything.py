"""All benchmarks, one after the other, and then every goal in one table: what ``make bench`` runs.

Each is a program of its own, ended when it takes too long; one that cannot run here is named, the others go on. What
they print is kept as ``.build/bench/report.md``, with the plots beside it. What does not belong here: measuring.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hosts import NOT_MEASURED
from measure import RESULTS, Goal, arguments, goal_lines, say, shown

HERE = Path(__file__).resolve().parent
MINUTE = 60.0
FAREWELL = 60.0
"""Seconds that a benchmark gets for taking its machines down."""

Kept = Mapping[str, Any]


@dataclass(frozen=True)
class Benchmark:
    """A program of this folder, and how many minutes it may take."""

    path: str
    minutes: float


# first the one that writes most files, then two that write hardly any: see README.md about what was deleted before
BENCHMARKS = (
    Benchmark("plone/cold.py", 40),
    Benchmark("startup.py", 3),
    Benchmark("sending.py", 8),
    Benchmark("many_hosts.py", 15),
    Benchmark("growth.py", 20),
    Benchmark("peers", 30),
)


def main(options: argparse.Namespace) -> int:
    """Runs them; gives 0 where each one that can run here did. Goals are printed, not asserted."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began, statuses = time.time(), {}
    for benchmark in BENCHMARKS:
        if not options.only or benchmark.path in options.only.split(","):
            say(f"\n#### benchmarks/{benchmark.path} (at most {benchmark.minutes:g} minutes)\n")
            statuses[benchmark.path] = run(benchmark, options.rounds)
    found = list(results(began))
    (RESULTS / "report.md").write_text("\n".join(line for kept in found for line in written(kept)))
    say("\n#### all goals\n\n" + "".join(goal_lines([goal for kept in found for goal in goals(kept)])))
    say("".join(f"not measured: {path}\n" for path, status in statuses.items() if status))
    say(f"{(time.time() - began) / MINUTE:.0f} minutes; all of it: {RESULTS / 'report.md'}\n")
    return max((status for status in statuses.values() if status != NOT_MEASURED), default=0)


def run(benchmark: Benchmark, rounds: int) -> int:
    """Runs one; gives its exit status, 1 where it took too long."""
    argv = [sys.executable, str(HERE / benchmark.path), *(["--rounds", str(rounds)] if rounds else [])]
    process = subprocess.Popen(argv, start_new_session=True)
    try:
        return abs(process.wait(benchmark.minutes * MINUTE))
    except subprocess.TimeoutExpired:
        say(f"benchmarks/{benchmark.path}: ended after {benchmark.minutes:g} minutes\n")
        return 1
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """What still runs is interrupted, so that its machines are taken down; killed where that takes too long."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(FAREWELL)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


# ----- what they found ----------------------------------------------------------------------------------------------


def results(since: float) -> Iterator[Kept]:
    """What reports of this run kept, in the order in which they were closed."""
    for file in sorted(RESULTS.glob("*.json"), key=lambda each: each.stat().st_mtime):
        if file.stat().st_mtime >= since:
            kept = json.loads(file.read_text())
            if isinstance(kept, dict) and "goals" in kept:
                yield kept


def goals(kept: Kept) -> list[Goal]:
    """The goals of one report."""
    names = [each.name for each in fields(Goal)]
    return [Goal(**{name: goal[name] for name in names}) for goal in kept["goals"]]


def written(kept: Kept) -> Iterator[str]:
    """One report as Markdown."""
    machine = kept["machine"]
    yield f"# {kept['title']}\n"
    yield f"{kept['when']}, {machine['cpus']} cores, Python {machine['python']}, {machine['system']}\n"
    yield from (f"- {name}: {value}" for name, value in kept["facts"].items())
    for table in kept["tables"]:
        yield from written_table(table)
    if kept["goals"]:
        yield ""
        yield row("goal", "measured", "at most", "")
        yield row(*["---"] * 4)
    for goal in goals(kept):
        yield row(goal.what, shown(goal.value, goal.unit), shown(goal.at_most, goal.unit), goal.verdict)
    yield from (f"\n![{name}]({name})" for name in kept["plots"])
    yield ""


def written_table(table: Kept) -> Iterator[str]:
    """One table; a column for each figure."""
    cases: Sequence[Kept] = table["cases"]
    figures = list(dict.fromkeys(name for case in cases for name in case["median"]))
    yield f"\n## {table['title']}\n"
    yield row("", *(f"{figure} | spread" for figure in figures), "ratio", "against")
    yield row("---", *["---"] * (2 * len(figures) + 2))
    for case in cases:
        ratio = f"{case['ratio']:.2f}" if "ratio" in case else ""
        yield row(case["name"], *(middle(case, figure) for figure in figures), ratio, case.get("against", ""))


def middle(case: Kept, figure: str) -> str:
    """Median and spread of a figure, as two cells."""
    if figure not in case["median"]:
        return " | "
    low, high = (shown(value, figure) for value in case["spread"][figure])
    return f"{shown(case['median'][figure], figure)} | {low} to {high}"


def row(*cells: str) -> str:
    """A line of a table; a cell may hold more cells."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    parser = arguments(__doc__, rounds=0)
    parser.add_argument("--only", default="", help="some of " + ",".join(each.path for each in BENCHMARKS))
    sys.exit(main(parser.parse_args()))
