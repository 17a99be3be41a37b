"""Recipes named in ``extends``: buildout installs their eggs, they set defaults for a host and bring its commands.

What does not belong here: running commands; the plugins of our own (``hostout.plugins``), which are loaded like any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import zc.buildout
import zc.buildout.easy_install

from hostout import options
from hostout.model import Json, Origin, Plugin
from hostout.recipe import eggs
from hostout.recipe.settings import Setting, Settings, setting


@dataclass(frozen=True)
class PluginRecipe:
    """``plugin`` for the record; ``requirement`` for the script; ``declared`` what it says about its own options."""

    plugin: Plugin
    requirement: str
    factory: Any
    declared: Mapping[str, Mapping[str, Json]]


class HostOptions(MutableMapping[str, str]):
    """The options of one host as its plugins' recipes get them: their changes stay with this host.

    Old and new name of an option are one. ``asked`` collects the names that the recipe knows.
    """

    def __init__(self, name: str, values: Mapping[str, str]) -> None:
        self.name = name
        self.asked: set[str] = set()
        self._values = dict(values)

    def __getitem__(self, key: str) -> str:
        self.asked.add(options.canonical(key))
        return self._values[options.canonical(key)]

    def __setitem__(self, key: str, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"the value of {key} must be a string, is {value!r}")
        self.asked.add(options.canonical(key))
        self._values[options.canonical(key)] = value

    def __delitem__(self, key: str) -> None:
        del self._values[options.canonical(key)]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._values))

    def __len__(self) -> int:
        return len(self._values)

    def copy(self) -> dict[str, str]:
        return dict(self._values)


def load(buildout: Any, word: str) -> PluginRecipe:
    """Finds the recipe that ``word`` names; buildout installs its egg if need be: pins and develop eggs hold.

    Raises LookupError where there is no such egg or it has no such recipe, zc.buildout.UserError where either breaks.
    """
    requirement, _, entry = word.partition(":")
    entry = entry or "default"
    egg = _egg(buildout, requirement)
    if entry not in egg.get_entry_map("zc.buildout"):
        raise LookupError(f"{egg.project_name} has no recipe {entry!r}")
    try:
        factory = egg.load_entry_point("zc.buildout", entry)
    except Exception as error:
        raise zc.buildout.UserError(_line(error)) from error
    declared = {options.canonical(name): about for name, about in getattr(factory, "hostout_options", {}).items()}
    return PluginRecipe(Plugin(word, _modules(egg, entry)), requirement, factory, declared)


def defaults(buildout: Any, part: str, recipe: PluginRecipe, settings: Settings) -> tuple[dict[str, Setting], set[str]]:
    """The settings of a host after a plugin's recipe has seen them, and the options that this recipe knows.

    Raises zc.buildout.UserError where the recipe fails, whatever its exception.
    """
    given = HostOptions(part, {name: one.value for name, one in settings.items()})
    try:
        recipe.factory(buildout, part, given)
    except Exception as error:
        raise zc.buildout.UserError(_line(error)) from error
    place = Origin(recipe.plugin.word, 0, part)
    changed = {name: setting(name, value, place) for name, value in given.copy().items()}
    same = {name: one for name, one in settings.items() if name in changed and changed[name].value == one.value}
    return {**changed, **same}, given.asked


def _egg(buildout: Any, requirement: str) -> Any:
    try:
        return eggs.importable(buildout, requirement)
    except (zc.buildout.easy_install.MissingDistribution, ValueError) as error:
        raise LookupError(_line(error)) from error


def _modules(distribution: Any, entry: str) -> tuple[str, ...]:
    """The ``fabric`` entry points: the one named as the recipe is, else all of the egg."""
    found = distribution.get_entry_map("fabric")
    chosen = [found[entry]] if entry in found else [found[name] for name in sorted(found)]
    return tuple(point.module_name for point in chosen)


def _line(error: BaseException) -> str:
    """An error of whatever kind as one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, zc.buildout.UserError) else f"{type(error).__name__}: {text}"
