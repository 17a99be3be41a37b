"""The generated configuration: extends the user's files and leaves zc.buildout nothing to choose or to fetch.

Pure text. Why each option is there was tried with zc.buildout 5 and 6: offline mode finds no egg that came from a
wheel, so it is ``install-from-cache`` with pins for everything; ``+=`` and ``-=`` compare whole lines, so lists are
written out. What does not belong here: which versions those are (``rehearsal``), where the text goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from packaging.utils import canonicalize_name

from hostout.model import Settings

HEAD = """\
# Written by hostout for {part}. It is made anew for every release: change the files below "extends" instead.
# By hand, in this folder: bin/buildout -U -N -c {name}
"""

FIXED = {
    "develop": "",
    "newest": "false",
    "offline": "false",
    "install-from-cache": "true",
    "allow-picked-versions": "false",
    "use-dependency-links": "false",
    "index": "",
    "find-links": "",
    "allow-hosts": "",
    "extends-cache": "",
    "update-versions-file": "",
    "eggs-directory-version": "v5",
    "abi-tag-eggs": "false",
}
"""Options of ``[buildout]`` that every host gets: nothing is looked for outside its caches."""

NO_CHECKOUTS = {"auto-checkout": "", "always-checkout": "false"}
"""For those who use mr.developer; for others they would be options that nothing uses, with a warning at every build."""


def name_of(part: str) -> str:
    """The file's name in a release folder."""
    return f"hostout-{part}.cfg"


def generated(settings: Settings, part: str, cache: str) -> str:
    """The text for a host whose cache of eggs and downloads is the folder ``cache`` (absolute, on the host)."""
    buildout = {
        "extends": _lines(settings.extends),
        **FIXED,
        **(NO_CHECKOUTS if settings.developer else {}),
        "extensions": _lines(settings.extensions),
        "parts": _lines(settings.parts),
        "versions": settings.versions,
        "eggs-directory": f"{cache}/eggs",
        "download-cache": f"{cache}/downloads",
    }
    sections = {"buildout": buildout, **settings.sections, settings.versions: dict(settings.pins)}
    return HEAD.format(part=part, name=name_of(part)) + _text(sections)


def rehearsed(settings: Settings) -> str:
    """The text that a rehearsal reads: the user's files and what they take from hostout parts."""
    return _text({"buildout": {"extends": _lines(settings.extends)}, **settings.sections})


def pins(versions: Mapping[str, str], spellings: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """``versions`` (names as METADATA has them) under every spelling that the user's files pin them by.

    zc.buildout normalises names, but adds a pin of its own unless ``zc.recipe.egg`` is there to the letter.
    """
    by_name = {canonicalize_name(name): version for name, version in versions.items()}
    spelt = {name: by_name[canonicalize_name(name)] for name in spellings if canonicalize_name(name) in by_name}
    return tuple(sorted({**spelt, **versions}.items(), key=lambda pin: (canonicalize_name(pin[0]), pin[0])))


def _text(sections: Mapping[str, Mapping[str, str]]) -> str:
    return "".join(_section(name, options) for name, options in sections.items())


def _section(name: str, options: Mapping[str, str]) -> str:
    return f"\n[{name}]\n" + "".join(_option(*pair) for pair in options.items())


def _option(name: str, value: str) -> str:
    first, *rest = value.split("\n")
    return f"{name} = {first}".rstrip() + "\n" + "".join(f"    {line}\n" for line in rest)


def _lines(words: Iterable[str]) -> str:
    return "\n".join(["", *words])
