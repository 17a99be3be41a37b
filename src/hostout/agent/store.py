"""What is here: distributions in the cache, files of bundles until a release has them, parts of broken uploads.

What does not belong here: how they come (``uploads.py``, ``fetch.py``), what their names say (``distname.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import distname, durable
from .protocol import TO_DIST, TO_FILE
from .site import Site

SHA256 = re.compile(r"[0-9a-f]{64}")
"""What files of bundles and parts of uploads are called by."""


class Index:
    """The sha256 of the files in ``downloads/dist``, kept beside it; hashed again where size or time changed."""

    def __init__(self, site: Site) -> None:
        self._folder = site.dist
        self._path = site.downloads / "sha256.json"
        self._known = _read(self._path)

    def sha256(self, filename: str) -> str | None:
        """Of the file with that name; None where there is none."""
        try:
            mark = _mark(self._folder / filename)
            known = self._known.get(filename)
            if not (isinstance(known, list) and known[1:] == mark):
                known = [durable.sha256(self._folder / filename), *mark]
                self._known[filename] = known
        except OSError:
            return None
        return str(known[0])

    def remember(self, checked: Mapping[str, str]) -> None:
        """Note the sha256 of those that were just checked, by name, and what was hashed meanwhile."""
        self._known = {**_read(self._path), **self._known}
        for name, digest in checked.items():
            self._known[name] = [digest, *_mark(self._folder / name)]
        durable.write_json(self._path, self._known)


def distributions(site: Site, wanted: Iterable[Sequence[str]]) -> dict[str, str]:
    """Files of the wanted (name, version) that are here, with their sha256."""
    keys = {(distname.canonical(name), distname.loose(version)) for name, version in wanted}
    index = Index(site)
    found = {name: index.sha256(name) for name in sorted(_names(site.dist)) if distname.key(name) in keys}
    return {name: digest for name, digest in found.items() if digest}


def partials(site: Site) -> dict[str, int]:
    """How many bytes of broken uploads are here, by sha256."""
    found = {}
    for to in (TO_DIST, TO_FILE):
        folder = partial_folder(site, to)
        found.update({name: (folder / name).stat().st_size for name in _names(folder) if SHA256.fullmatch(name)})
    return found


def partial_folder(site: Site, to: str) -> Path:
    """Where broken uploads wait; on the file system that they are for."""
    return (site.downloads if to == TO_DIST else site.incoming) / ".partial"


@contextmanager
def incoming(site: Site) -> Iterator[int]:
    """A descriptor of the folder for files of bundles, which are root's; raises OSError where it is not ours.

    It lies where the application's user may lay a link in its place, at any moment.
    """
    path = site.incoming
    with durable.own_folder(site.own) as own, durable.own_folder(Path(path.name), path, own) as folder:
        yield folder


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir() if entry.is_file()]
    except OSError:
        return []


def _mark(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _read(path: Path) -> dict[str, Any]:
    """A damaged index is no index: everything is hashed again."""
    try:
        return durable.read_json(path)
    except (OSError, ValueError):
        return {}
