"""File systems of a test's own: so small that one is soon full, or as a power failure leaves it. Needs root."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentclient import until


@contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[Path]:
    """``folder``, made and mounted; whoever is not root skips the test."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, timeout=20).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield folder
    finally:
        unmount(folder)


@contextmanager
def attached(arguments: list[str], target: Path) -> Iterator[None]:
    """What ``mount`` makes of the arguments at ``target``."""
    subprocess.run(["mount", *arguments], check=True, timeout=60)
    try:
        yield
    finally:
        unmount(target)


def unmount(target: Path) -> None:
    """As soon as nobody uses it any more: what was killed may just be ending."""
    for _ in until(f"{target} is unmounted"):
        if subprocess.run(["umount", str(target)], check=False, timeout=60).returncode == 0:
            return


def image(path: Path, megabytes: int = 32) -> Path:
    """The file of a disk with an empty file system."""
    path.write_bytes(b"")
    os.truncate(path, megabytes << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(path)], check=True, timeout=60)
    return path


@contextmanager
def failing(folder: Path, megabytes: int = 64) -> Iterator[Path]:
    """A disk that takes less than it says it has: whatever is written later than the first megabytes is lost."""
    there, disk = folder / "there", folder / "disk"
    disk.mkdir(parents=True)
    with (
        mounted(there, megabytes=12),
        attached(["-o", "loop", str(image(there / "image", megabytes)), str(disk)], disk),
    ):
        yield disk


def copy_of_one_moment(disk: Path, copied: Path) -> None:
    """What has reached the disk, as of a moment in which nothing was written: the kernel has a journal to see to."""
    for _ in until("the disk rests"):
        shutil.copyfile(disk, copied)
        if filecmp.cmp(disk, copied, shallow=False):
            return
