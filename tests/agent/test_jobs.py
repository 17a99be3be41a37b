"""Builds that outlive who asked for them, what is left when somebody is killed, and who may work here meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agentclient import LIMIT, Client, Place, built, exists, stage_doing, step, until, with_hook

pytestmark = pytest.mark.buildout

ONE, TWO = "0001-aaaaaaaa", "0002-0bbbbbbb"
NOBODY = 65534


def gone(*pids: int) -> None:
    for _ in until(f"{pids} are gone"):
        if not any(map(exists, pids)):
            return


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def kill_agent(agent: Client) -> None:
    agent.process.kill()
    agent.process.wait()


def status(place: Place, name: str = ONE) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place.path / ".hostout/jobs" / f"{name}.json").read_text())
    return found


def children(pid: int) -> list[int]:
    said = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(line) for line in said.split()]


def held(pid: int) -> list[str]:
    """What a process has open; what it closes meanwhile (it may just be loading a program) it does not hold."""
    names = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            names.append(str(link.readlink()))
    return names


def says(agent: Client, text: str) -> None:
    while agent.event().get("text") != text:
        pass


class Work:
    """A build that says ``first`` and ``working``, and goes on when it is told to."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.go = place.root / "go"
        self.pid = place.root / "pid"
        place.root.chmod(0o777)
        # a build that outlives an aborted test run ends with its folder
        waits = f"while test -d {place.root} -a ! -e {self.go}; do sleep 0.05; done"
        shell = f"echo $$ > {self.pid}; echo working; {waits}; echo done"
        self.code = f"print('first', flush=True); os.system('{shell}')"

    def begin(self, name: str = ONE) -> Client:
        """An agent in the middle of it."""
        agent = self.place.agent()
        stage_doing(self.place, agent, self.code, name)
        self.send(agent, name)
        return agent

    def send(self, agent: Client, name: str = ONE) -> None:
        agent.send("build", {"name": name})
        says(agent, "working")

    def shell(self) -> int:
        """The process that a part of the buildout started."""
        return int(self.pid.read_text())

    def finish(self) -> None:
        self.go.touch()

    def ends(self, name: str = ONE) -> dict[str, Any]:
        for _ in until("the job has ended"):
            if (found := status(self.place, name))["state"] != "running":
                return found
        raise AssertionError


@pytest.fixture
def work(able: Place) -> Iterator[Work]:
    able.agent().request("layout")
    able.end()
    work = Work(able)
    yield work
    work.finish()


def test_build_goes_on_when_the_agent_is_killed(able: Place, work: Work) -> None:
    agent = work.begin()
    seen = status(able)
    assert (seen["state"], seen["what"], seen["release"], seen["user"]) == ("running", "build", ONE, "alice")
    kill_agent(agent)
    work.finish()
    ended = work.ends()
    assert ended["state"] == "done" and ended["ended"] >= ended["since"]
    assert able.state(ONE) == "built"
    assert able.agent(lock_wait=20).request("owners").result == {}
    assert [(line["ok"], line["release"]) for line in able.ledger() if line["what"] == "build"] == [(True, ONE)]
    gone(seen["pid"], work.shell())


def test_job_is_a_session_of_its_own_without_our_streams(able: Place, work: Work) -> None:
    agent = work.begin()
    pid = status(able)["pid"]
    assert pid != agent.process.pid
    assert os.getsid(pid) == pid
    assert {str(Path(f"/proc/{pid}/fd/{stream}").readlink()) for stream in (0, 1, 2)} == {"/dev/null"}
    work.finish()
    assert agent.reply().result["state"] == "built"


def test_who_comes_later_follows_from_the_first_line(able: Place, work: Work) -> None:
    kill_agent(work.begin())
    follower = able.agent()
    follower.send("follow", {"name": ONE})
    says(follower, "first")
    says(follower, "working")
    work.finish()
    assert follower.reply().result == {"state": "built", "release": ONE}
    # also when it is over, and when the log goes on with what came after
    assert follower.request("golive", {"name": ONE, "start": [step("echo live")]}).result
    again = follower.request("follow", {"name": ONE})
    assert again.lines("run") == ["bin/buildout -U -N -c do.cfg"]
    assert [line for line in again.lines() if line in ("first", "working", "done", "live")] == [
        "first",
        "working",
        "done",
    ]


