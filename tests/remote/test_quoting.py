"""A line that passes two shells arrives as it was meant."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hostout.remote.quoting import call, double_quoted, in_folder, join, sh

NASTY = ["a b", "$HOME", "`id`", "'", '"', "\\", "\\\\$x", "*", "new\nline", "!", "#", "ü", "", "; rm x", "a\\"]


def by_login_shell(line: str, shell: str = "/bin/sh") -> str:
    done = subprocess.run([shell, "-c", line], capture_output=True, text=True, timeout=10, env={"HOME": "/home/me"})
    assert not done.stderr
    return done.stdout


def test_the_line_of_the_documentation() -> None:
    assert sh(in_folder("/usr/local/plone/host1", "pwd")) == 'sh -c "cd /usr/local/plone/host1 && pwd"'


@pytest.mark.parametrize("text", NASTY)
def test_any_text_arrives_as_typed(text: str) -> None:
    assert by_login_shell(f"printf %s {double_quoted(text)}") == text
    assert by_login_shell(sh(join(("printf", "%s", text)))) == text
    assert by_login_shell(call('printf %s "$1"', text)) == text


@pytest.mark.parametrize("line", ["echo $HOME", "echo `id`", "x=it; echo \"$x\""])
def test_no_backslash_stands_before_what_csh_and_fish_expand_all_the_same(line: str) -> None:
    assert "\\" not in sh(line)


def test_exactly_one_expansion_happens() -> None:
    assert by_login_shell(sh("x='$HOME'; echo $HOME \"$x\" \\$HOME '`echo no`'")) == "/home/me $HOME $HOME `echo no`\n"


def test_nothing_runs_in_another_folder(tmp_path: Path) -> None:
    line = sh(in_folder(str(tmp_path / "missing"), "echo one; echo two"))
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, timeout=10)
    assert (done.stdout, done.returncode) != ("two\n", 0)
    assert not done.stdout
    assert done.returncode


@pytest.mark.parametrize("line", ["a && b", "echo 2>&1"])
def test_a_plain_line_is_shown_plainly(line: str) -> None:
    assert in_folder("/p", line) in (f"cd /p && {line}", f"cd /p || exit; {line}")


def test_a_path_with_blanks_is_entered(tmp_path: Path) -> None:
    folder = tmp_path / "my $folder's"
    folder.mkdir()
    assert by_login_shell(sh(in_folder(str(folder), "pwd"))) == f"{folder}\n"
