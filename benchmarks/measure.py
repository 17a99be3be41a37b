"""Takes measurements side by side and says them: rounds, medians, spread, ratios next to goals, JSON, plots.

    cases = [Case("ssh true", lambda: program(["ssh", …], folder)), Case("hostout run true", …, "ssh true", 1.2)]
    taken = side_by_side(cases, rounds=3)
    report = Report("fleet", "run true on many hosts")
    report.table("one host", cases, taken)
    report.goal("no change, 100 ms", taken["no change"].median(), at_most=1.3, unit="s")
    report.plot("fleet", "run true", "hosts", "seconds", {"hostout": {1: 0.4, 20: 1.9}, "Fabric": {…}})
    report.close()                                          # prints the goals, writes .build/bench/fleet.json

A case gives the figures of one go by name (``seconds`` is taken here where it does not say its own). The machine of a
reader is never quiet: so every round runs all cases in turn, and ratios are between cases of the same rounds.

What does not belong here: what is measured, and the machines it is measured on (``hosts.py``).
"""

from __future__ import annotations

import argparse
import html
import json
import math
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# where this is set (in many containers), each start of a program would compile all of it anew
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

RESULTS = Path(os.environ.get("HOSTOUT_BENCH", ROOT / ".build" / "bench"))
SECONDS = "seconds"
# seconds between two looks at the memory of a program
LOOK = 0.02
# from so many rounds on the middle half says more than the extremes
MANY = 8

Figures = Mapping[str, float]


class Failed(Exception):
    """A program that is measured did not do what it was started for."""


@dataclass(frozen=True)
class Case:
    """One thing to measure. ``prepare`` runs before each go and is not timed; ``goal`` is the ratio to stay below."""

    name: str
    run: Callable[[], Figures | None]
    against: str = ""
    goal: float = 0.0
    prepare: Callable[[], object] | None = None


@dataclass(frozen=True)
class Measured:
    """What one case took: the figures of each round, in the order of the rounds."""

    name: str
    samples: tuple[Figures, ...]

    def values(self, figure: str = SECONDS) -> list[float]:
        """That figure of every round."""
        return [sample[figure] for sample in self.samples if figure in sample]

    def median(self, figure: str = SECONDS) -> float:
        """The middle one; not a number where no round has that figure."""
        values = self.values(figure)
        return statistics.median(values) if values else math.nan

    def spread(self, figure: str = SECONDS) -> tuple[float, float]:
        """Lowest and highest; of many rounds the bounds of the middle half."""
        values = self.values(figure)
        if len(values) < MANY:
            return min(values, default=math.nan), max(values, default=math.nan)
        quartiles = statistics.quantiles(values, n=4)
        return quartiles[0], quartiles[2]

    def ratio(self, other: Measured, figure: str = SECONDS) -> float:
        """Of the medians."""
        return divided(self.median(figure), other.median(figure))

    def ratios(self, other: Measured, figure: str = SECONDS) -> list[float]:
        """Round by round."""
        return [divided(*pair) for pair in zip(self.values(figure), other.values(figure), strict=False)]


Taken = Mapping[str, Measured]


def side_by_side(
    cases: Sequence[Case], rounds: int = 3, *, warm: int = 1, within: float = 1800.0
) -> dict[str, Measured]:
    """Runs all cases in turn, ``rounds`` times, after ``warm`` rounds that fill caches and do not count.

    No new round begins after ``within`` seconds; one that counts always runs.
    """
    samples: dict[str, list[Figures]] = {case.name: [] for case in cases}
    end = time.monotonic() + within
    for number in range(warm + max(1, rounds)):
        if number > warm and time.monotonic() > end:
            break
        for case in cases:
            figures = one(case)
            if number >= warm:
                samples[case.name].append(figures)
    return {name: Measured(name, tuple(each)) for name, each in samples.items()}


def one(case: Case) -> Figures:
    """One go of a case; a figure that it names itself counts before the clock here."""
    if case.prepare:
        case.prepare()
    began = time.perf_counter()
    figures = case.run()
    return {SECONDS: time.perf_counter() - began, **(figures or {})}


def divided(value: float, by: float) -> float:
    """A ratio; not a number where there is none."""
    return value / by if by else math.nan


# ----- programs -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """How a program ran to its end: ``rss`` is the most memory that it had itself, in bytes (0: not looked at)."""

    seconds: float
    status: int
    output: str
    rss: float = 0.0

    def figures(self) -> dict[str, float]:
        """As a case gives them."""
        return {SECONDS: self.seconds, **({"rss": self.rss} if self.rss else {})}


def program(
    argv: Sequence[str | Path],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    *,
    limit: float = 600.0,
    check: bool = True,
    memory: bool = False,
) -> Ran:
    """Runs a program to its end, in ``folder``, our environment and ``environment``; Failed where it fails.

    After ``limit`` seconds it is ended with all its children. ``memory``: its memory is watched meanwhile.
    """
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            list(map(str, argv)),
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        rss = ended(process, limit, memory=memory)
        seconds = time.perf_counter() - began
        output.seek(0)
        ran = Ran(seconds, process.returncode, output.read().decode(errors="replace"), rss)
    if check and ran.status:
        raise Failed(f"{' '.join(map(str, argv))} in {folder} ended with status {ran.status}\n{ran.output[-4000:]}")
    return ran


