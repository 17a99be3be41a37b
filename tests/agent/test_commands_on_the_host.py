"""How commands run on the host: as whom, with which environment, and how they end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentclient import Client, Place, exists, step, until


@pytest.fixture
def agent(place: Place) -> Client:
    agent = place.agent()
    agent.request("layout")
    return agent


def test_output_comes_line_by_line_and_the_line_that_runs_before(agent: Client, place: Place) -> None:
    reply = agent.request("command", step("echo one; echo two >&2; printf three; pwd >/dev/null"))
    assert reply.lines("sudo" if os.getuid() == 0 else "run") == [
        "echo one; echo two >&2; printf three; pwd >/dev/null"
    ]
    assert reply.lines() == ["one", "two", "three"]
    assert reply.result == {"status": 0}


def test_command_that_fails_says_how_and_its_last_lines(agent: Client, place: Place) -> None:
    line = "seq 30; exit 3"
    last = agent.request("command", step(line)).last
    assert last["message"] == "command failed (status 3): seq 30; exit 3"
    assert last["tail"] == [str(number) for number in range(11, 31)]
    assert (last["command"], last["status"]) == (line, 3)
    assert Path(last["log"]).read_text().splitlines() == [f"$ {line}", *map(str, range(1, 31))]


def test_environment_is_nobodys(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_INDEX_URL", "PYTHONPATH", "PYTHONHOME", "BUILDOUT_HOME", "SECRET"):
        monkeypatch.setenv(name, "/nonsense")
    place.agent().request("layout")
    place.end()
    lines = place.agent().request("command", step("env; umask; pwd")).lines()
    names = {line.partition("=")[0] for line in lines[:-2]}
    assert names - {"PWD", "OLDPWD", "_", "SHLVL"} == {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG"}
    assert lines[-2:] == ["0022", str(place.path)]


def test_command_has_no_input_and_a_session_of_its_own(agent: Client) -> None:
    assert agent.request("command", step("cat; ps -o sid= -p $$ | tr -d ' '; echo $$")).lines()[0].isdigit()


def test_daemon_that_keeps_the_output_does_not_hold_us_up(agent: Client) -> None:
    # longer than any answer is waited for
    reply = agent.request("command", step("sleep 300 & echo $!"))
    os.kill(int(reply.lines()[0]), 9)


def test_command_that_takes_too_long_is_ended_with_all_it_started(agent: Client) -> None:
    line = "sleep 300 & echo $!; wait"
    reply = agent.request("command", step(line, timeout=3.0))
    assert reply.message == f"command failed (no end within 3 s): {line}"
    child = int(reply.lines()[0])
    for _ in until("the child is gone"):
        if not exists(child):
            break


def test_command_is_tried_again_until_it_succeeds(agent: Client, place: Place) -> None:
    line = "echo x >> tries; test $(wc -l < tries) -ge 3"
    reply = agent.request("command", step(line, retry=30, cwd="var"))
    assert reply.result == {"status": 0}
    assert (place.path / "var" / "tries").read_text() == "x\nx\nx\n"


def test_command_that_never_succeeds_is_given_up(agent: Client) -> None:
    assert agent.request("command", step("false", retry=0.3)).message == "command failed (status 1): false"


def test_client_can_cancel(agent: Client) -> None:
    agent.send("command", step("echo begun; sleep 300"))
    while agent.event().get("text") != "begun":
        pass
    agent.raw(b'{"do": "cancel"}\n')
    assert agent.reply().message == "command failed (cancelled): echo begun; sleep 300"
    assert agent.request("command", step("echo next")).lines() == ["next"]


def test_output_that_is_not_utf_8_or_has_no_end_arrives(agent: Client) -> None:
    reply = agent.request("command", step(r"printf 'a\377b\r\n\n'; head -c 200000 /dev/zero | tr '\0' x"))
    assert reply.lines()[:2] == ["a\ufffdb", ""]
    assert "".join(reply.lines()[2:]) == "x" * 200000


def test_a_hundred_thousand_lines_arrive_in_order(agent: Client) -> None:
    assert agent.request("command", step("seq 100000")).lines() == [str(number) for number in range(1, 100001)]


def test_script_that_writes_to_dev_stderr_works(agent: Client, place: Place) -> None:
    lines = agent.request("command", step("echo one; echo two > /dev/stderr; echo three")).lines()
    assert lines[-2:] == ["two", "three"]


def test_command_runs_as_the_effective_user_with_its_groups(place: Place) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can run commands as another user")
    agent = place.agent(effective_user="nobody")
    agent.request("layout")
    reply = agent.request("command", step("id -un; id -Gn; echo $HOME; echo it >> /dev/stderr"))
    assert reply.lines() == ["nobody", "nogroup", "/nonexistent", "it"]
    assert reply.lines("run") and not reply.lines("sudo")
    assert agent.request("command", step("id -un", user="root")).lines() == ["root"]


def test_command_runs_before_anything_was_laid_out(place: Place) -> None:
    assert place.agent().request("command", step("pwd")).lines() == ["/"]
    assert not place.path.exists()


def test_no_log_is_named_where_there_is_no_place_to_keep_one(place: Place) -> None:
    last = place.agent().request("command", step("echo why; exit 3")).last
    assert (last["message"], last["tail"], last["log"]) == ("command failed (status 3): echo why; exit 3", ["why"], "")


def test_command_needs_no_room_for_temporary_files(agent: Client, place: Place) -> None:
    place.python_first("import tempfile; tempfile.tempdir = '/nonexistent'")
    assert place.agent().request("command", step("echo hello")).lines() == ["hello"]
