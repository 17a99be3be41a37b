"""The switch: what runs in which order, how it ends, and the way back; brought to its end whoever listens."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from agentclient import LIMIT, Client, Place, built, stage, step, until

pytestmark = pytest.mark.buildout

ONE, TWO = "0001-aaaaaaaa", "0002-bbbbbbbb"


def say(what: str) -> str:
    """A line that leaves a trace of when it ran, and of what was live then."""
    return f"echo {what} $(basename $(readlink {{path}}/current || echo none)) >> {{path}}/var/story"


def lines(place: Place, *names: str) -> list[str]:
    return [say(name).format(path=place.path) for name in names]


def hooks(place: Place, *names: str) -> list[dict[str, Any]]:
    return [step(line) for line in lines(place, *names)]


def story(place: Place) -> list[str]:
    """What ran since the last look."""
    path = place.path / "var/story"
    told = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return told


def plan(place: Place, name: str, tag: str, **changes: Any) -> dict[str, Any]:
    """A go-live whose every command leaves its name."""
    return {
        "name": name,
        "stopped": False,
        "pre": lines(place, f"{tag}-pre"),
        "stop": hooks(place, f"{tag}-stop"),
        "migrate": lines(place, f"{tag}-migrate"),
        "start": hooks(place, f"{tag}-start"),
        "post": lines(place, f"{tag}-post"),
        "post_failure": "ignore",
        "health": [],
        "health_check": None,
        **changes,
    }


@pytest.fixture
def agent(ready: Place) -> Client:
    agent = ready.agent()
    agent.request("layout")
    return agent


@pytest.fixture
def running(ready: Place, agent: Client) -> Client:
    """Release one is live and good, release two is built."""
    built(ready, agent, ONE, {"bin/app": (b"#!/bin/sh\necho one\n", 0o755)})
    assert agent.request("golive", plan(ready, ONE, "one")).result["state"] == "good"
    built(ready, agent, TWO, {"bin/app": (b"#!/bin/sh\necho two\n", 0o755), "extra/new.txt": b""})
    story(ready)
    return agent


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """Answers each path with the status that it names."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.server.asked = getattr(self.server, "asked", 0) + 1  # type: ignore[attr-defined]
            code = 200 if self.path == "/later" and self.server.asked > 2 else 503  # type: ignore[attr-defined]
            self.send_response(code if self.path == "/later" else int(self.path[1:]))
            self.send_header("Location", "http://127.0.0.1:9/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


def url(server: HTTPServer, path: str) -> dict[str, Any]:
    """Asked once: the second time would be behind its time."""
    return {"check": f"http://127.0.0.1:{server.server_port}/{path}", "timeout": 30.0, "interval": 60.0}


def test_first_release_goes_live(ready: Place, agent: Client) -> None:
    built(ready, agent, ONE, {"bin/app": (b"#!/bin/sh\necho one\n", 0o755), "conf/a.txt": b"a"})
    reply = agent.request("golive", plan(ready, ONE, "one"))
    assert {**reply.result, "switch_seconds": 0} == {"name": ONE, "state": "good", "before": None, "switch_seconds": 0}
    assert story(ready) == ["one-pre none", *(f"one-{what} {ONE}" for what in ("migrate", "start", "post"))]
    assert os.fspath((ready.path / "current").readlink()) == f"releases/{ONE}"
    assert (ready.path / "conf/a.txt").read_text() == "a"
    assert (ready.path / "bin").readlink() == Path("current/bin")
    assert not (ready.path / "var").is_symlink()
    facts = agent.request("facts").result["facts"]
    assert (facts["live"], facts["unchanged"], facts["releases"][0]["state"]) == (ONE, True, "good")


def test_new_release_takes_the_place_of_the_old_one(ready: Place, running: Client) -> None:
    result = running.request("golive", plan(ready, TWO, "two")).result
    assert (result["name"], result["state"], result["before"]) == (TWO, "good", ONE)
    # the old one is stopped by what was recorded when it went live
    assert story(ready) == [
        f"two-pre {ONE}",
        f"one-stop {ONE}",
        *(f"two-{x} {TWO}" for x in ("migrate", "start", "post")),
    ]
    assert (ready.path / "extra/new.txt").exists()
    assert (ready.state(ONE), ready.state(TWO)) == ("good", "good")
    last = ready.ledger()[-1]
    assert (last["what"], last["release"], last["state"], last["ok"]) == ("golive", TWO, "good", True)


def test_going_back_is_one_request_too_and_stale_links_go(ready: Place, running: Client) -> None:
    running.request("golive", plan(ready, TWO, "two"))
    assert running.request("golive", plan(ready, ONE, "one")).result["before"] == TWO
    assert not (ready.path / "extra").is_symlink()
    assert (ready.path / "bin/app").read_text().endswith("one\n")


def test_what_is_not_ours_in_path_is_never_replaced(ready: Place, running: Client) -> None:
    (ready.path / "extra").mkdir()
    (ready.path / "extra" / "mine").write_text("")
    reply = running.request("golive", plan(ready, TWO, "two"))
    assert reply.result["state"] == "good"
    path = ready.path / "extra"
    assert reply.lines("warning") == [f"{path} is there and was not made by hostout: {TWO}/extra is not linked"]
    assert [entry.name for entry in path.iterdir()] == ["mine"]


@pytest.mark.parametrize("do", ["golive", "stop", "rollback"])
def test_current_that_is_not_ours_is_refused_before_anything_stops(ready: Place, running: Client, do: str) -> None:
    (ready.path / "current").unlink()
    (ready.path / "current").mkdir()
    (ready.path / "current/mine").write_text("")
    args = plan(ready, TWO, "two") if do == "golive" else stop(ready)
    message = running.request(do, args).message
    refused = f"{ready.path}/current is not a link to a release: it was not made by hostout; move it away first"
    assert message == refused
    assert story(ready) == []
    assert (ready.path / "current/mine").exists()


@pytest.mark.parametrize("broken", ["missing", "dangling"])
def test_where_current_is_lost_what_was_live_last_is_stopped_and_can_be_gone_back_to(
    ready: Place, running: Client, broken: str
) -> None:
    (ready.path / "current").unlink()
    if broken == "dangling":
        (ready.path / "current").symlink_to("releases/0009-99999999")
    assert running.request("facts").result["facts"]["live"] is None
    reply = running.request("golive", plan(ready, TWO, "two"))
    found = "is missing" if broken == "missing" else "names 0009-99999999, which is not there"
    said = f"{ready.path}/current {found}; the last that was live is {ONE}: it leads there again"
    assert said in reply.lines("note")
    assert (reply.result["state"], reply.result["before"]) == ("good", ONE)
    assert story(ready) == STARTED


def test_release_that_is_not_built_does_not_go_live(ready: Place, agent: Client) -> None:
    assert stage(ready, agent, ONE, {}).result
    message = agent.request("golive", plan(ready, ONE, "one")).message
    assert message == f"release {ONE} is staging: it has to be built before it can go live"


BACK = [f"one-start {ONE}", f"one-post {ONE}"]
STOPPED = [f"two-pre {ONE}", f"one-stop {ONE}"]
MIGRATED = [*STOPPED, f"two-migrate {TWO}"]
STARTED = [*MIGRATED, f"two-start {TWO}", f"two-post {TWO}"]
ENDED = [f"two-pre {TWO}", f"two-stop {TWO}"]


@pytest.mark.parametrize(
    ("change", "what", "ran"),
    [
        ({"migrate": ["echo broken >&2; exit 7"]}, "migrate-command failed (status 7)", [*STOPPED, *BACK]),
        ({"start": [step("exit 7")]}, "start hook failed (status 7)", None),
        ({"post": ["exit 7"], "post_failure": "rollback"}, "post-command failed (status 7)", None),
        ({"health": [step("exit 7", retry=0.2)]}, "health hook failed (status 7)", [*STARTED, *ENDED, *BACK]),
        (
            {"health_check": {"check": "exit 7", "timeout": 30, "interval": 60}},
            "health-check failed (status 7)",
            [*STARTED, *ENDED, *BACK],
        ),
    ],
)
def test_whatever_fails_the_release_before_is_started_again(
    ready: Place, running: Client, change: dict[str, Any], what: str, ran: list[str] | None
) -> None:
    reply = running.request("golive", plan(ready, TWO, "two", **change))
    assert reply.message.startswith(what)
    assert reply.message.endswith(f"; release {TWO} is bad, {ONE} is live again")
    told = story(ready)
    assert told == ran if ran else told[-2:] == BACK
    assert (ready.state(ONE), ready.state(TWO)) == ("good", "bad")
    assert os.fspath((ready.path / "current").readlink()) == f"releases/{ONE}"
    assert not (ready.path / "extra").is_symlink()
    assert reply.last["status"] == 7
    assert Path(reply.last["log"]).name == f"{TWO}.log"
    last = ready.ledger()[-1]
    assert (last["what"], last["release"], last["ok"]) == ("golive", TWO, False)


def test_stop_hook_that_fails_switches_nothing_and_starts_what_was_stopped(ready: Place, running: Client) -> None:
    record = ready.path / "releases" / ONE / "release.json"
    recorded = json.loads(record.read_text())
    recorded["commands"]["stop"] = [step("exit 7")]
    record.write_text(json.dumps(recorded))
    reply = running.request("golive", plan(ready, TWO, "two"))
    assert reply.message.startswith("stop hook failed (status 7)")
    assert story(ready) == [f"two-pre {ONE}", *BACK]
    assert ready.state(TWO) == "bad"


def test_first_release_that_turns_bad_is_stopped_and_nothing_is_live(ready: Place, agent: Client) -> None:
    built(ready, agent, ONE, {"bin/app": b""})
    message = agent.request("golive", plan(ready, ONE, "one", health=[step("false")])).message
    assert message.endswith(f"release {ONE} is bad, nothing is live")
    assert story(ready)[-2:] == [f"one-pre {ONE}", f"one-stop {ONE}"]
    assert sorted(entry.name for entry in ready.path.iterdir()) == [".hostout", "releases", "var"]
    assert agent.request("facts").result["facts"]["live"] is None


def test_release_before_that_cannot_be_started_is_told(ready: Place, running: Client) -> None:
    record = ready.path / "releases" / ONE / "release.json"
    recorded = json.loads(record.read_text())
    recorded["commands"]["start"] = [step("exit 9")]
    record.write_text(json.dumps(recorded))
    message = running.request("golive", plan(ready, TWO, "two", migrate=["false"])).message
    assert f"but not all of that worked: start hook of {ONE} failed (status 9): exit 9" in message
    assert ready.state(TWO) == "bad"


def test_commands_before_and_after_may_fail(ready: Place, agent: Client) -> None:
    built(ready, agent, ONE, {})
    reply = agent.request("golive", plan(ready, ONE, "one", pre=["exit 4"], post=["exit 5", *lines(ready, "later")]))
    assert reply.result["state"] == "live"
    assert reply.lines("warning") == ["pre-command failed (status 4): exit 4", "post-command failed (status 5): exit 5"]
    assert story(ready)[-1] == f"later {ONE}"
    assert ready.state(ONE) == "live"


def test_health_check_that_passes_makes_it_good(ready: Place, agent: Client, server: HTTPServer) -> None:
    built(ready, agent, ONE, {})
    check = {**url(server, "later"), "interval": 0.1}
    assert (
        agent.request("golive", plan(ready, ONE, "one", post=["false"], health_check=check)).result["state"] == "good"
    )


def test_health_hook_does_not_make_up_for_a_post_command_that_failed(ready: Place, agent: Client) -> None:
    built(ready, agent, ONE, {})
    change = plan(ready, ONE, "one", post=["false"], health=hooks(ready, "health"))
    assert agent.request("golive", change).result["state"] == "live"
    assert ready.state(ONE) == "live"


def test_redirect_is_well(ready: Place, agent: Client, server: HTTPServer) -> None:
    built(ready, agent, ONE, {})
    assert agent.request("golive", plan(ready, ONE, "one", health_check=url(server, "302"))).result["state"] == "good"


@pytest.mark.parametrize(("path", "wrong"), [("404", "HTTP status 404"), ("503", "HTTP status 503")])
def test_page_that_is_not_well(ready: Place, running: Client, server: HTTPServer, path: str, wrong: str) -> None:
    check = url(server, path)
    reply = running.request("golive", plan(ready, TWO, "two", health_check=check, post=["echo why; exit 3"]))
    said = f"health-check failed: {check['check']}: {wrong} (within 30 s); release {TWO} is bad"
    assert reply.message.startswith(said)
    assert reply.last["tail"][-2:] == ["$ echo why; exit 3", "why"]
    assert reply.last["log"] == str(ready.path / f".hostout/jobs/{TWO}.log")


def test_page_of_nobody_is_not_well(ready: Place, running: Client) -> None:
    check = {"check": "http://127.0.0.1:9/", "timeout": 30, "interval": 60}
    assert "refused" in running.request("golive", plan(ready, TWO, "two", health_check=check)).message


def wait_for_end(place: Place, what: str) -> None:
    for _ in until(what):
        if place.ledger()[-1]["what"] == what:
            return


def test_host_goes_on_when_the_client_goes(ready: Place, running: Client) -> None:
    running.send("golive", plan(ready, TWO, "two", migrate=["echo begun; sleep 1; seq 100000"]))
    while running.event().get("text") != "begun":
        pass
    running.hang_up()
    wait_for_end(ready, "golive")
    assert ready.state(TWO) == "good"
    assert ready.agent(lock_wait=20).request("owners").result == {}


def test_host_goes_back_by_itself_when_the_client_goes(ready: Place, running: Client) -> None:
    running.send("golive", plan(ready, TWO, "two", migrate=["echo begun; sleep 0.5; false"]))
    while running.event().get("text") != "begun":
        pass
    running.hang_up()
    wait_for_end(ready, "golive")
    assert ready.state(TWO) == "bad"
    assert story(ready)[-2:] == BACK


def test_host_goes_on_when_the_agent_is_killed(ready: Place, running: Client) -> None:
    running.send("golive", plan(ready, TWO, "two", migrate=["echo begun; sleep 6"]))
    while running.event().get("text") != "begun":
        pass
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait()
    # nobody can tell who comes next whether there still is a client, so that one waits
    assert ready.agent().request("owners").result == {}
    assert [line["what"] for line in ready.ledger()[-2:]] == ["golive", "owners"]
    assert ready.state(TWO) == "good"


def test_client_that_stops_reading_does_not_stop_the_switch(ready: Place, running: Client) -> None:
    running.send("golive", plan(ready, TWO, "two", migrate=["seq 200000"]))
    wait_for_end(ready, "golive")
    assert ready.state(TWO) == "good"
    assert running.process.wait(LIMIT) is not None


def test_hooks_do_not_inherit_the_lock(ready: Place, running: Client) -> None:
    daemon = step(f"sleep 300 >/dev/null 2>&1 & echo $! > {ready.path}/var/pid")
    assert running.request("golive", plan(ready, TWO, "two", start=[daemon])).result
    running.end()
    try:
        assert ready.agent().request("owners").result == {}
    finally:
        os.kill(int((ready.path / "var/pid").read_text()), signal.SIGKILL)


def test_lock_is_free_as_soon_as_the_release_is_live(ready: Place, running: Client) -> None:
    running.request("golive", plan(ready, TWO, "two"))
    assert ready.agent().request("owners").result == {}


STOP = {"commands": ["{pre}"], "hooks": []}


def stop(place: Place) -> dict[str, Any]:
    return {"commands": lines(place, "two-pre"), "hooks": hooks(place, "two-stop")}


def test_application_that_is_stopped_first_is_not_stopped_again(ready: Place, running: Client) -> None:
    assert running.request("stop", stop(ready)).result == {"stopped": True}
    assert running.request("golive", plan(ready, TWO, "two", stopped=True)).result["state"] == "good"
    assert story(ready) == STARTED
    running.end()
    assert story(ready) == []


def test_application_that_was_stopped_is_started_on_request(ready: Place, running: Client) -> None:
    running.request("stop", stop(ready))
    assert running.request("restart", {"start": hooks(ready, "two-start")}).result == {"started": True}
    assert story(ready) == [*STOPPED, *BACK]
    running.end()
    assert story(ready) == []


def test_application_that_was_stopped_is_started_when_the_client_goes(ready: Place, running: Client) -> None:
    running.request("stop", stop(ready))
    running.hang_up()
    wait_for_end(ready, "restart")
    assert story(ready) == [*STOPPED, *BACK]


def test_application_that_was_stopped_is_started_when_nothing_can_go_live(ready: Place, running: Client) -> None:
    running.request("stop", stop(ready))
    assert "there is no release" in running.request("golive", plan(ready, "0009-cccccccc", "x", stopped=True)).message
    running.end()
    assert story(ready) == [*STOPPED, *BACK]


def test_nothing_is_stopped_where_nothing_is_live(ready: Place, agent: Client) -> None:
    assert agent.request("stop", stop(ready)).result == {"stopped": False}
    assert story(ready) == ["two-pre none"]
    assert agent.request("restart", {"start": hooks(ready, "start")}).result == {"started": False}
    assert story(ready) == []


def test_switch_that_was_cut_short_is_done_again(ready: Place, running: Client) -> None:
    (ready.path / "current").unlink()
    (ready.path / "current").symlink_to(f"releases/{TWO}")
    assert running.request("facts").result["facts"]["live"] == TWO
    assert running.request("golive", plan(ready, TWO, "two")).result["state"] == "good"


@pytest.mark.parametrize("change", ["a.cfg", "current", "link"])
def test_release_that_somebody_changed_is_not_unchanged(ready: Place, agent: Client, change: str) -> None:
    built(ready, agent, ONE, {"a.cfg": b"a"})
    agent.request("golive", plan(ready, ONE, "one"))
    if change == "a.cfg":
        (ready.path / "current/a.cfg").write_text("by hand")
    elif change == "link":
        (ready.path / "a.cfg").unlink()
    else:
        (ready.path / "current").unlink()
    facts = agent.request("facts").result["facts"]
    assert not facts["unchanged"]
    assert facts["live"] == (None if change == "current" else ONE)


def test_record_that_root_did_not_write_makes_nobody_root(ready: Place, running: Client) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can refuse to be root")
    record = ready.path / "releases" / ONE / "release.json"
    recorded = json.loads(record.read_text())
    recorded["commands"]["stop"] = [step("id -un", user="root")]
    record.write_text(json.dumps(recorded))
    os.chown(record, 65534, 65534)
    os.chown(ready.path / "var", 65534, 65534)
    agent = ready.agent(effective_user="nobody", lock_wait=5)
    running.end()
    assert "nobody" in agent.request("golive", plan(ready, TWO, "two")).lines()


def test_nothing_in_var_or_shared_is_ever_deleted(ready: Place, agent: Client) -> None:
    built(ready, agent, ONE, {}, shared=["blobs"])
    agent.request("golive", plan(ready, ONE, "one"))
    for name in ("var", "blobs"):
        (ready.path / "current" / name / "data").write_text(name)
    built(ready, agent, TWO, {}, shared=["blobs"])
    agent.request("golive", plan(ready, TWO, "two", health=[step("false")]))
    built(ready, agent, "0003-cccccccc", {}, shared=["blobs"])
    agent.request("golive", plan(ready, "0003-cccccccc", "three"))
    assert [(ready.path / "current" / name / "data").read_text() for name in ("var", "blobs")] == ["var", "blobs"]
    assert not (ready.path / "blobs").is_symlink()


FILL = {
    "bytes": "cat /dev/zero > {path}/var/fill",
    "names": "for number in $(seq 5000); do : > {path}/var/$number || exit 1; done",
}


@pytest.mark.parametrize("fill", FILL)
def test_release_before_is_started_again_on_a_disk_that_the_migration_filled(
    ready: Place, small_disk: Path, fill: str
) -> None:
    subprocess.run(["mount", "-o", "remount,nr_inodes=2000", str(small_disk)], check=True, timeout=20)
    there = Place(small_disk, ready.archive, extra=ready.extra)
    trace = ready.root / "trace"
    # the first one fills what is left of the log's last block
    start = [step("seq 2000; true"), step(f"echo start $(basename $(readlink {there.path}/current)) >> {trace}")]
    agent = there.agent()
    agent.request("layout")
    built(there, agent, ONE, {})
    built(there, agent, TWO, {})
    assert agent.request("golive", {"name": ONE, "start": start}).result["state"] == "good"
    migrate = [FILL[fill].format(path=there.path)]
    message = agent.request("golive", {"name": TWO, "start": start, "migrate": migrate}).message
    there.end()
    assert message.startswith("migrate-command failed (status ")
    assert trace.read_text().splitlines() == [f"start {ONE}"] * 2
    assert (there.path / "current").readlink() == Path("releases", ONE)


def test_application_that_was_stopped_is_started_when_the_agent_is_ended(ready: Place, running: Client) -> None:
    running.request("stop", stop(ready))
    running.process.terminate()
    running.process.wait(LIMIT)
    assert story(ready) == [*STOPPED, *BACK]


def test_switch_goes_on_when_everybody_is_asked_to_end(ready: Place, running: Client) -> None:
    go = ready.root / "go"
    running.send("golive", plan(ready, TWO, "two", migrate=[f"echo begun; while ! test -e {go}; do sleep 0.05; done"]))
    while running.event().get("text") != "begun":
        pass
    pids = subprocess.run(["pgrep", "-P", str(running.process.pid)], capture_output=True, text=True, check=True).stdout
    for pid in (running.process.pid, *map(int, pids.split())):
        os.kill(pid, signal.SIGTERM)
    go.touch()
    assert running.reply().result["state"] == "good"
    assert story(ready)[-1] == f"two-post {TWO}"


def test_page_that_comes_byte_by_byte_is_not_waited_for(ready: Place, running: Client) -> None:
    def drip() -> None:
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            for _ in range(100):
                connection.sendall(b"x")
                time.sleep(0.1)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=drip, daemon=True).start()
        check = {"check": f"http://127.0.0.1:{listening.getsockname()[1]}/", "timeout": 0.5, "interval": 1}
        message = running.request("golive", plan(ready, TWO, "two", health_check=check)).message
    assert "no answer within 0.5 s" in message


