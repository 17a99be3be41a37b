"""The near side of the agent, against a small agent that does what the test wants of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import paramiko
import pytest

from agentclient import until
from hostout.agent import protocol
from hostout.errors import ConnectionFailed, RemoteError
from hostout.model import Emit, Event, Stamp, Step
from hostout.remote import shipping
from hostout.remote.agent import PACKAGE, Agent, Sending, Unfit
from hostout.remote.connection import Connection
from hostout.testing import EmbeddedHost
from listening import PATIENT, QUICK, Heard, LogIn, interrupting
from stamps import old_enough

SERVE = """
import hashlib, json, os, sys, time
from .words import READY

def say(**message):
    sys.stdout.write(json.dumps(message) + "\\n")
    sys.stdout.flush()

def main(question):
    question = json.loads(question)
    if question.get("die"):
        sys.exit("Traceback: it hurts")
    with open("/proc/self/cmdline") as file:
        argv = file.read().split("\\0")
    say(event=READY, facts={"question": question, "argv": argv, "root": os.environ.get("IS_ROOT", "")})
    source, beats, failed = sys.stdin.buffer, 0, 0
    for line in source:
        if not line.strip():
            beats += 1
            continue
        request = json.loads(line)
        number, args = request["id"], request["args"]
        if request["do"] == "talk":
            say(event="run", text="a command")
            for n in range(args["lines"]):
                say(event="out", text="line %d" % n)
            say(event="note", text="noted"); say(event="warning", text="look"); say(event="unheard-of", text="x")
            say(event="done", id=number, result={"n": 1})
        elif request["do"] == "receive":
            sums = []
            for blob in args["blobs"]:
                data = source.read(blob["size"] - blob["offset"])
                sums.append(hashlib.sha256(data).hexdigest())
                say(event="out", text="got %s" % blob["name"])
            say(event="done", id=number, result={"sums": sums})
        elif request["do"] == "together":
            data = source.read(sum(blob["size"] for blob in args["blobs"]))
            follows = json.loads(source.readline())
            say(event="out", text="got %s and %s" % (data.decode(), follows["do"]))
            say(event="done", id=number, result={})
            say(event="done", id=follows["id"], result={"after": follows["after"] - number})
        elif request["do"] == "cut":
            source.read(1000)
            os.truncate(args["path"], 2000)
            sums = [len(source.read(blob["size"] - 1000)) for blob in args["blobs"]]
            say(event="done", id=number, result={"sums": sums})
        elif request["do"] == "judge":
            data = source.read(args["blobs"][0]["size"])
            with open(args["path"], "r+b") as file:
                file.write(b"changed")
            say(event="failed", id=number, message="x arrived damaged")
        elif request["do"] == "refuse":
            say(event="failed", id=number, message="no room", command="cp", tail=["a", "b"], log="/log", status=1)
            source.read(sum(blob["size"] - blob["offset"] for blob in args["blobs"]))
            failed = number
        elif failed and request.get("after") == failed:
            failed = number
            say(event="out", text="%s behind what failed" % request["do"])
            say(event="failed", id=number, message="not begun")
        elif request["do"] == "count":
            say(event="done", id=number, result={"beats": beats})
        elif request["do"] == "sleep":
            time.sleep(args["seconds"])
            say(event="done", id=number, result={})
        elif request["do"] == "build":
            say(event="out", text="building")
            assert json.loads(source.readline()) == {"do": "cancel"}
            say(event="out", text="cancelled")
            say(event="failed", id=number, message="cancelled")
        elif request["do"] == "hold":
            source.read(sum(blob["size"] for blob in args["blobs"]))
            say(event="out", text="holding")
            with open("told", "wb") as file:
                file.write(source.read())
        elif request["do"] == "spoil":
            os.unlink(args["path"])
            say(event="failed", id=number, message="buildout failed", tail=["why"], log="/log", status=1)
        elif request["do"] == "crash":
            sys.stderr.write("something broke\\n")
            os._exit(9)
