"""Ctrl-C in every phase, and lines that are cut: one line, nothing half done, and the next deployment succeeds.

A real buildout with a real application, deployed to an SSH host in this process. What does not belong here: what the
agent does when its client is gone (the tests of the agent).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pexpect
import pytest

from applications import SOON, WAIT, Site

pytestmark = pytest.mark.buildout

AGENT = b"-I -S -B /proc/self/fd/"
"""How the agent was started, and so what its own processes are called as well."""


@dataclass
class Call:
    """``bin/hostout`` in a process group of its own, as a shell starts it; its output is in two files."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def out(self) -> str:
        return (self.folder / "out").read_text()

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text()

    def until(self, reached: Callable[[], bool]) -> None:
        """Waits for it, as long as the script runs."""
        end = time.monotonic() + WAIT
        while not reached():
            assert self.process.poll() is None and time.monotonic() < end, self.out + self.err
            time.sleep(0.02)

    def says(self, text: str) -> None:
        self.until(lambda: text in self.out)

    def interrupt(self, seconds: float = SOON, then: Callable[[], None] = lambda: None) -> None:
        """Ctrl-C, and what happens at once: it ends with one line and status 130."""
        os.killpg(self.process.pid, signal.SIGINT)
        then()
        assert self.process.wait(seconds) == 130, self.out + self.err
        assert self.err.splitlines()[-1:] == ["Hostout: interrupted"]
        assert [line for line in self.err.splitlines() if "warning" not in line] == ["Hostout: interrupted"]
        assert "Done." not in self.out


def kill_all_on(site: Site) -> None:
    """SIGKILL for agents and jobs on that host, as the kernel does when there is no memory: nobody of them is left."""
    home = f"HOME={site.host.home}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        # what has ended meanwhile has no files any more
        with contextlib.suppress(OSError):
            ours = home in (folder / "environ").read_bytes().split(b"\0")
            if ours and AGENT in (folder / "cmdline").read_bytes().replace(b"\0", b" "):
                os.kill(int(folder.name), signal.SIGKILL)


@contextmanager
def called(site: Site, folder: Path, *words: str) -> Iterator[Call]:
    argv = [str(site.project.folder / "bin" / "hostout"), *words]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            argv, cwd=site.project.folder, env=site.project.variables(), stdin=subprocess.DEVNULL, stdout=out,
            stderr=err, start_new_session=True,
        )  # fmt: skip
    try:
        yield Call(process, folder)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def unharmed(site: Site, part: str, before: str) -> None:
    """The old release runs, and the next deployment succeeds."""
    assert site.current(part) == before
    page = site.page(part)
    assert site.greeting not in page and "Visit" in page
    site.project.succeed(part, "deploy")
    assert site.greeting in site.page(part)
    assert site.leftovers() == []


def test_while_a_package_is_built(site: Site, tmp_path: Path) -> None:
    before = site.current("host1")
    site.project.edit("src/hello/pyproject.toml", 'version = "1.0"', 'version = "1.1"')
    site.greet()
    site.pause_at("packaging")
    with called(site, tmp_path, "host1", "deploy") as call:
        call.until(site.reached("packaging"))
        connections = site.host.connections
        call.interrupt()
    assert site.host.connections == connections
    assert site.leftovers() == []
    unharmed(site, "host1", before)


def test_while_it_connects(site: Site, tmp_path: Path) -> None:
    before = site.current("host1")
    site.greet()
    site.host.silent = True
    with called(site, tmp_path, "host1", "deploy") as call:
        call.says("Logging into the following hosts")
        time.sleep(0.5)
        call.interrupt()
    site.host.clear_faults()
    unharmed(site, "host1", before)


@pytest.mark.parametrize(
    ("part", "where"),
    [
        ("host1", "fabfile"),
        ("host1", "between"),
        ("host1", "build"),
        ("host2", "stop"),
        ("host2", "between"),
        ("host2", "build"),
    ],
)
def test_before_the_release_goes_live(site: Site, tmp_path: Path, part: str, where: str) -> None:
    before = site.current(part)
    site.greet()
    site.pause_at(where)
    with called(site, tmp_path, part, "deploy") as call:
        call.until(site.reached(where))
        call.interrupt()
    unharmed(site, part, before)