def test_release_that_is_live_and_good_is_not_made_live_again(ready: Place, running: Client) -> None:
    result = running.request("golive", plan(ready, ONE, "one")).result
    assert (result["name"], result["state"], result["before"]) == (ONE, "good", None)
    assert story(ready) == []


def test_what_was_stopped_for_nothing_is_started(ready: Place, running: Client) -> None:
    running.request("stop", stop(ready))
    assert running.request("golive", plan(ready, ONE, "one", stopped=True)).result["state"] == "good"
    assert story(ready) == [*STOPPED, *BACK]
    running.end()
    assert story(ready) == []


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["media/a"],
            "media/ is not in var or shared: it stays in release {}; move it to {}/media and name it in shared",
        ),
        (
            ["media/a", "b.txt"],
            "b.txt, media/ are not in var or shared: they stay in release {}; move them to {} and name them in shared",
        ),
    ],
)
def test_data_that_would_be_left_behind_is_named_before_anything_stops(
    ready: Place, running: Client, names: list[str], said: str
) -> None:
    for name in names:
        path = ready.path / "current" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("data")
    refused = running.request("golive", plan(ready, TWO, "two", strays=[]))
    message = refused.message
    assert message == f"{said.format(ONE, ready.path)}, or go on with --yes"
    assert refused.last["strays"] == sorted({name.replace("/a", "/") for name in names})
    assert story(ready) == []
    assert ready.state(TWO) == "built"
    agreed = [name.replace("/a", "/") for name in names]
    assert running.request("golive", plan(ready, TWO, "two", strays=agreed)).result["state"] == "good"
    assert (ready.path / "releases" / ONE / names[0]).read_text() == "data"


