"""The same three deployments by hostout, Ansible, pyinfra and Fabric, side by side, near and far.

    python benchmarks/peers [--rounds N] [--round-trips 0,30,100] [--only hostout,Fabric]

A machine for each, behind a line of its own; working copies of one application, in which the same is changed.
What does not belong here: how a tool deploys (``tools.py``), what it deploys (``project.py``).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hosts import needs, run
from measure import SECONDS, Case, Figures, Measured, Report, Taken, arguments, program, side_by_side
from peers import tools
from peers.ground import ground
from peers.tools import COMMANDS, HOSTOUT, PEERS, Tool

NOTHING, LINE, DEPENDENCY = "no change", "one line in one of 20 packages", "one dependency updated"
CHANGES: Mapping[str, Callable[[Tool], None] | None] = {
    NOTHING: None,
    LINE: Tool.change_line,
    DEPENDENCY: Tool.update_dependency,
}
LOGIN = ("ssh host true", Tool.log_in)
BUILDOUT = ("buildout -N there", Tool.only_buildout)
WHEEL = ("its wheel by its own backend", Tool.only_wheel)
EMPTY = ("Fabric: run true", partial(Tool.least, task="nothing"))
BESIDE = ("Fabric: buildout -N beside, restart", partial(Tool.least, task="beside"))
FLOORS: Mapping[str, Sequence[tuple[str, Callable[[Tool], Figures | None]]]] = {
    NOTHING: (LOGIN, EMPTY),
    LINE: (BUILDOUT, WHEEL, BESIDE),
    DEPENDENCY: (BESIDE,),
}
"""What a deployment of hostout is made of in any case: the login, buildout's own work; and the least that a script of
Python's takes that deploys with a release of its own and does nothing else."""

NAMED = ("ansible-core", "pyinfra", "fabric")
FIGURES = (SECONDS, "bytes", "turns")
AGAINST_FASTEST = 0.5
BESIDES_LOGIN = 0.5
BESIDES_WHEEL = 40_000
TRIPS = 3
MINUTES = 60.0

Found = Mapping[float, Mapping[str, Taken]]


def measured(options: argparse.Namespace) -> None:
    """Deploys everything for the first time, then the three deployments at each distance."""
    needs("rsync", "ssh")
    report = Report("peers", "the same deployments by hostout, Ansible, pyinfra and Fabric")
    for name, version in versions():
        report.fact(name, version)
    with ground(options.only.split(",")) as there:
        for tool in there:
            first(report, tool)
        distances = [float(word) / 1000 for word in options.round_trips.split(",")]
        found = {far: at(report, there, far, options.rounds) for far in distances}
    for far, kinds in found.items():
        goals(report, far, kinds)
    trips(report, found)
    plots(report, found)
    report.close()


def versions() -> Iterator[tuple[str, str]]:
    """Of the peers."""
    pip = tools.peer_environment() / "bin" / "pip"
    for line in program([pip, "list", "--format", "freeze"], tools.HERE).output.splitlines():
        name, _, version = line.partition("==")
        if name in NAMED:
            yield name, version


def first(report: Report, tool: Tool) -> None:
    """The first deployment of all, which no goal is about."""
    figures = tool.deploy()
    report.fact(f"first deployment, {tool.name}", f"{figures[SECONDS]:.1f} s, {figures['bytes'] / 1e6:.1f} MB")


def at(report: Report, there: Sequence[Tool], far: float, rounds: int) -> dict[str, Taken]:
    """The three deployments over a line whose round trip is ``far`` seconds."""
    for tool in there:
        tool.line.far(far)
    found: dict[str, Taken] = {}
    for kind, change in CHANGES.items():
        cases, least = [case(tool, change) for tool in there], floors(kind, there)
        found[kind] = side_by_side([*cases, *least], rounds, warm=0, within=4 * MINUTES)
        report.table(titled(kind, far), cases, found[kind], FIGURES)
        if least:
            report.table(f"{titled(kind, far)}, what it cannot do without", least, found[kind])
    return found


