"""The processes of a machine, seen from here: which are the agent's, its jobs', and what should not be there any more.

What does not belong here: when they are looked at.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from pathlib import Path

from faults.disk import DiskMachine, signal_to
from hostout.agent.protocol import SILENCE
from machines import number_inside

SYSTEM = ("init", "systemd", "(sd-pam)", "dbus-daemon", "agetty", "(agetty)", "login", "sshd", "sshd-session")
APPLICATION = "bin/faultapp"
AGENT = "-I -S -B /proc/self/fd/"
"""How the agent was started, and so what its own processes are called as well."""

QUIET = SILENCE + 45.0
"""Seconds in which a host has come to rest once nobody talks to it; a client may be lost without a word."""


@dataclass(frozen=True)
class Process:
    """A process of the machine, by the number that it has here."""

    number: int
    parent: int
    command: str

    def kill(self) -> None:
        signal_to(self.number, signal.SIGKILL)


@dataclass(frozen=True)
class Processes:
    """Those of a machine."""

    machine: DiskMachine

    def ours(self) -> list[Process]:
        """Those that are neither the system's nor the application's."""
        found = [Process(number, parent(number), command(number)) for number in self.machine.processes()]
        return [process for process in found if process.command and not belongs(process.command)]

    def after_rest(self, seconds: float = QUIET) -> list[str]:
        """Waits until no process of ours is there; gives the commands of those that stay."""
        end = time.monotonic() + seconds
        while (left := self.ours()) and time.monotonic() < end:
            time.sleep(0.05)
        return [process.command for process in left]

    def of_agent(self) -> list[Process]:
        """Agents that a client talks to, and their jobs."""
        return [process for process in self.ours() if AGENT in process.command]

    def agents(self) -> list[Process]:
        """Those that a client talks to."""
        found = self.of_agent()
        return [process for process in found if process.parent not in self._parents_of_jobs(found)]

    def jobs(self) -> list[Process]:
        """Those that go on without a client."""
        found = self.of_agent()
        return [process for process in found if process.parent in self._parents_of_jobs(found)]

    def _parents_of_jobs(self, found: list[Process]) -> set[int]:
        """Agents, and the first process of the machine, which takes in those whose agent is gone."""
        first = {number for number in self.machine.processes() if number_inside(number) == 1}
        return first | {process.number for process in found}


def belongs(command: str) -> bool:
    """Whether a process is the system's or the application's."""
    first = command.split()[0].rpartition("/")[2].rstrip(":")
    return first in SYSTEM or first.startswith("systemd-") or APPLICATION in command


def command(process: int) -> str:
    """The command line, "" of one that is gone."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def parent(process: int) -> int:
    """The number of the one that started it or took it in; 0 where it is gone."""
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