def test_data_may_be_left_behind_by_who_says_so(ready: Place, running: Client) -> None:
    (ready.path / "current/media").write_text("data")
    assert running.request("golive", plan(ready, TWO, "two", strays="any")).result["state"] == "good"


def test_good_releases_beyond_those_to_keep_are_tidied_away(ready: Place, running: Client) -> None:
    assert running.request("golive", plan(ready, TWO, "two", keep=1)).result["state"] == "good"
    assert [each.name for each in (ready.path / "releases").iterdir()] == [TWO]


# ----- cut short ------------------------------------------------------------------------------------------------------

KILL = "kill -9 $PPID"
KILL_ALL = "kill -9 $(cut -d ' ' -f 4 /proc/$PPID/stat); kill -9 $PPID"
"""The process that switches, started by the agent, runs the commands."""


def cut_short(place: Place, agent: Client, point: str, line: str) -> None:
    """A switch to release two that ends there, once."""
    line = f"test -e {place.root}/killed || {{ touch {place.root}/killed; {line}; sleep 60; }}"
    change: dict[str, Any] = {point: [line] if point in ("pre", "migrate", "post") else [step(line)]}
    if point == "stop":
        record = place.path / "releases" / ONE / "release.json"
        recorded = json.loads(record.read_text())
        recorded["commands"]["stop"] = [step(line)]
        record.write_text(json.dumps(recorded))
    agent.send("golive", plan(place, TWO, "two", **change))


