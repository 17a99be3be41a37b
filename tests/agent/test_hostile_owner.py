"""What the application's user may lay in the way of an agent that is root: none of it gives that user more."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agentclient import Client, Place, entry, send_files, sha256, stage, step, with_hook

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can be led astray")

NOBODY = 65534
ONE = "0001-aaaaaaaa"
RECORD = {"id": "aaaaaaaa"}


def built(release: Path) -> None:
    """As if it had been built."""
    record = json.loads((release / "release.json").read_text())
    (release / "release.json").write_text(json.dumps({**record, "state": "built"}))


def theirs(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def bent(path: Path, target: Path) -> None:
    """The path as its owner would bend it: out of the way, and a link in its place."""
    if os.path.lexists(path):
        path.rename(path.with_name(f"{path.name}-away"))
    path.symlink_to(target)
    theirs(path)


@pytest.fixture
def secret(root: Path) -> Path:
    """A folder of root's, with a file."""
    folder = root / "secret"
    folder.mkdir(mode=0o700)
    (folder / "key").write_text("mine")
    return folder


@pytest.fixture
def agent(place: Place) -> Client:
    place.extra["effective_user"] = "nobody"
    agent = place.agent()
    assert agent.request("layout").result["facts"]["path"]["kind"] == "hostout"
    return agent


def untouched(folder: Path) -> bool:
    looks = [path.lstat() for path in (folder, folder / "key")]
    owned = all(look.st_uid == 0 for look in looks) and stat.S_IMODE(looks[0].st_mode) == 0o700
    return owned and [path.name for path in folder.iterdir()] == ["key"]


@pytest.mark.parametrize("name", ["var", "releases", "../buildout-cache/eggs", "../buildout-cache/downloads"])
def test_link_to_a_folder_of_roots_is_not_handed_over(agent: Client, place: Place, secret: Path, name: str) -> None:
    bent(place.path / name, secret)
    agent.request("layout")
    assert untouched(secret)


def test_link_of_ours_does_not_become_var(agent: Client, place: Place, secret: Path, root: Path) -> None:
    release = place.path / "releases" / ONE
    assert agent.request("stage", {"name": ONE, "record": RECORD}).result
    (release / "data").mkdir()
    built(release)
    assert agent.request("golive", {"name": ONE}).result
    (place.path / "var").rename(place.path / "away")
    (place.path / "data").rename(place.path / "var")
    bent(place.path / "current", root)
    (root / "data").symlink_to(secret)
    assert agent.request("owners").result == {}
    assert untouched(secret)


def test_links_in_a_path_that_roots_link_leads_to_are_not_roots(place: Place, secret: Path, root: Path) -> None:
    for path in (place.path, place.cache):
        elsewhere = root / "disk" / path.name
        elsewhere.mkdir(parents=True)
        theirs(elsewhere)
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(elsewhere)
    agent = place.agent(effective_user="nobody")
    assert agent.request("layout").result["facts"]["path"]["kind"] == "hostout"
    assert agent.request("stage", {"name": ONE, "record": RECORD}).result
    (place.path / "releases" / ONE / "secret").mkdir()
    built(place.path / "releases" / ONE)
    assert agent.request("golive", {"name": ONE}).result
    made = [*place.path.glob("[!.]*"), *place.cache.glob(".hostout/**/*")]
    assert [path for path in made if path.lstat().st_uid != NOBODY] == []
    (place.path / "var").rename(place.path / "away")
    (place.path / "secret").rename(place.path / "var")
    bent(place.path / "current", root)
    assert agent.request("owners").result == {}
    assert untouched(secret)


def test_shared_folder_is_not_made_behind_a_link(agent: Client, place: Place, secret: Path) -> None:
    bent(place.path / "media", secret)
    args = {"name": ONE, "record": {**RECORD, "shared": ["media/uploads"]}}
    assert "permission denied" in agent.request("stage", args).message
    assert untouched(secret)


