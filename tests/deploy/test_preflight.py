"""What is in the way of a deployment, found from facts: everything at once, before anything is changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hostout.deploy import plan, preflight
from hostout.deploy.consent import Consent
from hostout.deploy.surroundings import Surroundings
from hostout.errors import Aborted, NotReady, RemoteError
from hostout.model import Event, Facts, Indexes, Release, RunOptions
from hostout.remote.connection import Connection
from planned import CLIENT, CONTENTS, GB, HOST, LIVE, facts

PLACE = {"kind": "hostout", "writable": True, "free": GB, "inodes": 1_000_000, "device": 1}
CACHE = {**PLACE, "directory": "/srv/buildout-cache"}
READ_ONLY = {"writable": False}
NOEXEC = "is on a file system that is mounted noexec: nothing runs from there"
NOW = 1_700_000_000.0


def place(**changes: Any) -> dict[str, Any]:
    return {**PLACE, **changes}


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, []),
        ({"path": place(kind="buildout")}, []),
        ({"path": place(kind="empty"), "current": "absent"}, []),
        ({"current": "dangling"}, []),
        ({"path": place(kind="other")},
         ["path: /srv/host1 on the host holds files that hostout did not make; choose another path or move them away"]),
        ({"current": "foreign"},
         ["path: /srv/host1/current on the host is not the link that hostout made: move it away"]),
        ({**LIVE, "unshared": ["media"]},
         ["shared: media is still in release 0007-3f9a1c2b itself: "
          "move /srv/host1/releases/0007-3f9a1c2b/media to /srv/host1/media first"]),
        ({"path": place(noexec=True)}, [f"path: /srv/host1 on the host {NOEXEC}"]),
        ({"path": place(**READ_ONLY)}, ["path: /srv/host1 on the host is not writable for root"]),
        ({"cache": {**CACHE, **READ_ONLY}},
         ["buildout-cache: /srv/buildout-cache on the host is not writable for root"]),
        ({"path": place(kind="other", **READ_ONLY), "cache": {**CACHE, **READ_ONLY}, "current": "foreign"},
         ["path: /srv/host1 on the host holds files that hostout did not make; choose another path or move them away",
          "path: /srv/host1/current on the host is not the link that hostout made: move it away",
          "path: /srv/host1 on the host is not writable for root",
          "buildout-cache: /srv/buildout-cache on the host is not writable for root"]),
    ],
)  # fmt: skip
def test_all_that_is_in_the_way_is_named_at_once(changes: dict[str, Any], lines: list[str]) -> None:
    assert preflight.problems(HOST, facts(**changes)) == lines


def test_what_the_login_user_may_not_write_is_no_problem_where_root_would() -> None:
    assert preflight.problems(HOST, facts(path=place(**READ_ONLY)), root=False) == []


@pytest.mark.parametrize(
    ("path", "cache", "lines"),
    [
        ({}, {}, []),
        ({"free": 5_000_000}, {},
         ["/srv/host1 on the host has 5.0 MB free, 33.6 MB are needed: make room there"]),
        ({"inodes": 20}, {},
         ["/srv/host1 on the host has 20 inodes free, about 1121 are needed: remove files there"]),
        ({"free": 5_000_000, "inodes": 20}, {},
         ["/srv/host1 on the host has 5.0 MB free, 33.6 MB are needed: make room there",
          "/srv/host1 on the host has 20 inodes free, about 1121 are needed: remove files there"]),
        ({}, {"device": 2, "free": 1},
         ["/srv/buildout-cache on the host has 0.0 kB free, 33.6 MB are needed: make room there"]),
        ({"free": 0}, {"device": 2, "inodes": 3},
         ["/srv/host1 on the host has 0.0 kB free, 33.6 MB are needed: make room there",
          "/srv/buildout-cache on the host has 3 inodes free, about 1120 are needed: remove files there"]),
    ],
)  # fmt: skip
def test_bytes_and_inodes_are_measured_where_they_are_needed(
    path: dict[str, Any], cache: dict[str, Any], lines: list[str]
) -> None:
    found = facts(path=place(**path), cache={**CACHE, **cache})
    assert preflight.room(HOST, plan.uploads(CONTENTS, found), found) == lines


def test_a_full_disk_is_no_problem_where_nothing_is_sent() -> None:
    full = facts(path=place(free=0, inodes=0), cache={**CACHE, "free": 0, "inodes": 0})
    assert preflight.room(HOST, [], full) == []


@pytest.mark.parametrize(("off", "said"), [(0, False), (59, False), (-59, False), (90, True), (-90, True)])
def test_clocks_that_differ_by_more_than_a_minute_are_both_named(off: float, said: bool) -> None:
    line = preflight.clock(facts(time=NOW + off), NOW)
    assert bool(line) is said
    if said:
        assert "22:13:20 UTC here" in line and "UTC on the host" in line


class Nothing:
    """A deployment that is only asked for consent packages nothing."""

    def prepare(self) -> Release:
        raise AssertionError

    def contents(self, release: Release, facts: Facts) -> plan.Contents:
        raise AssertionError

    def indexes(self) -> Indexes:
        raise AssertionError

    def has_here(self, name: str) -> bool:
        return False


def no_connection() -> Connection:
    raise AssertionError


def consent(*, yes: bool = False, answer: bool | None = None) -> tuple[Consent, list[str]]:
    heard: list[str] = []

    def confirm(question: str) -> bool | None:
        heard.append(question)
        return answer

    def emit(event: Event) -> None:
        heard.append(event.text)

    options = RunOptions(yes=yes)
    around = Surroundings(Nothing(), no_connection, plan.Hooks, confirm, emit, CLIENT, options, "h")
    return Consent(HOST, around), heard


STRAY = facts(**{**LIVE, "strays": ["media/", "upload.txt"]})
LINES = [
    "media/ is not in var or shared: it stays in release 0007-3f9a1c2b",
    "upload.txt is not in var or shared: it stays in release 0007-3f9a1c2b",
]


def test_data_that_would_be_left_behind_is_named_and_refused_without_a_terminal() -> None:
    asked, _ = consent()
    with pytest.raises(NotReady) as raised:
        asked.to_leave(STRAY)
    advice = "move what is data to /srv/host1 and name it in the option shared, or go on with --yes"
    assert raised.value.problems == (*LINES, advice)
    assert asked.strays == []


def test_data_may_be_left_behind_with_yes() -> None:
    asked, heard = consent(yes=True)
    asked.to_leave(STRAY)
    assert heard == [f"[h] {line}" for line in LINES]
    assert asked.strays == ["media/", "upload.txt"]


def test_whoever_agreed_to_leave_data_behind_is_asked_again_for_other_data_only() -> None:
    asked, heard = consent(answer=True)
    asked.to_leave(STRAY)
    asked.to_leave(STRAY)
    (question,) = heard
    assert all(line in question for line in LINES)
    asked.to_leave(facts(**{**LIVE, "strays": ["media/", "more/"]}))
    assert "media/" not in heard[-1] and "more/" in heard[-1]
    assert asked.strays == ["media/", "more/", "upload.txt"]


def test_whoever_wants_no_data_left_behind_aborts() -> None:
    with pytest.raises(Aborted):
        consent(answer=False)[0].to_leave(STRAY)


def test_what_was_changed_on_the_host_is_said_once_and_nobody_is_asked() -> None:
    asked, heard = consent()
    found = facts(**{**LIVE, "changed": ["etc/app.ini", *"abcdef"]})
    asked.to_leave(found)
    asked.to_leave(found)
    names = "etc/app.ini, a, b, c, d and 2 more"
    assert heard == [f"[h] changed on the host since it was built, and left in release 0007-3f9a1c2b: {names}"]


def test_what_is_to_be_shared_is_not_named_twice() -> None:
    found = facts(**{**LIVE, "strays": ["media/", "x"], "unshared": ["media"]})
    assert preflight.strays(found) == ["x"]


def test_accounts_are_created_only_if_somebody_agrees() -> None:
    with pytest.raises(RemoteError, match="--yes"):
        consent()[0].to("no user app on the host; bootstrap creates what is missing")
    consent(yes=True)[0].to("no user app on the host")


def test_another_host_is_named_in_what_to_do() -> None:
    assert "/srv/other" in preflight.keep(replace(HOST, path="/srv/other"))