def is_as_before(place: Place, state: str) -> None:
    assert os.fspath((place.path / "current").readlink()) == f"releases/{ONE}"
    assert (place.state(ONE), place.state(TWO)) == ("good", state)
    assert story(place)[-2:] == BACK
    assert not (place.path / ".hostout/switching.json").exists()
    assert not (place.path / "extra").is_symlink()


POINTS = [
    *((point, "built") for point in ("pre", "stop")),
    *((point, "bad") for point in ("migrate", "start", "post", "health")),
]


@pytest.mark.parametrize(("point", "state"), POINTS)
def test_switch_that_is_killed_is_taken_back_at_once(ready: Place, running: Client, point: str, state: str) -> None:
    cut_short(ready, running, point, KILL)
    reply = running.reply()
    assert reply.message == f"the process that did golive was killed: {ONE} is live"
    assert f"the switch to release {TWO} was cut short: {ONE} is live again" in reply.lines("note")
    is_as_before(ready, state)
    assert ready.agent().request("owners").lines("note") == []


@pytest.mark.parametrize(("point", "state"), POINTS)
def test_switch_that_dies_with_the_agent_is_taken_back_by_who_comes_next(
    ready: Place, running: Client, point: str, state: str
) -> None:
    cut_short(ready, running, point, KILL_ALL)
    running.process.wait(60)
    next_one = ready.agent()
    assert next_one.facts["switching"]
    reply = next_one.request("owners")
    assert f"the switch to release {TWO} was cut short: {ONE} is live again" in reply.lines("note")
    is_as_before(ready, state)
    built(ready, next_one, "0003-cccccccc", {})
    assert next_one.request("golive", plan(ready, "0003-cccccccc", "three")).result["state"] == "good"
    recovered = [entry for entry in ready.ledger() if entry["what"] == "recover"]
    assert [(entry["release"], entry["ok"]) for entry in recovered] == [(TWO, True)]