def ended(process: subprocess.Popen[bytes], limit: float, *, memory: bool) -> float:
    """Waits for the end of a program, at most so long; gives the most memory it had, where that is wanted.

    Nothing of it is left when we are interrupted.
    """
    watch = threading.Timer(limit, os.killpg, (process.pid, signal.SIGKILL))
    watch.start()
    try:
        rss = watched(process) if memory else 0.0
        process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        watch.cancel()
    return rss


def watched(process: subprocess.Popen[bytes]) -> float:
    """The most memory that a program had until its end, by looking again and again.

    What wait4 tells is never less than what we had when it was started.
    """
    most = 0.0
    while process.poll() is None:
        most = max(most, high_water(process.pid))
        time.sleep(LOOK)
    return most


def high_water(process: int) -> float:
    """The most bytes of memory that a process had so far; 0 where nobody tells."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    return next((1024.0 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0.0)


# ----- what is said -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Goal:
    """Something to reach: ``value`` is what was measured, in ``unit`` (nothing: a ratio)."""

    what: str
    value: float
    at_most: float
    unit: str = ""

    @property
    def reached(self) -> bool:
        return self.value <= self.at_most

    @property
    def verdict(self) -> str:
        return "reached" if self.reached else "NOT reached"


def goal_lines(goals: Sequence[Goal]) -> list[str]:
    """For a terminal: what, measured, goal, whether it is reached."""
    wide = max((len(goal.what) for goal in goals), default=0)
    return [f"{'':{wide}}{'measured':>12}{'at most':>12}\n"] + [
        f"{goal.what:{wide}}{shown(goal.value, goal.unit):>12}{shown(goal.at_most, goal.unit):>12}  {goal.verdict}\n"
        for goal in goals
    ]


@dataclass
class Report:
    """What one benchmark found: printed as it is found, kept in ``.build/bench/<name>.json`` when it is closed."""

    name: str
    title: str
    tables: list[dict[str, object]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    plots: list[str] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)
    began: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        say(f"\n== {self.title}\n")

    def fact(self, name: str, value: object) -> None:
        """Something that a reader must know of this run: a version, a size."""
        self.facts[name] = value
        say(f"{name}: {value}\n")

    def table(self, title: str, cases: Iterable[Case], taken: Taken, figures: Sequence[str] = (SECONDS,)) -> None:
        """A line for each case, a block for each figure; ratios and goals where a case is compared with another."""
        cases = list(cases)
        for figure in figures:
            say("\n" + "".join(table_lines(f"{title}: {figure}", figure, cases, taken)))
        self.goals += [case_goal(title, case, taken) for case in cases if case.goal and case.against in taken]
        self.tables.append({"title": title, "cases": [row(case, taken) for case in cases]})

    def goal(self, what: str, value: float, at_most: float, unit: str = "") -> None:
        """A goal that is no plain ratio of two cases of one table."""
        self.goals.append(Goal(what, value, at_most, unit))

    def plot(self, name: str, title: str, across: str, up: str, curves: Curves, *, logarithmic: bool = False) -> None:
        """Draws ``.build/bench/<name>.svg``."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        file = RESULTS / f"{name}.svg"
        file.write_text(drawn(title, across, up, curves, logarithmic=logarithmic))
        self.plots.append(file.name)
        say(f"drawn: {file}\n")

    def close(self) -> None:
        """Prints the goals and keeps everything."""
        if self.goals:
            say("\n" + "".join(goal_lines(self.goals)))
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{self.name}.json").write_text(json.dumps(self._kept(), indent=1) + "\n")
        say(f"({time.time() - self.began:.0f} s; kept in {RESULTS / self.name}.json)\n")

    def _kept(self) -> dict[str, object]:
        return {
            "name": self.name,
            "title": self.title,
            "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.began)),
            "seconds": time.time() - self.began,
            "machine": machine(),
            "facts": self.facts,
            "tables": self.tables,
            "goals": [{**asdict(goal), "reached": goal.reached} for goal in self.goals],
            "plots": self.plots,
        }


def machine() -> dict[str, object]:
    """What it was measured on."""
    return {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}


def case_goal(title: str, case: Case, taken: Taken) -> Goal:
    """The goal of a case of a table."""
    what = f"{title}: {case.name} against {case.against}"
    return Goal(what, taken[case.name].ratio(taken[case.against]), case.goal)


def row(case: Case, taken: Taken) -> dict[str, object]:
    """A case as it is kept."""
    measured = taken[case.name]
    names = dict.fromkeys(name for sample in measured.samples for name in sample)
    kept: dict[str, object] = {"name": case.name, "samples": [dict(sample) for sample in measured.samples]}
    kept["median"] = {name: measured.median(name) for name in names}
    kept["spread"] = {name: list(measured.spread(name)) for name in names}
    if case.against in taken:
        other = taken[case.against]
        kept |= {"against": case.against, "ratio": measured.ratio(other), "ratios": measured.ratios(other)}
    return kept


