"""What the agent says before anything is changed."""

from __future__ import annotations

import ast
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from agentclient import AGENT, Client, Place, blob, entry, send_files, sha256
from hostout.agent import protocol
from hostout.agent.distname import egg_key, key, loose
from hostout.remote.shipping import packed


def test_agent_needs_the_standard_library_only() -> None:
    for path in AGENT.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(), feature_version=(3, 9))):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [str(node.module)]
            else:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name.partition(".")[0] in sys.stdlib_module_names, f"{path.name} imports {name}"


def test_agent_travels_within_a_command_line() -> None:
    assert len(packed(AGENT)) < 95_000


def test_facts_of_a_host_that_has_nothing(place: Place, python: str) -> None:
    place.python = python
    facts = place.agent().facts
    assert facts["agent"] == protocol.AGENT
    assert facts["path"]["kind"] == "absent"
    assert not facts["path"]["exists"]
    assert facts["path"]["writable"]
    assert facts["path"]["free"] > 0
    assert facts["path"]["inodes"] > 0
    assert facts["cache"]["directory"] == str(place.cache)
    assert facts["releases"] == []
    assert facts["live"] is None
    assert facts["next"] == 1
    assert (facts["have"], facts["blobs"], facts["partial"], facts["environment"]) == ({}, [], {}, False)
    assert facts["owners"]["effective"]["uid"] == os.getuid()
    assert list(place.root.iterdir()) == []


def test_file_system_that_nothing_runs_from_is_told(place: Place, small_disk: Path) -> None:
    assert not place.agent().facts["path"]["noexec"]
    place.extra["cache"] = str(small_disk / "cache")
    subprocess.run(["mount", "-o", "remount,noexec", str(small_disk)], check=True)
    facts = place.agent().facts
    assert (facts["path"]["noexec"], facts["cache"]["noexec"]) == (False, True)


def test_facts_say_which_wheels_fit(place: Place) -> None:
    found = place.agent().facts["python"]
    assert found["version"] == platform.python_version()
    assert found["implementation"] == "cpython"
    assert found["platform"].startswith("linux-") or sys.platform != "linux"
    assert found["libc"] is None or found["libc"][0] in ("glibc", "musl")


def test_python_that_was_made_without_libffi_will_do(place: Place) -> None:
    place.python_first("sys.modules['_ctypes'] = None")
    agent = place.agent()
    assert agent.request("layout").result["facts"]["path"]["kind"] == "hostout"
    assert agent.request("command", {"line": "echo hello"}).lines() == ["hello"]


def test_users_and_groups_that_are_not_there_are_named(place: Place) -> None:
    facts = place.agent(effective_user="no-such-user", buildout_group="no-such-group").facts
    assert facts["missing_users"] == ["no-such-user"]
    assert facts["missing_groups"] == ["no-such-group"]
    assert facts["owners"] == {"effective": None, "buildout": None}


@pytest.mark.parametrize("path", ["/", "plone", "/srv/../etc"])
def test_path_that_is_no_place_to_deploy_to_is_refused(place: Place, path: str) -> None:
    assert place.agent(path=path).first == {
        "event": "failed",
        "id": 0,
        "message": f"not a folder to deploy to: {path}",
        "command": "",
        "tail": [],
        "log": "",
        "status": None,
    }


FOUND = {"": "empty", "var": "empty", "media": "other", "parts": "buildout", "bin": "other", "bin/buildout": "buildout"}


@pytest.mark.parametrize(("made", "kind"), FOUND.items())
def test_what_is_in_path_already(place: Place, made: str, kind: str) -> None:
    (place.path / made).mkdir(parents=True)
    assert place.agent().facts["path"]["kind"] == kind


def test_distributions_that_are_there_are_found_however_their_names_are_spelt(place: Place) -> None:
    agent = place.agent()
    agent.request("layout")
    names = ("zope.interface-7.0-py3-none-any.whl", "foo_bar-2024.7.4.tar.gz", "other-1.0-py3-none-any.whl")
    send_files(agent, [(name.encode(), name) for name in names], "dist")
    facts = place.agent(want=[["Zope_Interface", "7.0.0"], ["foo-bar", "2024.07.04"], ["other", "1.1"]]).facts
    assert facts["have"] == {name: sha256(name.encode()) for name in names[:2]}


def test_file_that_was_changed_in_the_cache_has_its_new_sha256(place: Place) -> None:
    agent = place.agent()
    agent.request("layout")
    send_files(agent, [(b"first", "a-1-py3-none-any.whl")], "dist")
    (place.dist / "a-1-py3-none-any.whl").write_bytes(b"second")
    assert place.agent(want=[["a", "1"]]).facts["have"] == {"a-1-py3-none-any.whl": sha256(b"second")}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("1.0", "1"), ("2024.07.04", "2024.7.4"), ("1.2+h1a", "1.2+H1A"), ("1.0.0+h01", "1+h01")),
        *(("1.0beta2", "1.0b2"), ("2.0c1", "2.0rc1"), ("1.0-r1", "1.0.post1"), ("1.0dev", "1.0.dev0"), ("v1.0", "1.0")),
        ("no-version", "no_version"),
    ],
)
def test_spellings_of_one_version_meet(one: str, other: str) -> None:
    assert loose(one) == loose(other)


