"""Dialogues on a real terminal: what is asked, what is shown, how one gets out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pexpect
import pytest

from hostout.testing import EmbeddedHost
from records import Records

PASSWORD = "correct-horse"
WAIT = 120


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "buildout")


@pytest.fixture
def hosts(tmp_path: Path, records: Records) -> Iterator[list[EmbeddedHost]]:
    """Two hosts that know a password only."""
    with ExitStack() as stack:
        made = []
        for name in ("host1", "host2"):
            host = stack.enter_context(EmbeddedHost(tmp_path / name, password=PASSWORD))
            host.write_known_hosts(records.home / ".ssh" / "known_hosts")
            records.part(name, host=f"127.0.0.1:{host.port}", path=str(host.home))
            made.append(host)
        yield made


@pytest.fixture
def call(records: Records) -> Iterator[Callable[..., Any]]:
    with ExitStack() as stack:

        def begin(*words: str) -> Any:
            program, *arguments = records.command(*words)
            child = pexpect.spawn(program, arguments, env=records.environment(), timeout=WAIT, encoding="utf-8")
            stack.callback(child.close, force=True)
            return child

        yield begin


Call = Callable[..., Any]


def ended(child: Any) -> tuple[str, int]:
    """What was printed since the last thing expected, and the exit status."""
    child.expect(pexpect.EOF)
    child.close()
    return child.before.replace("\r\n", "\n"), child.exitstatus


def test_a_password_is_asked_for_once_for_all_hosts_and_never_shown(call: Call, hosts: list[EmbeddedHost]) -> None:
    child = call("all", "run", "echo", "in")
    child.expect("Password for .*: ")
    before = child.before + child.after
    child.sendline(PASSWORD)
    rest, status = ended(child)
    assert PASSWORD not in before + rest
    assert "Password" not in rest
    assert rest.endswith("[host2] out: in\nDone.\n")
    assert status == 0
    assert [len(host.logins) for host in hosts] == [1, 1]


def test_a_wrong_password_is_asked_for_again(call: Call, hosts: list[EmbeddedHost]) -> None:
    child = call("host1", "run", "true")
    for answer in ("wrong-one", PASSWORD):
        child.expect("Password for .*: ")
        child.sendline(answer)
    assert ended(child)[1] == 0


def test_three_wrong_passwords_are_enough(call: Call, hosts: list[EmbeddedHost]) -> None:
    child = call("host1", "run", "true")
    for _ in range(3):
        child.expect("Password for .*: ")
        child.sendline("wrong-one")
    rest, status = ended(child)
    assert "Hostout: [host1] could not log in" in rest
    assert "wrong-one" not in rest
    assert status == 3


def test_ctrl_c_at_a_prompt_is_one_line(call: Call, hosts: list[EmbeddedHost]) -> None:
    child = call("host1", "run", "true")
    child.expect("Password for .*: ")
    child.sendintr()
    rest, status = ended(child)
    assert [line for line in rest.splitlines() if line.strip("^C \r")] == ["Hostout: interrupted"]
    assert status == 130


ASKING = "def go():\n    print(repr(prompt('Which one?', default='this')))\n    print(repr(prompt('And?')))\n"


def test_a_fabfile_asks(call: Call, records: Records) -> None:
    records.part("host1", host="10.0.0.1", fabfiles=records.fabfile("fabfile.py", ASKING))
    child = call("host1", "go")
    child.expect_exact("Which one? [this] ")
    child.sendline("")
    child.expect_exact("And? ")
    child.sendline("that one")
    rest, status = ended(child)
    assert rest.splitlines()[1:] == ["'that one'", "Done."]
    assert status == 0


def test_without_a_terminal_nobody_is_asked_and_nothing_waits(records: Records) -> None:
    records.part("host1", host="10.0.0.1", fabfiles=records.fabfile("fabfile.py", ASKING))
    done = records.call("host1", "go", stdin="that\n")
    assert done.stderr == "Hostout: [host1] there is no terminal to ask on: Which one? [this]\n"
    assert done.returncode == 1


def test_without_a_terminal_a_missing_password_is_one_line(records: Records, hosts: list[EmbeddedHost]) -> None:
    done = records.call("host1", "run", "true")
    assert done.stderr.startswith("Hostout: [host1] could not log in")
    assert "terminal" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.returncode == 3


def test_the_password_of_the_environment_is_used_and_never_shown(records: Records, hosts: list[EmbeddedHost]) -> None:
    done = records.call("host1", "run", "echo", PASSWORD, HOSTOUT_PASSWORD=PASSWORD)
    assert PASSWORD not in done.stdout + done.stderr
    assert "[127.0.0.1] out: ***\n" in done.stdout
    assert done.returncode == 0
