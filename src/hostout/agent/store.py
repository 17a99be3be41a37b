"""What was sent: distributions in the cache, files of bundles until a release has them, and the uploads themselves.

Content is only ever renamed into place after its sha256 was checked and it was synced. A broken upload stays in
``.partial/<sha256>`` and is continued. What does not belong here: unpacking anything.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import durable, people
from .failure import Failed, storage
from .people import Person, acting_as
from .protocol import CHUNK, TO_DIST, TO_FILE
from .session import Session
from .site import Site

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SDIST = re.compile(r"\.(tar\.gz|zip|tgz|tar\.bz2)$")


@dataclass(frozen=True)
class Blob:
    """One announced file: ``offset`` bytes of it are here already."""

    sha256: str
    size: int
    offset: int
    to: str
    name: str

    @classmethod
    def of(cls, announced: Mapping[str, Any]) -> Blob:
        """Checked; raises Failed where it would end up anywhere but in its folder."""
        blob = cls(
            str(announced["sha256"]),
            int(announced["size"]),
            int(announced.get("offset", 0)),
            str(announced["to"]),
            str(announced["name"]),
        )
        if not (_SHA256.fullmatch(blob.sha256) and 0 <= blob.offset <= blob.size and blob._well_named()):
            raise Failed(f"not a blob that can be received: {announced!r}")
        return blob

    def folder(self, site: Site) -> Path:
        """Where it will lie."""
        return site.dist if self.to == TO_DIST else site.incoming

    def target(self, site: Site) -> Path:
        """Its path there."""
        return self.folder(site) / (self.name if self.to == TO_DIST else self.sha256)

    def partial(self, site: Site) -> Path:
        """Its path until it is complete."""
        return partial_folder(site, self.to) / self.sha256

    def owner(self, session: Session) -> Person:
        """To whom it belongs here."""
        return session.buildout if self.to == TO_DIST else people.agent()

    def _well_named(self) -> bool:
        if self.to == TO_FILE:
            return True
        return self.to == TO_DIST and not durable.outside(self.name) and "/" not in self.name and self.name[0] != "."


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

    def remember(self, blobs: Iterable[Blob]) -> None:
        """Note those that were just checked, and what was hashed meanwhile."""
        self._known = {**_read(self._path), **self._known}
        for blob in blobs:
            self._known[blob.name] = [blob.sha256, *_mark(self._folder / blob.name)]
        durable.write_json(self._path, self._known)


def distributions(site: Site, wanted: Iterable[Sequence[str]]) -> dict[str, str]:
    """Files of the wanted (name, version) that are here, with their sha256."""
    keys = {(canonical(name), loose(version)) for name, version in wanted}
    index = Index(site)
    found = {name: index.sha256(name) for name in sorted(_names(site.dist)) if _key(name) in keys}
    return {name: digest for name, digest in found.items() if digest}


def canonical(name: str) -> str:
    """A distribution's name by PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def loose(version: str) -> str:
    """A version so that spellings of the same one meet (``2024.07.04``, ``2024.7.4``); others may meet as well."""
    dotted = re.sub(r"[-_]", ".", version.lower())
    return re.sub(r"(\.0)+(?=\+|$)", "", re.sub(r"(?<![0-9a-z])0+(?=[0-9])", "", dotted))


def partials(site: Site) -> dict[str, int]:
    """How many bytes of broken uploads are here, by sha256."""
    found = {}
    for to in (TO_DIST, TO_FILE):
        folder = partial_folder(site, to)
        found.update({name: (folder / name).stat().st_size for name in _names(folder) if _SHA256.fullmatch(name)})
    return found


def partial_folder(site: Site, to: str) -> Path:
    """Where broken uploads wait; on the file system that they are for."""
    return (site.downloads if to == TO_DIST else site.incoming) / ".partial"


def receive(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """Take the announced blobs. Whatever goes wrong with one, those before it stay."""
    blobs = [Blob.of(announced) for announced in args["blobs"]]
    arrived: list[Blob] = []
    try:
        for blob in blobs:
            if blob.sha256 in {before.sha256 for before in arrived}:
                # the same content under two names: they share a partial file
                _keep(session, arrived)
                arrived.clear()
            with acting_as(blob.owner(session)):
                _take(session, blob)
            arrived.append(blob)
    finally:
        _keep(session, arrived)
    return {"received": len(blobs)}


def _take(session: Session, blob: Blob) -> None:
    """Bytes of one blob from the wire into its partial file."""
    partial = blob.partial(session.site)
    needed = session.wire.owed + blob.offset
    try:
        partial.parent.mkdir(mode=0o755, exist_ok=True)
        digest = _append(partial, blob, session.wire.chunks(blob.size - blob.offset))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            # room that the running application may need more than the next upload does
            partial.unlink(missing_ok=True)
        raise storage(error, blob.folder(session.site), needed) from error
    if digest != blob.sha256:
        partial.unlink()
        raise Failed(f"{blob.name} arrived damaged: its sha256 is {digest}, not {blob.sha256}")


def _append(partial: Path, blob: Blob, pieces: Iterator[bytes]) -> str:
    """Continue the file at the blob's offset; gives the sha256 of the whole."""
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        digest = _digest(descriptor, blob)
        for piece in pieces:
            digest.update(piece)
            _write(descriptor, piece)
    finally:
        os.close(descriptor)
    return digest.hexdigest()


def _digest(descriptor: int, blob: Blob) -> hashlib._Hash:
    """The digest of the first ``offset`` bytes; the file ends and stands there."""
    if os.fstat(descriptor).st_size < blob.offset:
        raise Failed(f"{blob.name}: less than {blob.offset} bytes of it are here")
    os.ftruncate(descriptor, blob.offset)
    digest = hashlib.sha256()
    while piece := os.read(descriptor, CHUNK):
        digest.update(piece)
    return digest


def _write(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]


def _keep(session: Session, arrived: Sequence[Blob]) -> None:
    """Complete and checked uploads get their names, after one sync for all."""
    if not arrived:
        return
    os.sync()
    for blob in arrived:
        with acting_as(blob.owner(session)):
            blob.partial(session.site).chmod(0o644)
            blob.partial(session.site).replace(blob.target(session.site))
    distributed = [blob for blob in arrived if blob.to == TO_DIST]
    if distributed:
        with acting_as(session.buildout):
            durable.sync_folder(session.site.dist)
            _remember(session, distributed)


def _remember(session: Session, blobs: Sequence[Blob]) -> None:
    """The index only saves time: without room for it, the files are hashed again."""
    try:
        Index(session.site).remember(blobs)
    except OSError as error:
        session.warn(storage(error, session.site.downloads).message)


def _key(filename: str) -> tuple[str, str] | None:
    """Name and version out of a file name; None where it is no distribution."""
    if filename.endswith(".whl"):
        name, _, rest = filename.partition("-")
        return canonical(name), loose(rest.partition("-")[0])
    stem, found = _SDIST.subn("", filename)
    name, _, version = stem.rpartition("-")
    return (canonical(name), loose(version)) if found and name else None


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
