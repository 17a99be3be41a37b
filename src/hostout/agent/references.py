"""What the releases of a ``path`` refer to in the cache: distributions, environments, eggs.

What buildout wrote names eggs in its own ways: their names are looked for in the text of all scripts and parts.
What does not belong here: removing what nobody refers to (``cache.py``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import release, tree
from .release import Release
from .site import Site
from .tree import Entry, Look

_WRITTEN = {"bin", "parts", "develop-eggs", ".installed.cfg", "installed.cfg"}
# where parts with effects outside are built: recipes that take them away are named nowhere else
_BESIDE = (".hostout/live", ".hostout/sudo")
_EGG = re.compile(rb"\.egg(?![\w-])")
_BEFORE_A_NAME = re.compile(rb"[\s/\\\"'`:;,=()<>\[\]{}\x00]")
_LONGEST_NAME = 255
_LARGEST = 1 << 26
_ENVIRONMENT = re.compile(rb"/buildout/([0-9A-Za-z][\w.-]*)/bin/python")


@dataclass
class References:
    """Names of egg folders, files in ``downloads/dist``, keys of environments; the fields of ``Site.cached``.

    ``dists``: files that releases were made from, of which eggs may be named in no text: those of recipes.
    """

    eggs: set[str] = field(default_factory=set)
    downloads: set[str] = field(default_factory=set)
    environments: set[str] = field(default_factory=set)
    dists: set[str] = field(default_factory=set)

    def add(self, other: References) -> None:
        """Those of somebody else as well."""
        self.eggs |= other.eggs
        self.downloads |= other.downloads
        self.environments |= other.environments
        self.dists |= other.dists


def of_path(path: Path, but: Collection[str] = ()) -> References:
    """Of all releases of ``path`` ``but`` some, and of what buildout wrote in ``path`` itself. Raises OSError."""
    found = _of_texts(path)
    for below in _BESIDE:
        with suppress(FileNotFoundError):
            found.add(_of_texts(path, below))
    # nobody may take a disk that is not mounted for a buildout without releases
    with tree.opened(path, "releases") as folder:
        names = [name for name in tree.names(folder) if not name.startswith(".") and name not in but]
    for name in names:
        found.add(of_release(release.load(Site(path, path).release(name))))
    return found


def of_release(one: Release) -> References:
    """Of one release. Raises OSError where it cannot be read."""
    found = _of_texts(*one.below)
    found.add(_of_record(one.record))
    return found


def eggs_in(site: Site, one: Release) -> set[str]:
    """Names of the eggs in this cache that the release uses."""
    where = re.compile(re.escape(os.fsencode(site.egg_folders)) + rb"/([^\s/\"':;,\\]+)")
    return {os.fsdecode(name) for text in _texts(*one.below) for name in where.findall(text)}


def _of_record(record: Any) -> References:
    dists, tools = _filenames(record.get("dists")), _filenames(record.get("environment_dists"))
    return References(
        downloads=dists | tools,
        environments={str(record.get("environment"))},
        dists=dists,
    )


def _filenames(dists: Any) -> set[str]:
    every = dists if isinstance(dists, list) else ()
    return {str(dist.get("filename")) for dist in every if isinstance(dist, dict)}


def _of_texts(top: Path, below: str = "") -> References:
    found = References()
    try:
        for text in _texts(top, below):
            found.environments |= set(map(os.fsdecode, _ENVIRONMENT.findall(text)))
            found.eggs |= set(_egg_names(text))
    except NotADirectoryError:
        # a file, or a link that somebody laid: no release
        return References()
    return found


def _egg_names(text: bytes) -> Iterator[str]:
    for end in _EGG.finditer(text):
        before = text[max(0, end.start() - _LONGEST_NAME) : end.start()]
        yield os.fsdecode(_BEFORE_A_NAME.split(before)[-1] + b".egg")


def _texts(top: Path, below: str = "") -> Iterator[bytes]:
    """What buildout wrote there, file by file, and where links lead to. Raises OSError."""
    with tree.opened(top, below) as folder:
        for entry in tree.walk(folder, Look(_is_written, strict=True)):
            if (entry.is_file and not entry.path.endswith(".pyc")) or entry.is_link:
                yield _content(entry)


def _is_written(path: str) -> bool:
    return path.split("/", 1)[0] in _WRITTEN


def _content(entry: Entry) -> bytes:
    try:
        if entry.is_link:
            return os.fsencode(entry.target())
        with os.fdopen(entry.open(), "rb") as file:
            return file.read(_LARGEST)
    except FileNotFoundError:
        return b""
