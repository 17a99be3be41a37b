"""Puts a tool in place: a working copy with what the tool wants in it, a machine that is ready, the line between.

What does not belong here: the tool's deployments (``tools.py``), what a machine has to have (``ready.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from hosts import BUILDOUT, Fleet, Machine, environment, fleet
from peers import ready, tools
from peers.line import Line, line
from peers.project import Copy, build, hostout_part
from peers.tools import Tool

DOWNLOADED = ("waitress==3.0.2", "zc.recipe.egg==6.0.0")


@contextmanager
def ground(names: Sequence[str]) -> Iterator[list[Tool]]:
    """The tools of these names, before their first deployment."""
    with ExitStack() as stack:
        there = stack.enter_context(fleet(len(names)))
        lines = [stack.enter_context(line(each.address, each.port)) for each in there.machines]
        pairs = zip(there.machines, lines, strict=True)
        yield [placed(name, there, *pair) for name, pair in zip(names, pairs, strict=True)]


def placed(name: str, there: Fleet, machine: Machine, way: Line) -> Tool:
    """One tool; ``hostout`` or a peer."""
    ready.machine(machine)
    return (hostout if name == tools.HOSTOUT else peer)(name, there, machine, way)


def hostout(name: str, there: Fleet, machine: Machine, way: Line) -> Tool:
    """Its working copy is a buildout that was built."""
    project = there.project(name)
    copy = Copy(project.folder, pinned(), peer=False)
    copy.make(ready.wheels(tools.peer_environment(), DOWNLOADED).iterdir())
    tools.ssh_config(copy, way, machine)
    hostout_part(project, way.port, machine.key)
    build(project)
    return Tool(name, copy, machine, way, project.variables(), project)


def peer(name: str, there: Fleet, machine: Machine, way: Line) -> Tool:
    """Its working copy has a playbook or script beside the application."""
    python, folder = tools.peer_environment(), there.folder / name
    requirements = tuple(ready.installed(environment(BUILDOUT).python))
    ready.peer_machine(machine, ready.wheels(python, requirements), requirements)
    copy = Copy(folder / "work", pinned(), peer=True)
    copy.make(ready.wheels(python, DOWNLOADED).iterdir())
    tools.scripts(name, copy, tools.ssh_config(copy, way, machine), folder / "control")
    return Tool(name, copy, machine, way, tools.variables(python, folder / "home"))


def pinned() -> dict[str, str]:
    """Besides those of the application."""
    return dict(requirement.split("==") for requirement in DOWNLOADED)