def test_two_follow_while_the_first_one_listens(able: Place, work: Work) -> None:
    agents = [work.begin(), able.agent(), able.agent()]
    for follower in agents[1:]:
        follower.send("follow", {"name": ONE})
        says(follower, "working")
    work.finish()
    assert [agent.reply().result["state"] for agent in agents] == ["built"] * 3


def test_follower_sees_why_a_build_failed(able: Place, work: Work) -> None:
    agent = able.agent()
    stage_doing(able, agent, "print('first'); raise ValueError('no such thing')")
    failed = agent.request("build", {"name": ONE}).last
    seen = able.agent().request("follow", {"name": ONE}).last
    assert {**seen, "id": 0} == {**failed, "id": 0}
    assert any("no such thing" in line for line in seen["tail"])


def test_nothing_to_follow_is_said(able: Place, work: Work) -> None:
    agent = able.agent()
    stage_doing(able, agent, "pass")
    assert agent.request("follow", {"name": ONE}).message == f"release {ONE} was never built here"
    assert "there is no release" in agent.request("follow", {"name": TWO}).message
    assert "there is no release" in agent.request("follow", {"name": "../../etc/passwd"}).message


def test_follower_cancels_the_job(able: Place, work: Work) -> None:
    agent, follower = work.begin(), able.agent()
    follower.send("follow", {"name": ONE})
    says(follower, "working")
    follower.raw(b'{"do": "cancel"}\n')
    message = "bin/buildout -U -N -c do.cfg failed (cancelled)"
    assert (follower.reply().message, agent.reply().message) == (message, message)
    assert able.state(ONE) == "staging"
    gone(work.shell())


def test_follower_that_goes_leaves_the_job_alone(able: Place, work: Work) -> None:
    agent, follower = work.begin(), able.agent()
    follower.send("follow", {"name": ONE})
    says(follower, "working")
    follower.hang_up()
    assert follower.process.wait(LIMIT) is not None
    work.finish()
    assert agent.reply().result["state"] == "built"


def test_job_that_is_killed_is_told_and_leaves_nothing(able: Place, work: Work) -> None:
    agent = work.begin()
    kill(status(able)["pid"])
    last = agent.reply().last
    assert last["message"] == f"the build of release {ONE} was killed"
    assert "working" in last["tail"]
    gone(work.shell())
    assert (status(able)["state"], able.state(ONE)) == ("failed", "staging")
    assert able.agent().request("follow", {"name": ONE}).message == last["message"]
    work.finish()
    assert agent.request("build", {"name": ONE}).result["state"] == "built"


def test_next_one_ends_what_job_and_agent_left_when_they_were_killed(able: Place, work: Work) -> None:
    agent = work.begin()
    kill_agent(agent)
    kill(status(able)["pid"])
    assert exists(work.shell())
    follower = able.agent().request("follow", {"name": ONE})
    assert follower.message == f"the build of release {ONE} was killed"
    # for somebody else: what holds the lock is nobody's any more
    other = able.agent()
    reply = other.request("owners")
    assert reply.result == {}
    said = f"the build of release {ONE} had been killed: what it left running is ended"
    assert reply.lines("note") == [said]
    gone(work.shell())
    assert status(able)["state"] == "failed"
    assert [line["message"] for line in able.ledger() if line["what"] == "build"] == [follower.message]
    work.finish()
    assert other.request("build", {"name": ONE}).result["state"] == "built"


def test_job_whose_agent_was_killed_is_nobodys_leftover(able: Place, work: Work) -> None:
    kill_agent(work.begin())
    assert able.agent().request("owners").message.startswith("locked: alice on laptop is at work here since")
    assert exists(work.shell())
    work.finish()
    assert work.ends()["state"] == "done"
    reply = able.agent(lock_wait=20).request("owners")
    assert (reply.result, reply.lines("note")) == ({}, [])


