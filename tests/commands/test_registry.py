"""Order and names of a host's commands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from hostout.commands.registry import Commands, Registry
from hostout.model import Plugin

Make = Callable[..., Commands]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes Commands of fabfile texts and, by name, plugin texts."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(*fabfiles: str, **plugins: str) -> Commands:
        paths = [tmp_path / f"fab{number}.py" for number, _ in enumerate(fabfiles)]
        for path, text in zip(paths, fabfiles, strict=True):
            path.write_text(dedent(text))
        for name, text in plugins.items():
            monkeypatch.delitem(sys.modules, name, raising=False)
            (tmp_path / f"{name}.py").write_text(dedent(text))
        return Registry().for_host("host1", map(str, paths), [Plugin(f"egg:{name}", (name,)) for name in plugins])

    return make


def files(commands: Commands, name: str) -> list[str]:
    return [Path(command.source).name for command in commands.chain(name)]


def test_fabfiles_come_first_then_plugins_in_order_then_the_built_in(commands: Make) -> None:
    made = commands("def run(*a): pass", "def run(*a): pass", zplugin="def run(*a): pass", aplugin="def run(*a): pass")
    assert files(made, "run") == ["fab0.py", "fab1.py", "zplugin.py", "aplugin.py", "fabfile.py"]


def test_every_host_has_the_built_in_commands_with_their_documentation(commands: Make) -> None:
    listing = commands().listing()
    assert {"run", "cmd", "sudo", "put", "get"} <= set(listing)
    assert all(listing.values())
    assert list(listing) == sorted(listing)


@pytest.mark.parametrize("name", ["run", "cmd", "sudo", "put", "get"])
def test_built_in_commands_that_need_an_argument_say_so(commands: Make, name: str) -> None:
    assert commands().required(name) == 1


def test_an_alias_is_the_same_command(commands: Make) -> None:
    made = commands("def cmd(*words): pass")
    assert files(made, "run") == files(made, "cmd") == ["fab0.py", "fabfile.py"]


def test_dashes_and_underscores_are_the_same(commands: Make) -> None:
    made = commands("def clear_cache(): pass", "from fabric import task\n@task(name='clear-cache')\ndef c(c): pass\n")
    assert files(made, "clear-cache") == files(made, "clear_cache") == ["fab0.py", "fab1.py"]
    assert [name for name in made.listing() if name.startswith("clear")] == ["clear_cache"]


def test_what_follows_a_function_that_replaces_it_is_not_asked_for_arguments(commands: Make) -> None:
    made = commands("from hostout import replaces\n@replaces\ndef run(): pass\n")
    assert made.required("run") == 0
    assert made.misfits("run", []) == []
    assert files(made, "run") == ["fab0.py", "fabfile.py"]


def test_replaces_works_above_and_below_task(commands: Make) -> None:
    for order in ("@replaces\n@task\n", "@task\n@replaces\n"):
        made = commands(f"from hostout import replaces\nfrom fabric import task\n{order}def run(c): pass\n")
        assert [command.marks.replaces for command in made.chain("run")] == [True, False]


def test_a_broken_file_is_a_problem_and_the_rest_is_listed(commands: Make) -> None:
    made = commands("def (:", "def good(): pass", broken_plugin="import nothing_of_that_name")
    assert "good" in made
    assert [line.partition(":")[0].rpartition("/")[2] for line in made.problems] == [
        "fab0.py, line 1",
        "broken_plugin.py, line 1",
    ]


def test_the_documentation_of_a_joined_command_is_the_first_there_is(commands: Make) -> None:
    assert commands("def run(*a): pass").doc("run") == commands().doc("run")
    assert commands("def run(*a):\n    'Mine'").doc("run") == "Mine"


def test_a_file_named_by_two_hosts_is_executed_once(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    file = tmp_path / "fab.py"
    file.write_text(f"with open({str(counter)!r}, 'a') as f: f.write('x')\n")
    registry = Registry()
    for host in ("host1", "host2"):
        registry.for_host(host, [str(file)], [])
    assert counter.read_text() == "x"


def test_no_check_of_a_plugin_keeps_anybody_from_going_back() -> None:
    commands = Registry().for_host("host1", (), ())
    assert [commands.deploys(name) for name in ("deploy", "rollback", "status", "clean")] == [True, False, False, False]
