"""Results of the agent in, lines out: the words of ``releases``, ``status``, ``clean``, ``check`` and ``diff``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from hostout.deploy import difference, report
from hostout.deploy.plan import Contents
from hostout.model import BundleFile, Distribution, Release

PATH = "/srv/hello"
NOON = 1_763_812_800.0  # 2025-11-22 12:00 UTC
ME = {"user": "me", "machine": "laptop"}
SCM = {"commit": "1a2b3c4d5e6f708192a3", "dirty": "yes"}


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The developer is two hours east of Greenwich."""
    monkeypatch.setenv("TZ", "EET-2")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def release(number: int, state: str, *, live: bool = False, **more: Any) -> dict[str, Any]:
    name = f"{number:04d}-{number:08x}"
    base = {"name": name, "id": name[5:], "number": number, "state": state, "live": live, "states": {}}
    return {**base, "client": ME, "scm": {}, "when": NOON, **more}


# releases


def test_releases_are_a_table_with_the_newest_first_and_the_live_one_marked() -> None:
    found = [
        release(0, "good", client={}, when=None) | {"name": "0000-adopted", "id": "adopted"},
        release(1, "good", live=True, scm=SCM),
        release(2, "bad", client={"user": "somebody", "machine": "elsewhere"}, scm={"commit": "ffff"}),
    ]
    assert report.releases(found, PATH) == [
        "release        when              by                  commit       state",
        "0002-00000002  2025-11-22 14:00  somebody@elsewhere  ffff         bad",
        "0001-00000001  2025-11-22 14:00  me@laptop           1a2b3c4d5e+  good   <- live",
        "0000-adopted   -                 -                   -            good",
    ]


def test_a_host_without_releases_says_so() -> None:
    assert report.releases([], PATH) == ["nothing has been deployed to /srv/hello"]
    assert report.status({"live": None, "was": None, "current": "absent"}, PATH) == report.releases([], PATH)


# status

WELL = {
    "live": "0007-3f9a1c2b",
    "since": NOON,
    "state": "good",
    "client": ME,
    "scm": SCM,
    "changed": [],
    "missing": [],
    "strays": [],
    "put": [],
    "unverified": False,
    "eggs": [],
    "current": "link",
    "job": None,
    "was": None,
    "switching": False,
}
HEAD = [
    "live: 0007-3f9a1c2b",
    "state: good",
    "since: 2025-11-22 14:00",
    "by: me@laptop",
    "commit: 1a2b3c4d5e+",
]
PUT = {"time": "2025-11-22T12:00:00Z", "file": "bin/extra.txt", "user": "me", "machine": "laptop"}
GONE = {**WELL, "live": None, "since": None, "state": None, "client": {}, "scm": {}, "was": "0006-3f9a1c2b"}
CHANGED = "the files of release 0007-3f9a1c2b are not what was deployed"


@pytest.mark.parametrize(
    ("changes", "lines", "wrong"),
    [
        ({}, ["files: as deployed"], []),
        ({"changed": ["parts/app/app.cfg"]}, ["changed: parts/app/app.cfg"], [CHANGED]),
        ({"missing": ["bin/app"]}, ["missing: bin/app"], [CHANGED]),
        ({"strays": ["media/"]}, ["not deployed: media/"], [CHANGED]),
        ({"eggs": ["hello-1.0-py3.11.egg"]}, ["missing egg: hello-1.0-py3.11.egg"], [CHANGED]),
        (
            {"put": [PUT], "strays": ["bin/extra.txt"]},
            ["not deployed: bin/extra.txt", "put: bin/extra.txt (2025-11-22 14:00, me@laptop)"],
            [CHANGED],
        ),
        (
            {"unverified": True},
            ["files: they cannot be compared, because nobody recorded them when they were made"],
            [],
        ),
        (
            {"job": {"what": "build", "release": "0008-3f9a1c2c", "since": NOON, **ME}},
            ["files: as deployed", "building: 0008-3f9a1c2c (since 2025-11-22 14:00, me@laptop)"],
            [],
        ),
        (
            {"switching": True},
            [
                "files: as deployed",
                "unfinished: a switch that nobody brought to its end; the next deploy or rollback does",
            ],
            ["a switch is unfinished"],
        ),
    ],
)
def test_status_says_what_is_not_as_deployed(changes: dict[str, Any], lines: list[str], wrong: list[str]) -> None:
    found = {**WELL, **changes}
    assert report.status(found, PATH) == [*HEAD, *lines]
    assert report.troubles(found, PATH) == wrong


@pytest.mark.parametrize(
    ("current", "line", "wrong"),
    [
        ("absent", [], []),
        (
            "dangling",
            ["current: points to a release that is not there"],
            ["/srv/hello/current points to a release that is not there"],
        ),
        ("foreign", ["current: is not a link of hostout's"], ["/srv/hello/current is not a link of hostout's"]),
    ],
)
def test_where_nothing_is_live_any_more_status_says_what_puts_it_back(
    current: str, line: list[str], wrong: list[str]
) -> None:
    found = {**GONE, "current": current}
    back = ["live: nothing", "live last: 0006-3f9a1c2b (rollback 0006-3f9a1c2b puts it back)"]
    assert report.status(found, PATH) == [*back, *line]
    assert report.troubles(found, PATH) == [*wrong, "nothing is live in /srv/hello"]


