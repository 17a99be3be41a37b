"""A deployment that a git hook starts: git tells it where the repository of the hook is, which is nobody else's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import samples
from hostout.errors import PackagingError
from hostout.packaging import develop
from hostout.packaging.develop import Package
from samples import build_one, local_buildout, write

HOOK = """\
#!{python}
import os, sys
sys.path[:0] = {path!r}
from pathlib import Path
from hostout.packaging import scm
from test_git_hooks import build
released = build(Path({folder!r}))
print(released.built, *scm.describe(Path({other!r})), "GIT_DIR" in os.environ, file=open({said!r}, "w"))
"""


def build(directory: Path) -> develop.Released:
    """A package whose build tool asks git for its files."""
    return build_one(Package("example", "1.2", directory / "src" / "example"), local_buildout(directory))


def git(folder: Path, *words: str) -> str:
    own = ("-c", "user.name=me", "-c", "user.email=me@localhost", "-c", "commit.gpgsign=false")
    argv = ["git", "-C", str(folder), *own, *words]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout


def state(folder: Path) -> tuple[str, ...]:
    return tuple(git(folder, *words) for words in (["log", "--format=%s"], ["tag"], ["status", "--short"]))


def test_a_deployment_out_of_a_git_hook_leaves_the_repository_as_it_is(tmp_path: Path) -> None:
    main, linked, other = (tmp_path / name for name in ("main", "linked", "other"))
    for folder in (main, other):
        folder.mkdir()
        git(folder, "init", "-q")
    write(main / "src" / "example", samples.SCM)
    git(main, "add", "-A")
    git(main, "commit", "-q", "-m", "one")
    # in a linked working copy git says the whole path
    git(main, "worktree", "add", "-q", "-b", "branch", str(linked))
    hook, said = main / ".git/hooks/post-commit", tmp_path / "said"
    paths = [str(Path(__file__).parent), *sys.path]
    hook.write_text(
        HOOK.format(python=sys.executable, path=paths, folder=str(linked), other=str(other), said=str(said))
    )
    hook.chmod(0o755)
    (linked / "notes.txt").write_text("x")
    git(linked, "add", "notes.txt")
    git(linked, "commit", "-q", "-m", "two")
    # the other one has no commit
    assert said.read_text() == "True True\n"
    assert state(linked) == ("two\none\n", "", "?? parts/\n")


def test_a_git_that_does_not_end_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = write(tmp_path / "bin", {"git": "#!/bin/sh\nexec sleep 60\n"}) / "git"
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setattr(develop, "GIT_TIMEOUT", 0.5)
    write(tmp_path / "src" / "example", samples.SCM)
    with pytest.raises(PackagingError, match=r"^develop package example \(.*\): git has not finished after .*$"):
        build(tmp_path)