def test_build_command_ends_with_the_job(able: Place, work: Work) -> None:
    agent = able.agent()
    stage_doing(able, agent, "pass")
    agent.send("build", {"name": ONE, "commands": ["echo $$; echo begun; sleep 300 & echo $!; echo working; wait"]})
    says(agent, "working")
    kill(status(able)["pid"])
    lines = agent.reply().last["tail"]
    gone(int(lines[-4]), int(lines[-2]))


def test_release_that_is_built_again_does_not_say_that_it_is_built(able: Place, work: Work) -> None:
    agent = able.agent()
    stage_doing(able, agent, work.code)
    work.finish()
    assert agent.request("build", {"name": ONE}).result
    work.go.unlink()
    work.send(agent)
    assert able.state(ONE) == "staging"
    kill(status(able)["pid"])
    assert agent.reply().message
    assert able.state(ONE) == "staging"


def test_full_disk_ends_a_build_with_one_line(able: Place, small_disk: Path) -> None:
    there = Place(small_disk, able.archive, extra=able.extra)
    agent = there.agent()
    agent.request("layout")
    stage_doing(there, agent, "open('var/fill', 'wb').write(bytes(2000000))")
    message = agent.request("build", {"name": ONE}).message
    there.end()
    assert message == "bin/buildout -U -N -c do.cfg failed (status 1): the disk is full"


# ----- the log --------------------------------------------------------------------------------------------------------


def test_log_is_shown_by_name_number_or_id(able: Place, work: Work) -> None:
    agent = able.agent()
    stage_doing(able, agent, "print('the first')")
    assert agent.request("build", {"name": ONE}).result
    stage_doing(able, agent, "print('the second', flush=True); raise ValueError", TWO)
    assert agent.request("build", {"name": TWO}).message
    for name in (ONE, "1", "0001", "aaaaaaaa"):
        reply = agent.request("log", {"name": name})
        assert reply.result == {"name": ONE}
        assert "the first" in reply.lines()
        assert reply.lines()[0] == "$ bin/buildout -U -N -c do.cfg"
    assert agent.request("log", {"name": "0bbbbbbb"}).result == {"name": TWO}
    newest = agent.request("log", {"name": None})
    assert newest.result == {"name": TWO}
    assert "the second" in newest.lines()
    assert newest.lines()[-1] == "Hostout: bin/buildout -U -N -c do.cfg failed (status 1)"
    message = agent.request("log", {"name": "9"}).message
    assert message == f"there is no log of a release 9 in {able.path}/.hostout/jobs; there are: {ONE}, {TWO}"
    assert "there is no log" in agent.request("log", {"name": "../lock"}).message


def test_log_before_anything_was_built(work: Work, able: Place) -> None:
    assert able.agent().request("log").message.endswith("there are: none")


# ----- what was stopped -----------------------------------------------------------------------------------------------


@pytest.fixture
def live(able: Place, work: Work) -> Path:
    """Release one is live; each start is a line in the file that this gives."""
    story = able.path / "var" / "story"
    agent = able.agent()
    built(able, agent, ONE, {})
    start = step(f"echo started >> {story}")
    stop = step(f"echo $$ > {able.root}/stop; test ! -e {able.root}/slow || sleep 300")
    assert agent.request("golive", {"name": ONE, "start": [start], "stop": [stop]}).result
    able.end()
    assert story.read_text() == "started\n"
    return story


def started(story: Path, times: int) -> None:
    for _ in until(f"it is started {times} times"):
        if story.read_text() == "started\n" * times:
            return


def settled(place: Place) -> None:
    """Nobody works here any more, and nobody has anything left to bring to an end."""
    reply = place.agent(lock_wait=20).request("owners")
    assert (reply.result, reply.lines("note"), reply.lines("warning")) == ({}, [], [])


def test_what_was_stopped_is_started_when_the_agent_is_killed(able: Place, live: Path) -> None:
    agent = able.agent()
    assert agent.request("stop", {"commands": [], "hooks": []}).result == {"stopped": True}
    guardians = children(agent.process.pid)
    kill_agent(agent)
    started(live, 2)
    settled(able)
    started(live, 2)
    gone(*guardians)
    assert agent.process.stdout is not None and agent.process.stdout.read() == b""


