"""Going back: to which release, by whose commands, how it ends; nothing is uploaded or built, whatever its size."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from agentclient import Client, Place, stage, step, until

IDS = ("aaaaaaaa", "bbbbbbbb", "cccccccc", "dddddddd")
ONE, TWO, THREE, FOUR = (f"{number:04d}-{each}" for number, each in enumerate(IDS, 1))


def told(place: Place, what: str) -> str:
    """A line that says what ran, and what was live then."""
    return f"echo {what} $(basename $(readlink {place.path}/current || echo none)) >> {place.path}/var/story"


def story(place: Place) -> list[str]:
    """What ran since the last look."""
    path = place.path / "var/story"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def commands(place: Place, tag: str) -> dict[str, Any]:
    """Of a client whose every command leaves its name."""
    return {
        "pre": [told(place, f"{tag}-pre")],
        "stop": [step(told(place, f"{tag}-stop"))],
        "start": [step(told(place, f"{tag}-start"))],
        "post": [told(place, f"{tag}-post")],
        "post_failure": "ignore",
    }


def built(place: Place, agent: Client, name: str) -> None:
    """As if buildout had built it."""
    assert stage(place, agent, name, {"bin/app": name.encode()}, environment=None).result
    change(place, name, state="built")


def change(place: Place, name: str, **fields: Any) -> None:
    """Another record."""
    record = place.path / "releases" / name / "release.json"
    record.write_text(json.dumps({**place.record(name), **fields}))


def deploy(place: Place, agent: Client, name: str, **changes: Any) -> dict[str, Any]:
    """A release that goes live, or would."""
    built(place, agent, name)
    args = {"name": name, **commands(place, name[:4]), "migrate": [told(place, f"{name[:4]}-migrate")], **changes}
    return agent.request("golive", args).last


@pytest.fixture
def agent(place: Place) -> Client:
    agent = place.agent()
    agent.request("layout")
    return agent


@pytest.fixture
def three(place: Place, agent: Client) -> Client:
    """Three good releases, the third is live."""
    for name in (ONE, TWO, THREE):
        assert deploy(place, agent, name)["result"]["state"] == "good"
    story(place)
    return agent


def back(place: Place, agent: Client, to: str | None = None, **more: Any) -> dict[str, Any]:
    """How it ended."""
    return agent.request("rollback", {"to": to, "force": False, **commands(place, "now"), **more}).last


def live(place: Place) -> str:
    return (place.path / "current").readlink().name


def test_back_is_the_last_good_release_before_the_live_one(place: Place, three: Client) -> None:
    result = back(place, three)["result"]
    assert (result["name"], result["state"], result["before"]) == (TWO, "good", THREE)
    assert (live(place), place.state(THREE)) == (TWO, "good")
    assert (place.path / "bin/app").read_text() == TWO
    assert back(place, three)["result"]["name"] == ONE


def test_each_release_is_stopped_and_started_by_what_it_went_live_with(place: Place, three: Client) -> None:
    back(place, three)
    assert story(place) == [f"now-pre {THREE}", f"0003-stop {THREE}", f"0002-start {TWO}", f"0002-post {TWO}"]
    assert place.record(TWO)["before"] == THREE
    back(place, three, THREE)
    assert story(place) == [f"now-pre {TWO}", f"0002-stop {TWO}", f"0003-start {THREE}", f"0003-post {THREE}"]


def test_release_that_recorded_nothing_is_started_by_what_the_client_knows(place: Place, three: Client) -> None:
    for name in (TWO, THREE):
        change(place, name, commands=None)
    back(place, three)
    assert story(place) == [f"now-pre {THREE}", f"now-stop {THREE}", f"now-start {TWO}", f"now-post {TWO}"]


def test_record_that_root_did_not_write_makes_nobody_root(place: Place, three: Client) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can refuse to be root")
    start = [step(f"id -un > {place.root}/who", user="root")]
    change(place, TWO, commands={**place.record(TWO)["commands"], "start": start})
    os.chown(place.path / "releases" / TWO / "release.json", 65534, 65534)
    assert back(place, three)["result"]["name"] == TWO
    assert not (place.root / "who").exists()
    assert f"now-start {TWO}" in story(place)


@pytest.mark.parametrize("to", ["-2", "1", "0001", "aaaaaaaa", ONE])
def test_release_can_be_said_in_every_way_that_it_is_shown(place: Place, three: Client, to: str) -> None:
    assert back(place, three, to)["result"]["name"] == ONE
    assert live(place) == ONE


def test_bad_releases_are_passed_over(place: Place, three: Client) -> None:
    assert "is bad" in deploy(place, three, FOUR, health=[step("false")])["message"]
    assert back(place, three)["result"]["name"] == TWO
    three.request("golive", {"name": THREE})
    change(place, TWO, state="bad")
    assert back(place, three)["result"]["name"] == ONE


def test_release_that_is_only_live_is_gone_back_to_by_name_alone(place: Place, agent: Client) -> None:
    deploy(place, agent, ONE)
    assert deploy(place, agent, TWO, post=["false"])["result"]["state"] == "live"
    deploy(place, agent, THREE)
    assert back(place, agent)["result"]["name"] == ONE
    assert back(place, agent, TWO)["result"] | {"switch_seconds": 0} == {
        "name": TWO,
        "state": "live",
        "before": ONE,
        "switch_seconds": 0,
    }


def refused(place: Place, agent: Client, to: str | None, live_one: str, **more: Any) -> str:
    """Why not; nothing has been stopped."""
    story(place)
    message = str(back(place, agent, to, **more)["message"])
    assert story(place) == []
    assert live(place) == live_one
    return message


def test_nothing_to_go_back_to(place: Place, agent: Client) -> None:
    deploy(place, agent, ONE)
    assert refused(place, agent, None, ONE) == f"nothing to go back to: no good release is older than {ONE}"
    deploy(place, agent, TWO)
    said = f"nothing to go back to: only 1 good release is older than {TWO}"
    assert refused(place, agent, "-2", TWO) == said


def test_nothing_was_ever_deployed(place: Place, agent: Client) -> None:
    assert back(place, agent)["message"] == "nothing to go back to: there is no good release"
    assert back(place, agent, "7")["message"] == "there is no release 7 on this host: there is none at all"


@pytest.mark.parametrize("to", ["9", "eeeeeeee", "0009-aaaaaaaa", "-0", "../etc", "aaaa"])
def test_unknown_release_is_answered_with_those_that_there_are(place: Place, three: Client, to: str) -> None:
    message = refused(place, three, to, THREE)
    assert message == f"there is no release {to} on this host; there are: {ONE}, {TWO}, {THREE}"


def test_bad_release_needs_force(place: Place, three: Client) -> None:
    broken = place.root / "broken"
    broken.touch()
    deploy(place, three, FOUR, health=[step(f"test ! -e {broken}")])
    message = refused(place, three, FOUR, THREE)
    assert message == f"release {FOUR} is bad: to go back to it all the same, use --force"
    assert back(place, three, FOUR, force=True, health=[step("true")])["result"]["state"] == "good"
    assert live(place) == FOUR


def test_release_that_never_was_live_is_nothing_to_go_back_to(place: Place, three: Client) -> None:
    built(place, three, FOUR)
    assert refused(place, three, "4", THREE).startswith(f"release {FOUR} is built: it never was live")
    change(place, FOUR, state="staging")
    assert refused(place, three, FOUR, THREE).startswith(f"release {FOUR} is staging: it never was live")


def test_release_folder_that_somebody_deleted_is_none(place: Place, three: Client) -> None:
    shutil.rmtree(place.path / "releases" / TWO)
    assert refused(place, three, TWO, THREE).startswith(f"there is no release {TWO}")
    assert back(place, three)["result"]["name"] == ONE


def test_what_cannot_be_tidied_away_takes_no_good_release_back(place: Place, three: Client) -> None:
    built(place, three, FOUR)
    reply = three.request("golive", {"name": FOUR, "keep": "many"})
    assert reply.result["state"] == "good"
    assert reply.lines("warning")[-1].startswith(f"release {FOUR} is live, but not all was tidied up: ")
    assert live(place) == FOUR


def test_going_to_what_is_live_does_nothing(place: Place, three: Client) -> None:
    reply = three.request("rollback", {"to": THREE})
    assert (reply.result["name"], reply.result["state"]) == (THREE, "good")
    assert reply.lines("note") == [f"release {THREE} is live already"]
    assert story(place) == []


def test_release_that_is_no_longer_well_is_bad_and_the_one_before_runs_again(place: Place, three: Client) -> None:
    message = back(place, three, health=[step("exit 7")])["message"]
    assert message == f"health hook failed (status 7): exit 7; release {TWO} is bad, {THREE} is live again"
    assert (live(place), place.state(TWO), place.state(THREE)) == (THREE, "bad", "good")
    assert story(place)[-4:] == [f"now-pre {TWO}", f"0002-stop {TWO}", f"0003-start {THREE}", f"0003-post {THREE}"]
    assert back(place, three)["result"]["name"] == ONE
    last = place.ledger()[-2]
    assert (last["what"], last["ok"]) == ("rollback", False)


def test_release_that_was_not_switched_to_stays_good(place: Place, three: Client) -> None:
    """What is live is broken, so much that it cannot be stopped: that says nothing about the one to go back to."""
    broken = {**place.record(THREE)["commands"], "stop": [step("exit 7")]}
    change(place, THREE, commands=broken)
    message = back(place, three)["message"]
    assert message == f"stop hook failed (status 7): exit 7; release {TWO} is not live, {THREE} is live again"
    assert (live(place), place.state(TWO), place.state(THREE)) == (THREE, "good", "good")
    change(place, THREE, commands={**broken, "stop": []})
    assert back(place, three)["result"]["name"] == TWO


def test_good_release_stays_good_whatever_a_post_command_says(place: Place, three: Client) -> None:
    change(place, TWO, commands={**place.record(TWO)["commands"], "post": ["false"]})
    assert back(place, three)["result"]["state"] == "good"
    assert back(place, three, THREE)["result"]["state"] == "good"


@pytest.mark.parametrize("dangling", [False, True])
def test_where_current_is_lost_what_was_live_last_comes_back(place: Place, three: Client, dangling: bool) -> None:
    back(place, three)
    (place.path / "current").unlink()
    if dangling:
        (place.path / "current").symlink_to("releases/0009-99999999")
    reply = three.request("rollback", {})
    assert reply.result["name"] == TWO
    assert reply.lines("note")[0].endswith(f"the last that was live is {TWO}: it leads there again")
    assert (live(place), place.state(TWO)) == (TWO, "good")
    assert story(place)[-3:] == [f"0002-stop {TWO}", f"0002-start {TWO}", f"0002-post {TWO}"]


def grown(place: Place, name: str, size: int) -> None:
    """As if so many distributions were in that release: its record and its folder are as large as theirs."""
    dists = [{"filename": f"package_{n}-1.0-py3-none-any.whl", "sha256": "0" * 64} for n in range(size)]
    change(place, name, dists=dists)
    eggs = [place.path / "releases" / name / "parts" / f"package_{n}.egg" / "package" for n in range(size)]
    for egg in eggs:
        egg.mkdir(parents=True)
        for n in range(20):
            (egg / f"module{n}.py").write_text("pass\n" * 50)


def fastest(place: Place, agent: Client, one: str, other: str) -> float:
    """Seconds from the lock to the rename, hooks and health aside, of the best of some."""
    seconds = []
    for _ in range(5):
        back(place, agent, other)
        seconds.append(float(back(place, agent, one)["result"]["switch_seconds"]))
    return min(seconds)


def test_going_back_takes_as_long_whatever_the_size_of_the_release(
    place: Place, three: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    grown(place, TWO, 200)
    grown(place, ONE, 2)
    # a machine that has much to do may be slow now and then
    for _ in until("both take about as long"):
        small, large = fastest(place, three, ONE, THREE), fastest(place, three, TWO, THREE)
        # what grows with its hundredfold content is always far above that
        if large < 10 * small:
            break
    with capsys.disabled():
        sys.stdout.write(f"\nrollback, lock to rename: 2 eggs {small * 1000:.0f} ms, 200 eggs {large * 1000:.0f} ms\n")


def test_hooks_do_not_count_as_switching(place: Place, three: Client) -> None:
    for _ in until("it takes as long as without them"):
        slow = back(place, three, pre=["sleep 2"], health=[step("sleep 1")])["result"]["switch_seconds"]
        quick = back(place, three, THREE)["result"]["switch_seconds"]
        if slow < quick + 0.9:
            break
    assert Path(place.path / "current").readlink().name == THREE