def test_where_the_release_before_is_gone_as_well_the_one_before_that_is_live_again(
    ready: Place, running: Client
) -> None:
    assert running.request("golive", plan(ready, TWO, "two")).result["state"] == "good"
    three = "0003-cccccccc"
    built(ready, running, three, {})
    running.send("golive", plan(ready, three, "three", migrate=[KILL_ALL]))
    running.process.wait(60)
    shutil.rmtree(ready.path / "releases" / TWO)
    reply = ready.agent().request("owners")
    assert f"the switch to release {three} was cut short: {ONE} is live again" in reply.lines("note")
    assert os.fspath((ready.path / "current").readlink()) == f"releases/{ONE}"
    assert (ready.state(ONE), ready.state(three)) == ("good", "bad")
    assert story(ready)[-1] == f"one-post {ONE}"


def test_first_release_whose_switch_is_killed_is_not_live(ready: Place, agent: Client) -> None:
    built(ready, agent, ONE, {})
    reply = agent.request("golive", plan(ready, ONE, "one", migrate=[KILL]))
    assert f"the switch to release {ONE} was cut short: nothing is live" in reply.lines("note")
    assert sorted(entry.name for entry in ready.path.iterdir()) == [".hostout", "releases", "var"]
    assert ready.state(ONE) == "bad"


