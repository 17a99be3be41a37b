"""Facts in, Steps out: the decisions of a deployment without a host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hostout.deploy import plan
from hostout.model import BundleFile, Distribution, Facts, Host, Release, command_step

CLIENT = plan.Client("dev", "laptop")
HOST = Host(name="host1", address="h", path="/srv/host1", effective_user="app")
RELEASE = Release(
    id="3f9a1c2b",
    part="host1",
    config="hostout-host1.cfg",
    python="3.11",
    requirements=(("hello", "1.0+h1a2b3c4d5e"), ("waitress", "3.0.2")),
    environment=(("zc.buildout", "6.0.1"),),
    develop=(),
    files=(),
)
WAITRESS = Distribution("waitress", "3.0.2", "waitress-3.0.2-py3-none-any.whl", "aa", 1000, "/here/w.whl")
HELLO = Distribution("hello", "1.0+h1", "hello-1.0+h1-py3-none-any.whl", "bb", 500, "/here/h.whl", develop=True)
BUILDOUT = Distribution("zc.buildout", "6.0.1", "zc_buildout-6.0.1-py3-none-any.whl", "cc", 2000, "/here/z.whl")
CONFIG = BundleFile("buildout.cfg", 0o644, "dd", b"[buildout]")
GENERATED = BundleFile("hostout-host1.cfg", 0o644, "ee", b"[buildout]\nextends = buildout.cfg\n")
CONTENTS = plan.Contents((HELLO, WAITRESS), (BUILDOUT,), (CONFIG,), GENERATED)
GB = 1_000_000_000


def facts(**changes: Any) -> Facts:
    data: dict[str, Any] = {
        "user": "root",
        "uid": 0,
        "python": {"version": "3.11.2"},
        "owners": {"effective": {"name": "app", "uid": 1000}, "buildout": {"name": "app", "uid": 1000}},
        "missing_users": [],
        "missing_groups": [],
        "path": {"kind": "hostout", "writable": True, "free": GB, "device": 1},
        "cache": {"directory": "/srv/buildout-cache", "writable": True, "free": GB, "device": 1},
        "releases": [],
        "live": None,
        "unchanged": False,
        "next": 1,
        "have": {},
        "blobs": [],
        "partial": {},
        "environment": False,
    }
    return Facts({**data, **changes})


def release_fact(number: int, state: str, release_id: str = "3f9a1c2b") -> dict[str, Any]:
    return {"name": plan.release_name(number, release_id), "id": release_id, "number": number, "state": state}


LIVE = {"releases": [release_fact(7, "good")], "live": "0007-3f9a1c2b", "unchanged": True}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (LIVE, True),
        ({**LIVE, "unchanged": False}, False),
        ({**LIVE, "releases": [release_fact(7, "live")]}, False),
        ({**LIVE, "releases": [release_fact(7, "good", "00000000")]}, False),
        ({**LIVE, "live": None}, False),
        ({}, False),
    ],
)
def test_only_the_same_content_good_and_unchanged_is_live_already(changes: dict[str, Any], expected: bool) -> None:
    assert plan.is_live(RELEASE, facts(**changes)) is expected


def test_an_empty_host_gets_every_file_smallest_first() -> None:
    assert [u.name for u in plan.uploads(CONTENTS, facts())] == [
        "buildout.cfg",
        HELLO.filename,
        WAITRESS.filename,
        BUILDOUT.filename,
    ]


def test_a_host_that_has_everything_gets_nothing() -> None:
    have = {d.filename: d.sha256 for d in (HELLO, WAITRESS, BUILDOUT)}
    assert plan.uploads(CONTENTS, facts(have=have, blobs=["dd"])) == []


def test_an_edited_develop_package_is_one_upload() -> None:
    have = {d.filename: d.sha256 for d in (WAITRESS, BUILDOUT)}
    assert [u.name for u in plan.uploads(CONTENTS, facts(have=have, blobs=["dd"]))] == [HELLO.filename]


def test_the_hosts_copy_of_a_develop_version_wins() -> None:
    have = {HELLO.filename: "built elsewhere", WAITRESS.filename: "aa", BUILDOUT.filename: "cc"}
    assert plan.uploads(CONTENTS, facts(have=have, blobs=["dd"])) == []


def test_a_distribution_with_other_bytes_is_sent_again() -> None:
    have = {HELLO.filename: "bb", WAITRESS.filename: "corrupt", BUILDOUT.filename: "cc"}
    assert [u.name for u in plan.uploads(CONTENTS, facts(have=have, blobs=["dd"]))] == [WAITRESS.filename]


def test_the_generated_configuration_travels_with_the_step_that_writes_it() -> None:
    step = plan.stage("0001-3f9a1c2b", HOST, RELEASE, CONTENTS, facts(), CLIENT)
    assert step.args["written"] == {"hostout-host1.cfg": GENERATED.content.decode()}
    assert [f["name"] for f in step.args["record"]["files"]] == ["buildout.cfg", "hostout-host1.cfg"]


def test_an_upload_goes_on_where_it_was_cut() -> None:
    sent = plan.uploads(CONTENTS, facts())
    step = plan.receive(sent, facts(partial={"aa": 300}))
    assert {b["name"]: b["offset"] for b in step.args["blobs"]}[WAITRESS.filename] == 300


@pytest.mark.parametrize(
    ("changes", "login", "expected"),
    [
        ({}, "root", False),
        ({}, "admin", True),
        ({}, "app", False),
        ({"no_sudo": True}, "admin", False),
        ({"effective_user": None}, "admin", False),
        ({"buildout_user": "build"}, "app", True),
        ({"pre_commands": ("systemctl stop x",)}, "app", True),
        ({"migrate_commands": ("bin/migrate",)}, "app", False),
    ],
)
def test_root_is_asked_for_only_where_something_needs_it(changes: dict[str, Any], login: str, expected: bool) -> None:
    assert plan.wants_root(replace(HOST, **changes), plan.Hooks(), login) is expected


def test_a_hook_for_root_needs_root() -> None:
    hooks = plan.Hooks(start=(command_step("start", "systemctl start x", user="root"),))
    assert plan.wants_root(HOST, hooks, "app")


def test_a_foreign_buildout_in_path_is_refused() -> None:
    path = {"kind": "buildout", "writable": True, "free": GB, "device": 1}
    (line,) = plan.problems(HOST, facts(path=path))
    assert "/srv/host1" in line


def test_both_folders_that_cannot_be_written_are_named_at_once() -> None:
    place = {"kind": "empty", "writable": False, "free": GB, "device": 1, "directory": "/srv/buildout-cache"}
    assert len(plan.problems(HOST, facts(path=place, cache=place))) == 2


def test_a_full_disk_is_said_with_both_figures() -> None:
    tight = {"kind": "hostout", "writable": True, "free": 5_000_000, "device": 1}
    (line,) = plan.room(HOST, plan.uploads(CONTENTS, facts()), facts(path=tight))
    assert "5.0 MB free" in line and "needed" in line


def test_cache_on_a_disk_of_its_own_is_measured_by_itself() -> None:
    cache = {"directory": "/cache", "writable": True, "free": 1, "device": 2}
    (line,) = plan.room(HOST, plan.uploads(CONTENTS, facts()), facts(cache=cache))
    assert line.startswith("/cache on the host")


@pytest.mark.parametrize("stopped", [True, False])
def test_a_bad_release_can_be_stopped_whether_or_not_the_old_one_was_before(stopped: bool) -> None:
    hooks = plan.Hooks(stop=(command_step("stop it", "bin/stop"),))
    args = plan.golive("0001-a", replace(HOST, pre_commands=("echo pre",)), hooks, stopped=stopped).args
    assert args["stopped"] is stopped
    assert [hook["line"] for hook in args["stop"]] == ["bin/stop"]
    assert args["pre"] == ["echo pre"]


def test_the_environment_is_named_by_its_content_and_python() -> None:
    assert plan.environment_key(RELEASE, "3.11") != plan.environment_key(RELEASE, "3.13")
    other = replace(RELEASE, environment=(("zc.buildout", "5.2.0"),))
    assert plan.environment_key(RELEASE, "3.11") != plan.environment_key(other, "3.11")


def test_another_python_on_the_host_is_said() -> None:
    assert plan.other_python(RELEASE, facts()) == ""
    assert "Python 3.13 on the host" in plan.other_python(RELEASE, facts(python={"version": "3.13.1"}))


def test_an_environment_for_another_python_is_made_anew() -> None:
    newer = facts(environment=True, python={"version": "3.13.1"})
    assert plan.environment(RELEASE, CONTENTS, facts(environment=True)) == []
    assert [s.do for s in plan.environment(RELEASE, CONTENTS, newer)] == ["environment"]


def test_the_newest_release_of_a_state_is_found() -> None:
    releases = [release_fact(9, "staging"), release_fact(10, "staging", "ffffffff"), release_fact(8, "good")]
    assert plan.newest(facts(releases=releases, live="0008-3f9a1c2b"), "staging") == "0010-ffffffff"
    assert plan.newest(facts(releases=releases), "built") == ""


def test_what_an_earlier_deployment_left_behind_is_not_built_or_made_live() -> None:
    releases = [release_fact(9, "staging"), release_fact(10, "built", "ffffffff"), release_fact(11, "good", "0000000a")]
    for state in ("staging", "built"):
        assert plan.newest(facts(releases=releases, live="0011-0000000a"), state) == ""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("/srv/host1/releases/0007-3f9a1c2b/bin/x\n/srv/host1/releases/0007-3f9a1c2b\n", ("0007-3f9a1c2b", "bin/x")),
        ("/srv/host1/var/x\n/srv/host1/releases/0007-3f9a1c2b\n", None),
        ("/srv/host1/releases/0007-3f9a1c2bx/y\n/srv/host1/releases/0007-3f9a1c2b\n", None),
        ("/srv/host1/current/x\n", None),
        ("/srv/host1/current/x\n/srv/host1/current\n", None),
        ("", None),
    ],
)
def test_a_file_put_into_the_live_release_is_told_from_all_others(said: str, expected: tuple[str, str] | None) -> None:
    assert plan.put_into(HOST, said) == expected


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("FileNotFoundError: [Errno 2] No such file or directory: '/srv/app/releases/0001-ab/etc/a.in'", ["etc/a.in"]),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/srv/app/current/etc/a.in'", ["etc/a.in"]),
        ("cat: ./etc/a.in: No such file or directory", ["etc/a.in"]),
        ("Error: template /srv/app/releases/0001-ab/etc/a.in does not exist.", ["etc/a.in"]),
        ("installed etc/a.in", []),
        ("cat: /srv/app/etc/b.in: No such file or directory", []),
        ("cat: var/a: No such file or directory", []),
        ("cat: /srv/app/../etc/a.in: No such file or directory", []),
    ],
)
def test_a_file_that_a_build_missed_and_that_is_here_is_found_in_what_it_said(line: str, named: list[str]) -> None:
    here = {"etc/a.in", "var/a"}
    assert plan.missed(["...", line], "/srv/app", "0001-ab", here.__contains__) == named
