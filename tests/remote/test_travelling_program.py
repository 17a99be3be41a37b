"""The agent as it travels: small, and the same program.

What does not belong here: starting it (``test_agent_client.py``).
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hostout.remote import shipping
from hostout.remote.agent import PACKAGE
from hostout.remote.sudo import as_user, beside

SOURCES = sorted(PACKAGE.rglob("*.py"))


class _Undocumented(ast.NodeTransformer):
    """Takes the docstrings out of a program, or what stands in their place, and where things end."""

    def visit(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        for end in {"end_lineno", "end_col_offset"} & set(node._attributes):
            setattr(node, end, None)
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [each for each in body if not _is_text(each)]  # type: ignore[attr-defined]
        return node


def _is_text(statement: ast.AST) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def meaning(source: str) -> str:
    return ast.dump(_Undocumented().visit(ast.parse(source)), include_attributes=True)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_what_travels_is_the_program_that_was_tested_down_to_its_line_numbers(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    travelling = shipping.bare(source)
    assert meaning(travelling) == meaning(source)
    assert "#" not in "".join(line.lstrip()[:1] for line in travelling.splitlines())
    assert not any(line.lstrip().startswith('"""') for line in travelling.splitlines())


def test_the_agent_fits_into_the_command_that_starts_it() -> None:
    program = shipping.program(PACKAGE, {"files": ["0" * 64] * 200})
    assert program.later == b""


@pytest.mark.parametrize("through_sudo", [True, False])
def test_a_login_shell_that_takes_no_newline_between_quotes_starts_it(through_sudo: bool) -> None:
    """csh is one."""
    program = shipping.program(PACKAGE, {"files": ["a\nb"]}, through_sudo=through_sudo)
    argv = beside(program.beside, as_user("root", "token", program.argv))
    assert "\n" not in "".join(argv)


def test_what_travels_needs_no_file_and_says_where_it_failed(tmp_path: Path) -> None:
    """Its modules import each other, and a traceback names them and their lines."""
    shutil.copy(PACKAGE / shipping.FIRST, tmp_path)
    (tmp_path / "__init__.py").write_text('"""A package."""\n')
    (tmp_path / "serve.py").write_text("from . import other\ndef main(question):\n    other.fail(question)\n")
    (tmp_path / "other.py").write_text(
        "import pkgutil\n\n\ndef fail(question):\n"
        "    own = pkgutil.get_data(__package__, 'other.py').decode()\n"
        "    raise ValueError(question, own.count('pkgutil'))\n"
    )
    program, question = tmp_path / "program", tmp_path / "question"
    program.write_text(shipping.carrying(tmp_path))
    question.write_text("asked")
    argv = [sys.executable, "-I", "-S", "-B", str(program), str(question)]
    ran = subprocess.run(argv, cwd="/", capture_output=True, text=True, timeout=60, check=False)
    assert ran.stderr.rstrip().endswith("ValueError: ('asked', 3)")
    assert 'File "hostout_agent/other.py", line 6, in fail' in ran.stderr


def test_names_are_utf_8_whatever_the_locale_of_the_host_is(tmp_path: Path) -> None:
    latin = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(tmp_path / "en_US.ISO-8859-1")]
    if shutil.which("localedef") is None or subprocess.run(latin, capture_output=True, check=False).returncode:
        pytest.skip("no other locale than this machine's can be made")
    argv = shipping.program(PACKAGE, {"part": "host1", "path": str(tmp_path / "srv-\u0142")}).argv
    env = {"PATH": os.environ["PATH"], "LOCPATH": str(tmp_path), "LC_ALL": "en_US.ISO-8859-1"}
    ran = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)
    assert json.loads(ran.stdout.split(b"\n")[1])["event"] == "ready"
