"""``sudo``: the dialogue with it, and what is said when there is no way.

The sudo here is a stand-in that asks and answers as the real one does; the real one is tried on whole machines.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from hostout.errors import ConnectionFailed, RemoteError
from hostout.model import Step
from hostout.remote import shipping
from hostout.remote.agent import PACKAGE, Agent
from hostout.remote.sudo import ASKED, MISSING, OPENED, Gate, SudoUnavailable, as_user
from hostout.testing import EmbeddedHost, make_key
from listening import PATIENT, Heard, LogIn, Person

SUDO = """#!{python} -IS
import os, sys
args = sys.argv[1:]
prompt = args[args.index("-p") + 1]
open(os.path.expanduser("~/sudo-was-asked"), "a").write(" ".join(sys.argv))
def line():
    read = b""
    while not read.endswith(b"\\n"):
        byte = os.read(0, 1)
        if not byte:
            sys.exit(print("sudo: no password was provided", file=sys.stderr) or 1)
        read += byte
    return read.decode().rstrip("\\n")
mode = os.environ.get("SUDO_MODE", "password")
if mode == "stranger" or mode == "password":
    print("We trust you have received the usual lecture.", file=sys.stderr)
    for left in (2, 1, 0):
        sys.stderr.write(prompt)
        sys.stderr.flush()
        if line() == os.environ.get("SUDO_PASSWORD", "right"):
            break
        print("Sorry, try again." if left else "sudo: 3 incorrect password attempts", file=sys.stderr)
    else:
        sys.exit(1)
if mode == "stranger":
    sys.exit(print("worker is not in the sudoers file.", file=sys.stderr) or 1)
if mode == "silent":
    import time; time.sleep(60)
os.environ["IS_ROOT"] = "yes"
os.environ["USER"] = args[args.index("-u") + 1]
command = args[args.index("--") + 1:]
if mode == "confined":
    command[-1] = "/proc/no/such/file"
