"""Files that a release has in common with the one before, on a file system that can share their room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentclient import Place, entry, send_files
from smalldisk import unmount

SIZE = 40_000_000


@pytest.fixture
def xfs(place: Place) -> Iterator[Path]:
    """The place lies on such a file system."""
    disk, top = place.root / "disk", place.root / "srv"
    top.mkdir()
    with disk.open("wb") as file:
        file.truncate(320_000_000)
    try:
        subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", str(disk)], check=True, timeout=60)
        subprocess.run(["mount", "-o", "loop", str(disk), str(top)], check=True, timeout=60)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("an XFS of one's own needs root and xfsprogs")
    yield top
    place.end()
    unmount(top)


def room(folder: Path) -> int:
    """Free bytes."""
    os.sync()
    status = os.statvfs(folder)
    return status.f_bfree * status.f_frsize


def test_a_large_file_takes_its_room_once_for_all_releases(place: Place, xfs: Path) -> None:
    agent, content = place.agent(), os.urandom(SIZE)
    assert agent.request("layout").result["facts"]["path"]["kind"] == "hostout"
    before = room(xfs)
    send_files(agent, [(content, "logo.png")])
    for name in ("0001-aaaaaaaa", "0002-aaaaaaaa"):
        record = {"id": "aaaaaaaa", "config": "buildout.cfg", "files": [entry("logo.png", content)]}
        assert agent.request("stage", {"name": name, "record": record}).result["name"] == name
    assert before - room(xfs) < 1.5 * SIZE
    first, second = (place.path / "releases" / name / "logo.png" for name in ("0001-aaaaaaaa", "0002-aaaaaaaa"))
    with second.open("r+b") as file:
        file.write(b"another")
    assert first.read_bytes() == content and second.read_bytes() == b"another" + content[7:]
