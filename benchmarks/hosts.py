"""Whole machines to measure on, and working copies whose ``bin/hostout`` deploys to them.

    with fleet(3) as there:                      # three Debian machines, freshly booted; gone when the block ends
        project = there.project("app")           # a working copy and a home that knows their host keys
        hostout(project, "host1", "deploy")
        program(there.ssh(0, "true"), there.folder)

They are the machines of the tests (``tests/machines.py``), and need what those need: root and a few packages.
What does not belong here: what is measured on them, how it is measured (``measure.py``).
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import measure

sys.path.append(str(measure.ROOT / "tests"))

from buildouts import environment
from machine_base import Unavailable
from machines import Machine, Testbed
from projects import Project

__all__ = [
    "NOT_MEASURED",
    "Fleet",
    "Machine",
    "Project",
    "Unavailable",
    "environment",
    "fleet",
    "hostout",
    "needs",
    "run",
]

NOT_MEASURED = 77
"""The exit status of a benchmark that cannot be run on this machine."""

BUILDOUT = "6.0.1"
INSTANCES, FOR_ONE = Path("/proc/sys/fs/inotify/max_user_instances"), 32

SSH_CONFIG = """\
Host {name}
    HostName {machine.address}
    User root
    IdentityFile {machine.key}
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {known_hosts}
    GlobalKnownHostsFile /dev/null
    BatchMode yes
"""


@dataclass(frozen=True)
class Fleet:
    """Machines, named ``host1``, ``host2``...; ``ssh_config`` is how OpenSSH reaches them as root by these names."""

    folder: Path
    machines: tuple[Machine, ...]
    ssh_config: Path

    def ssh(self, number: int, *command: str) -> list[str]:
        """The command line of ``ssh`` to a machine (0 is the first)."""
        return ["ssh", "-F", str(self.ssh_config), self.machines[number].name, *command]

    def scp(self, number: int, file: Path, target: str) -> list[str]:
        """The command line of ``scp`` of a file to a machine."""
        return ["scp", "-q", "-F", str(self.ssh_config), str(file), f"{self.machines[number].name}:{target}"]

    def project(self, name: str, example: str = "") -> Project:
        """An empty working copy (or one of ``examples/<example>``) of a developer who knows all host keys."""
        folder = self.folder / name
        folder.mkdir()
        env = environment(BUILDOUT)
        if example:
            project = Project.of(example, env, folder)
        else:
            (folder / "work").mkdir()
            project = Project.at(folder / "work", env, folder / "home")
        project.knows(*self.machines)
        return project


@contextmanager
def fleet(machines: int = 1) -> Iterator[Fleet]:
    """So many machines in a temporary folder. Raises Unavailable where this machine can have none."""
    os.environ.setdefault("PIP_CACHE_DIR", str(measure.ROOT / ".build" / "pip"))
    testbed = Testbed.open()
    try:
        with watches_for(machines), tempfile.TemporaryDirectory(prefix="hostout-bench-") as name:
            folder = Path(name).resolve()
            booted = tuple(testbed.machine(f"host{number + 1}") for number in range(machines))
            config = folder / "ssh_config"
            config.write_text("".join(_entry(machine, folder / "known_hosts") for machine in booted))
            yield Fleet(folder, booted, config)
    finally:
        testbed.close()


def needs(*programs: str) -> None:
    """Raises Unavailable where this machine lacks one of them."""
    if missing := [program for program in programs if not shutil.which(program)]:
        raise Unavailable(f"install {' '.join(missing)}")


@contextmanager
def watches_for(machines: int) -> Iterator[None]:
    """The kernel lets each systemd watch its files: the usual limit, for all of them together, ends at 18 machines."""
    before = int(INSTANCES.read_text())
    INSTANCES.write_text(str(max(before, FOR_ONE * (machines + 1))))
    try:
        yield
    finally:
        INSTANCES.write_text(str(before))


def _entry(machine: Machine, known_hosts: Path) -> str:
    machine.known_hosts(known_hosts)
    return SSH_CONFIG.format(name=machine.name, machine=machine, known_hosts=known_hosts)


def hostout(project: Project, *words: str, limit: float = 600.0, memory: bool = False) -> measure.Ran:
    """``bin/hostout`` in a working copy, timed; it has to succeed."""
    script = project.folder / "bin" / "hostout"
    return measure.program([script, *words], project.folder, project.variables(), limit=limit, memory=memory)


def run(benchmark: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser) -> int:
    """The main function of a benchmark that needs machines; gives its exit status."""
    options = parser.parse_args()
    # whoever ends us with SIGTERM leaves no machines behind either
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        benchmark(options)
    except Unavailable as problem:
        sys.stderr.write(f"not measured: {problem}\n")
        return NOT_MEASURED
    except measure.Failed as problem:
        sys.stderr.write(f"not measured: {problem}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    return 0