def test_what_is_just_being_stopped_is_started_when_the_agent_is_killed(able: Place, live: Path) -> None:
    (able.root / "slow").touch()
    agent = able.agent()
    agent.send("stop", {"commands": [], "hooks": []})
    stopping = able.root / "stop"
    for _ in until("the hook runs"):
        if stopping.exists() and exists(int(stopping.read_text() or 0)):
            break
    kill_agent(agent)
    started(live, 2)
    gone(int(stopping.read_text()))
    settled(able)


def test_what_was_stopped_is_started_by_the_next_one_where_everybody_was_killed(able: Place, live: Path) -> None:
    agent = able.agent()
    agent.request("stop", {"commands": [], "hooks": []})
    for guardian in children(agent.process.pid):
        kill(guardian)
    kill_agent(agent)
    started(live, 1)
    reply = able.agent().request("owners")
    assert reply.result == {}
    assert reply.lines("note") == [
        f"a deployment was cut short when it had stopped release {ONE}: it is started again"
    ]
    started(live, 2)


@pytest.mark.parametrize("how", ["killed", "asked to end", "hung up"])
def test_what_was_stopped_is_started_at_once_when_nobody_waits_for_the_build(
    able: Place, live: Path, work: Work, how: str
) -> None:
    agent = able.agent()
    agent.request("stop", {"commands": [], "hooks": []})
    stage_doing(able, agent, work.code, TWO)
    work.send(agent, TWO)
    if how == "hung up":
        agent.hang_up()
    else:
        agent.process.send_signal(signal.SIGKILL if how == "killed" else signal.SIGTERM)
        agent.process.wait(LIMIT)
    started(live, 2)
    assert able.agent().request("owners").message.startswith("locked: alice on laptop")
    assert status(able, TWO)["state"] == "running"
    work.finish()
    assert work.ends(TWO)["state"] == "done"
    settled(able)
    started(live, 2)


def test_nobody_watches_when_it_is_live_or_started_again(able: Place, live: Path) -> None:
    agent = able.agent()
    for end in ("restart", "golive"):
        built(able, agent, TWO, {}) if end == "golive" else None
        agent.request("stop", {"commands": [], "hooks": []})
        assert children(agent.process.pid)
        assert agent.request(end, {"name": TWO, "stopped": True}).result
        for _ in until("the guardian has gone"):
            if not children(agent.process.pid):
                break
    assert able.state(TWO) == "good"
    kill_agent(agent)
    settled(able)
    started(live, 2)


def switching(able: Place, agent: Client, line: str) -> int:
    """In the middle of a switch to release two; gives the process that does it."""
    built(able, agent, TWO, {})
    agent.send("golive", {"name": TWO, "migrate": [line]})
    says(agent, "begun")
    return next(pid for pid in children(agent.process.pid) if exists(pid))


def test_switch_whose_process_is_killed_is_taken_back_by_the_agent(able: Place, live: Path) -> None:
    agent, waits = able.agent(), able.agent(lock_wait=60)
    switch = switching(able, agent, "sleep 300 & echo $!; echo begun; wait")
    waits.send("owners", {})
    time.sleep(1)
    kill(switch)
    reply = agent.reply()
    assert reply.message == f"the process that did golive was killed: {ONE} is live"
    assert len(reply.lines("note")) == 1
    started(live, 2)
    assert (able.state(ONE), able.state(TWO)) == ("good", "bad")
    # who waited for the lock took nobody here for a leftover
    assert waits.reply().result == {}
    waits.end()
    assert agent.request("facts").result["facts"]["live"] == ONE
    settled(able)


def test_switch_is_taken_back_by_the_next_one_where_everybody_was_killed(able: Place, live: Path) -> None:
    agent = able.agent()
    switch = switching(able, agent, f"sleep 300 & echo $! > {able.root}/sleeps; echo begun; wait")
    kill_agent(agent)
    kill(switch)
    reply = able.agent().request("owners")
    assert reply.result == {}
    assert len(reply.lines("note")) == 1
    gone(int((able.root / "sleeps").read_text()))
    started(live, 2)
    assert (able.state(ONE), able.state(TWO)) == ("good", "bad")


