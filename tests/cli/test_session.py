"""The order of things over several hosts: headings, the check of all hosts before anything is changed, the end.

What a host says does not matter here, so the hosts are stand-ins that write down what is asked of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hostout import config
from hostout.commands.host import HostoutHost
from hostout.errors import Aborted, HostoutError, RemoteError
from hostout.model import Event, Extent, Host, RunOptions
from hostout.session import Session
from records import Records

FABFILE = """
from hostout.commands.marks import deploys

@deploys(packages=True)
def deploying(): pass

@deploys()
def owners(): pass

def touching():
    get('hostout').connection

def nested():
    get('hostout').owners()
    get('hostout').deploying()
    get('hostout').deploying()

def failing():
    get('hostout').deployment
    abort('no')

def silent(): pass
"""


class Stand:
    """A connection or deployment that only knows whether it was closed."""

    hostout: Any = None

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    def recover(self) -> None:
        self.log.append(f"recover {self.name}")

    def close(self) -> None:
        self.log.append(f"close {self.name}")


class Hosts:
    """Reaches nothing; ``log`` is what was asked of it, in order, with what was said in between."""

    def __init__(self, refuse: Mapping[str, HostoutError]) -> None:
        self.log: list[str] = []
        self.early: list[str] = []
        self.refuse = refuse

    def login(self, host: Host) -> tuple[str, int]:
        return "me", 22

    def connect(self, host: Host, label: str) -> Any:
        self.log.append(f"connect {host.name}")
        return Stand(f"connection of {host.name}", self.log)

    def connect_early(self, host: Host, label: str) -> None:
        self.early.append(host.name)

    def close(self) -> None:
        self.early.append("closed")

    def deployment(self, host: HostoutHost, label: str) -> Any:
        return Stand(f"deployment of {host.name}", self.log)

    def prepare(self, hosts: Sequence[HostoutHost], extent: Extent, keep_going: bool) -> Mapping[str, HostoutError]:
        self.log.append(f"prepare {' '.join(host.name for host in hosts)}{' with packages' if extent.packages else ''}")
        refused = {host.name: self.refuse[host.name] for host in hosts if host.name in self.refuse}
        if refused and not keep_going:
            raise next(iter(refused.values()))
        return refused

    def ask(self, question: str) -> str:
        return ""

    def said(self, event: Event) -> None:
        if event.kind == "login":
            self.log.append(f"login as {event.data['user']}: {' '.join(event.data['hosts'])}")
        elif event.kind == "hostout":
            self.log.append(event.text.partition(" from ")[0].removeprefix("Running command "))
        else:
            self.log.append(event.text or event.kind)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    made = Records(tmp_path / "buildout")
    fabfile = made.fabfile("fabfile.py", FABFILE)
    made.part("host1", host="10.0.0.1", user="root", fabfiles=fabfile)
    made.part("host2", host="10.0.0.2", fabfiles=fabfile)
    made.part("host3", host="10.0.0.2", user="root", fabfiles=fabfile)
    return made


def ran(records: Records, line: str, refuse: Mapping[str, HostoutError] | None = None, **options: bool) -> Any:
    """What happened, in order, and the exit status."""
    hosts = Hosts(refuse or {})
    session = Session(
        config.load(records.directory),
        RunOptions(**options),
        hosts.said,
        lambda error: hosts.log.append(f"error {error.message}"),
        lambda secret: None,
        lambda session: hosts,
    )
    status = session.run(session.select(tuple(line.split())))
    return hosts.log, status


def test_all_hosts_are_checked_once_before_anything_runs(records: Records) -> None:
    log, status = ran(records, "host1 host2 silent owners deploying")
    assert log == [
        "prepare host1 host2 with packages",
        "'silent'", "'owners'", "'deploying'",
        "'silent'", "'owners'", "'deploying'",
        "done",
    ]  # fmt: skip
    assert status == 0


def test_what_uploads_nothing_needs_no_release(records: Records) -> None:
    assert ran(records, "host1 owners")[0] == ["prepare host1", "'owners'", "done"]


def test_other_commands_check_nothing(records: Records) -> None:
    assert ran(records, "host1 silent")[0] == ["'silent'", "done"]


def test_a_host_that_cannot_take_a_deployment_stops_all_of_them(records: Records) -> None:
    log, status = ran(records, "all deploying", {"host2": RemoteError("full", host="host2")})
    assert log == ["prepare host1 host2 host3 with packages", "error full", "not run on: host1 host3"]
    assert status == 1


def test_keep_going_leaves_out_a_host_that_cannot_take_it(records: Records) -> None:
    log, status = ran(records, "all deploying", {"host2": Aborted("dirty", host="host2")}, keep_going=True)
    assert log == ["prepare host1 host2 host3 with packages", "error dirty", "'deploying'", "'deploying'"]
    assert status == 4


def test_a_deployment_within_a_command_is_checked_when_it_begins(records: Records) -> None:
    log, _ = ran(records, "host1 nested")
    assert log == [
        "'nested'", "prepare host1", "'owners'", "prepare host1 with packages", "'deploying'", "'deploying'", "done",
    ]  # fmt: skip


def test_logins_are_announced_once_a_user_before_the_first_connection(records: Records) -> None:
    log, _ = ran(records, "all silent touching touching")
    assert log == [
        "'silent'", "'touching'", "login as root: 10.0.0.1 host3", "login as me: host2", "connect host1", "'touching'",
        "'silent'", "'touching'", "connect host2", "'touching'",
        "'silent'", "'touching'", "connect host3", "'touching'",
        "done",
        "close connection of host1", "close connection of host2", "close connection of host3",
    ]  # fmt: skip


def test_what_a_failed_deployment_stopped_is_started_again(records: Records) -> None:
    log, status = ran(records, "host1 host2 failing")
    assert log == [
        "'failing'", "error no", "recover deployment of host1", "not run on: host2", "close deployment of host1",
    ]  # fmt: skip
    assert status == 4
