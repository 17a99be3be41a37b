"""``run`` of a Connection: what is printed, what is returned, what holds."""

from __future__ import annotations

import io
import os
import sys
import time
from pathlib import Path
from typing import Any

import paramiko
import pytest
from invoke.exceptions import UnexpectedExit

from hostout import testing
from hostout.errors import RemoteError
from hostout.model import Event
from hostout.remote.connection import CommandFailed
from hostout.remote.quoting import in_folder, sh
from hostout.testing import EmbeddedHost
from listening import Heard, LogIn, interrupting


def test_the_transcript_of_the_documentation(server: EmbeddedHost, log_in: LogIn, heard: Heard) -> None:
    log_in(server).run(sh(in_folder(str(server.home), "pwd")))
    assert heard == [
        Event("run", f'sh -c "cd {server.home} && pwd"', "127.0.0.1"),
        Event("out", str(server.home), "127.0.0.1"),
    ]
    assert server.commands == [f'sh -c "cd {server.home} && pwd"']


def test_a_command_costs_one_login_and_one_channel(server: EmbeddedHost, log_in: LogIn) -> None:
    connection = log_in(server)
    connection.run("true")
    connection.run("true")
    assert (server.connections, len(server.logins), server.commands) == (1, 1, ["true", "true"])


def test_output_and_errors_come_line_by_line(server: EmbeddedHost, log_in: LogIn, heard: Heard) -> None:
    result = log_in(server).run("echo one; echo two; echo oh >&2; printf last")
    assert heard.lines("out") == ["one", "two", "last"]
    assert heard.lines("err") == ["oh"]
    assert (result.stdout, result.stderr, result.ok, result.exited) == ("one\ntwo\nlast", "oh\n", True, 0)


def test_what_was_typed_in_another_encoding_arrives_as_it_was(server: EmbeddedHost, log_in: LogIn) -> None:
    typed, connection = os.fsdecode(b"caf\xe9"), log_in(server)
    for run in (connection.run, connection.sudo) if os.getuid() == 0 else (connection.run,):
        assert run(f"printf {typed} | od -An -tx1", hide=True).stdout.split() == ["63", "61", "66", "e9"]


def test_output_is_heard_while_the_command_runs(server: EmbeddedHost, log_in: LogIn) -> None:
    def emit(event: Event) -> None:
        if event.text == "now":
            (server.home / "heard").touch()

    waits = "for each in $(seq 600); do test -e heard && exit; sleep 0.1; done; exit 1"
    assert log_in(server, emit=emit).run(f"echo now; {waits}").ok


def test_a_failure_is_ours_and_fabrics(server: EmbeddedHost, log_in: LogIn) -> None:
    connection = log_in(server)
    with pytest.raises(RemoteError, match="'exit 3' failed with status 3") as ours:
        connection.run("exit 3")
    assert isinstance(ours.value, UnexpectedExit)
    assert (ours.value.result.exited, ours.value.host, ours.value.command) == (3, "host1", "exit 3")


def test_a_hidden_failure_shows_its_last_lines(server: EmbeddedHost, log_in: LogIn, heard: Heard) -> None:
    with pytest.raises(CommandFailed) as caught:
        log_in(server).run("seq 100; echo why >&2; exit 1", hide=True)
    assert caught.value.tail[-2:] == ("100", "why")
    assert len(caught.value.tail) == 20
    assert not heard


def test_warn_returns_the_result(server: EmbeddedHost, log_in: LogIn) -> None:
    result = log_in(server).run("exit 3", warn=True)
    assert (result.ok, result.exited) == (False, 3)


def test_hide_hides_and_returns(server: EmbeddedHost, log_in: LogIn, heard: Heard) -> None:
    assert log_in(server).run("echo hi", hide=True).stdout == "hi\n"
    assert not heard


def test_a_stream_of_the_caller_gets_the_output(server: EmbeddedHost, log_in: LogIn, heard: Heard) -> None:
    stream = io.StringIO()
    log_in(server).run("echo hi", out_stream=stream)
    assert stream.getvalue() == "hi\n"
    assert not heard.lines("out")


def test_input_of_the_caller_arrives(server: EmbeddedHost, log_in: LogIn) -> None:
    assert log_in(server).run("cat", in_stream=io.StringIO("typed"), hide=True).stdout == "typed"


def test_a_file_as_input_is_fast(server: EmbeddedHost, log_in: LogIn, tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"x" * 3_000_000)
    connection = log_in(server)
    began = time.monotonic()
    with (tmp_path / "input").open() as file:
        assert connection.run("wc -c", in_stream=file, hide=True).stdout.strip() == "3000000"
    # one byte after the other it would be hours
    assert time.monotonic() - began < 60


