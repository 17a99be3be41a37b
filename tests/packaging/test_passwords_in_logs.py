"""What a program says has no passwords in it, neither in its log nor where its last lines are shown."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hostout.packaging import process

SAYS = """\
import os, pathlib, sys, time
print("Reading http://bob:SECRET@index.example/simple")
print("and git+https://SECRET@git.example:443/repository@v1, https://bob:SEC@RET@index.example ssh://host/a@b me@host")
sys.stdout.flush()
print(oct(pathlib.Path("log").stat().st_mode & 0o777))
sys.stdout.flush()
"""
CLEAN = """\
Reading http://index.example/simple
and git+https://git.example:443/repository@v1, https://index.example ssh://host/a@b me@host
0o600
"""


@pytest.mark.parametrize(
    ("ends", "seconds", "status"), [("", 30, 0), ("sys.exit(3)", 30, 3), ("time.sleep(60)", 5, None)]
)
def test_a_log_has_no_password_however_its_program_ended(
    tmp_path: Path, ends: str, seconds: float, status: int | None
) -> None:
    (tmp_path / "log").touch(mode=0o644)
    done = process.run([sys.executable, "-c", SAYS + ends], tmp_path / "log", timeout=seconds, cwd=tmp_path)
    assert done.status == status
    assert (tmp_path / "log").read_text().startswith(CLEAN)
    assert done.tail()[:3] == tuple(CLEAN.splitlines())


def test_it_has_none_when_somebody_interrupts(tmp_path: Path) -> None:
    def interrupt() -> bool:
        if "0o600" in (tmp_path / "log").read_text():
            raise KeyboardInterrupt
        return False

    argv = [sys.executable, "-c", f"{SAYS}time.sleep(60)"]
    with pytest.raises(KeyboardInterrupt):
        process.run(argv, tmp_path / "log", timeout=30, cwd=tmp_path, hopeless=interrupt)
    assert (tmp_path / "log").read_text() == CLEAN


def test_the_last_lines_of_any_log_have_none(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x\nReading http://bob:SECRET@index.example/simple\n")
    assert process.tail(tmp_path / "log") == ("x", "Reading http://index.example/simple")
