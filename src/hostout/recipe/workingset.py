"""The working set of the whole buildout: looking on while buildout installs, part by part.

No single moment knows it: parts come in any order, a recipe whose ``update()`` does nothing is not seen in a second
run, recipes and extensions are resolved elsewhere. So each part's distributions are noted as they are resolved, and
added to what the record before has for parts that showed none. What does not belong here: hostout's own needs.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import zc.buildout.buildout
import zc.buildout.easy_install
from packaging.utils import canonicalize_name
from zc.buildout.easy_install import pkg_resources  # the one that buildout uses: version 6 brings its own

from hostout.model import Json, Member
from hostout.recipe.wrapping import Wrapping

ENVIRONMENT = ("zc-buildout", "setuptools", "packaging", "wheel", "pip", "platformdirs")
"""What zc.buildout needs around it to run, normalised."""

_OUTSIDE = "buildout"
"""The key of what no part asked for: extensions."""


@dataclass(frozen=True)
class PartNeeds:
    """What one part brought into the working set, as normalised names: for its ``recipe``, and its ``eggs``."""

    recipe: str
    for_recipe: tuple[str, ...] = ()
    eggs: tuple[str, ...] = ()


@dataclass(frozen=True)
class WorkingSet:
    """All members by normalised name, and which part needs which."""

    members: Mapping[str, Member]
    needs: Mapping[str, PartNeeds]

    def wanted(self) -> tuple[Member, ...]:
        """The members that some part needs, sorted by name."""
        names = {name for need in self.needs.values() for name in (*need.for_recipe, *need.eggs)}
        return tuple(self.members[name] for name in sorted(names) if name in self.members)

    def record(self) -> dict[str, Json]:
        """For ``before`` of the next run."""
        return {part: asdict(need) for part, need in self.needs.items()}


def recorded(data: Mapping[str, Json]) -> WorkingSet:
    """The working set in a record of the run before (an empty mapping where there was none)."""
    members = [Member(**member) for member in data.get("working_set", [])]
    needs = {
        part: PartNeeds(need["recipe"], tuple(need["for_recipe"]), tuple(need["eggs"]))
        for part, need in data.get("needs", {}).items()
    }
    return WorkingSet({str(canonicalize_name(member.name)): member for member in members}, needs)


@dataclass
class Observer:
    """Looks on from ``start`` to ``stop``; ``seen`` has the distributions that each part resolved, ``installed`` the
    parts that were made anew."""

    buildout: Any
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    installed: set[str] = field(default_factory=set)
    _active: list[str] = field(default_factory=list)
    _loading: int = 0
    _wrapping: Wrapping = field(default_factory=Wrapping)

    def start(self) -> None:
        """Wraps the places where buildout resolves requirements and runs recipes."""
        self._see_cached()
        self._wrapping.wrap(zc.buildout.easy_install.Installer, "install", self._installing)
        self._wrapping.wrap(zc.buildout.buildout, "_install_and_load", self._load_recipe)
        self._wrapping.wrap(zc.buildout.buildout.Options, "initialize", self._running)
        self._wrapping.wrap(zc.buildout.buildout.Options, "_call", self._running)

    def stop(self) -> None:
        """Puts everything back."""
        self._wrapping.undo()

    @contextlib.contextmanager
    def during(self, part: str) -> Iterator[None]:
        """What is resolved within is this part's."""
        self._active.append(part)
        try:
            yield
        finally:
            self._active.pop()

    def _installing(self, original: Any) -> Any:
        def install(installer: Any, specs: Any, working_set: Any = None) -> Any:
            found = original(installer, specs, working_set)
            if working_set is None:
                self._saw(_complete(specs, found))
            elif not self._loading:
                # it was handed in: buildout's own, with everything that its environment happens to have
                self._saw(_needed(specs, found))
            return found

        return install

    def _running(self, original: Any) -> Any:
        def run(options: Any, *args: Any) -> Any:
            if args == (getattr(getattr(options, "recipe", None), "install", None),):
                self.installed.add(options.name)
            with self.during(options.name):
                return original(options, *args)

        return run

    def _load_recipe(self, original: Any) -> Any:
        """Recipes are loaded in every run, whatever their part does then, and to uninstall parts that are no more."""

        def load(*args: Any) -> Any:
            self._loading += 1
            try:
                return original(*args)
            finally:
                self._loading -= 1

        return load

    def _saw(self, distributions: Iterable[Any]) -> None:
        seen = self.seen.setdefault(self._active[-1] if self._active else _OUTSIDE, {})
        seen.update({_key(found): found for found in distributions})

    def _see_cached(self) -> None:
        """Working sets that zc.recipe.egg resolved before we came and keeps: nobody resolves them again in this run."""
        cache = getattr(self.buildout, "_zc_recipe_egg_working_set_cache", {})
        for key, working_set in cache.items():
            self._saw(closure(key[0], _complete(key[0], working_set)))


