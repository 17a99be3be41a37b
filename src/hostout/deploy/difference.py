"""What the next deployment would change against what is live: lines for people.

Pure: the live release's record and configuration as the agent gives them, the release and its contents as they would
be deployed. Of files only the configuration is shown line by line, because others may hold secrets. What does not
belong here: asking (``inspection``).
"""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hostout.deploy.plan import Contents
from hostout.model import BundleFile, Distribution, Json, Release

INDENT = "    "
EXTENDS = re.compile(r"^(?:optional-)?extends[ \t]*\+?=(.*(?:\n(?:[ \t#;].*)?)*)", re.MULTILINE)
"""The option of a configuration file that names others, with its further lines."""

FROM_ELSEWHERE = re.compile(r"^(hostout-extends/)[0-9a-f]{10}-")
"""A file from outside the buildout is named by its content as well: here it is one file that changed."""


@dataclass(frozen=True)
class Side:
    """One of the two: names → versions, names → what identifies a file, names → text of the configuration."""

    title: str
    distributions: Mapping[str, str]
    environment: Mapping[str, str]
    files: Mapping[str, Json]
    texts: Mapping[str, str]
    options: Mapping[str, str]


def live(recorded: Mapping[str, Json], config: str) -> Side:
    """What is live, of the agent's ``recorded``; all empty where nothing is."""
    record = recorded.get("record") or {}
    files = {_place(f["name"]): (f.get("sha256"), f.get("mode"), f.get("target")) for f in record.get("files", ())}
    texts = {_place(name): text for name, text in (recorded.get("files") or {}).items()}
    return Side(
        title=str(recorded.get("live") or "nothing"),
        distributions={d["name"]: d["version"] for d in record.get("dists", ()) if "version" in d},
        environment=dict(_named(d["filename"]) for d in record.get("environment_dists", ())),
        files=files,
        texts=_configuration(texts, record.get("config") or config),
        options=record.get("options") or {},
    )


def next_one(release: Release, contents: Contents) -> Side:
    """What would be deployed."""
    files = (*contents.files, contents.generated)
    texts = {_place(f.name): f.content.decode("utf-8", "replace") for f in files if f.name.endswith(".cfg")}
    return Side(
        title=release.id,
        distributions=_versions(contents.parts),
        environment=_versions(contents.environment),
        files={_place(f.name): _identity(f) for f in files},
        texts=_configuration(texts, release.config),
        options=release.options,
    )


def lines(before: Side, after: Side) -> list[str]:
    """Everything that differs, under headings; empty where nothing does. What is all new is named, not shown."""
    names = sorted({*before.texts, *after.texts}) if before.files else []
    texts = {name: _text(name, before, after) for name in names}
    shown = {name for name, found in texts.items() if found}
    return [
        *_headed("Distributions:", _values(before.distributions, after.distributions)),
        *_headed("Environment of zc.buildout:", _values(before.environment, after.environment)),
        *_headed("Options:", _options(before.options, after.options)),
        *_headed("Files:", _files(before.files, after.files, shown)),
        *_headed("Configuration:", (line for found in texts.values() for line in found)),
    ]


def _headed(heading: str, found: Iterable[str]) -> list[str]:
    rows = list(found)
    return [heading, *(INDENT + row for row in rows)] if rows else []


# distributions


def _versions(distributions: Iterable[Distribution]) -> dict[str, str]:
    return {d.name: d.version for d in distributions}


def _named(filename: str) -> tuple[str, str]:
    """Name and version of a wheel's file name, or of an sdist's."""
    name, _, rest = filename.removesuffix(".tar.gz").removesuffix(".zip").partition("-")
    return name, rest.partition("-")[0]


def _values(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """``waitress = 3.0.1 -> 3.0.2`` and the like, by name."""
    old, new = _normalised(before), _normalised(after)
    return [_value(old.get(name), new.get(name)) for name in sorted({*old, *new}) if _changed(old, new, name)]


def _normalised(versions: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The name as it is written and the version, by the name that counts."""
    return {re.sub(r"[-_.]+", "-", name).lower(): (name, version) for name, version in versions.items()}


def _changed(old: Mapping[str, tuple[str, str]], new: Mapping[str, tuple[str, str]], name: str) -> bool:
    return name not in old or name not in new or old[name][1] != new[name][1]


def _value(old: tuple[str, str] | None, new: tuple[str, str] | None) -> str:
    if new is None:
        return f"removed: {old[0]} = {old[1]}" if old else ""
    return f"{new[0]} = {old[1]} -> {new[1]}" if old else f"added: {new[0]} = {new[1]}"


# options


def _options(before: Mapping[str, str], after: Mapping[str, str]) -> Iterable[str]:
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield from _option(name, before.get(name), after.get(name))


def _option(name: str, old: str | None, new: str | None) -> list[str]:
    if "\n" not in (old or "") + (new or ""):
        return [_value(None if old is None else (name, old), None if new is None else (name, new))]
    compared = difflib.ndiff((old or "").strip().splitlines(), (new or "").strip().splitlines())
    return [f"{name}:", *(INDENT + line for line in compared if line[0] in "+-")]


# files


def _place(name: str) -> str:
    return FROM_ELSEWHERE.sub(r"\1", name)


def _identity(file: BundleFile) -> Json:
    return file.sha256, file.mode, file.target


def _files(before: Mapping[str, Json], after: Mapping[str, Json], shown: Iterable[str]) -> list[str]:
    """By name only, without those that are ``shown`` line by line elsewhere."""
    names = sorted({*before, *after} - set(shown))
    return [f"{_what(name, before, after)}: {name}" for name in names if before.get(name) != after.get(name)]


def _what(name: str, before: Mapping[str, Json], after: Mapping[str, Json]) -> str:
    if name not in before:
        return "added"
    return "changed" if name in after else "removed"


# configuration


def _configuration(texts: Mapping[str, str], first: str) -> dict[str, str]:
    """The files that ``first`` extends, near or far: a file that is only included is not among them."""
    found: dict[str, str] = {}
    waiting = [first]
    while waiting:
        name = waiting.pop()
        if name in texts and name not in found:
            found[name] = texts[name]
            waiting += [_beside(name, word) for word in _extended(texts[name])]
    return found


def _extended(text: str) -> list[str]:
    return [word for found in EXTENDS.findall(text) for line in found.splitlines() for word in _words(line)]


def _words(line: str) -> Sequence[str]:
    return () if line.lstrip().startswith(("#", ";")) else line.split()


def _beside(name: str, word: str) -> str:
    return _place(posixpath.normpath(posixpath.join(posixpath.dirname(name), word)))


def _text(name: str, before: Side, after: Side) -> list[str]:
    """What differs in one file of the configuration; nothing where one side has it, but not as text."""
    if any(name in side.files and name not in side.texts for side in (before, after)):
        return []
    old, new = before.texts.get(name, ""), after.texts.get(name, "")
    titles = f"{before.title}/{name}", f"{after.title}/{name}"
    return list(difflib.unified_diff(old.splitlines(), new.splitlines(), *titles, lineterm=""))
