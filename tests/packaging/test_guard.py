"""A rehearsal has no effect outside its scratch folder, whatever a recipe does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from buildouts import environment
from hostout.packaging.rehearsal import PROGRAM

pytestmark = pytest.mark.buildout

FRAME = """\
import json, os, runpy, shutil, sqlite3, socket, subprocess, sys, tempfile
from pathlib import Path
program = runpy.run_path({program!r})
guard = program["Guard"]([{scratch!r}])
outside, scratch = Path({outside!r}), Path({scratch!r})
os.chdir(scratch)
with guard.closed():
    try:
        {action}
        print("done")
    except PermissionError as error:
        print("refused", error)
"""

REFUSED = [
    "(outside / 'kept').write_text('changed')",
    "open(outside / 'new', 'w')",
    "os.close(os.open(outside / 'new', os.O_CREAT | os.O_WRONLY))",
    "(outside / 'kept').unlink()",
    "shutil.rmtree(outside)",
    "os.remove('kept', dir_fd=os.open(outside, os.O_RDONLY))",
    "(outside / 'kept').rename(scratch / 'kept')",
    "(scratch / 'own').rename(outside / 'own')",
    "(scratch / 'out' / 'kept').write_text('through a link')",
    "(outside / 'folder').mkdir()",
    "(outside / 'kept').chmod(0o777)",
    "os.symlink('x', outside / 'link')",
    "sqlite3.connect(outside / 'db').execute('create table x (y)')",
    "subprocess.run(['touch', str(outside / 'new')])",
    "os.system('touch ' + str(outside / 'new'))",
    "os.kill(os.getpid(), 9)",
    "socket.create_connection(('127.0.0.1', 9))",
]

ALLOWED = [
    "(scratch / 'new').write_text('x')",
    "(scratch / 'a' / 'b').mkdir(parents=True)",
    "shutil.rmtree(scratch / 'folder')",
    "os.symlink(outside / 'kept', scratch / 'link')",
    "(outside / 'kept').read_text()",
    "open(os.devnull, 'w').close()",
    "Path('relative').write_text('x')",
]


def run(tmp_path: Path, action: str) -> str:
    outside, scratch = tmp_path / "outside", tmp_path / "scratch"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (scratch / "folder" / "deep").mkdir(parents=True)
    (scratch / "own").write_text("own")
    (scratch / "out").symlink_to(outside)
    program = FRAME.format(program=str(PROGRAM), scratch=str(scratch), outside=str(outside), action=action)
    argv = [str(environment("6.0.1").python), "-I", "-c", program]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize("action", REFUSED)
def test_a_change_outside_is_refused_and_does_not_happen(tmp_path: Path, action: str) -> None:
    assert "refused a rehearsal does not do this" in run(tmp_path, action)
    assert {path.name: path.read_text() for path in (tmp_path / "outside").iterdir()} == {"kept": "kept"}
    assert oct((tmp_path / "outside" / "kept").stat().st_mode)[-3:] == "644"


@pytest.mark.parametrize("action", ALLOWED)
def test_what_stays_in_the_scratch_folder_is_done(tmp_path: Path, action: str) -> None:
    assert run(tmp_path, action) == "done\n"
