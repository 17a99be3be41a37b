"""A large file that came for a release is not copied into it; whatever may have happened to it meanwhile, it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from agentclient import Client, Place, entry, send_files, sha256
from hostout.agent.handover import LARGE
from smalldisk import mounted

CONTENT = b"large" * (LARGE // 5 + 1)
NOBODY = 65534
ONE = "0001-aaaaaaaa"


@pytest.fixture
def agent(place: Place) -> Client:
    if os.getuid() == 0:
        place.extra["effective_user"] = "nobody"
    agent = place.agent()
    assert agent.request("layout").result
    assert send_files(agent, [(CONTENT, "data.bin")]).result == {"received": 1}
    return agent


@pytest.fixture
def came(place: Place, agent: Client) -> Path:
    """The file, as long as no release has it."""
    return place.path / ".hostout/incoming" / sha256(CONTENT)


def staged(agent: Client, *names: str, mode: int = 0o644) -> Any:
    files = [entry(name, CONTENT, mode) for name in names]
    return agent.request("stage", {"name": ONE, "record": {"id": "aaaaaaaa", "files": files}})


def test_it_is_the_very_file_that_came(agent: Client, place: Place, came: Path) -> None:
    before = came.stat().st_ino
    assert staged(agent, "sub/.hidden/data.bin", mode=0o755).result
    found = place.path / "releases" / ONE / "sub/.hidden/data.bin"
    status = found.stat()
    assert (status.st_ino, status.st_nlink, status.st_mode & 0o7777) == (before, 1, 0o755)
    assert found.read_bytes() == CONTENT and not came.exists()
    assert {status.st_uid, found.parent.stat().st_uid} == {NOBODY if os.getuid() == 0 else os.getuid()}


def test_under_a_second_name_it_is_a_file_of_its_own(agent: Client, place: Place) -> None:
    assert staged(agent, "a", "b").result
    a, b = (place.path / "releases" / ONE / name for name in "ab")
    assert a.stat().st_ino != b.stat().st_ino and a.read_bytes() == b.read_bytes() == CONTENT
    assert a.stat()[4:6] == b.stat()[4:6]


def test_its_group_is_that_of_a_folder_that_says_so(agent: Client, place: Place) -> None:
    releases = place.path / "releases"
    os.chown(releases, -1, group := 4 if os.getuid() == 0 else os.getgid())
    releases.chmod(0o2755)
    assert staged(agent, "a", "b").result
    assert {(releases / ONE / name).stat().st_gid for name in "ab"} == {group}


def test_one_that_was_written_to_meanwhile_is_not_taken(agent: Client, place: Place, came: Path) -> None:
    times = came.stat()
    with came.open("r+b") as file:
        file.write(b"other")
    os.utime(came, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert staged(agent, "a").message == "the content of a is not here: it has to be received first"
    assert list((place.path / "releases").iterdir()) == []
    assert send_files(agent, [(CONTENT, "a")]).result and staged(agent, "a").result
    assert (place.path / "releases" / ONE / "a").read_bytes() == CONTENT


def test_one_that_somebody_else_has_under_another_name_is_copied(agent: Client, place: Place, came: Path) -> None:
    other = place.path / "other"
    os.link(came, other)
    assert staged(agent, "a").result
    found = place.path / "releases" / ONE / "a"
    assert found.stat().st_ino != other.stat().st_ino and found.read_bytes() == CONTENT


def test_what_came_in_an_earlier_visit_is_hashed_again(agent: Client, place: Place, came: Path) -> None:
    agent.end()
    with came.open("r+b") as file:
        file.write(b"other")
    assert "has to be received first" in staged(place.agent(), "a").message


def test_where_the_releases_are_on_another_file_system_it_is_copied(agent: Client, place: Place, came: Path) -> None:
    releases = place.path / "releases"
    owner = releases.stat().st_uid
    releases.rmdir()
    with mounted(releases, megabytes=8):
        os.chown(releases, owner, -1)
        assert staged(agent, "a").result
        assert (releases / ONE / "a").read_bytes() == CONTENT and not came.exists()
