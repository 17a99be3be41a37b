"""What a release consisted of when it was built: every file by its sha256, so that drift and strays can be named.

The manifest lies beside ``release.json``. ``var``, ``shared``, bytecode, sockets and pipes are never in it.
What does not belong here: what follows from a difference.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from . import durable, tree
from .failure import storage
from .protocol import CHUNK
from .release import RECORD, Release, printable, way_out
from .session import Session
from .tree import Entry, Look

FILE = ".manifest.json"
# ours, and what is left of these where we were killed while writing
_OWN = re.compile(rf"\.?({re.escape(RECORD)}|{re.escape(FILE)})(\.[0-9a-f]+)?")
# buildout's notes for its next run; each run adds to them, also one that has nothing to do
_NOTES = ".installed.cfg"
_BYTECODE = re.compile(r"(^|/)__pycache__(/|$)|\.py[co]$")
_LARGEST = 1 << 28
# two changes within one tick of the file system's clock leave the same times
_TICK = 50_000_000


class Seen(NamedTuple):
    """A file as it was: ``mark`` is what the file system said of it, empty where that does not settle anything."""

    sha256: str
    runs: bool
    mark: tuple[int, ...]


@dataclass(frozen=True)
class Manifest:
    """Paths relative to the release; ``whole`` is False where they are those of the bundle alone."""

    files: Mapping[str, Seen] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    folders: frozenset[str] = frozenset()
    whole: bool = True

    def names(self) -> set[str]:
        """Everything in it."""
        return {*self.files, *self.links, *self.folders}

    def knows(self, path: str) -> bool:
        """Whether it has anything under that name."""
        return path in self.files or path in self.links or path in self.folders


@dataclass(frozen=True)
class Drift:
    """How a release differs from its manifest; folders end with ``/``.

    ``made`` is what the release itself was made of, without what is in folders; None: there was no whole manifest.
    """

    changed: list[str]
    missing: list[str]
    strays: list[str]
    made: frozenset[str] | None

    @property
    def verified(self) -> bool:
        """Whether there was a whole manifest."""
        return self.made is not None

    @property
    def none(self) -> bool:
        """Whether all that was made is there as it was, whatever came in addition."""
        return not self.changed and not self.missing


def write(session: Session, release: Release) -> None:
    """Note down every file, folder and link of a release that has just been built. Raises Failed.

    It is on disk before the release calls itself built: that state is written after a sync of everything.
    """
    try:
        with tree.opened(*release.below) as folder:
            durable.write_in(folder, FILE, json.dumps(_noted(release, folder), separators=(",", ":")).encode("ascii"))
    except OSError as error:
        raise storage(error, release.folder) from error


def add(session: Session, release: Release, names: Iterable[str]) -> None:
    """Note down what was made in it since then, by names as ``strays`` gives them. Raises Failed."""
    below = [name.rstrip("/") for name in names]
    try:
        with tree.opened(*release.below) as folder:
            known = json.loads(tree.content(folder, FILE, _LARGEST))
            more = _noted(release, folder, lambda path: any(_on_the_way(path, name) for name in below))
            for kind in ("files", "links"):
                known[kind].update(more[kind])
            known["folders"] = sorted({*known["folders"], *more["folders"]})
            durable.write_in(folder, FILE, json.dumps(known, separators=(",", ":")).encode("ascii"))
    except OSError as error:
        raise storage(error, release.folder) from error


def whole(release: Release) -> bool:
    """Whether every file of its manifest is there with its content; False without a manifest."""
    drift = compare(release)
    return drift.verified and drift.none


def strays(release: Release) -> list[str]:
    """What is in its folder and neither in the bundle nor made by buildout: ``media/``, ``parts/app/upload.txt``.

    Nothing where nobody wrote down what it was made of.
    """
    return compare(release).strays


def contents(release: Release) -> list[str]:
    """All that is in its folder, named in the same way: for where nobody wrote down what it was made of."""
    return _compare(release, Manifest(), False).strays


def compare(release: Release, thorough: bool = False) -> Drift:
    """A release and its manifest; without one, and the files of its bundle.

    ``thorough`` reads every file. Else one is read only where its size, inode or times are not those noted down; one of
    these, the time of its last change, can be set by nobody. Raises OSError where it cannot be looked at.
    """
    return _compare(release, _read(release) or _of_bundle(release), thorough)


def _noted(release: Release, folder: int, wanted: Callable[[str], bool] = lambda path: True) -> dict[str, Any]:
    counts = _counting(release)
    files, links, folders = {}, {}, []
    for entry in tree.walk(folder, Look(lambda path: counts(path) and wanted(path))):
        if entry.is_file:
            files[entry.path] = [_digest(entry), _runs(entry.status.st_mode), *_settled(entry.status)]
        elif entry.is_link:
            links[entry.path] = entry.target()
        elif entry.is_folder:
            folders.append(entry.path)
    return {"format": 1, "files": files, "links": links, "folders": folders}


def _read(release: Release) -> Manifest | None:
    """Its manifest; None where there is none that makes sense."""
    try:
        with tree.opened(*release.below) as folder:
            said = json.loads(tree.content(folder, FILE, _LARGEST))
        return Manifest(
            {path: Seen(str(sha256), bool(runs), tuple(mark)) for path, (sha256, runs, *mark) in said["files"].items()},
            {path: str(target) for path, target in said["links"].items()},
            frozenset(map(str, said["folders"])),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _of_bundle(release: Release) -> Manifest:
    """What the record says of a release that was made before there were manifests."""
    files, links = {}, {}
    for file in release.files:
        name, target = str(file.get("name")), file.get("target")
        if target:
            links[name] = str(target)
        else:
            files[name] = Seen(str(file.get("sha256")), _runs(file.get("mode")), ())
    folders = {str(parent) for name in (*files, *links) for parent in PurePosixPath(name).parents}
    return Manifest(files, links, frozenset(folders - {"."}), whole=False)


def _compare(release: Release, manifest: Manifest, thorough: bool) -> Drift:
    counts = _counting(release)
    found = _Findings(manifest, counts, thorough, _ways_not_out(release))
    entries: Iterable[Entry] = ()
    with ExitStack() as stack:
        # somebody may have deleted it, or laid a link in its place: then all of it is missing
        with suppress(FileNotFoundError, NotADirectoryError):
            folder = stack.enter_context(tree.opened(*release.below))
            entries = tree.walk(folder, Look(counts, manifest.folders.__contains__))
        for entry in entries:
            found.take(entry)
    return found.drift()


@dataclass
class _Findings:
    """What a walk through a release has met so far."""

    manifest: Manifest
    counts: Callable[[str], bool]
    thorough: bool
    changed: list[str]
    strays: list[str] = field(default_factory=list)
    met: set[str] = field(default_factory=set)

    def take(self, entry: Entry) -> None:
        """One more."""
        path, manifest = entry.path, self.manifest
        self.met.add(path)
        known = manifest.knows(path)
        if known and not _same(entry, manifest, self.thorough):
            self.changed.append(path)
        if not known or (entry.is_folder and path not in manifest.folders):
            self.strays += _named(entry, self.counts)

    def drift(self) -> Drift:
        """All of it. Of what came in addition to a bundle, nobody knows what the build made."""
        missing = _missing(self.manifest, self.met, self.changed, self.counts)
        whole = self.manifest.whole
        names = self.changed, missing, self.strays if whole else []
        changed, missing, strays = (list(map(printable, each)) for each in names)
        return Drift(changed, missing, strays, frozenset(durable.top(self.manifest.names())) if whole else None)


def _on_the_way(path: str, name: str) -> bool:
    """Whether it is that, in that, or above that."""
    return f"{path}/".startswith(f"{name}/") or name.startswith(f"{path}/")


def _counting(release: Release) -> Callable[[str], bool]:
    """Which paths of a release count."""
    out = {"var", *release.shared}
    return lambda path: not (path in out or _BYTECODE.search(path) or _OWN.fullmatch(path))


def _ways_not_out(release: Release) -> list[str]:
    """Links to what lives through releases that are not what they were, or not there."""
    ways = {name: release.folder / name for name in ("var", *release.shared)}
    return [name for name, path in ways.items() if not (path.is_symlink() and str(path.readlink()) == way_out(name))]


def _same(entry: Entry, manifest: Manifest, thorough: bool) -> bool:
    """Whether something that the manifest knows is what it was."""
    if entry.path in manifest.folders:
        return entry.is_folder
    if entry.path in manifest.links:
        return entry.is_link and entry.target() == manifest.links[entry.path]
    seen = manifest.files[entry.path]
    if not entry.is_file or _runs(entry.status.st_mode) != seen.runs:
        return False
    if entry.path == _NOTES:
        return True
    mark = _mark(entry.status)
    if seen.mark and seen.mark[0] != mark[0]:
        return False
    return (not thorough and seen.mark == mark) or _digest(entry) == seen.sha256


def _named(entry: Entry, counts: Callable[[str], bool]) -> list[str]:
    """How a stray is named, if it is one: sockets, pipes, and folders without a file are none."""
    if not entry.is_folder:
        return [entry.path] if entry.is_file or entry.is_link else []
    try:
        data = any(each.is_file or each.is_link for each in tree.inside(entry, Look(counts, strict=True)))
    except OSError:
        # not even to be looked at: it will not be nothing
        data = True
    return [f"{entry.path}/"] if data else []


def _missing(manifest: Manifest, met: set[str], changed: list[str], counts: Callable[[str], bool]) -> list[str]:
    """What was not met, a whole folder once; not what lay in a folder that is none any more."""
    gone = {name for name in manifest.names() - met if counts(name)}
    above = gone.union(changed)
    top = sorted(name for name in gone if name.rpartition("/")[0] not in above)
    return [f"{name}/" if name in manifest.folders else name for name in top]


def _digest(entry: Entry) -> str:
    """Of a file's content; nothing where it cannot be read."""
    digest = hashlib.sha256()
    try:
        descriptor = entry.open()
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def _runs(mode: Any) -> bool:
    return isinstance(mode, int) and bool(mode & 0o100)


def _mark(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _settled(status: os.stat_result) -> tuple[int, ...]:
    """The mark of a file that has been as it is for a moment."""
    return _mark(status) if status.st_ctime_ns < time.time_ns() - _TICK else ()
