"""Facts in, Steps out: the decisions of a deployment without a host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hostout.deploy import plan
from hostout.model import command_step
from planned import (
    BUILDOUT,
    CLIENT,
    CONTENTS,
    GENERATED,
    HELLO,
    HOST,
    LIVE,
    RELEASE,
    WAITRESS,
    facts,
    release_fact,
)  # fmt: skip


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
    same_version = replace(RELEASE, environment_files=("0" * 64,))
    assert plan.environment_key(RELEASE, "3.11") != plan.environment_key(same_version, "3.11")


def test_another_python_on_the_host_is_said() -> None:
    assert plan.other_python(RELEASE, facts()) == ""
    assert "Python 3.13 on the host" in plan.other_python(RELEASE, facts(python={"version": "3.13.1"}))


def test_an_environment_for_another_python_is_made_anew() -> None:
    newer = facts(environment=True, python={"version": "3.13.1"})
    assert plan.environment(RELEASE, CONTENTS, facts(environment=True)) == []
    (made,) = plan.environment(RELEASE, CONTENTS, newer)
    assert (made.do, made.args["wheels"]) == ("environment", [{"filename": BUILDOUT.filename, "sha256": "cc"}])
    developed = replace(CONTENTS, environment=(replace(BUILDOUT, develop=True),))
    assert plan.environment(RELEASE, developed, newer)[0].args["wheels"][0]["sha256"] is None


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
        ("Hi!\n\n/srv/host1/releases/0007-3f/bin/x\n/srv/host1/releases/0007-3f\n", ("0007-3f", "bin/x")),
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


JOB = {"what": "build", "release": "0008-3f9a1c2b", "since": 1_700_000_000.0, "user": "ann", "machine": "desk"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"built": "0008-3f9a1c2b"}, plan.Underway("0008-3f9a1c2b")),
        ({"job": JOB}, plan.Underway("0008-3f9a1c2b", "since 2023-11-14 22:13:20 UTC by ann on desk")),
        ({"job": {**JOB, "release": "0008-00000000"}}, None),
        ({"job": {**JOB, "what": "clean"}}, None),
    ],
)
def test_a_build_of_the_same_release_is_taken_up(changes: dict[str, Any], expected: plan.Underway | None) -> None:
    assert plan.underway(RELEASE, facts(**changes)) == expected


def test_a_release_that_was_staged_only_keeps_its_name() -> None:
    staged = facts(staged="0004-3f9a1c2b", next=9)
    assert plan.next_name(RELEASE, staged, anew=False) == "0004-3f9a1c2b"
    assert plan.next_name(RELEASE, staged, anew=True) == "0009-3f9a1c2b"
    assert plan.next_name(RELEASE, facts(next=9), anew=False) == "0009-3f9a1c2b"


def test_what_may_be_left_behind_and_how_many_are_kept_travel_with_the_switch() -> None:
    host = replace(HOST, keep_releases=3)
    args = plan.golive("0001-a", host, plan.Hooks(), stopped=False, strays=("b", "a/")).args
    assert (args["strays"], args["keep"]) == (["a/", "b"], 3)


def test_a_release_keeps_the_options_and_parts_that_made_it() -> None:
    host = replace(HOST, live_parts=("cron",), sudo_parts=("init",))
    release = replace(RELEASE, options={"downtime": "deploy"})
    record = plan.stage("0001-3f9a1c2b", host, release, CONTENTS, facts(), CLIENT).args["record"]
    assert (record["live_parts"], record["sudo_parts"]) == (["cron"], ["init"])
    assert record["options"] == {"downtime": "deploy"}
    assert record["environment_dists"] == [{"filename": BUILDOUT.filename, "sha256": "cc"}]


def test_the_login_user_builds_no_sudo_parts() -> None:
    host = replace(HOST, sudo_parts=("init",))
    assert plan.wants_root(host, plan.Hooks(), "app")
    assert not plan.may_do_without_root(host, "app")


def test_a_rollback_without_a_target_leaves_the_choice_to_the_host() -> None:
    assert plan.rollback("", False, HOST, plan.Hooks()).args["to"] is None
    assert plan.rollback("-2", True, HOST, plan.Hooks()).args["to"] == "-2"


def test_the_readlink_of_busybox_takes_one_name() -> None:
    assert plan.put_where(HOST, "/a b") == f"readlink -f -- '/a b'; readlink -f -- {HOST.path}/current"