def working_set(buildout: Any, observer: Observer, before: WorkingSet, leave_out: Iterable[str]) -> WorkingSet:
    """The whole at the end of a run: seen now, needed by recipes and extensions, and kept from ``before``.

    ``leave_out`` are the sections of hostout itself.
    """
    recipes = {part: recipe for part, recipe in _recipes(buildout).items() if part not in leave_out}
    found = {part: _for_recipe(buildout, part, recipe) for part, recipe in recipes.items()}
    seen = {part: observer.seen.get(part, {}) for part in recipes}
    # what the parts themselves run with comes last: where a recipe runs with another version, theirs is pinned
    latest = {name: dist for some in (*found.values(), *seen.values()) for name, dist in some.items()}
    members = {name: member(dist, buildout) for name, dist in latest.items()}
    # what was made anew and names no eggs needs none any more; another part may have resolved those that it names
    anew = {part for part in observer.installed if not buildout[part].get("eggs", "").strip()}
    kept = {part: replace(needs, eggs=()) if part in anew else needs for part, needs in before.needs.items()}
    before = WorkingSet(before.members, kept)
    needs = {part: _needs(buildout, part, recipe, found[part], seen[part], before) for part, recipe in recipes.items()}
    return WorkingSet({**before.members, **members}, needs)


def environment() -> tuple[Any, ...]:
    """The distributions of the environment that zc.buildout itself runs in."""
    found = closure(["zc.buildout"], pkg_resources.working_set)
    every = {_key(dist): dist for dist in pkg_resources.working_set}
    every.update({_key(dist): dist for dist in found})
    return tuple(
        every[name] for name in ENVIRONMENT if name in every and "_vendor" not in Path(every[name].location).parts
    )


def closure(requirements: Iterable[str], working_set: Any) -> tuple[Any, ...]:
    """The distributions of a working set that these requirements need, as far as it has them."""
    every = {_key(dist): dist for dist in working_set}
    found: dict[str, Any] = {}
    asked = set()
    queue = [pkg_resources.Requirement.parse(requirement) for requirement in requirements]
    while queue:
        wanted = queue.pop()
        dist = every.get(str(canonicalize_name(wanted.project_name)))
        if dist is None or str(wanted) in asked or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        asked.add(str(wanted))
        found[_key(dist)] = dist
        queue += dist.requires([extra for extra in wanted.extras if extra in dist.extras])
    return tuple(found.values())


def _complete(requirements: Iterable[str], working_set: Any) -> list[Any]:
    """A working set of buildout with what it takes without adding it.

    Where it has one develop package of ``develop-eggs`` (PEP 660), it finds others there that this one needs, and does
    not add them: ``Installer.install`` asks an Environment of the working set's own folders first.
    """
    there = [dist for entry in working_set.entries for dist in pkg_resources.find_distributions(entry, True)]
    every = {_key(dist): dist for dist in (*there, *working_set)}
    needed = closure([*requirements, *(str(dist.as_requirement()) for dist in working_set)], every.values())
    return list({_key(dist): dist for dist in (*working_set, *needed)}.values())


def member(dist: Any, buildout: Any) -> Member:
    """A distribution as the record has it, its name as its metadata spells it."""
    source = _source(dist, buildout["buildout"]["develop-eggs-directory"])
    return Member(_name(dist), dist.version, dist.location, bool(source), source)


def _needs(
    buildout: Any, part: str, recipe: str, found: Iterable[str], seen: Iterable[str], before: WorkingSet
) -> PartNeeds:
    kept = before.needs.get(part)
    if kept is None or kept.recipe != recipe:
        kept = PartNeeds(recipe)
    for_recipe = tuple(sorted(found)) if part in buildout._data else kept.for_recipe
    return PartNeeds(recipe, for_recipe, tuple(sorted(seen)) or kept.eggs)


def _for_recipe(buildout: Any, part: str, recipe: str) -> dict[str, Any]:
    """The distributions of a recipe that runs."""
    if part not in buildout._data:
        return {}
    return {_key(dist): dist for dist in _needed(recipe.split(), pkg_resources.working_set)}


def _needed(requirements: Iterable[str], working_set: Any) -> list[Any]:
    """The closure without what zc.buildout itself runs with: that serves recipes, and belongs to no part."""
    own = {_key(dist): dist.location for dist in environment()}
    return [dist for dist in closure(requirements, working_set) if own.get(_key(dist)) != dist.location]


def _recipes(buildout: Any) -> dict[str, str]:
    """The requirement of every part's recipe, and the extensions."""
    parts = [part for part in buildout["buildout"]["parts"].split() if part in buildout._raw]
    every = {part: _recipe(buildout, part) for part in dict.fromkeys([*parts, *buildout._data])}
    extensions = " ".join(buildout["buildout"].get("extensions", "").split())
    return {**{part: recipe for part, recipe in every.items() if recipe}, _OUTSIDE: extensions}


def _recipe(buildout: Any, section: str) -> str:
    known = buildout._data.get(section) or buildout._raw[section]
    return str(known.get("recipe") or "").partition(":")[0]


def _source(dist: Any, develop_eggs: str) -> str:
    """The project folder of a develop package: from its PEP 610 record, else from its egg link; empty for others."""
    if dist.has_metadata("direct_url.json"):
        direct = json.loads(dist.get_metadata("direct_url.json"))
        if direct.get("dir_info", {}).get("editable"):
            return unquote(urlsplit(direct["url"]).path)
    for link in Path(develop_eggs).glob("*.egg-link"):
        location, relative = (*link.read_text().split("\n"), "")[:2]
        if str(canonicalize_name(link.stem)) == _key(dist) and location.strip() == dist.location:
            return os.path.normpath(Path(location.strip()) / relative.strip())
    return ""


def _name(dist: Any) -> str:
    if dist.has_metadata(dist.PKG_INFO):
        for line in dist.get_metadata_lines(dist.PKG_INFO):
            if line.lower().startswith("name:"):
                return str(line.partition(":")[2].strip())
    return str(dist.project_name)


def _key(dist: Any) -> str:
    return str(canonicalize_name(dist.project_name))