"""


@dataclass(frozen=True)
class Bytes:
    """A blob for the wire."""

    name: str
    content: bytes = b""
    path: str = ""
    size: int = 0
    stamp: Stamp | None = None

    def announced(self, offset: int = 0) -> dict[str, Any]:
        return {"name": self.name, "size": self.size, "offset": offset, "sha256": "", "to": "dist"}


def blob(name: str, content: bytes) -> Bytes:
    return Bytes(name, content, size=len(content))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    folder.mkdir()
    shutil.copy(PACKAGE / shipping.FIRST, folder)
    (folder / "__init__.py").write_text("")
    (folder / "words.py").write_text("READY = 'ready'\n")
    (folder / "serve.py").write_text(SERVE)
    return folder


def start(connection: Connection, package: Path, heard: Emit, question: object = None, become: bool = False) -> Agent:
    return Agent.start(connection, {"x": question}, become=become, emit=heard, package=package)


def test_the_agent_gets_its_question_and_gives_facts(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard
) -> None:
    agent = start(log_in(server), package, heard, "ü")
    assert agent.facts["question"] == {"x": "ü"}
    assert len(server.commands) == 1
    agent.close()


def test_the_process_list_shows_neither_program_nor_question(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard
) -> None:
    agent = start(log_in(server), package, heard)
    assert len(" ".join(agent.facts["argv"])) < 200
    agent.close()


def test_a_long_question_goes_by_standard_input(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard
) -> None:
    question = os.urandom(150_000).hex()
    agent = start(log_in(server), package, heard, question)
    assert agent.facts["question"]["x"] == question
    assert len(server.commands[0]) < 100_000
    assert agent.request(Step("talk", "", {"lines": 0})) == {"n": 1}
    agent.close()


def test_the_agent_hears_that_somebody_is_there_while_nothing_is_asked_of_it(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEARTBEAT", 0.05)
    agent = start(log_in(server), package, heard)
    for _ in until("it has heard that some times"):
        if agent.request(Step("count", ""))["beats"] > 2:
            break
    agent.close()


def test_events_come_in_their_order(server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard) -> None:
    agent = start(log_in(server), package, heard)
    assert agent.request(Step("talk", "", {"lines": 2})) == {"n": 1}
    label = "127.0.0.1"
    assert heard == [
        Event("run", "a command", label),
        Event("out", "line 0", label),
        Event("out", "line 1", label),
        Event("hostout", "noted", label),
        Event("warning", "look", label),
    ]
    agent.close()


def test_many_lines_come_quickly(server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard) -> None:
    agent = start(log_in(server), package, heard)
    began = time.monotonic()
    agent.request(Step("talk", "", {"lines": 100_000}))
    assert len(heard.lines("out")) == 100_000
    assert time.monotonic() - began < 60
    agent.close()


def test_files_arrive_as_they_are(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard, tmp_path: Path
) -> None:
    big = os.urandom(1 << 20) * 8
    (tmp_path / "big").write_bytes(big)
    sent = [blob("small", b"abc"), Bytes("big", path=str(tmp_path / "big"), size=len(big)), blob("empty", b"")]
    agent = start(log_in(server), package, heard)
    args = {"blobs": [sent[0].announced(1), sent[1].announced(), sent[2].announced()]}
    result = agent.request(Step("receive", "", args), sent)
    assert result["sums"] == [hashlib.sha256(data).hexdigest() for data in (b"bc", big, b"")]
    assert heard.lines("out") == ["got small", "got big", "got empty"]
    assert agent.request(Step("talk", "", {"lines": 0})) == {"n": 1}
    agent.close()


def test_a_refused_upload_is_an_error_and_the_next_request_is_understood(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard
) -> None:
    sent = [blob("big", os.urandom(1 << 20) * 6)]
    agent = start(log_in(server), package, heard)
    with pytest.raises(RemoteError, match="no room") as caught:
        agent.request(Step("refuse", "", {"blobs": [sent[0].announced()]}), sent)
    assert (caught.value.command, caught.value.tail, caught.value.log) == ("cp", ("a", "b"), "/log")
    assert caught.value.host == "host1"
    assert agent.request(Step("talk", "", {"lines": 0})) == {"n": 1}
    agent.close()


def test_files_and_what_is_made_of_them_go_in_one_round_trip(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard
) -> None:
    agent = start(log_in(server), package, heard)
    sent = [blob("small", b"abc")]
    before = Sending(Step("together", "", {"blobs": [sent[0].announced()]}), sent)
    # the host answers neither before both are there
    assert agent.request(Step("make", ""), after=[before]) == {"after": 0}
    assert heard.lines("out") == ["got abc and make"]
    assert agent.request(Step("talk", "", {"lines": 0})) == {"n": 1}
    agent.close()


def test_failure_of_what_goes_before_is_the_one_to_tell(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard
) -> None:
    agent = start(log_in(server), package, heard)
    sent = [blob("small", b"abc")]
    before = [Sending(Step("refuse", "", {"blobs": [sent[0].announced()]}), sent), Sending(Step("stage", ""))]
    with pytest.raises(RemoteError, match="no room"):
        agent.request(Step("build", ""), after=before)
    assert agent.request(Step("talk", "", {"lines": 0})) == {"n": 1}
    assert heard.lines("out") == ["stage behind what failed", "build behind what failed"]
    agent.close()


def test_a_local_file_that_vanished_is_named(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard, tmp_path: Path
) -> None:
    gone = Bytes("gone", path=str(tmp_path / "gone"), size=10)
    agent = start(log_in(server), package, heard)
    with pytest.raises(RemoteError, match=f"upload: {tmp_path / 'gone'}: No such file"):
        agent.request(Step("receive", "", {"blobs": [gone.announced()]}), [gone])


def local(path: Path, content: bytes) -> Bytes:
    """A file here, known as it is now."""
    path.write_bytes(content)
    return Bytes(path.name, path=str(path), size=len(content), stamp=Stamp.of(old_enough(path).stat()))


@pytest.mark.parametrize("now", [b"short", b"another", b"longer than before"])
def test_a_local_file_that_changed_is_named_before_anything_is_sent(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard, tmp_path: Path, now: bytes
) -> None:
    sent = [blob("first", b"first"), local(tmp_path / "file", b"content")]
    (tmp_path / "file").write_bytes(now)
    agent = start(log_in(server), package, heard)
    with pytest.raises(RemoteError, match=f"^upload: {tmp_path / 'file'} is not what it was .*deploy again"):
        agent.request(Step("receive", "", {"blobs": [one.announced() for one in sent]}), sent)
    assert heard.lines("out") == []
    assert agent.request(Step("talk", "", {"lines": 0})) == {"n": 1}
    agent.close()


@pytest.mark.parametrize("how", ["cut", "judge"])
def test_a_local_file_that_changes_while_it_is_sent_is_named(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard, tmp_path: Path, how: str
) -> None:
    large = local(tmp_path / "large", bytes(64 << 20) if how == "cut" else b"content")
    agent = start(log_in(server), package, heard)
    args = {"blobs": [large.announced()], "path": large.path}
    with pytest.raises(RemoteError, match=f"^upload: {tmp_path / 'large'} is not what it was "):
        agent.request(Step(how, "", args), [large])
    agent.close()


def test_a_file_that_goes_after_it_arrived_is_not_the_reason_of_what_fails_then(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard, tmp_path: Path
) -> None:
    agent = start(log_in(server), package, heard)
    sent = [local(tmp_path / "file", b"content")]
    before = Sending(Step("receive", "", {"blobs": [sent[0].announced()]}), sent)
    with pytest.raises(RemoteError, match=r"^buildout failed$") as caught:
        agent.request(Step("spoil", "", {"path": sent[0].path}), after=[before])
    assert (caught.value.tail, caught.value.log) == (("why",), "/log")
    agent.close()


def test_an_answer_that_was_on_its_way_when_a_file_was_cut_is_not_believed(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = local(tmp_path / "large", bytes(64 << 20))
    agent = start(log_in(server), package, heard)
    # the host hears that nothing more comes, and its answer arrives before this side is closed
    monkeypatch.setattr(paramiko.Channel, "close", paramiko.Channel.shutdown_write)
    with pytest.raises(RemoteError, match=f"^upload: {tmp_path / 'large'} is not what it was "):
        agent.request(Step("cut", "", {"blobs": [large.announced()], "path": large.path}), [large])
    monkeypatch.undo()
    agent.close()


def test_what_the_login_shell_says_first_is_passed_over(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard
) -> None:
    server.noise = 'Welcome!\n{"event": 1}\n{ not json\nno end of line'
    agent = start(log_in(server), package, heard)
    assert agent.facts["question"] == {"x": None}
    assert not heard
    agent.close()


def test_an_agent_that_dies_at_its_start_shows_why(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard
) -> None:
    connection = log_in(server)
    with pytest.raises(RemoteError, match="the agent did not start: it ended with status 1") as caught:
        Agent.start(connection, {"die": True}, become=False, emit=heard, package=package)
    assert "it hurts" in caught.value.tail[-1]


def test_an_agent_that_dies_later_shows_why(server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard) -> None:
    agent = start(log_in(server), package, heard)
    with pytest.raises(RemoteError, match="the agent ended with status 9") as caught:
        agent.request(Step("crash", ""))
    assert caught.value.tail == ("something broke",)


@pytest.mark.parametrize(("version", "reason"), [("", "no-python"), ("3.7.3", "old-python")])
def test_a_host_without_a_fit_python_says_so(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard, version: str, reason: str
) -> None:
    for name in ("sh", "printf"):
        (server.bin / name).write_text(f'#!/bin/sh\nexec /bin/{name} "$@"\n')
        (server.bin / name).chmod(0o755)
    if version:
        (server.bin / "python3").write_text(f"#!/bin/sh\necho {version}; exit 1\n")
        (server.bin / "python3").chmod(0o755)
    server.environment["PATH"] = str(server.bin)
    with pytest.raises(Unfit) as caught:
        start(log_in(server), package, heard)
    assert (caught.value.reason, caught.value.found, caught.value.host) == (reason, version, "host1")
    assert "3.9" in caught.value.message


def test_a_newer_python_beside_an_old_one_is_found(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard
) -> None:
    (server.bin / "python3").write_text("#!/bin/sh\necho 3.7.3; exit 1\n")
    (server.bin / "python3").chmod(0o755)
    (server.bin / "python3.12").symlink_to(Path(sys.executable).resolve())
    agent = start(log_in(server), package, heard)
    assert agent.facts["argv"][0].endswith("python3.12") or agent.facts["argv"][0]
    agent.close()


def test_a_connection_that_drops_during_an_upload_is_one_line(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard
) -> None:
    sent = [blob("big", os.urandom(1 << 20) * 6)]
    agent = start(log_in(server), package, heard)
    server.drop_after(2_000_000)
    with pytest.raises(ConnectionFailed, match="the connection was lost") as caught:
        agent.request(Step("receive", "", {"blobs": [sent[0].announced()]}), sent)
    assert caught.value.host == "host1"


def test_a_host_that_goes_silent_during_a_build_is_noticed(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard
) -> None:
    agent = start(log_in(server, limits=QUICK), package, heard)
    threading.Timer(0.2, server.freeze).start()
    began = time.monotonic()
    with pytest.raises(ConnectionFailed, match="does not answer any more"):
        agent.request(Step("sleep", "", {"seconds": 60}))
    assert time.monotonic() - began < 45


def test_ctrl_c_cancels_what_runs_there(server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard) -> None:
    agent = start(log_in(server), package, interrupting(heard, "building"))
    with pytest.raises(KeyboardInterrupt):
        agent.request(Step("build", ""))
    assert heard.lines("out") == ["building", "cancelled"]
    assert agent.request(Step("talk", "", {"lines": 0})) == {"n": 1}
    agent.close()


def test_ctrl_c_cancels_what_goes_with_an_upload_that_arrived(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard
) -> None:
    agent = start(log_in(server), package, interrupting(heard, "building"))
    sent = [blob("small", b"abc")]
    with pytest.raises(KeyboardInterrupt):
        agent.request(Step("build", ""), after=[Sending(Step("receive", "", {"blobs": [sent[0].announced()]}), sent)])
    assert heard.lines("out") == ["got small", "building", "cancelled"]
    agent.close()


def test_ctrl_c_in_an_upload_leaves_the_agent_alone(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard
) -> None:
    agent = start(log_in(server), package, interrupting(heard, "holding"))
    sent = [blob("small", b"abc")]
    with pytest.raises(KeyboardInterrupt):
        agent.request(Step("build", ""), after=[Sending(Step("hold", "", {"blobs": [sent[0].announced()]}), sent)])
    assert heard.lines("out") == ["holding"]
    assert agent.gone
    # it is not waited for, and hears that nothing of what is behind the upload is wanted any more
    told = server.home / "told"
    for _ in until("it has heard of the end"):
        if told.exists() and told.read_bytes():
            break
    assert [json.loads(line)["do"] for line in told.read_bytes().split()] == ["build", "cancel"]


def test_an_agent_that_never_starts_is_given_up(
    server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard
) -> None:
    (package / "serve.py").write_text("import time\ndef main(question):\n    time.sleep(60)\n")
    with pytest.raises(RemoteError, match="nothing was heard of the agent for 1 s"):
        start(log_in(server, limits=replace(PATIENT, start=1)), package, heard)


def test_the_program_is_the_same_bytes_every_time(package: Path, tmp_path: Path) -> None:
    first = shipping.program(package, {"a": 1})
    for path in package.iterdir():
        os.utime(path, (0, 0))
    (package / "words.pyc").write_bytes(b"")
    assert shipping.program(package, {"a": 1}) == first


def test_no_request_is_mistaken_for_an_answer(server: EmbeddedHost, log_in: LogIn, package: Path, heard: Heard) -> None:
    agent = start(log_in(server), package, heard)
    for lines in (0, 3, 0):
        assert agent.request(Step("talk", "", {"lines": lines})) == {"n": 1}
    assert json.dumps(heard.lines("out")) == '["line 0", "line 1", "line 2"]'
    agent.close()


@pytest.mark.parametrize("become", [False, True])
def test_a_login_shell_that_runs_nothing_says_why(
    tmp_path: Path, home: Path, log_in: LogIn, heard: Heard, package: Path, become: bool
) -> None:
    shell = tmp_path / "nologin"
    shell.write_text("#!/bin/sh\necho This account is not available.\nexit 1\n")
    shell.chmod(0o755)
    with EmbeddedHost(tmp_path / "closed", password="right", shell=str(shell)) as host:
        host.write_known_hosts(home / ".ssh" / "known_hosts")
        with pytest.raises(RemoteError) as caught:
            start(log_in(host), package, heard, become=become)
    assert "This account is not available." in [*caught.value.tail, caught.value.message.rpartition(": ")[2]]