os.closerange(3, 256)
os.execvp(command[0], command)
"""

ID = """#!/bin/sh
case "$1" in -un) echo worker;; -u) echo 1000;; esac
"""


def install(server: EmbeddedHost, name: str, text: str) -> None:
    path = server.bin / name
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def worker(server: EmbeddedHost) -> EmbeddedHost:
    """A host whose login user is not root, and may become it with the password ``right``."""
    install(server, "sudo", SUDO.replace("{python}", sys.executable))
    install(server, "id", ID)
    return server


def test_a_line_runs_as_root_as_a_whole(worker: EmbeddedHost, log_in: LogIn, heard: Heard) -> None:
    result = log_in(worker).sudo("cd / && echo $IS_ROOT 'a  b'; exit 3", warn=True)
    assert (result.stdout, result.exited) == ("yes a  b\n", 3)
    assert heard.lines("sudo") == ["cd / && echo $IS_ROOT 'a  b'; exit 3"]
    assert heard.lines("out") == ["yes a  b"]
    assert not heard.lines("err"), "what sudo says before is not of the command"


def test_another_user_may_be_named(worker: EmbeddedHost, log_in: LogIn) -> None:
    assert log_in(worker).sudo("echo $USER", user="app", hide=True).stdout == "app\n"


def test_without_password_none_is_sent(worker: EmbeddedHost, log_in: LogIn) -> None:
    worker.environment["SUDO_MODE"] = "nopasswd"
    assert log_in(worker).sudo("cat", hide=True).stdout == ""


def test_input_arrives_behind_the_password(worker: EmbeddedHost, log_in: LogIn, tmp_path: Path) -> None:
    (tmp_path / "input").write_text("line 1\nline 2\n")
    with (tmp_path / "input").open() as file:
        result = log_in(worker).sudo("cat", in_stream=file, hide=True)
    assert result.stdout == "line 1\nline 2\n"


def test_the_login_password_is_used_and_never_shown(worker: EmbeddedHost, log_in: LogIn, heard: Heard) -> None:
    log_in(worker).sudo("ps -ef; env; cat ~/sudo-was-asked")
    assert "right" not in "".join(event.text for event in heard)
    assert not any("right" in command for command in worker.commands)


def test_a_wrong_password_is_asked_again_on_a_terminal(log_in: LogIn, worker: EmbeddedHost) -> None:
    worker.environment["SUDO_PASSWORD"] = "another"
    person = Person(["wrong", "another"])
    connection = log_in(worker, person=person)
    assert connection.sudo("echo hi", hide=True).stdout == "hi\n"
    assert person.asked == [f"[sudo] password for {worker.user} at 127.0.0.1: "] * 2
    assert connection.sudo("echo hi", hide=True).stdout == "hi\n"
    assert len(person.asked) == 2, "the one that worked is remembered"


def test_three_wrong_passwords_are_one_line(log_in: LogIn, worker: EmbeddedHost) -> None:
    worker.environment["SUDO_PASSWORD"] = "another"
    person = Person(["a", "b", "c", "d"])
    with pytest.raises(SudoUnavailable, match="does not accept the password of") as caught:
        log_in(worker, person=person).sudo("true")
    assert caught.value.reason == "password"
    assert len(person.asked) <= 3


def test_a_wrong_password_without_terminal_is_one_line(worker: EmbeddedHost, log_in: LogIn) -> None:
    worker.environment["SUDO_PASSWORD"] = "another"
    with pytest.raises(SudoUnavailable, match=r"sudo at 127\.0\.0\.1 does not accept the password of") as caught:
        log_in(worker).sudo("cat", hide=True)
    assert (caught.value.reason, caught.value.host) == ("password", "host1")
    assert (worker.home / "sudo-was-asked").read_text().count("-k") == 1


def test_no_password_and_nobody_to_ask_says_what_to_set(worker: EmbeddedHost, log_in: LogIn, home: Path) -> None:
    key = make_key(home / ".ssh" / "id_ecdsa")
    worker.authorized.add(Path(f"{key}.pub").read_text().split()[1])
    with pytest.raises(SudoUnavailable, match="HOSTOUT_PASSWORD") as caught:
        log_in(worker, password=None).sudo("true")
    assert caught.value.reason == "password"


def test_who_may_not_is_told_in_sudos_words(worker: EmbeddedHost, log_in: LogIn) -> None:
    worker.environment["SUDO_MODE"] = "stranger"
    with pytest.raises(SudoUnavailable, match="worker is not in the sudoers file") as caught:
        log_in(worker).sudo("true")
    assert caught.value.reason == "refused"


def test_a_host_without_sudo_says_so(server: EmbeddedHost, log_in: LogIn) -> None:
    install(server, "id", ID)
    for name in ("sh", "printf"):
        install(server, name, f'#!/bin/sh\nexec /bin/{name} "$@"\n')
    server.environment["PATH"] = str(server.bin)
    with pytest.raises(SudoUnavailable, match="there is no sudo") as caught:
        log_in(server).sudo("true")
    assert caught.value.reason == "missing"


def test_root_needs_no_sudo(server: EmbeddedHost, log_in: LogIn) -> None:
    install(server, "id", '#!/bin/sh\ncase "$1" in -un) echo root;; -u) echo 0;; esac\n')
    install(server, "sudo", "#!/bin/sh\necho must not be called; exit 1\n")
    assert log_in(server).sudo("echo hi", hide=True).stdout == "hi\n"


def test_no_sudo_is_respected(worker: EmbeddedHost, log_in: LogIn) -> None:
    with pytest.raises(RemoteError, match="no-sudo is set"):
        log_in(worker, no_sudo=True).sudo("true")
    assert not worker.commands


def test_a_sudo_that_says_nothing_is_given_up(worker: EmbeddedHost, log_in: LogIn) -> None:
    worker.environment["SUDO_MODE"] = "silent"
    connection = log_in(worker, limits=replace(PATIENT, start=1))
    with pytest.raises(SudoUnavailable, match="said nothing for 1 s"):
        connection.sudo("true")


def test_a_host_that_goes_while_sudo_thinks_is_a_lost_connection(worker: EmbeddedHost, log_in: LogIn) -> None:
    worker.environment["SUDO_MODE"] = "silent"
    connection = log_in(worker)
    threading.Timer(0.3, worker.disconnect).start()
    with pytest.raises(ConnectionFailed):
        connection.sudo("true")


def test_a_gate_opens_wherever_the_stream_is_cut() -> None:
    stream = f"lecture\nword{ASKED}Sorry\nword{ASKED}\nword{OPENED}\nrest".encode()
    for size in range(1, len(stream)):
        gate = Gate("word")
        heard = [kind for at in range(0, len(stream), size) for kind in gate.feed(stream[at : at + size])]
        assert heard[:3] == [ASKED, ASKED, OPENED]
        assert gate.lines()[:2] == ["lecture", "Sorry"]


def test_a_gate_tells_that_sudo_is_missing() -> None:
    assert list(Gate("word").feed(f"word{MISSING}\n".encode())) == [MISSING]


def test_what_varies_is_never_in_a_script() -> None:
    argv = as_user("app", "word", ["sh", "-c", "x $(y)"])
    assert argv[3:6] == ["hostout", "word", "app"]
    assert argv[-1] == "x $(y)"
    assert "app" not in argv[2]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    folder.mkdir()
    shutil.copy(PACKAGE / shipping.FIRST, folder)
    (folder / "__init__.py").write_text("")
    (folder / "serve.py").write_text(
        "import json, os, sys\n"
        "def main(question):\n"
        "    print(json.dumps({'event': 'ready', 'facts': {'root': os.environ.get('IS_ROOT')}}), flush=True)\n"
        "    print(json.dumps({'event': 'done', 'id': 1, 'result': sys.stdin.readline()}), flush=True)\n"
    )
    return folder


@pytest.mark.parametrize("mode", ["password", "nopasswd", "confined"])
def test_the_program_gets_past_sudo_and_not_into_its_log(
    worker: EmbeddedHost, log_in: LogIn, heard: Heard, package: Path, mode: str
) -> None:
    worker.environment["SUDO_MODE"] = mode
    question = {"x": "y" * 1000, "z": os.urandom(3000).hex()}
    worker.user = "worker"
    agent = Agent.start(log_in(worker), question, become=True, emit=heard, package=package)
    assert agent.facts["root"] == "yes"
    assert agent.request(Step("x", "")) == '{"id":1,"do":"x","args":{}}\n'
    agent.close()
    assert len((worker.home / "sudo-was-asked").read_text()) < 3000


def test_the_agent_runs_as_root_behind_a_password(
    worker: EmbeddedHost, log_in: LogIn, heard: Heard, package: Path
) -> None:
    agent = Agent.start(log_in(worker), {}, become=True, emit=heard, package=package)
    assert agent.facts["root"] == "yes"
    assert agent.request(Step("x", "")) == '{"id":1,"do":"x","args":{}}\n'
    agent.close()
    agent = Agent.start(log_in(worker), {}, become=False, emit=heard, package=package)
    assert agent.facts["root"] is None
    agent.close()
    worker.environment["SUDO_MODE"] = "stranger"
    with pytest.raises(SudoUnavailable):
        Agent.start(log_in(worker), {}, become=True, emit=heard, package=package)
