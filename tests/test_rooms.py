"""Who may import whom: data flows one way through the rooms of ``src/hostout``.

The table is that of the design; a room that is not in it does not exist. Imports inside functions count as well, and
those for type checkers do.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "hostout"

VALUES = {"errors", "model"}

ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "model": {"errors"},
    "options": VALUES,
    "cfgfile": VALUES,
    "config": {*VALUES, "options", "cfgfile"},
    "lockfile": {*VALUES, "cfgfile"},
    "recipe": {*VALUES, "options", "cfgfile", "lockfile"},
    "gitvariables": set(),
    "packaging": {*VALUES, "cfgfile", "lockfile", "gitvariables"},
    "agent": set(),
    "remote": {*VALUES, "agent"},
    "deploy": {*VALUES, "remote"},
    "commands": VALUES,
    "fabfile": {*VALUES, "commands", "deploy", "packaging", "remote"},
    "plugins": {*VALUES, "", "commands", "gitvariables"},
    "output": VALUES,
    # at the end of bin/buildout
    "resolving": {*VALUES, "config", "packaging"},
    # bin/hostout
    "cmdline": VALUES,
    "terminal": VALUES,
    "session": {*VALUES, "cmdline", "commands", "config"},
    "assembly": {*VALUES, "commands", "deploy", "packaging"},
    "reach": {*VALUES, "commands", "remote", "deploy", "terminal", "assembly"},
    "script": {*VALUES, "cmdline", "config", "output", "session", "reach"},
    "cli": {"script"},
    # what plugins and fabfiles import: ``hostout`` itself
    "": {*VALUES, "commands"},
    # a host to test on
    "testing": set(),
}
"""By room which other rooms of ours it may import."""

CONNECTION = {"fabric", "invoke", "paramiko", "cryptography"}
BUILDOUT = {"zc", "pkg_resources", "setuptools"}
LIBRARIES: dict[str, set[str]] = {
    "lockfile": {"packaging"},
    "recipe": {*BUILDOUT, "packaging"},
    "packaging": {"build", "packaging", "pyproject_hooks"},
    "remote": CONNECTION,
    "testing": {"paramiko"},
}
"""By room which libraries, besides the standard one; none where it is not named."""

LIGHT = ("", "errors", "model", "options", "config", "commands", "output", "cmdline", "session", "script", "cli")
"""What a listing loads: none of it may import Fabric, not even through others."""


def room_of(file: Path) -> str:
    first = file.relative_to(SOURCE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


FILES = sorted(SOURCE.rglob("*.py"))


def imported(file: Path) -> Iterator[str]:
    """The modules that a file imports, in full; plugins of zc.buildout and libraries too, the standard library not."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _imported_from(node, file)


def _imported_from(node: ast.ImportFrom, file: Path) -> Iterator[str]:
    package = ["hostout", *file.relative_to(SOURCE).parts[:-1]]
    base = package[: len(package) - node.level + 1] if node.level else []
    module = ".".join([*base, *([node.module] if node.module else [])])
    yield from (f"{module}.{alias.name}" for alias in node.names)


def room(module: str) -> str | None:
    """The room of ours that a module is in; ``None`` where it is not ours."""
    top, _, rest = module.partition(".")
    if top not in ("hostout", "hostout_agent"):
        return None
    first = rest.partition(".")[0]
    return first if (SOURCE / first).is_dir() or (SOURCE / f"{first}.py").is_file() else ""


def used_rooms(file: Path) -> set[str]:
    """Other rooms that a file imports from."""
    return {found for module in imported(file) if (found := room(module)) is not None} - {room_of(file)}


def used_libraries(file: Path) -> set[str]:
    tops = {module.partition(".")[0] for module in imported(file)}
    return tops - sys.stdlib_module_names - {"hostout"}


each_file = pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(SOURCE)) for file in FILES])


@each_file
def test_a_room_imports_only_the_rooms_that_the_table_allows(file: Path) -> None:
    assert room_of(file) in ROOMS, "a room that the table does not have"
    assert used_rooms(file) <= ROOMS[room_of(file)]


@each_file
def test_a_room_imports_only_the_libraries_that_the_table_allows(file: Path) -> None:
    assert used_libraries(file) <= LIBRARIES.get(room_of(file), set())


def test_the_table_has_no_loops() -> None:
    def below(room: str, way: tuple[str, ...]) -> None:
        assert room not in way, f"a loop: {' -> '.join((*way, room))}"
        for other in ROOMS[room]:
            below(other, (*way, room))

    for room in ROOMS:
        below(room, ())


def test_a_listing_loads_no_fabric() -> None:
    modules = [f"hostout.{room}" if room else "hostout" for room in LIGHT]
    code = f"import sys, {', '.join(modules)}, hostout.fabfile, hostout.commands.environment; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {*CONNECTION, *BUILDOUT, "packaging", "build", "rich"}
