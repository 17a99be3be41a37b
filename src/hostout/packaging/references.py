"""What the files that travel take from sections that do not (``user = ${host1:effective-user}``).

The files are added up as zc.buildout does it. What does not belong here: which sections and files travel (``bundle``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hostout import cfgfile
from hostout.cfgfile import Option

Place = tuple[str, str]
"""Section and option."""

Written = Mapping[str, Sequence[tuple[Place, Option]]]
"""By the name of an option, all that is written for it and where, in the order in which it is applied."""

NEVER = ("recipe", "extends", "<")
"""Options that would make a part of a section again, or that are applied already."""


def referenced(
    before: Iterable[str], after: Iterable[str], removed: frozenset[str], secret: Iterable[Place]
) -> dict[str, dict[str, str]]:
    """The options of the sections ``removed`` that the texts ``after`` refer to, by section, as written.

    ``before`` are all texts in the order in which they are applied; what is written at a ``secret`` place is left out.
    """
    sections, hidden = _sections(before), frozenset(secret)
    found: dict[str, dict[str, str]] = {}
    todo = [ref for text in after for ref in cfgfile.references(text)]
    while todo:
        section, option = todo.pop()
        written = _inherited(sections, section).get(option, ()) if section in removed else ()
        if written and option not in found.get(section, {}) and _travels(option, written, hidden):
            value = _value([each for _, each in written])
            found.setdefault(section, {})[option] = value
            todo += [(other or section, name) for other, name in cfgfile.references(value)]
    return found


def _travels(option: str, written: Iterable[tuple[Place, Option]], secret: frozenset[Place]) -> bool:
    return "password" not in option and option not in NEVER and not any(place in secret for place, _ in written)


def _sections(texts: Iterable[str]) -> dict[str, dict[str, list[tuple[Place, Option]]]]:
    found: dict[str, dict[str, list[tuple[Place, Option]]]] = {}
    for section in (s for text in texts for s in cfgfile.parse(text)):
        for option in section.options:
            place = (section.name, option.name)
            found.setdefault(section.name, {}).setdefault(option.name, []).append((place, option))
    return found


def _inherited(sections: Mapping[str, Written], name: str, doing: tuple[str, ...] = ()) -> Written:
    """A section with the macros (``<=``) that it starts from; of those a later one wins."""
    own = sections.get(name, {})
    found: dict[str, Sequence[tuple[Place, Option]]] = {}
    for base in _value([each for _, each in own.get("<", ())]).split():
        if base not in (*doing, name):
            found.update(_inherited(sections, base, (*doing, name)))
    return {**found, **{option: [*found.get(option, ()), *written] for option, written in own.items()}}


def _value(options: Iterable[Option]) -> str:
    value = ""
    for option in options:
        lines = value.split("\n") if value else []
        if option.operator == "+=":
            value = "\n".join([*lines, option.value])
        elif option.operator == "-=":
            value = "\n".join(line for line in lines if line not in option.value.split("\n"))
        else:
            value = option.value
    return value