def case(tool: Tool, change: Callable[[Tool], None] | None) -> Case:
    """A tool's deployment after such a change; the ratio of a peer says how many times as long it takes."""
    against = "" if tool.name == HOSTOUT else HOSTOUT
    return Case(tool.name, tool.deploy, against, prepare=partial(change, tool) if change else None)


def floors(kind: str, there: Sequence[Tool]) -> list[Case]:
    """On the host of hostout."""
    ours = [tool for tool in there if tool.name == HOSTOUT]
    return [Case(name, partial(floor, tool), HOSTOUT) for name, floor in FLOORS[kind] for tool in ours]


def titled(kind: str, far: float) -> str:
    return f"{kind}, {far * 1000:.0f} ms"


# ----- what is reached ----------------------------------------------------------------------------------------------


def goals(report: Report, far: float, kinds: Mapping[str, Taken]) -> None:
    """Against the fastest of the peers, and against what cannot be avoided."""
    for kind, taken in kinds.items():
        peers = [taken[name] for name in PEERS if name in taken]
        if peers and HOSTOUT in taken:
            fastest = min(peers, key=Measured.median)
            what = f"{titled(kind, far)}: against {fastest.name}"
            report.goal(what, taken[HOSTOUT].ratio(fastest), AGAINST_FASTEST)
            least, floor = FLOORS[kind][-1][0], taken[FLOORS[kind][-1][0]]
            report.fact(f"{titled(kind, far)}: '{least}' against {fastest.name}", f"{floor.ratio(fastest):.2f}")
    if HOSTOUT in kinds[NOTHING]:
        own_goals(report, far, kinds)


def own_goals(report: Report, far: float, kinds: Mapping[str, Taken]) -> None:
    """What hostout may take besides the login and buildout's own work."""
    nothing, line = kinds[NOTHING], kinds[LINE]
    least = nothing[LOGIN[0]].median() + TRIPS * far + BESIDES_LOGIN
    report.goal(f"{titled(NOTHING, far)}: seconds", nothing[HOSTOUT].median(), least, "s")
    most = 1.2 * line[BUILDOUT[0]].median() + least
    report.goal(f"{titled(LINE, far)}: seconds", line[HOSTOUT].median(), most, "s")
    parts = {"no change": nothing[HOSTOUT], **{name: line[name] for name, _ in (BUILDOUT, WHEEL)}}
    together = sum(part.median() for part in parts.values())
    report.fact(f"{titled(LINE, far)}: {' + '.join(parts)}", f"{together:.2f} s")
    sizes = line[HOSTOUT].median("agent") + line[HOSTOUT].median("wheel") + BESIDES_WHEEL
    report.goal(f"{titled(LINE, far)}: bytes", line[HOSTOUT].median("bytes"), sizes, "B")


def trips(report: Report, found: Found) -> None:
    """How often each tool waited for an answer from far away: from what it took near and far."""
    near, far = min(found), max(found)
    for kind in CHANGES if far > near else ():
        slow, quick = found[far][kind], found[near][kind]
        waited = {name: slow[name].median() - quick[name].median() for name in COMMANDS if name in slow}
        said = ", ".join(f"{name} {seconds / (far - near):.1f}" for name, seconds in waited.items())
        report.fact(f"round trips, {kind}", said)


def plots(report: Report, found: Found) -> None:
    """A curve of each tool over the distance, for each deployment."""
    for kind in CHANGES:
        names = [name for name in (HOSTOUT, *PEERS) if name in next(iter(found.values()))[kind]]
        curves = {name: {far * 1000: kinds[kind][name].median() for far, kinds in found.items()} for name in names}
        report.plot(f"peers-{kind.replace(' ', '-')}", kind, "round trip in ms", "seconds", curves)


def options() -> argparse.ArgumentParser:
    parser = arguments(__doc__)
    parser.add_argument("--round-trips", default="0,30,100", help="milliseconds (0,30,100)")
    parser.add_argument("--only", default=",".join((HOSTOUT, *PEERS)), help="some of hostout,Ansible,pyinfra,Fabric")
    return parser


if __name__ == "__main__":
    sys.exit(run(measured, options()))
