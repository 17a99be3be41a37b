"""What more hosts cost: ``run true`` and deployments on 1 to 20 machines, beside ssh and Fabric.

Eight minutes (``--hosts`` and ``--rounds`` make it less). What does not belong here: what one deployment costs
beside other tools (``peers``), and what a larger project costs (``growth.py``).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial

import hosts
from hosts import Fleet, hostout
from madeup import MadeUp, Place, distributions, made
from measure import Case, Failed, Figures, Report, Taken, arguments, program, side_by_side

LIMIT = 120.0
LEFT_OUT = 10
"""Not that many hosts: deployments to them take their time, and a line between the others says enough."""

SSH, AT_ONCE, SERIAL, THREADS = "ssh, one by one", "ssh, all at once", "Fabric, one by one", "Fabric, all at once"
OURS = "bin/hostout run true"

FABRIC = """\
import sys
from fabric import {group}

with {group}(*sys.argv[1:], user="root", connect_kwargs={{"key_filename": "{key}"}}) as group:
    group.run("true", hide=True)
"""


def main(options: argparse.Namespace) -> None:
    """Measures, prints, draws."""
    counts = [count for count in (1, 5, 10, 20) if count <= options.hosts]
    report = Report("many_hosts", "What more hosts cost")
    with hosts.fleet(max(counts)) as there:
        project = prepared(there)
        began = time.perf_counter()
        hostout(project.project, "all", "deploy")
        report.fact(f"first deployment to {max(counts)} hosts, seconds", round(time.perf_counter() - began, 1))
        commands(report, there, project, counts, options.rounds)
        deployments(report, project, [count for count in counts if count != LEFT_OUT], options.rounds)
    report.close()


def prepared(there: Fleet) -> MadeUp:
    """A small project with a part for every machine."""
    for machine in there.machines:
        machine.add_user("app")
    for name, group in (("serial", "SerialGroup"), ("threads", "ThreadingGroup")):
        script = FABRIC.format(group=group, key=there.machines[0].key)
        (there.folder / f"{name}.py").write_text(script)
    places = {machine.name: Place(machine, "/srv/app") for machine in there.machines}
    return made(there, "project", places, wheels=distributions(10))


def commands(report: Report, there: Fleet, project: MadeUp, counts: Sequence[int], rounds: int) -> None:
    """``run true`` on so many hosts."""
    curves: dict[str, dict[float, float]] = {name: {} for name in (OURS, SSH, AT_ONCE, SERIAL, THREADS)}
    for count in counts:
        cases = ways(there, project, count)
        taken = side_by_side(cases, rounds, within=300)
        report.table(f"run true, {hosts_of(count)}", cases, taken)
        for name, measured in taken.items():
            curves[name][count] = measured.median()
    report.plot("hosts-run", "run true", "hosts", "seconds", curves)


def ways(there: Fleet, project: MadeUp, count: int) -> list[Case]:
    """The ways to run a command on so many hosts."""
    names = [machine.name for machine in there.machines[:count]]
    addresses = [machine.address for machine in there.machines[:count]]
    serial, threads = ([sys.executable, f"{way}.py", *addresses] for way in ("serial", "threads"))
    return [
        Case(SSH, lambda: one_by_one(there, count)),
        Case(AT_ONCE, lambda: at_once(there, count)),
        Case(SERIAL, lambda: program(serial, there.folder).figures()),
        Case(THREADS, lambda: program(threads, there.folder).figures()),
        Case(OURS, lambda: hostout(project.project, *names, "run", "true").figures(), SERIAL),
    ]


def one_by_one(there: Fleet, count: int) -> None:
    """What a loop in a shell does."""
    for number in range(count):
        program(there.ssh(number, "true"), there.folder)


def at_once(there: Fleet, count: int) -> None:
    """What ``xargs -P`` does."""
    running = [subprocess.Popen(there.ssh(number, "true"), stdin=subprocess.DEVNULL) for number in range(count)]
    ended = [process.wait(LIMIT) for process in running]
    if any(ended):
        raise Failed("ssh failed")


def deployments(report: Report, project: MadeUp, counts: Sequence[int], rounds: int) -> None:
    """Deployments that change nothing and that change one line, on so many hosts."""
    cases = [case for count in counts for case in changes(project, count, counts[0])]
    taken = side_by_side(cases, rounds, warm=0, within=300)
    report.table("deploy", cases, taken)
    curves = {what: curve(taken, what, counts) for what in ("no change", "one line")}
    report.plot("hosts-deploy", "deploy", "hosts", "seconds", curves)


def changes(project: MadeUp, count: int, first: int) -> list[Case]:
    """Both kinds of deployment to so many hosts, compared with those to the first of these numbers."""
    names = [f"host{number + 1}" for number in range(count)]
    deploy = partial(deployed, project, names)
    against = [f"{what}, {hosts_of(first)}" if count != first else "" for what in ("no change", "one line")]
    return [
        Case(f"one line, {hosts_of(count)}", deploy, against[1], prepare=project.edit),
        Case(f"no change, {hosts_of(count)}", deploy, against[0]),
    ]


def deployed(project: MadeUp, names: Sequence[str]) -> Figures:
    """One deployment."""
    return hostout(project.project, *names, "deploy").figures()


def curve(taken: Taken, what: str, counts: Sequence[int]) -> dict[float, float]:
    """Seconds by number of hosts."""
    return {count: taken[f"{what}, {hosts_of(count)}"].median() for count in counts}


def hosts_of(count: int) -> str:
    """How many."""
    return f"{count} host{'s' if count > 1 else ''}"


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--hosts", type=int, default=20, help="at most so many (20)")
    sys.exit(hosts.run(main, parser))
