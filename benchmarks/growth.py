"""How the cost of a deployment grows with the distributions of the project and with the releases that are kept.

Made-up distributions of about the size of Plone's; each project has caches of its own, here and on the machine. Ten
minutes, of which making a hundred releases takes four (``--distributions`` and ``--releases`` make it less). What does
not belong here: more hosts (``many_hosts.py``).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from functools import partial

import hosts
from hosts import Fleet, Machine, hostout
from madeup import MadeUp, Place, distributions, made
from measure import Case, Figures, Report, Taken, arguments, say, side_by_side

SIZES, FEW, MANY = (10, 20, 50, 100, 200), 20, 200
KEPT = (1, 10, 100)
GOAL = 1.3
NOTHING, LINE, FIRST = "no change", "one line", "first deployment"
QUESTIONS = ("status", "releases")


def main(options: argparse.Namespace) -> None:
    """Measures, prints, draws."""
    report = Report("growth", "What a larger project and more releases cost")
    with hosts.fleet(1) as there:
        there.machines[0].add_user("app")
        sizes = [size for size in SIZES if size <= options.distributions]
        of_distributions(report, projects(there, sizes), there.machines[0], options.rounds)
        kept = [count for count in KEPT if count <= options.releases]
        of_releases(report, there, kept, options.rounds)
    report.close()


def projects(there: Fleet, sizes: list[int]) -> dict[int, MadeUp]:
    """A project of each size, not deployed yet."""
    places = {size: {"host1": Place(there.machines[0], f"/srv/size{size}/app")} for size in sizes}
    return {size: made(there, f"project{size}", places[size], wheels=distributions(size)) for size in sizes}


def of_distributions(report: Report, grown: Mapping[int, MadeUp], machine: Machine, rounds: int) -> None:
    """The three deployments of each project."""
    cases = [case for size, project in grown.items() for case in deployments(size, project, machine)]
    taken = side_by_side(cases, rounds, within=600)
    report.table("distributions", cases, taken)
    curves = {what: curve(taken, what, grown) for what in (FIRST, LINE, NOTHING)}
    report.plot("growth-distributions", "deploy", "distributions", "seconds", curves)
    if {FEW, MANY} <= grown.keys():
        ratio = taken[f"{NOTHING}, {MANY}"].ratio(taken[f"{NOTHING}, {FEW}"])
        report.goal(f"{MANY} against {FEW} unchanged distributions, no change", ratio, GOAL)


def deployments(size: int, project: MadeUp, machine: Machine) -> list[Case]:
    """To an empty folder, of another line, of nothing."""
    deploy = partial(deployed, project)

    def emptied() -> None:
        machine.run(f"rm -rf /srv/size{size}; sync")

    against = {what: f"{what}, {FEW}" if size != FEW else "" for what in (FIRST, LINE, NOTHING)}
    return [
        Case(f"{FIRST}, {size}", deploy, against[FIRST], prepare=emptied),
        Case(f"{LINE}, {size}", deploy, against[LINE], prepare=project.edit),
        Case(f"{NOTHING}, {size}", deploy, against[NOTHING]),
    ]


def of_releases(report: Report, there: Fleet, kept: list[int], rounds: int) -> None:
    """Deployments and questions where so many releases lie."""
    places = {f"kept{count}": Place(there.machines[0], f"/srv/kept{count}/app") for count in kept}
    project = made(there, "releases", places, wheels=distributions(1))
    for count in kept:
        fill(project, count)
    cases = [case for count in kept for case in with_releases(project, count, kept[0])]
    taken = side_by_side(cases, rounds, within=300)
    report.table("releases kept", cases, taken)
    curves = {what: curve(taken, what, kept) for what in (LINE, NOTHING, *QUESTIONS)}
    report.plot("growth-releases", "releases kept", "releases", "seconds", curves, logarithmic=True)


def fill(project: MadeUp, count: int) -> None:
    """Deploys so many releases."""
    say(f"making {count} releases\n")
    for _ in range(count):
        project.configure()
        hostout(project.project, f"kept{count}", "deploy")


def with_releases(project: MadeUp, count: int, first: int) -> list[Case]:
    """What is done where so many are kept (``one line`` makes one more each time)."""
    part = f"kept{count}"
    ways = {LINE: ("deploy",), NOTHING: ("deploy",), **{question: (question,) for question in QUESTIONS}}
    return [
        Case(
            f"{what}, {count}",
            partial(deployed, project, part, *words),
            f"{what}, {first}" if count != first else "",
            prepare=project.configure if what == LINE else None,
        )
        for what, words in ways.items()
    ]


def deployed(project: MadeUp, *words: str) -> Figures:
    """One go of the script; without words a deployment to ``host1``."""
    return hostout(project.project, *(words or ("host1", "deploy"))).figures()


def curve(taken: Taken, what: str, counts: Mapping[int, object] | list[int]) -> dict[float, float]:
    """Seconds by number."""
    return {count: taken[f"{what}, {count}"].median() for count in counts}


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--distributions", type=int, default=MANY, help=f"at most so many ({MANY})")
    parser.add_argument("--releases", type=int, default=KEPT[-1], help=f"at most so many ({KEPT[-1]})")
    sys.exit(hosts.run(main, parser))
