"""Plone on a bare Debian, from nothing to HTTP 200: by hostout, and by ``bin/buildout`` there with an index at hand.

    python benchmarks/plone/cold.py [--rounds N] [--only hostout,buildout,fetching] [--lines]

The host has ``python3``, sshd, a user ``plone`` and nothing else; it is thrown away after each go. What hostout does is
split by what it says, so that the parts of it that are ours show. What does not belong here: what is deployed
(``project.py``).
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(1, str(Path(__file__).resolve().parent.parent))

from hosts import Fleet, Project, fleet, run
from measure import SECONDS, Case, Report, Taken, arguments, say, shown, side_by_side
from plone import project
from plone.follow import Followed, follow
from plone.index import Index, serving
from plone.project import MINUTES, SOURCES, Tested

GOAL, SECONDS_HERE, OURS = 0.1, 30.0, 8.0
THERE, SENT, FETCHED = "bin/buildout there", "hostout", "hostout, host fetches"
WORDS = {"buildout": THERE, "hostout": SENT, "fetching": FETCHED}
LIMIT = 20 * MINUTES
REQUESTS = "requests to the index"

BY_HAND = """\
set -e
cd /srv/plone
echo step: environment
python3 -m venv --without-pip .
python3 - <<'end'
import urllib.request
urllib.request.urlretrieve("{files}/{pip}", "{pip}")
end
bin/python {pip}/pip install -q --no-cache-dir -i {index} --trusted-host {host} {wanted}
echo step: buildout
bin/buildout buildout:index={index} -c base.cfg
echo step: start
bin/instance start
"""
"""What somebody types who has an index but no hostout; as the user ``plone``."""


@dataclass(frozen=True)
class Place:
    """Where it is measured: one machine, the wheels, and an index that the machine reaches."""

    there: Fleet
    tested: Tested
    index: Index
    lines: bool

    @property
    def url(self) -> str:
        return f"http://{self.there.machines[0].address}:8080/"

    def fresh(self) -> None:
        """The host as it came from Debian, but for the user."""
        machine = self.there.machines[0]
        # ext4 looks for a minute or more at each inode that was freed before it takes another one: what is deleted here
        # would slow down who writes thousands of files next
        machine.reset(keep=True)
        machine.wait()
        machine.add_user("plone")
        # it has another host key now
        known = self.there.folder / "known_hosts"
        known.unlink()
        machine.known_hosts(known)

    def followed(self, argv: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> Followed:
        """A deployment until the page answers; shown line by line to who wants to know more."""
        found = follow(argv, folder, environment, self.url, LIMIT)
        if self.lines:
            say(found.text())
        return found


def main(options: argparse.Namespace) -> None:
    """Measures, and says what is reached."""
    report = Report("plone", "Plone on a bare Debian, until HTTP 200")
    tested = project.tested()
    with fleet() as there, serving(tested.wheels, bridge(there)) as index:
        place = Place(there, tested, index, options.lines)
        report.fact("wheels", f"{len(list(tested.wheels.iterdir()))}, {size(tested.wheels) / 1e6:.0f} MB")
        report.fact("distributions of the site", len(list((tested.caches / "eggs/v5").iterdir())))
        measured(report, cases(place, options.only.split(",")), options.rounds)
    report.close()


def measured(report: Report, wanted: list[Case], rounds: int) -> None:
    """The table, its split, and the goals."""
    taken = side_by_side(wanted, rounds, warm=0, within=25 * MINUTES)
    report.table("cold deployment", wanted, taken)
    say("".join(split_lines(taken)))
    if SENT in taken:
        report.goal("hostout: until HTTP 200", taken[SENT].median(), SECONDS_HERE, "s")
        report.goal("hostout: of that, our own part", taken[SENT].median("our own part"), OURS, "s")


def split_lines(taken: Taken) -> list[str]:
    """A line for each part of a deployment, a column for each way; medians."""
    parts = dict.fromkeys(name for each in taken.values() for sample in each.samples for name in sample)
    lines = ["\n" + f"{'of that':36}" + "".join(f"{name:>24}" for name in taken) + "\n"]
    for part in parts:
        if part != SECONDS:
            unit = "" if part == REQUESTS else "s"
            lines.append(
                f"{part:36}" + "".join(f"{shown(way.median(part), unit):>24}" for way in taken.values()) + "\n"
            )
    return lines


def cases(place: Place, only: list[str]) -> list[Case]:
    """What is compared; each go begins with a fresh host and a working copy that has just been built."""
    known = [
        Case(THERE, lambda: by_hand(place), prepare=lambda: ready(place)),
        deployed(place, SENT, "here"),
        deployed(place, FETCHED, "auto"),
    ]
    return [case for case in known if case.name in {WORDS[word] for word in only}]


def deployed(place: Place, name: str, eggs_from: str) -> Case:
    """The case of a deployment by hostout."""
    prepared: list[Project] = []

    def prepare() -> None:
        place.fresh()
        copy = project.working_copy(place.there, place.tested.caches, place.index.url, eggs_from)
        prepared[:] = [copy]

    def go() -> dict[str, float]:
        copy = prepared[0]
        before = place.index.requests
        found = place.followed([copy.folder / "bin/hostout", "host1", "deploy"], copy.folder, copy.variables())
        return {**split(found), REQUESTS: float(place.index.requests - before)}

    return Case(name, go, THERE, GOAL if name == SENT else 0.0, prepare)


def split(found: Followed) -> dict[str, float]:
    """A deployment of hostout by what it was waiting for; ``our own part`` is all that nobody else did."""
    login = found.at("Logging into the following hosts")
    eggs = found.at("Running command 'uploadeggs'")
    files = found.at("Running command 'uploadbuildout'")
    begun, built = found.at("/buildout -U -N"), found.at("Running command 'postdeploy'")
    start = found.at("bin/instance start")
    other = (built - begun) + (found.answered - start)
    return {
        SECONDS: found.answered,
        "our own part": found.answered - other,
        "until it logs in": login,
        "questions to the host": eggs - login,
        "distributions": files - eggs,
        "configuration, until buildout runs": begun - files,
        "buildout itself": built - begun,
        "until it starts": start - built,
        "first start": found.answered - start,
    }


def by_hand(place: Place) -> dict[str, float]:
    """The same site without hostout."""
    pins, index = project.pins(), place.index.url
    pip = next(place.tested.wheels.glob("pip-*.whl")).name
    wanted = " ".join(f"{name}=={pins[name]}" for name in ("pip", "setuptools", "wheel", "zc.buildout"))
    host, files = urlsplit(index).hostname, index.replace("/simple", "/files")
    script = BY_HAND.format(files=files, host=host, pip=pip, index=index, wanted=wanted)
    as_plone = ["runuser", "-u", "plone", "--", "env", "HOME=/home/plone", "sh", "-c", shlex.quote(script)]
    found = place.followed(place.there.ssh(0, *as_plone), place.there.folder, os.environ)
    environment, built, start = (found.at(f"step: {step}") for step in ("environment", "buildout", "start"))
    return {
        SECONDS: found.answered,
        "until it logs in": environment,
        "environment": built - environment,
        "buildout itself": start - built,
        "first start": found.answered - start,
    }


def ready(place: Place) -> None:
    """A fresh host with the configuration, which is nothing that takes time."""
    place.fresh()
    machine = place.there.machines[0]
    machine.run("install -d -o plone /srv/plone")
    for name in SOURCES:
        machine.write(f"/srv/plone/{name}", (project.HERE / name).read_text(), owner="plone")


def bridge(there: Fleet) -> str:
    """Our own address in the network of the machines."""
    network = ipaddress.ip_network(f"{there.machines[0].address}/24", strict=False)
    return str(network[1])


def size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(file.stat().st_size for file in folder.iterdir())


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = arguments(__doc__)
    made.add_argument("--only", default=",".join(WORDS), help="of %(default)s")
    made.add_argument("--lines", action="store_true", help="every line with its second")
    return made


if __name__ == "__main__":
    sys.exit(run(main, parser()))
