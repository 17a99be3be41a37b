"""Waiting for a process on the host: no longer than it runs, no longer than one wants to."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from hostout.agent import detached, process


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
