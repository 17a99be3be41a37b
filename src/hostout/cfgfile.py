"""Buildout configuration as text: sections, options, line numbers, and small edits that leave the rest as it stands.

The grammar is that of ``zc.buildout.configparser``. What does not belong here: reading files or URLs, following
``extends``, evaluating the condition of a section or a ``${section:option}``.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

_HEADER = re.compile(r"\[\s*(?P<name>[^\s#[\]:;{}]+)\s*(:(?P<condition>[^#;]*))?\s*]\s*([#;].*)?$").match
_OPTION = re.compile(r"(?P<name>[^\s{}[\]=:]+\s*[-+]?)=(?P<value>.*)$").match
_REFERENCE = re.compile(r"\$\{([-a-zA-Z0-9 ._]*):([-a-zA-Z0-9 ._]+)\}").findall

EXTENDS = ("extends", "optional-extends")
"""The options of ``[buildout]`` that name further files."""


@dataclass(frozen=True)
class Option:
    """``name`` without its operator (``=``, ``+=`` or ``-=``); the lines ``line`` to ``end``, counted from 1."""

    name: str
    operator: str
    value: str
    line: int
    end: int


@dataclass(frozen=True)
class Section:
    """One header and what stands below it, comments included: the lines ``line`` to ``end``, counted from 1.

    A section may stand in a file several times; ``condition`` is the text of ``[name:condition]``, or empty.
    """

    name: str
    condition: str
    line: int
    end: int
    options: tuple[Option, ...]


def parse(text: str) -> tuple[Section, ...]:
    """All sections in their order. Lines that are nothing in this grammar are passed over: buildout complains."""
    lines = _lines(text)
    starts = [number for number, line in enumerate(lines, 1) if _HEADER(line)]
    ends = [start - 1 for start in starts[1:]] + [len(lines)]
    return tuple(_section(lines, start, end) for start, end in zip(starts, ends, strict=False))


def option_line(text: str, section: str, option: str) -> int:
    """The line where ``option`` of ``section`` is set last (also with ``+=`` and ``-=``), 0 where it is not."""
    return max((o.line for o in _options(text, section) if o.name == option), default=0)


def extends_of(text: str, applies: Callable[[str], bool] = lambda condition: True) -> list[str]:
    """The words of ``extends`` of every ``[buildout]`` whose condition ``applies``, each once, in their order."""
    return _words(text, "extends", applies)


def optional_extends_of(text: str, applies: Callable[[str], bool] = lambda condition: True) -> list[str]:
    """The same for ``optional-extends``: files that may be missing."""
    return _words(text, "optional-extends", applies)


def references(value: str) -> list[tuple[str, str]]:
    """``(section, option)`` of every ``${section:option}`` in a value; the section is empty for ``${:option}``."""
    return [ref for part in value.split("$$") for ref in _REFERENCE(part)]


def rename_extends(text: str, names: Mapping[str, str | None]) -> str:
    """Each word of every ``extends`` and ``optional-extends`` replaced by what ``names`` has for it; ``None`` drops it.

    Conditions and the order of files stay what they were.
    """
    edits: dict[int, list[str]] = {}
    for option in _options(text, "buildout"):
        if option.name in EXTENDS:
            words = (names.get(word, word) for word in option.value.split())
            edits.update({n: [] for n in range(option.line, option.end + 1)})
            edits[option.line] = _option_text(option.name, (word for word in words if word), option.operator)
    return _edited(text, edits)


def without_sections(text: str, names: Iterable[str]) -> str:
    """The text without these sections, whatever their condition, up to the next header."""
    gone = set(names)
    return _edited(text, {n: [] for s in parse(text) if s.name in gone for n in range(s.line, s.end + 1)})


def without_values(text: str, places: Iterable[tuple[str, str]]) -> str:
    """The text with the value of each ``(section, option)`` emptied; the option stays, so that references work."""
    gone = set(places)
    edits: dict[int, list[str]] = {}
    for section in parse(text):
        for option in section.options:
            if (section.name, option.name) in gone:
                edits.update({n: [] for n in range(option.line, option.end + 1)})
                edits[option.line] = _option_text(option.name, (), option.operator)
    return _edited(text, edits)


def _lines(text: str) -> list[str]:
    # not splitlines(): only the newline ends a line for buildout, no form feed and no U+2028
    return list(io.StringIO(text))


def _options(text: str, section: str) -> Iterator[Option]:
    return (option for s in parse(text) if s.name == section for option in s.options)


def _words(text: str, name: str, applies: Callable[[str], bool]) -> list[str]:
    found = (
        option.value.split()
        for section in parse(text)
        if section.name == "buildout" and (not section.condition or applies(section.condition))
        for option in section.options
        if option.name == name
    )
    return list(dict.fromkeys(word for words in found for word in words))


def _section(lines: list[str], start: int, end: int) -> Section:
    header = _HEADER(lines[start - 1])
    assert header is not None
    body = list(enumerate(lines[start:end], start + 1))
    return Section(header["name"], (header["condition"] or "").strip(), start, end, tuple(_body(body)))


def _body(lines: list[tuple[int, str]]) -> Iterator[Option]:
    name, values, first, last = "", list[str](), 0, 0
    for number, line in lines:
        if line[0] in "#;":
            continue
        if line[0].isspace():
            values.append(line)
            last = number if line.strip() else last
            continue
        started = _OPTION("<part-dependencies> =" + line[2:] if line.startswith("=>") else line)
        if started is None:
            continue
        if name:
            yield _option(name, values, first, last)
        name, values, first, last = started["name"], [started["value"]], number, number
    if name:
        yield _option(name, values, first, last)


def _option(name: str, values: list[str], first: int, last: int) -> Option:
    name = name.rstrip()
    operator = f"{name[-1]}=" if name[-1] in "+-" else "="
    return Option(name.rstrip(" +-" if operator != "=" else " "), operator, _value(values), first, last)


def _value(values: list[str]) -> str:
    """What buildout makes of the lines: stripped; kept in shape below its indent where the first line is empty."""
    start, *rest = [value.strip() if number == 0 else value for number, value in enumerate(values)]
    if start:
        return "\n".join([start, *(line.strip() for line in rest if line.strip())])
    block = textwrap.dedent("".join(line.rstrip() + "\n" for line in rest))
    return block.strip("\n").rstrip()


def _option_text(name: str, words: Iterable[str], operator: str = "=") -> list[str]:
    listed = list(words)
    if not listed:
        return [f"{name} {operator}\n"] if name not in EXTENDS else []
    return [f"{name} {operator}\n", *(f"    {word}\n" for word in listed)]


def _edited(text: str, edits: Mapping[int, list[str]]) -> str:
    lines = _lines(text)
    return "".join(part for number, line in enumerate(lines, 1) for part in edits.get(number, [line]))
