"""A machine whose ``/srv`` is a disk of its own: an ext4 image that can lose power, fill up or break.

What does not belong here: what lies on the disk.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import machine_base
from machine_base import checked
from machines import Machine, Testbed, unmount

PREFIX = "hostout-faults-"
MEGABYTES, INODES = 400, 8_000
STOPPED = frozenset("TtZXx")
SOON = 60.0


@dataclass
class Disk:
    """An ext4 file system in the file ``image``, mounted at ``folder`` here; an error makes it read-only."""

    image: Path
    folder: Path

    @classmethod
    def made(cls, place: Path) -> Disk:
        """A new one in a folder, mounted."""
        disk = cls(place / "image", place / "srv")
        disk.folder.mkdir(parents=True)
        with disk.image.open("wb") as file:
            file.truncate(MEGABYTES << 20)
        # nothing is kept back for root: full is full for everybody
        checked(["mkfs.ext4", "-q", "-F", "-m", "0", "-N", str(INODES), str(disk.image)])
        disk.mount()
        return disk

    def mount(self) -> None:
        """Mounts it; what its journal holds is done first, as at any start of a machine."""
        checked(["mount", "-o", "loop,errors=remount-ro", str(self.image), str(self.folder)])

    def unmount(self) -> None:
        """Nothing uses it any more."""
        unmount(self.folder)

    def copy(self) -> Path:
        """What has reached the disk by now; what the kernel still keeps in memory is not in it."""
        copied = self.image.with_name("copy")
        checked(["cp", "--sparse=always", str(self.image), str(copied)])
        return copied

    def replace(self, copied: Path) -> None:
        """From the next ``mount`` on it is that copy, checked as at any start of a machine.

        Always another file: a machine that others started meanwhile may still have the old one mounted, and a file
        that is mounted is mounted again as it is, broken or not.
        """
        copied.replace(self.image)
        checked(["sh", "-c", 'e2fsck -p "$1" || [ $? -le 1 ]', "sh", str(self.image)])
        # more than a journal to replay: the copy was not of one moment, or the error was ours
        checked(["e2fsck", "-fn", str(self.image)])

    def break_down(self) -> None:
        """The file system meets an error and is read-only from now on, also for files that are open."""
        Path("/sys/fs/ext4", self._device(), "trigger_fs_error").write_text("a test\n")

    def fill(self) -> None:
        """Not one block is left."""
        for size in (1 << 20, 1 << 12):
            free = os.statvfs(self.folder)
            with (self.folder / f"filler-{size}").open("wb") as filler:
                self._grow(filler.fileno(), free.f_bavail * free.f_frsize, size)

    def use_up_inodes(self) -> None:
        """Not one more file can be made, though there is room."""
        fillers = self.folder / "fillers"
        fillers.mkdir()
        try:
            for number in range(INODES):
                (fillers / str(number)).touch()
        except OSError:
            return

    def make_room(self) -> None:
        """What filled it is gone."""
        for filler in self.folder.glob("filler-*"):
            filler.unlink()
        shutil.rmtree(self.folder / "fillers", ignore_errors=True)

    def _grow(self, descriptor: int, size: int, step: int) -> None:
        while size >= step:
            try:
                os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, size)
            except OSError:
                size //= 2
            else:
                return

    def _device(self) -> str:
        said = checked(["losetup", "-j", str(self.image), "-n", "-O", "NAME"])
        return Path(said.split()[0]).name


@dataclass
class DiskMachine(Machine):
    """A machine with a disk at ``/srv``; ``with_disk`` makes one."""

    disk: Disk = field(kw_only=True)

    def lose_power(self) -> None:
        """Off in the middle of everything: what was not on the disk is gone. On again."""
        self.freeze()
        copied = self.disk.copy()
        self._stop(signal.SIGKILL)
        self.disk.unmount()
        self._start_with(copied)

    def repair_disk(self) -> None:
        """An administrator has the broken disk checked, and restarts the machine."""
        self._stop(signal.SIGKILL)
        self.disk.unmount()
        self._start_with(self.disk.copy())

    def freeze(self) -> None:
        """No process writes any more: what is copied now is the disk at one moment."""
        for process in self.processes():
            signal_to(process, signal.SIGSTOP)
        end = time.monotonic() + SOON
        while any(state(process) not in STOPPED for process in self.processes()) and time.monotonic() < end:
            time.sleep(0.001)

    def processes(self) -> list[int]:
        """All of its processes, by the numbers that they have here."""
        # os.walk passes over groups that go meanwhile
        groups = [folder for group in self._cgroups()[:1] for folder, _, _ in os.walk(group)]
        return [int(number) for folder in groups for number in words(Path(folder, "cgroup.procs"))]

    def switch_off(self) -> None:
        """For good; its disk can be thrown away."""
        self._stop(signal.SIGKILL)
        self.disk.unmount()

    def _start_with(self, copied: Path) -> None:
        self.disk.replace(copied)
        self.disk.mount()
        self.start()
        self.wait()

    def _nspawn(self) -> list[str]:
        return [*super()._nspawn(), f"--bind={self.disk.folder}:/srv"]


def with_disk(testbed: Testbed, name: str, place: Path) -> DiskMachine:
    """A fresh machine with a new disk, running."""
    plain = testbed._new(name, machine_base.base())
    given = {key: value for key, value in vars(plain).items() if key != "_process"}
    machine = DiskMachine(**given, disk=Disk.made(place))
    testbed.machines[name] = machine
    machine.reset()
    machine.wait()
    return machine


def sweep(folder: Path) -> Iterator[Path]:
    """Unmounts the disks of runs whose process is gone; gives the folders that can be removed."""
    for left in folder.glob(f"{PREFIX}*"):
        owner = left.name.removeprefix(PREFIX).split("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            for place in left.glob("*/srv"):
                unmount(place)
            yield left


def words(file: Path) -> list[str]:
    """Those of a file that may be gone by now."""
    try:
        return file.read_text().split()
    except OSError:
        return []


def state(process: int) -> str:
    """``R``, ``S``, ``T``, … as the kernel has it; ``X`` where it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def signal_to(process: int, number: signal.Signals) -> None:
    """To one process of a machine; it may be gone."""
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return