@pytest.mark.parametrize(("one", "other"), [("1.0", "1.0.1"), ("1.10", "1.1"), ("10", "1"), ("1.2", "1.2+h1")])
def test_different_versions_do_not_meet(one: str, other: str) -> None:
    assert loose(one) != loose(other)


@pytest.mark.parametrize(
    ("sdist", "egg"),
    [
        ("hostouttest-1.0beta2.tar.gz", "hostouttest-1.0b2-py3.11.egg"),
        ("hostouttest-one-1.0-beta2.zip", "hostouttest_one-1.0b2-py3.11.egg"),
        ("Hostouttest.one-1.0-r1.tar.gz", "Hostouttest.one-1.0.post1-py3.11-linux-x86_64.egg"),
        ("hostouttest-2-1.0dev.tgz", "hostouttest_2-1.0.dev0-py3.11.egg"),
        ("hostouttest-2-1.tar.gz", "hostouttest_2-1-py3.11.egg"),
        ("hostouttest-one-no_version.tar.gz", "hostouttest_one-no_version-py3.11.egg"),
    ],
)
def test_egg_is_known_by_the_name_of_its_source_distribution(sdist: str, egg: str) -> None:
    assert key(sdist) == egg_key(egg)


def test_foreign_folders_and_broken_records_do_not_stop_the_agent(place: Place) -> None:
    place.agent().request("layout")
    releases = place.path / "releases"
    (releases / "backup of bob").mkdir()
    (releases / "0003-0badc0de").mkdir()
    (releases / "0003-0badc0de" / "release.json").write_text("{")
    (releases / "0002-11111111").mkdir()
    (releases / "0002-11111111" / "release.json").write_text("[]")
    facts = place.agent().facts
    assert {one["name"]: one["state"] for one in facts["releases"]} == {
        "backup of bob": "broken",
        "0003-0badc0de": "broken",
        "0002-11111111": "broken",
    }
    assert facts["next"] == 4


def test_cache_of_another_user_gets_a_folder_for_ours(place: Place) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can make files of another user")
    (place.cache / "eggs").mkdir(parents=True)
    os.chown(place.cache / "eggs", 1, 1)
    assert place.agent(effective_user="nobody").facts["cache"]["directory"] == str(place.cache / "nobody")
    assert place.agent(effective_user="daemon").facts["cache"]["directory"] == str(place.cache)


def test_facts_can_be_asked_again(place: Place) -> None:
    agent = place.agent()
    agent.request("layout")
    assert agent.request("facts").result["facts"]["path"]["kind"] == "hostout"


def test_something_that_is_no_request_ends_the_agent_with_a_line(place: Place) -> None:
    agent = place.agent()
    agent.raw(b"GET / HTTP/1.1\n")
    assert agent.event()["event"] == "failed"
    assert agent.end() == 2


def test_action_that_is_unknown_is_refused_and_the_next_one_done(place: Place) -> None:
    agent = place.agent()
    assert agent.request("explode").message == "this agent cannot do 'explode'"
    assert agent.request("layout").result["facts"]["path"]["kind"] == "hostout"


def test_contents_that_need_not_be_sent_are_verified(place: Place, root: Path) -> None:
    agent = place.agent()
    agent.request("layout")
    send_files(agent, [(b"kept", "a.cfg"), (b"changed", "b.cfg")])
    files = [entry("a.cfg", b"kept"), entry("b.cfg", b"changed")]
    agent.request("stage", {"name": "0001-aaaaaaaa", "record": {"id": "aaaaaaaa", "files": files}})
    (place.path / "releases/0001-aaaaaaaa/b.cfg").write_bytes(b"by hand")
    facts = place.agent(files=[sha256(b"kept"), sha256(b"changed"), sha256(b"new")]).facts
    assert facts["blobs"] == [sha256(b"kept")]


def test_question_with_a_secret_free_command_line_is_all_the_agent_needs(archive: Path, place: Place) -> None:
    client = Client(sys.executable, archive, place.question(), env={}, cwd="/")
    assert client.facts["path"]["kind"] == "absent"
    client.end()


def test_client_that_only_looks_leaves_nothing_behind(place: Place) -> None:
    place.agent(files=[sha256(b"x")], want=[["a", "1"]], environment="env").end()
    assert not place.path.exists()
    assert not place.cache.exists()


def test_announced_blob_is_described_as_the_protocol_says() -> None:
    assert protocol.announced({"blobs": [blob(b"12345", "a", offset=2), blob(b"1", "b")]}) == 4