@pytest.mark.parametrize("state", ["bad", "broken"])
def test_a_live_release_that_is_bad_is_no_good_status(state: str) -> None:
    assert report.troubles({**WELL, "state": state}, PATH) == [f"release 0007-3f9a1c2b is {state}"]


def test_nothing_ever_deployed_is_no_trouble_but_not_well_either() -> None:
    found = {**GONE, "was": None, "current": "absent"}
    assert report.troubles(found, PATH) == []
    assert report.not_good(found, PATH) == ["nothing has been deployed to /srv/hello"]


# check


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (WELL, []),
        ({**WELL, "changed": ["bin/app"]}, []),
        ({**WELL, "state": "live"}, ["release 0007-3f9a1c2b is not known to be good"]),
        ({**WELL, "state": "bad"}, ["release 0007-3f9a1c2b is bad"]),
        ({**WELL, "switching": True}, ["a switch is unfinished"]),
        (GONE, ["nothing is live in /srv/hello"]),
    ],
)
def test_a_release_is_well_when_it_is_good(found: dict[str, Any], expected: list[str]) -> None:
    assert report.not_good(found, PATH) == expected


def test_a_verdict_is_one_line_that_names_the_first_of_many() -> None:
    assert report.verdict("files", []) == "files: ok"
    drift = report.drift({"missing": ["a", "b", "c", "d", "e"]})
    assert (
        report.verdict("files", report.summary(drift))
        == "files: not ok: missing: a; missing: b; missing: c; and 2 more (status names them)"
    )


# clean

CLEANED = {
    "releases": ["0001-aa", "0002-bb"],
    "kept": [{"name": "0003-cc", "why": "a process uses it"}],
    "eggs": ["hello-1.0-py3.11.egg"],
    "downloads": ["hello-1.0-py3-none-any.whl", "hello-1.1-py3-none-any.whl"],
    "environments": [],
    "bytes": 2_400_000,
    "cache": None,
}


def test_clean_says_what_was_removed_what_was_kept_and_the_room_that_gave() -> None:
    assert report.cleaned(CLEANED) == [
        "removed release 0001-aa",
        "removed release 0002-bb",
        "kept release 0003-cc: a process uses it",
        "removed from the cache: 1 egg, 2 downloads",
        "2.4 MB are free again",
    ]


def test_a_verbose_clean_names_every_egg() -> None:
    assert "removed download hello-1.1-py3-none-any.whl" in report.cleaned(CLEANED, verbose=True)


def test_a_clean_that_is_only_looked_at_says_what_would_go() -> None:
    lines = report.cleaned(CLEANED, dry_run=True)
    assert lines[0] == "would remove release 0001-aa"
    assert lines[-1] == "2.4 MB would be free again"


def test_clean_says_why_the_cache_was_left_alone() -> None:
    nothing = {"releases": [], "kept": [], "eggs": [], "downloads": [], "environments": [], "bytes": 0}
    why = "/srv/other cannot be read"
    assert report.cleaned({**nothing, "cache": why}) == [f"the cache is left as it is: {why}", "nothing to remove"]


# diff

OLD_WAITRESS = {"name": "waitress", "version": "3.0.1", "filename": "waitress-3.0.1-py3-none-any.whl", "sha256": "a"}
GONE_ONE = {"name": "Old.Thing", "version": "1.0", "filename": "old_thing-1.0-py3-none-any.whl", "sha256": "b"}
BASE = "[buildout]\nparts = app\n"
MAIN = "[buildout]\nextends = conf/base.cfg\n"
SITE = "[buildout]\nextends =\n    buildout.cfg\n\n[app]\nport = 80\n"


def written(name: str, text: str, mode: int = 0o644) -> BundleFile:
    return BundleFile(name, mode, str(hash(text)), text.encode())


FILES = (written("buildout.cfg", MAIN), written("conf/base.cfg", BASE), written("etc/secret.cfg", "password = x\n"))
WAITRESS = Distribution("waitress", "3.0.2", "waitress-3.0.2-py3-none-any.whl", "c", 1, "/w.whl")
HELLO = Distribution("hello", "1.0+h2", "hello-1.0+h2-py3-none-any.whl", "d", 1, "/h.whl", develop=True)
ZC = Distribution("zc.buildout", "6.0.1", "zc_buildout-6.0.1-py3-none-any.whl", "e", 1, "/z.whl")
RELEASE = Release(
    id="3f9a1c2b",
    part="host1",
    config="hostout-host1.cfg",
    python="3.11",
    requirements=(),
    environment=(),
    develop=(),
    files=FILES,
    options={"port": "80", "post-commands": "one\ntwo"},
)
CONTENTS = Contents((WAITRESS, HELLO), (ZC,), FILES, written("hostout-host1.cfg", SITE))