# ----- the lock -------------------------------------------------------------------------------------------------------


def test_who_leaves_is_waited_for(able: Place, work: Work) -> None:
    # so patient that this machine may be slow
    able.archive = with_hook(able, "import hostout_agent.lock\nhostout_agent.lock.PATIENCE = 30.0\n")
    first, second = able.agent(), able.agent()
    assert first.request("owners").result == {}
    number = second.send("owners", {})
    time.sleep(1)
    first.end()
    reply = second.reply()
    assert (reply.result, reply.last["id"]) == ({}, number)


def test_who_stays_is_named_after_three_seconds(able: Place, work: Work) -> None:
    assert able.agent().request("owners").result == {}
    began = time.monotonic()
    message = able.agent(client={"user": "bob", "machine": "desk"}).request("owners").message
    assert message.startswith("locked: alice on laptop is at work here since ")
    assert message.endswith(" UTC (owners)")
    assert time.monotonic() - began > 2.9


def test_lock_wait_comes_on_top(able: Place, work: Work) -> None:
    first = able.agent()
    first.request("owners")
    second = able.agent(lock_wait=30)
    second.send("owners", {})
    time.sleep(4)
    first.end()
    assert second.reply().result == {}


def test_client_that_waits_no_more_does_nothing_later(able: Place, work: Work) -> None:
    first = able.agent()
    first.request("owners")
    cancels, leaves = able.agent(lock_wait=60), able.agent(lock_wait=60)
    cancels.send("owners", {})
    leaves.send("owners", {})
    time.sleep(0.5)
    cancels.raw(b'{"do": "cancel"}\n')
    leaves.hang_up()
    assert cancels.reply().message.startswith("waited in vain: alice on laptop")
    assert leaves.process.wait(LIMIT) is not None
    first.end()
    assert len([line for line in able.ledger() if line["what"] == "owners"]) == 1


def test_lock_of_another_user_is_one_line_with_the_name(able: Place, work: Work) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give files away")
    lock = able.path / ".hostout" / "lock"
    os.chown(lock, NOBODY, NOBODY)
    expected = f"{lock} belongs to nobody, not to root: log in as who deployed here before, or remove it"
    assert able.agent().request("owners").message == expected
    assert lock.stat().st_uid == NOBODY


def test_lock_of_root_is_one_line_for_everybody_else(able: Place, work: Work) -> None:
    if os.getuid() != 0 or not Path("/usr/bin/python3").exists():
        pytest.skip("only root can start an agent as another user, with a Python that others can run")
    archive = shutil.copy(able.archive, able.root)
    agent = Client("/usr/bin/python3", Path(archive), able.question(), user=NOBODY, group=NOBODY, extra_groups=[])
    able.clients.append(agent)
    lock = able.path / ".hostout" / "lock"
    message = agent.request("owners").message
    assert message == f"{lock} belongs to root, not to nobody: log in as who deployed here before, or remove it"


def test_daemon_that_a_start_hook_leaves_holds_neither_lock_nor_line(able: Place, work: Work) -> None:
    agent = able.agent()
    built(able, agent, ONE, {})
    pid = able.root / "daemon"
    line = f"(setsid sh -c 'echo $$ > {pid}; exec sleep 300' &)"
    assert agent.request("golive", {"name": ONE, "start": [step(line)]}).result
    for _ in until("it runs"):
        if pid.exists() and pid.read_text().strip():
            break
    daemon = int(pid.read_text())
    try:
        assert not [name for name in held(daemon) if "lock" in name or "pipe" in name or "socket" in name]
        assert agent.end() == 0
        settled(able)
        assert exists(daemon)
    finally:
        kill(daemon)


def test_daemon_that_a_recipe_leaves_does_not_keep_the_lock(able: Place, work: Work) -> None:
    agent = able.agent()
    pid = able.root / "daemon"
    stage_doing(able, agent, f"os.system('setsid sleep 300 >/dev/null 2>&1 & echo $! > {pid}')")
    assert agent.request("build", {"name": ONE}).result
    agent.end()
    try:
        settled(able)
    finally:
        kill(int(pid.read_text()))