@pytest.mark.parametrize("part", ["host1", "host2"])
def test_in_the_middle_of_an_upload(site: Site, tmp_path: Path, part: str) -> None:
    before = site.current(part)
    site.greet()
    (site.project.folder / "large").write_bytes(os.urandom(4_000_000))
    # from the beginning: a host that is quick takes all of it before we can slow it down
    site.host.speed = 400_000.0
    with called(site, tmp_path, part, "deploy") as call:
        call.says("Hostout: upload")
        time.sleep(0.5)
        # what it stopped runs again when it ends, and the host hears of the end behind what is on its way
        call.interrupt(SOON * 2)
    site.host.clear_faults()
    unharmed(site, part, before)


@pytest.mark.parametrize("part", ["host1", "host2"])
def test_while_it_goes_live_the_host_brings_it_to_its_end(site: Site, tmp_path: Path, part: str) -> None:
    before = site.current(part)
    site.greet()
    site.pause_at("migrate")
    with called(site, tmp_path, part, "deploy") as call:
        call.until(site.reached("migrate"))
        call.interrupt(then=lambda: site.go_on("migrate"))
    site.project.succeed("--lock-wait", "30", part, "deploy")
    assert site.greeting in site.page(part)
    assert site.current(part) != before
    assert site.leftovers() == []


@pytest.mark.parametrize(
    ("part", "where"),
    [
        ("host1", "stop"),
        ("host1", "migrate"),
        ("host1", "start"),
        ("host2", "stop"),
        ("host2", "build"),
        ("host2", "migrate"),
    ],
)
def test_everybody_on_the_host_is_killed_while_the_application_is_stopped(
    site: Site, tmp_path: Path, part: str, where: str
) -> None:
    """Nobody there is left who could start it: it runs when the script ends, not only when the next one comes."""
    before = site.current(part)
    site.greet()
    site.pause_at(where)
    with called(site, tmp_path, part, "deploy") as call:
        call.until(site.reached(where))
        kill_all_on(site)
        assert call.process.wait(WAIT) == 1, call.out + call.err
    assert "Done." not in call.out
    unharmed(site, part, before)


@pytest.mark.parametrize("where", ["stop", "start"])
def test_everybody_on_the_host_is_killed_while_it_goes_back(site: Site, tmp_path: Path, where: str) -> None:
    site.greet()
    site.project.succeed("host1", "deploy")
    before = site.current("host1")
    site.pause_at(where)
    with called(site, tmp_path, "host1", "rollback") as call:
        call.until(site.reached(where))
        kill_all_on(site)
        assert call.process.wait(WAIT) == 1, call.out + call.err
    assert site.current("host1") == before
    assert site.greeting in site.page("host1")
    site.project.succeed("host1", "rollback")
    assert site.greeting not in site.page("host1")
    assert site.leftovers() == []


def test_while_a_command_runs_there(site: Site, tmp_path: Path) -> None:
    with called(site, tmp_path, "host1", "run", f"touch {site.points}/run.reached; exec sleep 50") as call:
        call.until(site.reached("run"))
        call.interrupt()
    assert site.leftovers() == []


def test_at_the_password_prompt(site: Site) -> None:
    before = site.current("host1")
    site.greet()
    keys, site.host.authorized, site.host.password = site.host.authorized, set(), "a password"
    with site.project.terminal("host1", "deploy") as child:
        child.expect("Password for .*: ")
        child.sendintr()
        child.expect(pexpect.EOF)
        child.close()
        assert [line.strip("^C \r") for line in (child.before or "").splitlines()][-1:] == ["Hostout: interrupted"]
        assert child.exitstatus == 130
    site.host.authorized, site.host.password = keys, None
    unharmed(site, "host1", before)


@pytest.mark.parametrize("part", ["host1", "host2"])
def test_a_line_that_is_cut_in_the_middle_of_an_upload(site: Site, part: str) -> None:
    before, size = site.current(part), 8_000_000
    site.greet()
    (site.project.folder / "large").write_bytes(os.urandom(size))
    site.host.drop_after(7_000_000)
    said = site.project.fail(3, part, "deploy")
    assert [line for line in said.splitlines() if f"[{part}]" in line] == [
        f"Hostout: [{part}] 127.0.0.1, port {site.host.port}: the connection was lost"
    ]
    site.host.clear_faults()
    received = site.host.received
    # nobody is there any more who could wait for that
    site.wait(lambda: bool(site.page(part)))
    unharmed(site, part, before)
    assert site.host.received - received < size - 3_000_000