@pytest.mark.parametrize("by", ["root", "them"])
def test_shared_folder_is_not_handed_over_behind_a_link_above_it(
    agent: Client, place: Place, secret: Path, root: Path, by: str
) -> None:
    shared = {"shared": ["data/secret"]}
    assert agent.request("stage", {"name": ONE, "record": RECORD | shared if by == "root" else RECORD}).result
    release = place.path / "releases" / ONE
    built(release)
    assert agent.request("golive", {"name": ONE}).result
    if by == "them":
        written = json.loads((release / "release.json").read_text())
        (release / "release.json").unlink()
        (release / "release.json").write_text(json.dumps(written | shared))
        theirs(release / "release.json")
    bent(place.path / "data", root)
    assert agent.request("owners").result == {}
    assert untouched(secret)


def test_folder_of_roots_behind_a_link_of_theirs_is_not_handed_over(agent: Client, place: Place, root: Path) -> None:
    folder = root / "roots" / "dist"
    folder.mkdir(parents=True)
    bent(place.cache / "downloads", root / "roots")
    assert agent.request("layout").result["facts"]["path"]["kind"] == "hostout"
    assert folder.stat().st_uid == 0


BENDS = """\
import os, sys
def hook(event, args):
    if event == "os.fwalk" and not os.path.exists("{path}/away"):
        os.rename("{path}/releases", "{path}/away")
        os.symlink("{root}", "{path}/releases")
        os.chown("{path}/releases", 65534, 65534, follow_symlinks=False)
sys.addaudithook(hook)
"""


def test_releases_that_become_a_link_while_they_are_handed_over(
    agent: Client, place: Place, secret: Path, root: Path
) -> None:
    (root / "media").mkdir()
    for name in ("media", "secret"):
        (place.path / "releases" / name).mkdir()
        theirs(place.path / "releases" / name)
    agent.end()
    archive = with_hook(place, BENDS.format(path=place.path, root=root))
    place.clients.append(Client(place.python, archive, place.question()))
    assert place.clients[-1].request("owners").result == {}
    assert (place.path / "releases").is_symlink()
    assert untouched(secret)


def test_commands_that_its_owner_wrote_into_a_record_are_not_signed_by_root(ready: Place) -> None:
    agent = ready.agent()
    agent.request("layout")
    assert stage(ready, agent, ONE, {}).result
    path = ready.path / "releases" / ONE / "release.json"
    evil = {"pre": [], "stop": [step("id -un", user="root")], "start": [], "post": ["id -un"]}
    path.write_text(json.dumps({**ready.record(ONE), "commands": evil}))
    theirs(path)
    assert agent.request("build", {"name": ONE}).result
    assert (path.stat().st_uid, ready.record(ONE).get("commands")) == (0, None)


def test_pipe_in_the_place_of_a_record_does_not_hold_anybody_up(agent: Client, place: Place) -> None:
    assert agent.request("stage", {"name": ONE, "record": RECORD}).result
    record = place.path / "releases" / ONE / "release.json"
    record.unlink()
    os.mkfifo(record)
    assert place.agent().facts["releases"][0]["state"] == "broken"


def test_log_is_not_written_into_a_folder_of_anybody_elses(agent: Client, place: Place, root: Path) -> None:
    logs = root / "logs"
    logs.mkdir()
    (logs / "commands.log").write_text("")
    bent(place.path / ".hostout/jobs", logs)
    assert agent.request("command", step("echo hello")).lines()[-1] == "hello"
    assert (logs / "commands.log").stat().st_uid == 0
    assert (logs / "commands.log").read_text() == ""


def test_lock_in_a_folder_that_its_owner_made_is_none(agent: Client, place: Place) -> None:
    agent.end()
    (place.path / ".hostout").rename(place.path / "away")
    (place.path / ".hostout").mkdir()
    theirs(place.path / ".hostout")
    message = place.agent().request("owners").message
    assert message == f"{place.path}/.hostout/lock: its folder does not belong to root"


def test_program_that_changes_hands_does_not_run_as_its_new_owner(agent: Client, place: Place) -> None:
    program = place.path / "var" / "program"
    program.write_text("")
    os.chown(program, 1, 1)
    program.chmod(0o4575)
    assert agent.request("owners").result == {}
    look = program.stat()
    assert (look.st_uid, stat.S_IMODE(look.st_mode)) == (NOBODY, 0o775)


