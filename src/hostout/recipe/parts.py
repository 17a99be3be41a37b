"""Host parts and what they extend: the sections as written, and a host with everything added up.

What does not belong here: writing records, the working set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import zc.buildout
import zc.buildout.buildout
from packaging.utils import canonicalize_name
from zc.buildout.easy_install import pkg_resources  # the one that buildout uses: version 6 brings its own

from hostout import options
from hostout.model import Json, Origin, Plugin
from hostout.recipe import eggs, origins, plugins
from hostout.recipe.plugins import PluginRecipe
from hostout.recipe.settings import Setting, Settings, beside, by_name, over, setting


@dataclass(frozen=True)
class HostPart:
    """A host, added up.

    ``place`` is where its recipe is named, ``sections`` are it and those it extends, ``secrets`` the names of its
    secret options.
    """

    name: str
    place: Origin
    settings: Settings
    plugins: tuple[PluginRecipe, ...]
    sections: tuple[str, ...]
    plugin_options: Mapping[str, Mapping[str, Json]]
    secrets: frozenset[str]


@dataclass(frozen=True)
class _Extended:
    """A section with what it extends, before plugins had their say: ``words`` name their recipes."""

    settings: Settings
    sections: tuple[str, ...] = ()
    words: Mapping[str, Origin] = field(default_factory=dict)


class Sections:
    """The sections of a buildout as its user wrote them, secrets included, each read once."""

    def __init__(self, buildout: Any) -> None:
        self.buildout = buildout
        self._read: dict[str, dict[str, Setting]] = {}

    def settings(self, name: str) -> Settings:
        """What a section sets; reading it is what counts as using its options for buildout."""
        if name not in self._read:
            section = self.buildout[name]
            # asking for it may have instantiated our recipe, which has read it and taken the secrets out already
            if name not in self._read:
                self._read[name] = self._settings(name, section)
        return self._read[name]

    def has(self, name: str) -> bool:
        """Whether there is such a section (``in buildout`` would instantiate it)."""
        return name != "buildout" and name in self.buildout._raw

    def hosts(self) -> tuple[str, ...]:
        """The hostout parts that ``[buildout] parts`` lists, in its order."""
        return tuple(name for name in self.buildout["buildout"]["parts"].split() if self.is_hostout(name))

    def all_hostout(self) -> tuple[str, ...]:
        """Every section with our recipe."""
        return tuple(name for name in self.buildout if self.is_hostout(name))

    def is_hostout(self, name: str) -> bool:
        """Whether the recipe of a section is ours, without instantiating it."""
        if not self.has(name):
            return False
        raw = zc.buildout.buildout.Options(self.buildout, name, self.buildout._raw[name])
        if "<" in raw._raw:
            raw._raw = raw._do_extend_raw(name, raw._raw, [])
        recipe, _, entry = (raw.get("recipe") or "").partition(":")
        return entry in ("", "default") and _project(recipe) == "collective-hostout"

    def fail(self, name: str, option: str, problem: str, place: Origin | None = None) -> NoReturn:
        """Ends buildout with one line that names part, option, file and line."""
        place = place or origins.origin(self.buildout, name, option)
        shown = origins.shown(place, self.buildout["buildout"]["directory"])
        raise zc.buildout.UserError(f"[{name}] {option}: {problem} ({shown})")

    def _settings(self, name: str, section: Any) -> dict[str, Setting]:
        names = [key for key in section if key not in options.RESERVED and not key.startswith("_")]
        return by_name(setting(key, section[key], origins.origin(self.buildout, name, key)) for key in names)


def host_part(sections: Sections, name: str, loaded: dict[str, PluginRecipe]) -> HostPart:
    """A host with all that it extends. ``loaded`` keeps the recipes of plugins from one host to the next.

    Raises zc.buildout.UserError: an unknown word, a circle, a plugin that cannot be had or fails.
    """
    extended = _extended(sections, name, ())
    chosen = tuple(_plugin(sections, name, word, place, loaded) for word, place in extended.words.items())
    settings, asked = dict(extended.settings), dict[str, Mapping[str, Json]]()
    for plugin in chosen:
        settings, known = _with_defaults(sections, name, plugin, settings, extended.words[plugin.plugin.word])
        asked.update({key: {} for key in known if key not in options.BY_NAME})
    declared = {**asked, **{key: about for plugin in chosen for key, about in plugin.declared.items()}}
    secrets = {key for key, about in declared.items() if about.get("secret")}
    secrets.update(option.name for option in options.OPTIONS if option.secret)
    place = origins.origin(sections.buildout, name, "recipe")
    return HostPart(name, place, settings, chosen, extended.sections, declared, frozenset(secrets))


def record(host: HostPart, secrets: Sequence[str]) -> dict[str, Json]:
    """The record of a host, without the values of its ``secrets``."""
    return {
        "format": 1,
        "part": host.name,
        "place": {"file": host.place.file, "line": host.place.line},
        "options": {name: _recorded(one) for name, one in host.settings.items() if name not in secrets},
        "secrets": sorted(secrets),
        "plugins": [_plugin_record(plugin.plugin) for plugin in host.plugins],
        "plugin_options": {
            name: {"help": str(about.get("help", "")), "secret": bool(about.get("secret"))}
            for name, about in host.plugin_options.items()
        },
        "problems": [],
    }


def _plugin_record(plugin: Plugin) -> dict[str, Json]:
    return {"word": plugin.word, "modules": list(plugin.modules)}


def _recorded(one: Setting) -> dict[str, Json]:
    place = {"file": one.origin.file, "line": one.origin.line, "part": one.origin.part}
    lines = [[line.file, line.line, line.part] for line in one.lines]
    more = {"lines": lines} if len(set(one.lines)) > 1 else {}
    return {"value": one.value, "written": one.written, **place, **more}


def _extended(sections: Sections, name: str, chain: tuple[str, ...]) -> _Extended:
    """``chain`` are the sections that led here, the host first."""
    if name in chain:
        circle = " -> ".join([*chain[chain.index(name) :], name])
        sections.fail(chain[-1], "extends", f"goes in a circle: {circle}")
    own = dict(sections.settings(name))
    found = _Extended({}, (name,))
    extends = own.pop("extends", None)
    for word in extends.value.split() if extends else ():
        found = _and(found, _of_word(sections, word, (*chain, name), own, extends))
    kept = {"extends": extends} if extends and not chain else {}
    return _Extended({**over(own, found.settings), **kept}, found.sections, found.words)


def _of_word(
    sections: Sections, word: str, chain: tuple[str, ...], own: Settings, extends: Setting | None
) -> _Extended:
    if sections.has(word):
        return _extended(sections, word, chain)
    place = extends.origin if extends else Origin()
    meant = options.nearest(word, [name for name in sections.all_hostout() if name != chain[-1]])
    # asked before anything is fetched: a slip of the pen should not install an egg of that name
    if meant and not _is_here(word):
        sections.fail(chain[-1], "extends", f"there is no part {word!r}, did you mean {meant!r}?", place)
    return _Extended({}, (), {word: place})


def _and(first: _Extended, second: _Extended) -> _Extended:
    sections = tuple(dict.fromkeys(first.sections + second.sections))
    return _Extended(beside(first.settings, second.settings), sections, {**first.words, **second.words})


def _plugin(sections: Sections, host: str, word: str, place: Origin, loaded: dict[str, PluginRecipe]) -> PluginRecipe:
    try:
        if word not in loaded:
            loaded[word] = plugins.load(sections.buildout, word)
    except LookupError as error:
        near = options.nearest(word, sections.all_hostout())
        hint = f", did you mean {near!r}?" if near else ""
        sections.fail(place.part or host, "extends", f"{word!r} is no part and no recipe: {error.args[0]}{hint}", place)
    except zc.buildout.UserError as error:
        sections.fail(place.part or host, "extends", f"the recipe {word!r} cannot be loaded: {error}", place)
    return loaded[word]


def _with_defaults(
    sections: Sections, host: str, plugin: PluginRecipe, settings: Settings, place: Origin
) -> tuple[dict[str, Setting], set[str]]:
    try:
        return plugins.defaults(sections.buildout, host, plugin, settings)
    except zc.buildout.UserError as error:
        sections.fail(host, "extends", f"the recipe {plugin.plugin.word!r} failed: {error}", place)


def _project(requirement: str) -> str:
    try:
        return str(canonicalize_name(pkg_resources.Requirement.parse(requirement).project_name))
    except ValueError:
        return ""


def _is_here(word: str) -> bool:
    return bool(_project(word.partition(":")[0])) and eggs.here(word.partition(":")[0]) is not None