def table_lines(title: str, figure: str, cases: Sequence[Case], taken: Taken) -> list[str]:
    """Median, spread, ratio and goal of each case."""
    wide = 2 + max(28, len(title), *(len(case.name) for case in cases))
    lines = [f"{title:{wide}}{'median':>10}{'spread':>22}{'ratio':>9}{'goal':>9}  against\n"]
    for case in cases:
        measured = taken[case.name]
        low, high = (shown(each, figure) for each in measured.spread(figure))
        line = f"{case.name:{wide}}{shown(measured.median(figure), figure):>10}{f'{low} to {high}':>22}"
        if case.against in taken:
            goal = f"{case.goal:g}" if case.goal and figure == SECONDS else ""
            line += f"{measured.ratio(taken[case.against], figure):9.2f}{goal:>9}  {case.against}"
        lines.append(line + "\n")
    return lines


def shown(value: float, unit: str) -> str:
    """A figure as people read it, by its name or unit: seconds, bytes, anything else as a number."""
    if math.isnan(value):
        return "-"
    if unit in {SECONDS, "s"}:
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
    if unit in {"rss", "B"} or unit.startswith("bytes"):
        return f"{value / 1e6:.1f} MB" if value >= 1e6 else f"{value / 1e3:.1f} kB"
    return f"{value:.0f}" if value == int(value) and unit else f"{value:.2f}"


def say(text: str) -> None:
    """To standard output, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def arguments(doc: str | None, rounds: int = 3) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    usual = rounds or "its own number"
    parser.add_argument("--rounds", type=int, default=rounds, help=f"how often everything is measured ({usual})")
    return parser


# ----- plots --------------------------------------------------------------------------------------------------------

Curves = Mapping[str, Mapping[float, float]]
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 400, 64, 170, 40, 48
COLOURS = ("#0b6e99", "#d9480f", "#2b8a3e", "#862e9c", "#5f3dc4", "#868e96")


@dataclass(frozen=True)
class Axis:
    """Places values between two edges of the drawing."""

    first: float
    last: float
    low: float
    high: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a value lies, in the drawing's units."""
        turn: Callable[[float], float] = math.log if self.logarithmic else float
        part = (turn(value) - turn(self.low)) / ((turn(self.high) - turn(self.low)) or 1)
        return round(self.first + part * (self.last - self.first), 1)


def drawn(title: str, across: str, up: str, curves: Curves, *, logarithmic: bool = False) -> str:
    """A line plot as SVG: a curve for each name, {x: y}; ``logarithmic`` is the axis across."""
    places = sorted({x for curve in curves.values() for x in curve})
    top = nice(max(y for curve in curves.values() for y in curve.values()))
    flat = Axis(LEFT, WIDTH - RIGHT, places[0] if logarithmic else 0, places[-1], logarithmic)
    upright = Axis(HEIGHT - BOTTOM, TOP, 0, top)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text((WIDTH - RIGHT + LEFT) / 2, 22, title, size=14),
        text((WIDTH - RIGHT + LEFT) / 2, HEIGHT - 10, across),
        text(LEFT, TOP - 8, up, anchor="end"),
        *(tick(flat.place(x), HEIGHT - BOTTOM, f"{x:g}", across=True) for x in places),
        *(tick(LEFT, upright.place(top * part / 4), f"{top * part / 4:g}", across=False) for part in range(5)),
        *(curve(number, name, points, flat, upright) for number, (name, points) in enumerate(curves.items())),
    ]
    return "\n".join([*parts, "</svg>\n"])


def nice(value: float) -> float:
    """The next number above that is pleasant to divide by four."""
    size = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(size * step for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10, 12) if size * step >= value)


def text(x: float, y: float, words: str, *, anchor: str = "middle", size: int = 12, colour: str = "#212529") -> str:
    """Words in the drawing."""
    at = f'x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"'
    return f"<text {at}>{html.escape(words)}</text>"


def tick(x: float, y: float, words: str, *, across: bool) -> str:
    """A number at an axis, with a line through the drawing."""
    if across:
        return f'<path d="M{x} {TOP}V{y}" stroke="#e9ecef"/>' + text(x, y + 16, words)
    return f'<path d="M{x} {y}H{WIDTH - RIGHT}" stroke="#e9ecef"/>' + text(x - 6, y + 4, words, anchor="end")


def curve(number: int, name: str, points: Mapping[float, float], flat: Axis, upright: Axis) -> str:
    """One line with its dots, and its name at the right."""
    colour = COLOURS[number % len(COLOURS)]
    placed = [(flat.place(x), upright.place(y)) for x, y in sorted(points.items())]
    way = " ".join(f"{x},{y}" for x, y in placed)
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in placed)
    line = f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>'
    return line + dots + text(WIDTH - RIGHT + 10, TOP + 12 + 18 * number, name, anchor="start", colour=colour)
