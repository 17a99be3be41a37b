"""What a section sets, with where it was set, and how sections that extend each other add up. Pure.

What does not belong here: reading sections from buildout, what the values mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from hostout import options
from hostout.model import Origin

Settings = Mapping[str, "Setting"]
"""Settings by the name that the option has today."""


@dataclass(frozen=True)
class Setting:
    """The value of an option. ``written`` is the name that the user used, which may be an old one.

    ``lines`` has, for an option that adds up over ``extends``, the origin of each of its lines.
    """

    value: str
    origin: Origin
    written: str
    lines: tuple[Origin, ...] = ()


def setting(name: str, value: str, origin: Origin) -> Setting:
    """The setting of option ``name`` (old names too); where lines add up, the value loses its blank ones."""
    if not _adds_up(options.canonical(name)):
        return Setting(value, origin, name)
    lines = [line.strip() for line in value.splitlines() if line.strip()]
    return Setting("\n".join(lines), origin, name, (origin,) * len(lines))


def by_name(settings: Iterable[Setting]) -> dict[str, Setting]:
    """Settings of one section; of an option by its old and its new name the new one holds, or the lines of both."""
    found: dict[str, Setting] = {}
    for one in sorted(settings, key=lambda s: (s.written in _NEW, s.written)):
        found = over({options.canonical(one.written): one}, found)
    return found


def over(own: Settings, base: Settings) -> dict[str, Setting]:
    """The settings of a section that extends ``base``: its own win, lines that add up stand behind its base's."""
    return {**base, **own, **_joined(base, own)}


def beside(first: Settings, second: Settings) -> dict[str, Setting]:
    """What a section that extends two others, in this order, has from them: the first wins, its lines come first.

    Lines that both have from one section which they extend count once.
    """
    new = {name: _without(one, first[name].lines) if name in first else one for name, one in second.items()}
    return {**second, **first, **_joined(first, new)}


def _without(one: Setting, known: Iterable[Origin]) -> Setting:
    """The lines of a setting that do not come from an option that is ``known``."""
    places = [place for place in known if place.part]
    kept = [pair for pair in zip(one.value.split("\n"), one.lines, strict=False) if pair[1] not in places]
    return replace(one, value="\n".join(line for line, _ in kept), lines=tuple(place for _, place in kept))


def _joined(first: Settings, second: Settings) -> dict[str, Setting]:
    both = [name for name in first if name in second and _adds_up(name)]
    return {name: _join(first[name], second[name]) for name in both}


def _join(first: Setting, second: Setting) -> Setting:
    value = "\n".join(filter(None, (first.value, second.value)))
    return replace(second, value=value, lines=first.lines + second.lines)


def _adds_up(name: str) -> bool:
    option = options.BY_NAME.get(name)
    return option is not None and option.multiline


_NEW = {option.name for option in options.OPTIONS}
