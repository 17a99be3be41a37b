"""Which functions of a file are commands, and what is said about a file that cannot be used."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from hostout.commands import loading
from hostout.commands.loading import Loaded
from hostout.errors import ConfigurationError


def load(tmp_path: Path, text: str) -> Loaded:
    return loading.fabfile(str(written(tmp_path, text)))


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "fabfile.py"
    file.write_text(dedent(text))
    return file


def problem(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    assert len(caught.value.problems) == 1
    return caught.value.problems[0].replace(str(tmp_path), "…")


def test_public_functions_are_the_commands_in_their_order(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        '''
        from os.path import join
        from functools import partial

        class Helper:
            pass

        def second(a, b=1):
            """Does the second thing

            and more
            """

        def first():
            pass

        def _hidden():
            pass

        bound = partial(first)
        ''',
    )
    assert [(command.name, command.doc) for command in loaded.commands] == [
        ("second", "Does the second thing"),
        ("first", ""),
    ]
    assert {command.source for command in loaded.commands} == {str(tmp_path / "fabfile.py")}


def test_classic_names_are_there_without_an_import_and_are_no_commands(tmp_path: Path) -> None:
    names = "run, sudo, put, download, get, cd, local, prompt, abort"
    loaded = load(tmp_path, f"names = [{names}]\ndef only(): pass\n")
    assert [command.name for command in loaded.commands] == ["only"]


def test_a_fabfile_finds_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_a_fabfile.py").write_text("WORD = 'hello'\ndef helper(): pass\n")
    loaded = load(tmp_path, "from neighbour_of_a_fabfile import WORD, helper\ndef say(): return WORD\n")
    assert [command.name for command in loaded.commands] == ["say"]
    assert loaded.commands[0].function() == "hello"


def test_a_fabfile_never_gets_what_lies_beside_another_one(tmp_path: Path) -> None:
    """The settings of one host would be those of another."""
    for host in ("one", "two", "same"):
        (tmp_path / host).mkdir()
        (tmp_path / host / "settings_of_a_host.py").write_text(f"PLACE = '{'one' if host == 'same' else host}'\n")
    imports = "def place():\n    from settings_of_a_host import PLACE\n    return PLACE\n"
    for host in ("one", "same"):
        assert load(tmp_path / host, imports).commands[0].function() == "one"
    assert problem(tmp_path / "two", imports) == (
        f"…/fabfile.py: imports …/settings_of_a_host.py, but another fabfile has {tmp_path}/one/settings_of_a_host.py: "
        "give one of them another name"
    )


def test_tasks_of_fabric_stand_beside_classic_functions(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        '''
        from fabric import task
        import invoke

        @task
        def restart_all(c, what, how="slow"):
            """Restart it all"""

        @task(name="look-up", aliases=["find"])
        def look(c, *words):
            pass

        @invoke.task
        def plain(c):
            pass

        @task
        def _hidden(c):
            pass

        def classic(word):
            pass
        ''',
    )
    assert [(command.names, command.task, command.takes()) for command in loaded.commands] == [
        (("restart_all",), True, "what [how]"),
        (("look-up", "find", "look"), True, "[words...]"),
        (("plain",), True, "no arguments"),
        (("classic",), False, "word"),
    ]
    assert loaded.commands[0].doc == "Restart it all"


def test_where_no_fabfile_imports_fabric_nobody_does(tmp_path: Path) -> None:
    imported = {name for name in sys.modules if name.partition(".")[0] in ("fabric", "invoke", "paramiko")}
    load(tmp_path, "def only(): pass\n")
    assert {n for n in sys.modules if n.partition(".")[0] in ("fabric", "invoke", "paramiko")} == imported


BROKEN = {
    "syntax": ("x = 1\ndef broken(:\n    pass\n", "…/fabfile.py, line 2: SyntaxError: invalid syntax"),
    "import": (
        "\nimport nothing_of_that_name\n",
        "…/fabfile.py, line 2: ModuleNotFoundError: No module named 'nothing_of_that_name'",
    ),
    "error": ("def f():\n    return 1 / 0\n\nf()\n", "…/fabfile.py, line 2: ZeroDivisionError: division by zero"),
    "file": (
        "\nTOKEN = open('/nothing/of/that/name').read()\n",
        "…/fabfile.py, line 2: FileNotFoundError: [Errno 2] No such file or directory: '/nothing/of/that/name'",
    ),
    "exit": ("import sys\nsys.exit('no')\n", "…/fabfile.py, line 2: SystemExit: no"),
    "null": ("x = '\0'\n", None),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_fabfile_is_one_line_with_file_and_line(tmp_path: Path, kind: str) -> None:
    text, expected = BROKEN[kind]
    found = problem(tmp_path, text)
    assert "\n" not in found
    assert found.startswith("…/fabfile.py")
    assert expected is None or found == expected


def test_an_error_in_a_neighbour_names_the_line_that_imports_it(tmp_path: Path) -> None:
    (tmp_path / "broken_neighbour.py").write_text("def (:\n")
    assert problem(tmp_path, "import sys\nimport broken_neighbour\n").startswith("…/fabfile.py, line 2: SyntaxError")


@pytest.mark.parametrize(
    "line",
    [
        "from fabric.api import run, env",
        "import fabric.api",
        "from fabric import api",
        "from fabric.contrib.files import exists",
        "from fabric.context_managers import cd",
        "from fabric.operations import sudo",
    ],
)
def test_fabric_1_gets_a_line_that_names_what_to_write_instead(tmp_path: Path, line: str) -> None:
    found = problem(tmp_path, f"{line}\n")
    assert found.startswith("…/fabfile.py, line 1: ")
    assert "is Fabric 1: delete this import, run, sudo, put, download, get, cd," in found
    assert "from fabric import task" in found


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.py: No such file or directory"):
        loading.fabfile(str(tmp_path / "no.py"))


def test_a_plugin_that_cannot_be_imported_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugin_that_breaks.py").write_text("import nothing_of_that_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        loading.plugin("plugin_that_breaks")
    assert caught.value.message.endswith(
        "plugin_that_breaks.py, line 1: ModuleNotFoundError: No module named 'nothing_of_that_name'"
    )


def test_hooks_are_no_commands(tmp_path: Path) -> None:
    loaded = load(tmp_path, "from hostout import hook\n@hook('stop')\ndef stop(): return []\ndef go(): pass\n")
    assert [command.name for command in loaded.commands] == ["go"]
    assert [(one.kind, one.source) for one in loaded.hooks] == [("stop", str(tmp_path / "fabfile.py"))]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("@hook('halt')\ndef go(): pass\n", "go is a hook 'halt', which does not exist: check, stop, start, health"),
        ("@hook('stop')\ndef stop(host): pass\n", "stop, the hook 'stop', must not take arguments"),
    ],
)
def test_a_hook_that_cannot_be_one_is_named_at_once(tmp_path: Path, text: str, why: str) -> None:
    assert problem(tmp_path, "from hostout import hook\n" + text) == f"…/fabfile.py: {why}"


FITS = [
    ("def f(): pass", [], None),
    ("def f(): pass", ["a"], "takes no arguments, not 1 argument"),
    ("def f(a, b='x'): pass", ["a"], None),
    ("def f(a, b='x'): pass", [], "takes a [b], not 0 arguments"),
    ("def f(a, b='x'): pass", ["1", "2", "3"], "takes a [b], not 3 arguments"),
    ("def f(a, *more): pass", ["1", "2", "3"], None),
    ("def f(*more): pass", [], None),
    ("def f(a, *, key): pass", ["1"], "takes a key=..., not 1 argument"),
]


@pytest.mark.parametrize(("text", "arguments", "why"), FITS)
def test_arguments_that_do_not_fit_name_command_file_and_what_it_takes(
    tmp_path: Path, text: str, arguments: list[str], why: str | None
) -> None:
    misfit = load(tmp_path, text).commands[0].misfit(arguments)
    assert misfit == (None if why is None else f"command 'f' from '{tmp_path}/fabfile.py' {why}")
