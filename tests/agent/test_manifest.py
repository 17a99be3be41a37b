"""What a release consisted of when it was built, and what has become of that."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentclient import Client, Place, built, entry, stage, until
from onhost import live, released

ONE, TWO = "0001-00000001", "0002-bbbbbbbb"
MADE = """\
cd releases/0001-00000001 && mkdir -p parts/app/empty parts/docs && echo made > parts/app/made.txt
cd releases/0001-00000001 && ln -s made.txt parts/app/link && touch parts/docs/a parts/docs/b
"""
FILES: dict[str, bytes | tuple[bytes, int]] = {"a.cfg": b"a", "bin/app": (b"#!/bin/sh\n", 0o755), "conf/b.txt": b"b"}


@pytest.fixture
def deployed(ready: Place) -> Client:
    """A release was built and is live: files of a bundle, and what its build made."""
    agent = ready.agent()
    agent.request("layout")
    assert stage(ready, agent, ONE, FILES, shared=["blobs"]).result
    assert agent.request("build", {"name": ONE, "commands": MADE.splitlines()}).result["state"] == "built"
    assert agent.request("golive", {"name": ONE}).result["state"] == "good"
    return agent


@pytest.fixture
def agent(place: Place) -> Client:
    """The same without the time that it takes."""
    agent = place.agent()
    agent.request("layout")
    folder = place.path / "releases" / ONE
    for name in ("bin", "conf", "parts/app/empty", "parts/docs"):
        (folder / name).mkdir(parents=True)
    (folder / "bin/app").touch(0o755)
    (folder / "parts/app/link").symlink_to("made.txt")
    (folder / "blobs").symlink_to("../../blobs")
    (place.path / "blobs").mkdir()
    made = {"a.cfg": "a", "bin/app": "#!/bin/sh\n", "conf/b.txt": "b", "parts/app/made.txt": "made", "parts/docs/a": ""}
    bundle = [entry("a.cfg", b"a"), entry("bin/app", b"#!/bin/sh\n", 0o755), entry("conf/b.txt", b"b")]
    live(place, released(place, 1, made=made, shared=["blobs"], files=bundle))
    (place.path / "bin").symlink_to("current/bin")
    (place.path / "conf").symlink_to("current/conf")
    (place.path / "parts").symlink_to("current/parts")
    (place.path / "a.cfg").symlink_to("current/a.cfg")
    return agent


@pytest.fixture
def release(place: Place) -> Path:
    return place.path / "releases" / ONE


def drift(agent: Client) -> tuple[list[str], list[str], list[str]]:
    """What has changed, is missing, is there in addition."""
    status = agent.request("status").result
    return status["changed"], status["missing"], status["strays"]


def unchanged(agent: Client) -> bool:
    return bool(agent.request("facts").result["facts"]["unchanged"])


NONE: tuple[list[str], list[str], list[str]] = ([], [], [])


@pytest.mark.buildout
def test_release_that_was_just_deployed_has_no_drift(deployed: Client, release: Path) -> None:
    assert drift(deployed) == NONE
    assert not deployed.request("status").result["unverified"]
    assert unchanged(deployed)
    for name in ("bin/buildout", "parts/app/made.txt", "conf/b.txt"):
        path = release / name
        path.write_text(f"{path.read_text()}#")
    (release / "parts/docs/c").touch()
    assert drift(deployed) == (["bin/buildout", "conf/b.txt", "parts/app/made.txt"], [], ["parts/docs/c"])


@pytest.mark.parametrize("name", ["a.cfg", "parts/app/made.txt", "bin/app"])
def test_file_that_was_changed_without_a_trace_in_size_and_time_is_named(
    agent: Client, release: Path, name: str
) -> None:
    path = release / name
    before = path.stat()
    path.write_bytes(path.read_bytes().swapcase())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert drift(agent) == ([name], [], [])
    assert not unchanged(agent)


def replaced_by_folder(release: Path) -> None:
    (release / "a.cfg").unlink()
    (release / "a.cfg").mkdir()
    (release / "a.cfg/data").touch()


def replaced_by_link(release: Path) -> None:
    (release / "parts").rename(release.parent.parent / "away")
    (release / "parts").symlink_to("../../away")


def led_elsewhere(release: Path) -> None:
    (release / "parts/app/link").unlink()
    (release / "parts/app/link").symlink_to("empty")


def filled(release: Path) -> None:
    (release / "media/x").mkdir(parents=True)
    for name in ("x/1", "2"):
        (release / "media" / name).touch()


def var_of_its_own(release: Path) -> None:
    (release / "var").unlink()
    (release / "var").mkdir()


CHANGES: dict[str, tuple[Callable[[Path], Any], tuple[list[str], list[str], list[str]]]] = {
    "a script that runs no more": (lambda r: (r / "bin/app").chmod(0o644), (["bin/app"], [], [])),
    "a file that is gone": (lambda r: (r / "conf/b.txt").unlink(), ([], ["conf/b.txt"], [])),
    "a link that leads elsewhere": (led_elsewhere, (["parts/app/link"], [], [])),
    "a folder that is gone": (lambda r: (r / "parts").rename(r.parent.parent / "away"), ([], ["parts/"], [])),
    "a folder in the place of a file": (replaced_by_folder, (["a.cfg"], [], ["a.cfg/"])),
    "a link in the place of a folder": (replaced_by_link, (["parts"], [], [])),
    "its own var": (var_of_its_own, (["var"], [], [])),
    "a new file among those of a part": (lambda r: (r / "parts/app/up.txt").touch(), ([], [], ["parts/app/up.txt"])),
    "a new folder, named once": (filled, ([], [], ["media/"])),
    "a name that would move the cursor": (lambda r: (r / "\x1b[2J\udcff").touch(), ([], [], ["?[2J?"])),
    "a link": (lambda r: (r / "up").symlink_to("/srv"), ([], [], ["up"])),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_became_of_a_release_is_named(agent: Client, release: Path, what: str) -> None:
    change, expected = CHANGES[what]
    change(release)
    assert drift(agent) == expected
    assert unchanged(agent) == (not expected[0] and not expected[1])
    facts = agent.request("facts").result["facts"]
    assert (facts["changed"], facts["strays"]) == (expected[0], expected[2])


def test_what_is_nobodys_data_is_no_stray(agent: Client, release: Path) -> None:
    (release / "parts/app/__pycache__").mkdir()
    (release / "parts/app/__pycache__/a.cpython-311.pyc").touch()
    (release / "parts/app/old.pyc").touch()
    (release / "new/empty").mkdir(parents=True)
    os.mkfifo(release / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(release / "sock"))
    (release / ".release.json.0123abcd").touch()
    (release / "var/data").touch()
    (release / "blobs/data").touch()
    assert drift(agent) == NONE
    assert unchanged(agent)


@pytest.mark.buildout
def test_buildout_run_again_by_hand_and_owners_put_right_are_no_drift(deployed: Client, release: Path) -> None:
    agent = deployed
    assert subprocess.run(["bin/buildout", "-N", "-c", "buildout.cfg"], cwd=release, check=False).returncode == 0
    assert agent.request("owners").result == {}
    assert drift(agent) == NONE
    assert unchanged(agent)


def test_what_buildout_notes_down_each_time_it_is_run_is_no_drift(place: Place, agent: Client) -> None:
    name = live(place, released(place, 2, made={".installed.cfg": "[buildout]\nparts = app\n", "a.cfg": "a"}))
    notes = place.path / "releases" / name / ".installed.cfg"
    notes.write_text(f"{notes.read_text()}\n[buildout]\nparts = app\n")
    assert drift(agent) == NONE
    notes.unlink()
    assert drift(agent) == ([], [".installed.cfg"], [])


@pytest.mark.parametrize("content", [None, "{", "[]", '{"files": {"a": 1}, "links": {}, "folders": []}'])
def test_release_without_a_manifest_is_compared_with_its_bundle(
    agent: Client, release: Path, content: str | None
) -> None:
    (release / ".manifest.json").unlink()
    if content is not None:
        (release / ".manifest.json").write_text(content)
    (release / "parts/upload").touch()
    assert drift(agent) == NONE
    assert agent.request("status").result["unverified"]
    assert unchanged(agent)
    (release / "conf/b.txt").write_text("by hand")
    assert drift(agent) == (["conf/b.txt"], [], [])
    assert not unchanged(agent)


@pytest.mark.buildout
def test_release_whose_manifest_cannot_be_written_is_not_built(ready: Place) -> None:
    agent = ready.agent()
    agent.request("layout")
    assert stage(ready, agent, TWO, {}).result
    reply = agent.request("build", {"name": TWO, "commands": [f"mkdir releases/{TWO}/.manifest.json"]})
    assert reply.message == f"{ready.path}/releases/{TWO}: Is a directory"
    assert ready.state(TWO) == "staging"


@pytest.mark.buildout
def test_build_that_is_whole_is_taken_up_again_a_damaged_one_is_not(ready: Place) -> None:
    agent = ready.agent()
    agent.request("layout")
    built(ready, agent, TWO, {"a.cfg": b"a"})
    asked = ready.agent(release="bbbbbbbb")
    assert asked.facts["built"] == TWO
    (ready.path / "releases" / TWO / "bin/buildout").write_text("")
    assert asked.request("facts").result["facts"]["built"] is None
    assert ready.agent(release="cccccccc").facts["built"] is None


@pytest.mark.buildout
def test_name_of_an_interrupted_upload_is_used_again(ready: Place) -> None:
    agent = ready.agent()
    agent.request("layout")
    assert stage(ready, agent, TWO, {}).result
    assert (ready.agent(release="bbbbbbbb").facts["staged"], agent.facts["staged"]) == (TWO, None)


def test_data_that_a_release_has_itself_is_named_before_it_is_shared(
    agent: Client, place: Place, release: Path
) -> None:
    (release / "media").mkdir()
    (release / "data/files").mkdir(parents=True)
    (place.path / "media").symlink_to("current/media")
    names = ["media", "data/files", "blobs", "elsewhere", "../x"]
    assert place.agent(shared=names).facts["unshared"] == ["media", "data/files"]
    (place.path / "media").unlink()
    (place.path / "media").mkdir()
    assert place.agent(shared=names).facts["unshared"] == ["data/files"]


def test_ten_thousand_files_are_looked_through_at_once(place: Place) -> None:
    place.agent().request("layout")
    live(place, released(place, 1, made={f"parts/p{n // 50}/{n}.txt": "x" * 100 for n in range(10_000)}))
    agent = place.agent()
    for _ in until("facts within the second"):
        before = os.times().elapsed
        assert agent.request("facts").result["facts"]["live"]
        if os.times().elapsed - before < 1.0:
            break


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be led astray")
class TestLaidByTheOwner:
    """Links in the place of what the agent reads and writes as root."""

    @pytest.fixture
    def secret(self, root: Path) -> Path:
        folder = root / "secret"
        folder.mkdir(mode=0o700)
        (folder / "key").write_text("mine")
        return folder

    @pytest.mark.buildout
    def test_manifest_is_not_written_through_a_link(self, ready: Place, secret: Path) -> None:
        agent = ready.agent()
        agent.request("layout")
        assert stage(ready, agent, ONE, {}).result
        lay = f"ln -s {secret}/key releases/{ONE}/.manifest.json"
        assert agent.request("build", {"name": ONE, "commands": [lay]}).result
        assert (secret / "key").read_text() == "mine"
        assert not (ready.path / "releases" / ONE / ".manifest.json").is_symlink()

    @pytest.mark.buildout
    def test_record_is_not_written_into_a_folder_behind_a_link(self, ready: Place, secret: Path) -> None:
        agent = ready.agent()
        agent.request("layout")
        assert stage(ready, agent, TWO, {}).result
        folder = ready.path / "releases" / TWO
        (secret / "release.json").write_text((folder / "release.json").read_text())
        lay = f"mv {folder} {folder}-away && ln -s {secret} {folder}"
        assert agent.request("build", {"name": TWO, "commands": [lay]}).last["event"] == "failed"
        assert sorted(path.name for path in secret.iterdir()) == ["key", "release.json"]
        assert json.loads((secret / "release.json").read_text())["state"] == "staging"

    def test_links_are_named_and_not_followed(self, agent: Client, release: Path, secret: Path) -> None:
        (release / "parts/docs").rename(release / "parts/away")
        (release / "parts/docs").symlink_to(secret)
        assert drift(agent) == (["parts/docs"], [], ["parts/away/"])
        assert agent.request("recorded").result["files"].keys() == {"a.cfg"}
        (release / "a.cfg").unlink()
        (release / "a.cfg").symlink_to(secret / "key")
        assert agent.request("recorded").result["files"] == {}
