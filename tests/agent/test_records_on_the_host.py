"""What is there and what happened, as the host tells it; telling it changes nothing there."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from agentclient import Client, Place, built, entry, sha256, stage, until
from onhost import DAY, ago, everything, live, released

CLIENT = {"user": "alice", "machine": "laptop"}
SCM = {"commit": "abc", "dirty": True}


@pytest.fixture
def agent(place: Place) -> Client:
    agent = place.agent()
    agent.request("layout")
    return agent


@pytest.fixture
def one(place: Place, agent: Client) -> str:
    """A release that is live."""
    return live(place, released(place, 1))


def test_releases_are_told_with_their_history(place: Place, agent: Client) -> None:
    first = released(place, 1, days=20, client=CLIENT, scm=SCM)
    bad = released(place, 2, "bad", days=10)
    live(place, first)
    told = {release["name"]: release for release in agent.request("releases").result["releases"]}
    assert list(told) == [first, bad]
    assert (told[first]["state"], told[first]["live"], told[first]["id"], told[first]["number"]) == (
        "good",
        True,
        first[5:],
        1,
    )
    assert (told[first]["client"], told[first]["scm"]) == (CLIENT, SCM)
    assert set(told[first]["states"]) == {"staging", "built", "live", "good"}
    assert told[first]["when"] == pytest.approx(time.time() - 20 * DAY, abs=60)
    # what never went live is told by when it was made
    assert (told[bad]["live"], told[bad]["when"]) == (False, told[bad]["states"]["staging"])


def test_release_folder_that_is_damaged_or_foreign_is_told_as_broken(place: Place, agent: Client, one: str) -> None:
    (place.path / "releases/backup of bob").mkdir()
    (place.path / "releases/0002-bbbbbbbb").mkdir()
    (place.path / "releases/0002-bbbbbbbb/release.json").write_text('{"state": "good", "states": 7, "client": ["x"]}')
    (place.path / "releases/0003-cccccccc").mkdir()
    told = {release["name"]: release for release in agent.request("releases").result["releases"]}
    assert told["backup of bob"]["state"] == told["0003-cccccccc"]["state"] == "broken"
    assert (told["0002-bbbbbbbb"]["states"], told["0002-bbbbbbbb"]["client"]) == ({}, {})
    assert told["0003-cccccccc"]["when"] is None


@pytest.mark.parametrize(
    "damage", ['{"state": "good", "shared": 7, "entries": 7, "files": 7, "dists": 7}', "[" * 100_000]
)
@pytest.mark.parametrize("number", [1, 2])
def test_record_that_somebody_damaged_keeps_nobody_from_deploying(place: Place, damage: str, number: int) -> None:
    place.agent().request("layout")
    place.end()
    names = [released(place, number) for number in (1, 2)]
    new = released(place, 3, "built")
    live(place, names[1])
    (place.path / "releases" / names[number - 1] / "release.json").write_text(damage)
    agent = place.agent()
    assert len(agent.facts["releases"]) == 3
    assert agent.request("golive", {"name": new, "keep": 1}).result["state"] == "good"


@pytest.mark.buildout
def test_status_tells_what_is_live_since_when_and_by_whom(ready: Place) -> None:
    agent = ready.agent()
    agent.request("layout")
    name = "0001-aaaaaaaa"
    built(ready, agent, name, {}, client=CLIENT, scm=SCM)
    agent.request("golive", {"name": name})
    status = agent.request("status").result
    assert (status["live"], status["state"], status["client"], status["scm"]) == (name, "good", CLIENT, SCM)
    assert status["since"] == pytest.approx(time.time(), abs=60)
    assert (status["current"], status["job"], status["was"]) == ("link", None, None)
    assert (status["put"], status["eggs"], status["unverified"]) == ([], [], False)


def test_what_was_put_into_the_live_release_is_told(place: Place, agent: Client, one: str) -> None:
    agent.request("put", {"name": one, "file": "parts/app/hot.fix"})
    agent.request("put", {"name": "0009-99999999", "file": "elsewhere"})
    put = agent.request("status").result["put"]
    assert [(each["file"], each["user"]) for each in put] == [("parts/app/hot.fix", "alice")]
    assert put[0]["time"].endswith("Z")
    # what went live again later is not what it was put into
    then = time.time() + DAY
    os.utime(place.path / "current", (then, then), follow_symlinks=False)
    assert agent.request("status").result["put"] == []


def test_eggs_that_are_gone_from_the_cache_are_named(place: Place, agent: Client) -> None:
    eggs = place.cache / "eggs/v5"
    script = f"import sys\nsys.path[0:0] = [\n  '{eggs}/a-1-py3.11.egg',\n  '{eggs}/b.c-2+h1-py3.11.egg',\n  ]\n"
    live(place, released(place, 1, made={"bin/app": script}))
    (eggs / "a-1-py3.11.egg").mkdir(parents=True)
    assert agent.request("status").result["eggs"] == ["b.c-2+h1-py3.11.egg"]


CURRENT = {"absent": None, "dangling": "releases/0007-77777777", "foreign": "/srv/elsewhere"}


@pytest.mark.parametrize("kind", [*CURRENT, "folder"])
def test_current_that_is_not_ours_or_leads_nowhere_is_told(place: Place, agent: Client, one: str, kind: str) -> None:
    (place.path / "current").unlink()
    if kind == "folder":
        (place.path / "current").mkdir()
    elif CURRENT[kind]:
        (place.path / "current").symlink_to(str(CURRENT[kind]))
    expected = "foreign" if kind == "folder" else kind
    facts, status = agent.request("facts").result["facts"], agent.request("status").result
    assert (facts["current"], facts["live"], facts["unchanged"], facts["strays"]) == (expected, None, False, [])
    assert (status["current"], status["live"], status["since"]) == (expected, None, None)
    assert status["was"] == ("0007-77777777" if kind == "dangling" else None)
    assert agent.request("recorded").result == {"live": None, "record": {}, "files": {}}
    assert not any(release["live"] for release in agent.request("releases").result["releases"])


@pytest.mark.buildout
def test_what_was_live_last_is_told_where_nothing_is(ready: Place) -> None:
    agent = ready.agent()
    agent.request("layout")
    for name in ("0001-aaaaaaaa", "0002-bbbbbbbb"):
        built(ready, agent, name, {})
        assert agent.request("golive", {"name": name}).result
    (ready.path / "current").unlink()
    assert agent.request("status").result["was"] == "0002-bbbbbbbb"


def test_live_release_that_somebody_deleted_is_told_as_gone(place: Place, agent: Client, one: str) -> None:
    shutil.rmtree(place.path / "releases" / one)
    status = agent.request("status").result
    assert (status["current"], status["live"], status["was"]) == ("dangling", None, one)
    assert agent.request("releases").result["releases"] == []


def test_live_release_whose_content_somebody_deleted_is_missing(place: Place, agent: Client, one: str) -> None:
    shutil.rmtree(place.path / "releases" / one)
    (place.path / "releases" / one).mkdir()
    status = agent.request("status").result
    assert (status["live"], status["state"], status["unverified"]) == (one, "broken", True)
    assert agent.facts["live"] is None
    assert not agent.request("facts").result["facts"]["unchanged"]


def test_record_and_configuration_come_back_as_they_are_on_the_host(place: Place, agent: Client) -> None:
    texts = {"buildout.cfg": b"[buildout]\n", "conf/base.cfg": "ä".encode(), "raw.cfg": b"\xff"}
    texts["big.cfg"] = b"x" * (1 << 21)
    files = [entry(name, text) for name, text in texts.items()]
    files += [entry("app.py", b""), {"name": "link.cfg", "target": "buildout.cfg"}, entry("../../x.cfg", b"")]
    name = released(place, 1, made={"conf/a": "", "app.py": ""}, files=files, options={"parts": "app"})
    for each, text in texts.items():
        (place.path / "releases" / name / each).write_bytes(text)
    live(place, name)
    told = agent.request("recorded").result
    assert told["live"] == name
    assert told["record"]["options"] == {"parts": "app"}
    assert told["files"] == {"buildout.cfg": "[buildout]\n", "conf/base.cfg": "ä"}


def test_looking_changes_not_a_byte_and_not_a_time(place: Place, agent: Client, one: str) -> None:
    released(place, 2, "built")
    agent.end()
    for path in (place.path, place.path / ".hostout", place.path / "releases", place.cache):
        ago(path, 1)
    before = everything(place.path, place.cache)
    looking = place.agent(release="00000002", files=[sha256(b"x")], want=[["a", "1"]], shared=["parts"])
    assert looking.facts["live"] == one
    for action in ("facts", "status", "releases", "recorded"):
        assert looking.request(action).result
    looking.end()
    assert everything(place.path, place.cache) == before


def test_facts_name_what_is_asked_for(place: Place, agent: Client, one: str) -> None:
    released(place, 2, "built")
    released(place, 3, "staging")
    facts = place.agent(release="00000002").facts
    assert (facts["built"], facts["staged"], facts["job"]) == ("0002-00000002", None, None)
    facts = place.agent(release="00000003").facts
    assert (facts["built"], facts["staged"], facts["switching"], facts["adopt"]) == (None, "0003-00000003", False, [])
    live(place, "0003-00000003")
    # what is older than the live one is not what somebody means now
    assert place.agent(release="00000002").facts["built"] is None


def test_unfinished_stage_of_another_name_is_not_taken(place: Place, agent: Client, one: str) -> None:
    assert stage(place, agent, "0002-bbbbbbbb", {}, environment=None).result
    assert place.agent(release="bbbbbbbb").facts["staged"] == "0002-bbbbbbbb"
    assert Path(place.path / "releases/0002-bbbbbbbb").is_dir()


def test_facts_of_releases_with_thousands_of_files_are_soon_there(place: Place, agent: Client) -> None:
    files = [entry(f"theme/{number}.css", str(number).encode()) for number in range(8000)]
    for number in range(1, 7):
        live(place, released(place, number, files=files))
    for _ in until("facts within two seconds"):
        began = time.monotonic()
        looking = place.agent(files=[file["sha256"] for file in files[:1200]])
        soon = time.monotonic() - began < 2
        assert looking.facts["blobs"] == [] and looking.end() == 0
        if soon:
            break
