"""The folders of a path: made once, with the right owners, never over what somebody else made."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from agentclient import CONFIG, Client, Place, entry, send_files

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can make files of other users")


def look(path: Path) -> tuple[int, int, int]:
    status = path.lstat()
    return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)


def test_folders_are_made_whatever_the_umask(place: Place, python: str) -> None:
    place.python = python
    os.umask(0o077)
    try:
        agent = place.agent()
    finally:
        os.umask(0o022)
    assert agent.request("layout").result["facts"]["path"]["kind"] == "hostout"
    for name in ("", "releases", "var", ".hostout", "../buildout-cache/downloads/dist", "../buildout-cache/eggs"):
        assert look(place.path / name)[2] == 0o755
    assert look(place.path / ".hostout/jobs")[2] == 0o700
    assert agent.request("layout").result["facts"]["path"]["kind"] == "hostout"


@pytest.mark.parametrize("made", ["releases", "current"])
def test_folders_of_another_deployment_tool_are_refused(place: Place, made: str) -> None:
    (place.path / made / "20260101").mkdir(parents=True)
    assert (
        place.agent().request("layout").message.startswith(f"{place.path / made} is there and was not made by hostout")
    )


def test_releases_that_are_a_link_are_refused_before_anything_is_sent(place: Place) -> None:
    agent = place.agent()
    agent.request("layout")
    releases, elsewhere = place.path / "releases", place.root / "larger"
    releases.rename(elsewhere)
    releases.symlink_to(elsewhere)
    said = f"{releases} is a link, releases are in a folder: mount there what they are to be kept on"
    assert place.agent().request("layout").message == said


def test_data_that_waits_for_its_application_stays(place: Place) -> None:
    (place.path / "var" / "filestorage").mkdir(parents=True)
    (place.path / "var" / "filestorage" / "Data.fs").write_text("years of work")
    assert place.agent().request("layout").result["facts"]["path"]["kind"] == "hostout"
    assert (place.path / "var" / "filestorage" / "Data.fs").read_text() == "years of work"


def test_path_that_is_a_file_is_refused(place: Place) -> None:
    place.path.parent.mkdir(parents=True)
    place.path.write_text("")
    assert place.agent().request("layout").message == f"{place.path} is not a folder"


def test_user_that_is_not_there_is_named(place: Place) -> None:
    reply = place.agent(effective_user="no-such-user").request("layout")
    assert reply.message == "no such user or group on this host: no-such-user"
    assert not place.path.exists()


@needs_root
def test_code_belongs_to_the_buildout_user_and_var_to_the_effective_user(place: Place) -> None:
    agent = place.agent(effective_user="nobody", buildout_user="daemon")
    assert agent.request("layout").result["facts"]["path"]["kind"] == "hostout"
    assert look(place.path) == look(place.path / "releases") == (1, 1, 0o755)
    assert look(place.path / "var") == (65534, 1, 0o2775)
    assert look(place.cache) == look(place.dist) == look(place.cache / "eggs") == (1, 1, 0o755)
    assert look(place.path / ".hostout") == (0, 0, 0o755)
    assert look(place.path.parent) == (0, 0, 0o755)


@needs_root
def test_folder_that_root_made_for_it_is_handed_over(place: Place) -> None:
    place.path.mkdir(parents=True)
    place.agent(effective_user="nobody").request("layout")
    assert look(place.path)[:2] == (65534, 65534)


@needs_root
def test_agent_that_is_not_root_says_that_it_cannot_make_files_of_others(place: Place, root: Path) -> None:
    archive = Path(shutil.copy(place.archive, root))
    client = Client("/usr/bin/python3", archive, place.question(effective_user="nobody"), user=1, group=1)
    place.clients.append(client)
    message = client.request("layout").message
    assert message == "cannot act as user nobody: the agent runs as daemon and not as root"


@needs_root
def test_resetpermissions_puts_owners_right_and_follows_no_link(place: Place, root: Path) -> None:
    agent = place.agent(effective_user="nobody", buildout_user="daemon")
    agent.request("layout")
    outside = root / "outside"
    outside.write_text("")
    send_files(agent, [(b"", "a.cfg")])
    agent.request("stage", {"name": "0001-aaaaaaaa", "record": {"id": "aaaaaaaa", "files": [entry("a.cfg", b"")]}})
    release = place.path / "releases" / "0001-aaaaaaaa"
    os.chown(release / "a.cfg", 0, 0)
    (release / "link").symlink_to(outside)
    (place.path / "var" / "db").write_text("")
    (place.path / "var" / "db").chmod(0o600)
    assert agent.request("owners").result == {}
    assert look(release / "a.cfg") == (1, 1, 0o644)
    assert look(release / "release.json")[0] == 0
    assert look(place.path / "var" / "db") == (65534, 1, 0o660)
    assert look(outside)[0] == 0


@needs_root
def test_resetpermissions_does_not_follow_a_var_that_its_owner_bent(place: Place, root: Path) -> None:
    agent = place.agent(effective_user="nobody")
    agent.request("layout")
    (root / "secret").mkdir()
    (root / "secret" / "key").write_text("")
    (place.path / "var").rmdir()
    (place.path / "var").symlink_to(root / "secret")
    os.chown(place.path / "var", 65534, 65534, follow_symlinks=False)
    assert agent.request("owners").result == {}
    assert look(root / "secret" / "key")[0] == 0


def test_every_change_is_a_line_in_the_ledger(place: Place) -> None:
    agent = place.agent()
    agent.request("layout")
    send_files(agent, [(CONFIG.encode(), "a.cfg")])
    record = {"id": "aaaaaaaa", "files": [entry("a.cfg", CONFIG.encode())], "scm": {"commit": "c0ffee"}}
    agent.request("stage", {"name": "0001-aaaaaaaa", "record": record})
    agent.request("stage", {"name": "0001-aaaaaaaa", "record": {**record, "id": "b"}})
    assert [(line["what"], line["ok"]) for line in place.ledger()] == [
        ("layout", True),
        ("receive", True),
        ("stage", True),
        ("stage", False),
    ]
    staged = place.ledger()[2]
    assert (staged["release"], staged["user"], staged["machine"], staged["commit"], staged["state"]) == (
        "0001-aaaaaaaa",
        "alice",
        "laptop",
        "c0ffee",
        "staging",
    )


def test_line_that_a_crash_tore_off_spoils_no_other(place: Place) -> None:
    place.agent().request("layout")
    with (place.path / ".hostout/ledger.jsonl").open("a") as ledger:
        ledger.write('{"what": "bu')
    place.end()
    place.agent().request("layout")
    lines = (place.path / ".hostout/ledger.jsonl").read_text().splitlines()
    assert [json.loads(line)["what"] for line in lines] == ["layout", "layout"]
    (torn,) = (place.path / ".hostout").glob("ledger.jsonl.torn-*")
    assert torn.read_text() == '{"what": "bu'


def test_second_client_is_told_who_is_at_work(place: Place) -> None:
    first, second = place.agent(), place.agent(client={"user": "bob", "machine": "desk"})
    first.request("layout")
    message = second.request("owners").message
    assert message.startswith("locked: alice on laptop is at work here since 20")
    assert message.endswith(" UTC (layout)")
    first.end()
    assert second.request("owners").result == {}


def test_second_client_can_wait(place: Place) -> None:
    first, second = place.agent(), place.agent(lock_wait=30)
    first.request("layout")
    second.send("owners", {})
    first.end()
    assert second.reply().result == {}


def test_killed_agent_leaves_no_lock(place: Place) -> None:
    first = place.agent()
    first.request("layout")
    first.process.kill()
    first.process.wait()
    assert place.agent().request("owners").result == {}
