"""Eggs that hostout itself needs here, from buildout: its pins, develop eggs, index and caches hold.

What does not belong here: the eggs of the application (``workingset`` only looks on).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import zc.buildout.easy_install
from zc.buildout.easy_install import pkg_resources  # the one that buildout uses: version 6 brings its own


def for_script(buildout: Any, requirements: Iterable[str]) -> Any:
    """The working set of a script that needs ``requirements``, develop eggs first."""
    options = buildout["buildout"]
    found = _install(buildout, list(requirements))
    return zc.buildout.easy_install.sort_working_set(
        found, options["eggs-directory"], options["develop-eggs-directory"]
    )


def importable(buildout: Any, requirement: str) -> Any:
    """The distribution for ``requirement``, which can be imported from now on.

    Raises zc.buildout.UserError (``MissingDistribution`` where there is none), ValueError where it is no requirement.
    """
    wanted = pkg_resources.Requirement.parse(requirement)
    if here(requirement) is None:
        _install(buildout, [requirement], pkg_resources.working_set)
    return pkg_resources.get_distribution(wanted.project_name)


def here(requirement: str) -> Any:
    """The distribution for ``requirement`` that buildout can import already, or None."""
    return pkg_resources.working_set.find(pkg_resources.Requirement.parse(requirement))


def imported() -> list[Any]:
    """The eggs that buildout itself can import: recipes, extensions, and what they need."""
    return [found for found in pkg_resources.working_set if found.location and found.location.endswith(".egg")]


def write_script(buildout: Any, working_set: Any, name: str, module: str, arguments: str) -> None:
    """``bin/<name>`` which calls ``module.main``; buildout says so where it changed."""
    zc.buildout.easy_install.scripts(
        [(name, module, "main")],
        working_set,
        sys.executable,
        buildout["buildout"]["bin-directory"],
        arguments=arguments,
        relative_paths=relative_to(buildout),
    )


def relative_to(buildout: Any) -> str:
    """The folder that scripts find their paths from, empty where they have absolute ones."""
    options = buildout["buildout"]
    return str(options["directory"]) if options.get("relative-paths", "false") == "true" else ""


def _install(buildout: Any, requirements: list[str], working_set: Any = None) -> Any:
    options = buildout["buildout"]
    eggs, develop = options["eggs-directory"], options["develop-eggs-directory"]
    return zc.buildout.easy_install.install(
        requirements,
        # as in zc.recipe.egg: offline mode installs nothing and looks into the eggs folder instead
        None if buildout.offline else eggs,
        links=options.get("find-links", "").split(),
        index=options.get("index"),
        path=[develop, eggs] if buildout.offline else [develop],
        working_set=working_set,
        newest=buildout.newest,
        allow_hosts=buildout._allow_hosts,
    )