def recorded(**changes: Any) -> dict[str, Any]:
    """What the agent says of a live release that is the same as ``CONTENTS`` but for the changes."""
    files = (*FILES, CONTENTS.generated)
    record = {
        "config": "hostout-host1.cfg",
        "dists": [{"name": d.name, "version": d.version, "filename": d.filename} for d in CONTENTS.parts],
        "environment_dists": [{"filename": ZC.filename, "sha256": "e"}],
        "files": [{"name": f.name, "sha256": f.sha256, "mode": f.mode, "target": f.target} for f in files],
        "options": dict(RELEASE.options),
        **changes,
    }
    return {"live": "0007-00000000", "record": record, "files": {f.name: f.content.decode() for f in files}}


def differences(before: dict[str, Any], **contents: Any) -> list[str]:
    after = difference.next_one(RELEASE, replace(CONTENTS, **contents))
    return difference.lines(difference.live(before, RELEASE.config), after)


def test_nothing_differs_where_nothing_changed() -> None:
    assert differences(recorded()) == []


def test_distributions_that_come_go_and_change_are_named() -> None:
    assert differences(recorded(dists=[OLD_WAITRESS, GONE_ONE])) == [
        "Distributions:",
        "    added: hello = 1.0+h2",
        "    removed: Old.Thing = 1.0",
        "    waitress = 3.0.1 -> 3.0.2",
    ]


def test_a_distribution_that_is_spelt_otherwise_is_the_same() -> None:
    hello = {"name": "hello", "version": "1.0+h2"}
    assert differences(recorded(dists=[{"name": "Waitress", "version": "3.0.2"}, hello])) == []


def test_another_zc_buildout_is_named() -> None:
    before = recorded(environment_dists=[{"filename": "zc_buildout-5.2.0-py3-none-any.whl", "sha256": "f"}])
    assert differences(before) == ["Environment of zc.buildout:", "    zc.buildout = 5.2.0 -> 6.0.1"]


def test_options_are_compared_by_value_and_by_line() -> None:
    assert differences(recorded(options={"port": "8080", "post-commands": "one\nthree", "gone": "x"})) == [
        "Options:",
        "    removed: gone = x",
        "    port = 8080 -> 80",
        "    post-commands:",
        "        - three",
        "        + two",
    ]


def test_configuration_is_shown_line_by_line_and_other_files_by_name_only() -> None:
    before = recorded()
    before["files"]["conf/base.cfg"] = "[buildout]\nparts = app cron\n"
    before["files"]["etc/secret.cfg"] = "password = y\n"
    for file in before["record"]["files"]:
        if file["name"] != "buildout.cfg":
            file["sha256"] += "0"
    before["files"]["hostout-host1.cfg"] = SITE.replace("80", "8080")
    before["record"]["files"].append({"name": "etc/gone.ini", "sha256": "1", "mode": 0o644, "target": ""})
    assert differences(before) == [
        "Files:",
        "    removed: etc/gone.ini",
        "    changed: etc/secret.cfg",
        "Configuration:",
        "    --- 0007-00000000/conf/base.cfg",
        "    +++ 3f9a1c2b/conf/base.cfg",
        "    @@ -1,2 +1,2 @@",
        "     [buildout]",
        "    -parts = app cron",
        "    +parts = app",
        "    --- 0007-00000000/hostout-host1.cfg",
        "    +++ 3f9a1c2b/hostout-host1.cfg",
        "    @@ -3,4 +3,4 @@",
        "         buildout.cfg",
        "     ",
        "     [app]",
        "    -port = 8080",
        "    +port = 80",
    ]


def test_a_file_from_outside_the_buildout_is_one_file_whatever_its_content() -> None:
    extended = MAIN + "extends = hostout-extends/{}-common.cfg\n"
    names = ["hostout-extends/aaaaaaaaaa-common.cfg", "hostout-extends/bbbbbbbbbb-common.cfg"]
    before = recorded()
    before["files"].update({"buildout.cfg": extended.format("a" * 10), names[0]: "[x]\na = 1\n"})
    before["record"]["files"].append({"name": names[0], "sha256": "1", "mode": 0o644, "target": ""})
    files = (written("buildout.cfg", extended.format("b" * 10)), *FILES[1:], written(names[1], "[x]\na = 2\n"))
    lines = differences(before, files=files)
    assert "    --- 0007-00000000/hostout-extends/common.cfg" in lines
    assert "    -a = 1" in lines and "    +a = 2" in lines
    assert "Files:" not in lines


def test_configuration_that_the_host_cannot_show_is_named() -> None:
    before = recorded()
    del before["files"]["conf/base.cfg"]
    before["record"]["files"][1]["sha256"] = "other"
    assert differences(before) == ["Files:", "    changed: conf/base.cfg"]


def test_on_a_host_without_a_release_everything_is_new() -> None:
    lines = differences({"live": None, "record": {}, "files": {}})
    assert "    added: waitress = 3.0.2" in lines
    assert "    added: etc/secret.cfg" in lines
    assert "    added: buildout.cfg" in lines
    assert "Configuration:" not in lines