def test_what_a_recipe_made_private_stays_private(agent: Client, place: Place) -> None:
    assert agent.request("stage", {"name": ONE, "record": RECORD}).result
    private = place.path / "releases" / ONE / "passwords"
    private.write_text("")
    private.chmod(0o600)
    assert agent.request("owners").result == {}
    assert (private.stat().st_uid, stat.S_IMODE(private.stat().st_mode)) == (NOBODY, 0o600)


def test_files_that_come_and_go_meanwhile_stop_nothing(agent: Client, place: Place) -> None:
    churn = "import itertools, os, sys\nfor n in itertools.count():\n open('f', 'w').close()\n os.unlink('f')"
    with subprocess.Popen([sys.executable, "-c", churn], cwd=place.path / "var") as running:
        try:
            replies = [agent.request("owners") for _ in range(300)]
        finally:
            running.kill()
    assert [reply.last["message"] for reply in replies if reply.last["event"] == "failed"] == []


def test_eggs_that_root_runs_from_are_not_handed_over(place: Place) -> None:
    place.agent(effective_user="root").request("layout")
    place.end()
    (place.cache / "eggs/v5/a-1-py3.11.egg").mkdir(parents=True)
    agent = place.agent(effective_user="nobody", path=str(place.path.with_name("host2")))
    assert agent.facts["cache"]["directory"] == str(place.cache / "nobody")
    assert agent.request("layout").result["facts"]["path"]["kind"] == "hostout"
    assert (place.cache / "eggs").stat().st_uid == 0


def test_upload_does_not_land_behind_a_link(agent: Client, place: Place, secret: Path) -> None:
    (place.path / ".hostout").rename(place.path / "away")
    (place.path / ".hostout").mkdir()
    theirs(place.path / ".hostout")
    bent(place.path / ".hostout/incoming", secret)
    message = send_files(agent, [(b"* * * * * root id\n", "cron.txt")]).message
    assert message == f"{place.path}/.hostout/incoming: its folder does not belong to root"
    assert untouched(secret)


@pytest.mark.parametrize("name", ["incoming", "incoming/.partial"])
def test_upload_does_not_follow_a_link_that_was_laid_before(
    agent: Client, place: Place, secret: Path, name: str
) -> None:
    bent(place.path / ".hostout" / name, secret)
    assert send_files(agent, [(b"x", "x.cfg")]).message.startswith(f"{place.path}/.hostout/incoming: ")
    assert untouched(secret)


def test_making_a_release_removes_nothing_behind_a_link(agent: Client, place: Place, root: Path) -> None:
    files = [entry("a.cfg", b"mine")]
    kept = root / "kept"
    kept.mkdir()
    assert send_files(agent, [(b"mine", "a.cfg")]).result
    (kept / sha256(b"mine")).write_bytes(b"mine")
    bent(place.path / ".hostout/incoming", kept)
    assert "incoming" in agent.request("stage", {"name": ONE, "record": {**RECORD, "files": files}}).message
    assert [path.read_bytes() for path in kept.iterdir()] == [b"mine"]


def test_pipe_in_the_place_of_a_distribution_holds_nobody_up(agent: Client, place: Place) -> None:
    pipe = place.dist / "hostouttest-1-py3-none-any.whl"
    os.mkfifo(pipe)
    theirs(pipe)
    args = {"name": ONE, "record": {**RECORD, "dists": [{"filename": pipe.name, "sha256": sha256(b"x")}]}}
    assert agent.request("stage", args).message.startswith(f"not in {place.dist}")
    wheels = [{"filename": pipe.name, "sha256": sha256(b"x")}]
    assert agent.request("environment", {"key": "key", "wheels": wheels}).message == f"{pipe}: not a file"
    assert send_files(agent, [(b"x", pipe.name)], "dist").result == {"received": 1}
    assert pipe.read_bytes() == b"x"
