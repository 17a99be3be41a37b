"""The source files of a develop package: which ones count, the hash of their content, a clean copy of them.

What does not belong here: building, versions.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hostout.packaging import contents

NEVER = (".git", ".svn", ".hg", "*.egg-info", "__pycache__", "*.pyc", "*~", ".*.sw[a-p]", "#*#", ".#*")
"""Names that are never content: version control, what Python and setuptools leave behind, editor droppings."""

MADE = ("build", "dist")
"""Folders that a build leaves beside setup.py; deeper down, or with an ``__init__.py``, they are packages."""


ENVIRONMENT = (
    *("pyvenv.cfg", "bin", "Scripts", "lib64", "lib/*/site-packages", "include/python*", "share/python-wheels"),
    *("CACHEDIR.TAG", ".lock"),
)
"""What venv, virtualenv and uv make in the folder of a package, by patterns; all else there is the package's."""


@dataclass(frozen=True)
class Source:
    """One file: ``name`` relative to the package with ``/``; ``link`` the text of a symbolic link that stays inside."""

    name: str
    path: Path
    link: str = ""


def sources(folder: Path, skip: Iterable[Path] = ()) -> list[Source]:
    """Every file of the package in ``folder`` sorted by name, without the folders and files in ``skip``.

    A symbolic link that leads out of the package counts as what it leads to, so that a copy is complete. Where the
    folder is a virtual environment as well, that is no content: it has something else in it for everybody.
    """
    # resolved, but for the last name: the buildout may be known by another path, and its folder eggs may be a link
    root = folder.resolve()
    skipped = (path.parent.resolve() / path.name for path in skip)
    found = _walk(root, root, frozenset((*skipped, *_environment(root))), (root,))
    return sorted(found, key=lambda source: source.name)


def _environment(root: Path) -> Iterator[Path]:
    """What makes a package's folder a virtual environment, and what was installed there, wherever that put it."""
    if not (root / "pyvenv.cfg").exists():
        return
    yield from (path for pattern in ENVIRONMENT for path in root.glob(pattern))
    for info in root.glob("lib/*/site-packages/*.dist-info"):
        outside = (name for name, _ in contents.rows(info) if name.startswith("../"))
        yield from (Path(os.path.normpath(info.parent / name)) for name in outside)
    ignored = root / ".gitignore"
    if ignored.exists() and _says_all(ignored.read_text("utf-8", "replace")):
        yield ignored


def _says_all(gitignore: str) -> bool:
    """As those programs write it, where there is none: ``*`` and a comment."""
    return [line for line in gitignore.split("\n") if line and not line.startswith("#")] == ["*"]


def _walk(root: Path, folder: Path, skip: frozenset[Path], above: tuple[Path, ...], name: str = "") -> Iterator[Source]:
    for entry in folder.iterdir():
        inner = f"{name}{entry.name}"
        if _is_left_out(entry, skip, top=not name):
            continue
        if entry.is_symlink() and _stays_inside(entry, root):
            yield Source(inner, entry, str(entry.readlink()))
        elif not entry.is_dir():
            yield from [Source(inner, entry)] if entry.is_file() else []
        elif entry.resolve() not in above:
            yield from _walk(root, entry, skip, (*above, entry.resolve()), f"{inner}/")


def _is_left_out(entry: Path, skip: frozenset[Path], *, top: bool) -> bool:
    made = top and entry.name in MADE and not (entry / "__init__.py").exists()
    environment = (entry / "pyvenv.cfg").exists()
    return made or environment or entry in skip or any(fnmatch.fnmatchcase(entry.name, p) for p in NEVER)


def _stays_inside(link: Path, root: Path) -> bool:
    """A link by a relative path within the package, or one that leads nowhere: both are kept as they are."""
    text = link.readlink()
    inside = not text.is_absolute() and Path(os.path.normpath(link.parent / text)).is_relative_to(root)
    return inside or not link.exists()


def content_hash(found: Iterable[Source], ignore: Iterable[str] = ()) -> str:
    """64 hex digits over path, executable bit and bytes of every source that fits no ``ignore`` pattern."""
    patterns = tuple(ignore)
    whole = hashlib.sha256()
    for source in found:
        if not _is_ignored(source.name, patterns):
            whole.update(f"{source.name}\0{_kind(source)}\0{_digest(source)}\0".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def _is_ignored(name: str, patterns: tuple[str, ...]) -> bool:
    parts = name.split("/")
    ways = ["/".join(parts[: n + 1]) for n in range(len(parts))] + parts
    return any(fnmatch.fnmatchcase(way, pattern.rstrip("/")) for way in ways for pattern in patterns)


def _kind(source: Source) -> str:
    if source.link:
        return "link"
    return "program" if source.path.stat().st_mode & 0o100 else "file"


def _digest(source: Source) -> str:
    if source.link:
        return source.link
    return hashlib.sha256(source.path.read_bytes()).hexdigest()


def copy(found: Iterable[Source], target: Path) -> None:
    """The sources in an empty folder, modes kept."""
    for source in found:
        place = target / source.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.link:
            place.symlink_to(source.link)
        else:
            shutil.copy2(source.path, place)