def test_good_release_is_not_bad_because_going_back_to_it_was_killed(ready: Place, running: Client) -> None:
    running.request("golive", plan(ready, TWO, "two"))
    reply = running.request("rollback", {"health": [step(KILL)]})
    assert f"the switch to release {ONE} was cut short: {TWO} is live again" in reply.lines("note")
    assert (ready.state(ONE), ready.state(TWO)) == ("good", "good")
    assert os.fspath((ready.path / "current").readlink()) == f"releases/{TWO}"


def test_application_that_cannot_be_started_again_does_not_keep_anybody_from_deploying(
    ready: Place, running: Client
) -> None:
    record = ready.path / "releases" / ONE / "release.json"
    recorded = json.loads(record.read_text())
    recorded["commands"]["start"] = [step("exit 9")]
    record.write_text(json.dumps(recorded))
    cut_short(ready, running, "migrate", KILL_ALL)
    running.process.wait(60)
    agent = ready.agent()
    notes = agent.request("owners").lines("note")
    assert any(f"but not all of that worked: start hook of {ONE} failed (status 9)" in note for note in notes)
    built(ready, agent, "0003-cccccccc", {})
    assert agent.request("golive", plan(ready, "0003-cccccccc", "three")).result["state"] == "good"


def test_journal_of_anybody_elses_is_none(ready: Place, running: Client) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can be told something by somebody else")
    running.end()
    journal, never = ready.path / ".hostout/switching.json", ready.root / "never"
    args = {"pre": [f"touch {never}"], "stop": [step(f"touch {never}")], "start": []}
    journal.write_text(json.dumps({"release": ONE, "before": None, "was": "good", "args": args}))
    os.chown(journal, 65534, 65534)
    agent = ready.agent()
    assert agent.request("owners").lines("note") == []
    assert not never.exists()
    assert agent.request("golive", plan(ready, TWO, "two")).result["before"] == ONE


# ----- a health check that never answers ------------------------------------------------------------------------------


def test_line_that_never_answers_is_ended_within_its_time(ready: Place, running: Client) -> None:
    line = f"test -e {ready.root}/tried || {{ touch {ready.root}/tried; sleep 1.1; exit 3; }}; sleep 600"
    check = {"check": line, "timeout": 6, "interval": 0.1}
    message = running.request("golive", plan(ready, TWO, "two", health_check=check)).message
    # in what the first try has left of it
    assert re.match(r"health-check failed \(no end within [1-4](\.\d)? s\): ", message)
    assert f"{line} (within 6 s); release {TWO} is bad" in message


def test_page_that_never_answers_is_not_waited_for_longer(ready: Place, running: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        check = {"check": f"http://127.0.0.1:{listening.getsockname()[1]}/", "timeout": 2, "interval": 0.1}
        message = running.request("golive", plan(ready, TWO, "two", health_check=check)).message
    # less where it took a moment to begin
    assert re.search(r"no answer within (2|1\.\d+) s \(within 2 s\)", message)