def test_a_terminal_is_there_when_asked_for(server: EmbeddedHost, log_in: LogIn, heard: Heard) -> None:
    result = log_in(server).run("test -t 1 && echo yes", pty=True)
    assert result.stdout == "yes\r\n"
    assert heard.lines("out") == ["yes"]


def test_fabrics_context_managers_work(server: EmbeddedHost, log_in: LogIn, heard: Heard) -> None:
    connection = log_in(server)
    with connection.cd("/"), connection.prefix("x=1"):
        assert connection.run("pwd; echo $x", hide="err").stdout == "/\n1\n"
    assert heard.lines("run") == ["cd / && x=1 && pwd; echo $x"]
    assert connection.run("echo $y", env={"y": "2"}, hide=True).stdout == "2\n"


def test_what_is_not_utf8_is_replaced(server: EmbeddedHost, log_in: LogIn, heard: Heard) -> None:
    log_in(server).run(r"printf 'a\377b\n'")
    assert heard.lines("out") == ["a�b"]


def test_a_character_on_the_border_of_two_blocks_is_whole(server: EmbeddedHost, log_in: LogIn) -> None:
    text = log_in(server).run(f"{sys.executable} -c 'print(chr(8364) * 100000)'", hide=True).stdout
    assert text == "€" * 100_000 + "\n"


def test_a_million_lines_stream_through(server: EmbeddedHost, log_in: LogIn) -> None:
    count = 0

    def emit(event: Event) -> None:
        nonlocal count
        count += event.kind == "out"

    result = log_in(server, emit=emit).run("yes 0123456789012345678901234567890123456789 | head -n 1000000")
    assert count == 1_000_000
    assert len(result.stdout) < 20_000_000


def test_a_line_without_end_does_not_fill_memory(server: EmbeddedHost, log_in: LogIn, heard: Heard) -> None:
    log_in(server).run("head -c 3000000 /dev/zero")
    assert len(heard.lines("out")) > 10


def test_a_daemon_that_keeps_the_output_does_not_hold_us(server: EmbeddedHost, log_in: LogIn) -> None:
    began = time.monotonic()
    log_in(server).run("echo started; sleep 300 &")
    assert time.monotonic() - began < 60


def test_a_command_ended_by_a_signal_fails(server: EmbeddedHost, log_in: LogIn) -> None:
    with pytest.raises(RemoteError, match="failed with status 137"):
        log_in(server).run("kill -9 $$")


def test_a_time_limit_of_the_caller_holds(server: EmbeddedHost, log_in: LogIn) -> None:
    with pytest.raises(RemoteError, match="did not end within 1 s"):
        log_in(server).run("sleep 20", timeout=1)


def test_a_time_limit_is_named_even_when_its_thread_is_slow_to_end(
    server: EmbeddedHost, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = log_in(server)
    close = paramiko.Channel.close

    def close_and_stay(channel: paramiko.Channel) -> None:
        close(channel)
        time.sleep(1)

    monkeypatch.setattr(paramiko.Channel, "close", close_and_stay)
    with pytest.raises(RemoteError, match="did not end within 1 s"):
        connection.run("sleep 20", timeout=1)


def test_output_that_comes_late_is_not_lost(
    server: EmbeddedHost, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    pump = testing._pump

    def late(*arguments: Any) -> None:
        time.sleep(5)
        pump(*arguments)

    monkeypatch.setattr(testing, "_pump", late)
    assert log_in(server).run("echo all of it").stdout == "all of it\n"


def test_a_command_that_ends_before_its_request_is_answered_is_heard(
    server: EmbeddedHost, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = testing._Rules.check_channel_exec_request

    def slow(rules: testing._Rules, channel: paramiko.Channel, command: bytes) -> bool:
        answer = quick(rules, channel, command)
        time.sleep(0.5)
        return answer

    monkeypatch.setattr(testing._Rules, "check_channel_exec_request", slow)
    assert log_in(server).run("echo all", hide=True).stdout == "all\n"


@pytest.mark.parametrize("verb", ["run", "sudo"])
def test_ctrl_c_ends_a_command_at_once(server: EmbeddedHost, log_in: LogIn, heard: Heard, verb: str) -> None:
    connection = log_in(server, emit=interrupting(heard, "begun"))
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        getattr(connection, verb)("echo begun; sleep 300")
    assert time.monotonic() - began < 60
    assert connection.run("echo still here", hide=True).stdout == "still here\n"
