"""How fast 300 MB get to a host, beside ``scp``, and the memory that takes.

Each way sends a file of 300 MB and one of a few bytes: the difference is the sending, without start and login. The
bytes are random, so nothing can be gained by compression. Two minutes. What does not belong here: many small files.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import hosts
from hosts import Fleet, hostout
from madeup import MadeUp, Place, made
from measure import Case, Failed, Figures, Ran, Report, Taken, arguments, program, shown, side_by_side
from wheelsamples import Wheel

SMALL = 1000
SCP, CHANNEL, DURABLE = "scp", "paramiko, a raw channel", "paramiko, a raw channel, and on the disk"
WHEEL, PUT, INCLUDED = "bin/hostout uploadeggs", "bin/hostout put", "bin/hostout uploadbuildout"
OURS = (WHEEL, PUT, INCLUDED)
SPEED, MEMORY = 0.9, 120e6


def main(options: argparse.Namespace) -> None:
    """Measures, prints."""
    size = options.megabytes * 1_000_000
    report = Report("sending", f"Sending {options.megabytes} MB")
    with hosts.fleet(1) as there:
        there.machines[0].add_user("app")
        cases = [*Sender.of(there, SMALL).cases(), *Sender.of(there, size).cases()]
        taken = side_by_side(cases, options.rounds, within=600)
    report.table("sending", cases, taken, ("seconds", "rss"))
    judge(report, taken, size)
    report.close()


def judge(report: Report, taken: Taken, size: int) -> None:
    """The speeds, and the goals."""
    seconds = {way: sending(taken, way, size) for way in (SCP, CHANNEL, DURABLE, *OURS)}
    for way, each in seconds.items():
        report.fact(f"speed of {way}", f"{shown(size / each, 'bytes')}/s")
    slower = max((SCP, CHANNEL), key=seconds.__getitem__)
    report.fact("the goal is measured against", slower)
    for way in OURS:
        report.goal(f"time of sending, {way} against {slower}", seconds[way] / seconds[slower], 1 / SPEED)
    for way in (WHEEL, INCLUDED):
        # neither scp nor the raw channel waits for the disk; what a deployment sends does
        report.fact(f"{way} against {DURABLE}", f"{seconds[way] / seconds[DURABLE]:.2f}")
    for way in OURS:
        report.goal(f"memory, {way}", taken[named(way, size)].median("rss"), MEMORY, "B")


def sending(taken: Taken, way: str, size: int) -> float:
    """Seconds that a way takes for the bytes alone; not a number where the machine was too busy to tell."""
    seconds = taken[named(way, size)].median() - taken[named(way, SMALL)].median()
    return seconds if seconds > 0 else math.nan


def named(way: str, size: int) -> str:
    """Of a case."""
    return f"{way}, {shown(size, 'bytes')}"


@dataclass(frozen=True)
class Sender:
    """All ways to send a file of one size to the machine."""

    there: Fleet
    file: Path
    eggs: MadeUp
    files: MadeUp

    @classmethod
    def of(cls, there: Fleet, size: int) -> Sender:
        """With a project that has a distribution of that size, and one that has an included file."""
        content = os.urandom(size)
        file = there.folder / f"file{size}"
        file.write_bytes(content)
        machine = there.machines[0]
        places = {"eggs": Place(machine, "/srv/eggs/app")}, {"files": Place(machine, "/srv/files/app", "large")}
        eggs = made(there, f"eggs{size}", places[0], wheels=[large(content)])
        files = made(there, f"files{size}", places[1], files={"large": content})
        return cls(there, file, eggs, files)

    def cases(self) -> list[Case]:
        """A case for each way."""
        script, size = Path(__file__).with_name("rawchannel.py"), self.file.stat().st_size
        machine = self.there.machines[0]
        words = {
            WHEEL: (self.eggs, ["eggs", "predeploy", "uploadeggs"]),
            PUT: (self.eggs, ["eggs", "put", str(self.file), "/srv/put"]),
            INCLUDED: (self.files, ["files", "predeploy", "uploadbuildout"]),
        }
        channel = [sys.executable, str(script), machine.address, str(machine.key), str(self.file), "/srv/channel"]
        programs = {SCP: self.there.scp(0, self.file, "/srv/scp"), CHANNEL: channel, DURABLE: [*channel, "sync"]}
        ways = {way: partial(program, argv, self.there.folder, memory=True) for way, argv in programs.items()}
        ways |= {way: partial(hostout, of.project, *rest, memory=True) for way, (of, rest) in words.items()}
        return [Case(named(way, size), partial(self.sent, run), prepare=self.clear) for way, run in ways.items()]

    def sent(self, run: Callable[[], Ran]) -> Figures:
        """Seconds and memory of one go; Failed where the machine has not got the bytes."""
        ran = run()
        there = int(self.there.machines[0].run("sync; du -sb /srv | cut -f1").stdout)
        if there < self.file.stat().st_size:
            raise Failed(f"only {there} bytes arrived\n{ran.output}")
        return ran.figures()

    def clear(self) -> None:
        """Nothing of what was sent is on the machine, and nothing is on its way to the disk."""
        self.there.machines[0].run("rm -rf /srv/*; sync")


def large(content: bytes) -> Wheel:
    """A distribution of one large file."""
    name = "hostouttest_large"
    files: dict[str, str | bytes] = {f"{name}/__init__.py": "", f"{name}/data": content}
    return Wheel("hostouttest-large", "1.0", f"{name}-1.0", files, ())


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--megabytes", type=int, default=300, help="the size of the file (300)")
    sys.exit(hosts.run(main, parser))
