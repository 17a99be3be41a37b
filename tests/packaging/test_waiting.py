"""Programs that run here: what else is begun while one of them is waited for."""

from __future__ import annotations

import contextvars
import os
import sys
import threading
from pathlib import Path

import pytest

from hostout.packaging import process

FOR_A_FILE = "import pathlib, time\nwhile not pathlib.Path('begun').exists(): time.sleep(0.01)"


def waited(folder: Path, code: str = "") -> process.Finished:
    return process.run([sys.executable, "-c", code], folder / "log", timeout=30, cwd=folder)


def test_what_else_there_is_begins_when_the_program_runs_and_before_it_ends(tmp_path: Path) -> None:
    with process.meanwhile((tmp_path / "begun").touch):
        assert waited(tmp_path, FOR_A_FILE).ok


def test_it_is_called_each_time_and_no_more_afterwards(tmp_path: Path) -> None:
    begun: list[int] = []
    with process.meanwhile(lambda: begun.append(1)):
        waited(tmp_path)
        waited(tmp_path)
    waited(tmp_path)
    assert begun == [1, 1]


def test_it_is_of_whoever_asked_for_it_alone(tmp_path: Path) -> None:
    begun: list[int] = []
    with process.meanwhile(lambda: begun.append(1)):
        other = threading.Thread(target=contextvars.Context().run, args=(waited, tmp_path))
        other.start()
        other.join(30)
    assert begun == []


def test_what_a_program_is_given_it_reads(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import sys; print(sys.stdin.read().upper())"]
    done = process.run(argv, tmp_path / "log", timeout=30, stdin=b"given " * 100_000)
    assert done.ok
    assert (tmp_path / "log").read_text() == "GIVEN " * 100_000 + "\n"


def test_where_the_kernel_tells_nobody_it_is_looked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    with process.meanwhile((tmp_path / "begun").touch):
        assert waited(tmp_path, FOR_A_FILE).ok
    assert waited(tmp_path, "raise SystemExit(3)").status == 3
