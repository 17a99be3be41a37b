"""Waiting for a process on the host: no longer than it runs, no longer than one wants to."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from hostout.agent import detached, people, process

NOBODY = 65534
PERL = shutil.which("perl")


def test_it_ends_with_the_child() -> None:
    began = time.monotonic()
    with subprocess.Popen(["sleep", "0.1"]) as child:
        process.pause(child.pid, 300)
    assert time.monotonic() - began < 100


def test_it_ends_when_its_time_is_over() -> None:
    with subprocess.Popen(["sleep", "300"]) as child:
        process.pause(child.pid, 0.05)
        assert child.poll() is None
        child.kill()


def test_an_older_kernel_is_asked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    if not (child := os.fork()):
        os._exit(7)
    assert detached.wait(child) == 7


@pytest.mark.skipif(os.getuid() != 0 or PERL is None, reason="only root can make a program of root's")
def test_it_costs_nothing_where_the_child_cannot_be_ended(root: Path) -> None:
    """Like sudo, it has become root altogether; the agent is nobody of that kind."""
    sudo = root / "sudo"
    shutil.copy(str(PERL), sudo)
    sudo.chmod(0o4755)
    os.chown(root, NOBODY, NOBODY)
    ended = ""
    if not (child := os.fork()):
        try:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            argv = (str(sudo), "-e", "$< = 0; sleep 3")
            command = process.Command(argv, "sudo", people.agent(), Path("/"), timeout=0.5)
            ended = process.run(command, root / "log", lambda line: None).ended
        finally:
            os._exit(0 if ended == "no end within 0.5 s" else 1)
    _, status, usage = os.wait4(child, 0)
    assert status == 0
    assert usage.ru_utime + usage.ru_stime < 1
