"""Files that come: each gets its name when its sha256 was checked and it was synced.

A broken upload stays in ``.partial/<sha256>`` and is continued. What does not belong here: what is here already
(``store.py``), unpacking wheels, fetching anything (``fetch.py``).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from . import durable, handover, people, removal, syncing, uses
from .failure import Failed, storage
from .people import Person, acting_as
from .protocol import CHUNK, TO_DIST, TO_FILE
from .session import Session
from .site import Site
from .store import SHA256, Index, incoming, partial_folder

AT_ONCE = 200
"""So many partial files are open until they get their names."""


@dataclass(frozen=True)
class Blob:
    """One announced file: ``offset`` bytes of it are here already. ``packed``: so many bytes of zlib are the whole."""

    sha256: str
    size: int
    offset: int
    to: str
    name: str
    packed: int = 0

    @classmethod
    def of(cls, announced: Mapping[str, Any]) -> Blob:
        """Checked; raises Failed where it would end up anywhere but in its folder."""
        blob = cls(
            str(announced["sha256"]),
            int(announced["size"]),
            int(announced.get("offset", 0)),
            str(announced["to"]),
            str(announced["name"]),
            int(announced.get("packed", 0)),
        )
        counts = 0 <= blob.offset <= blob.size and blob.packed >= 0
        if not (counts and SHA256.fullmatch(blob.sha256) and blob._well_named()):
            raise Failed(f"not a blob that can be received: {announced!r}")
        return blob

    def folder(self, site: Site) -> Path:
        """Where it will lie."""
        return site.dist if self.to == TO_DIST else site.incoming

    def target(self, site: Site) -> Path:
        """Its path there."""
        return self.folder(site) / (self.name if self.to == TO_DIST else self.sha256)

    @property
    def due(self) -> int:
        """How many bytes of it come."""
        return self.packed or self.size - self.offset

    def owner(self, session: Session) -> Person:
        """To whom it belongs here."""
        return session.buildout if self.to == TO_DIST else people.agent()

    def _well_named(self) -> bool:
        if self.to == TO_FILE:
            return True
        return self.to == TO_DIST and not durable.outside(self.name) and "/" not in self.name and self.name[0] != "."


def receive(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """Take the announced blobs. Whatever goes wrong with one, those before it stay.

    What does not fit to the part of it that was here already, or finds it gone, is named: the whole is to be sent,
    unless another deployment into this cache has finished it.
    """
    blobs = [Blob.of(announced) for announced in args["blobs"]]
    refuse_replacing(session, [blob for blob in blobs if blob.to == TO_DIST])
    _forget(session, {blob.sha256 for blob in blobs if blob.to == TO_FILE})
    arrived: list[Arrival] = []
    damaged = []
    try:
        for blob in blobs:
            if len(arrived) == AT_ONCE or blob.sha256 in {before.blob.sha256 for before in arrived}:
                # the same content under two names: they share a partial file
                keep(session, arrived)
                arrived.clear()
            left = session.wire.owed - blob.due
            try:
                with acting_as(blob.owner(session)):
                    arrived.append(_take(session, blob))
            except Damaged:
                if not blob.offset:
                    raise
                # what comes next is the next one's
                session.wire.discard(left)
                if blob.to != TO_DIST or Index(session.site).sha256(blob.name) != blob.sha256:
                    damaged.append(blob.sha256)
    finally:
        keep(session, arrived)
    return {"received": len(blobs) - len(damaged), **({"damaged": damaged} if damaged else {})}


def _forget(session: Session, wanted: set[str]) -> None:
    """What broke off of files that changed since goes; of distributions it may be some other deployment's."""
    place = removal.in_path(session, ".hostout/incoming/.partial")
    for name in place.names() if wanted else ():
        if name not in wanted:
            place.discard(name)


def refuse_replacing(session: Session, blobs: Iterable[Blob]) -> None:
    """A file of a name that is there with other content: replaced, said, unless a release was made from it."""
    index = Index(session.site)
    for blob in blobs:
        found = index.sha256(blob.name)
        if found in (None, blob.sha256):
            continue
        users = uses.others(session.site, "", partial(_is_file, blob.name, found))
        there = f"{session.site.dist / blob.name} has the sha256 {found}"
        if users:
            raise Failed(
                f"{there} and {users[0]} was made from it; the file sent now has {blob.sha256}: "
                "what differs needs a version of its own"
            )
        session.note(f"{there}, no release was made from it: replaced by the one with {blob.sha256}")


def _is_file(name: str, digest: str | None, dist: Mapping[str, Any]) -> bool:
    return (dist.get("filename"), dist.get("sha256")) == (name, digest)


@dataclass(frozen=True)
class Arrival:
    """A blob in the partial file ``name`` of the open ``folder``, which is ours as long as ``descriptor`` is open."""

    blob: Blob
    folder: int
    name: str
    descriptor: int

    def take(self, site: Site) -> None:
        """Give it its name; raises Failed."""
        target = self.blob.target(site)
        # the folder above is the one that was found before, whatever has its name by now
        name = str(target) if self.blob.to == TO_DIST else f"../{target.name}"
        try:
            os.replace(self.name, name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        except OSError as error:
            raise storage(error, target) from error

    def remove(self) -> None:
        """The partial file goes."""
        with suppress(FileNotFoundError):
            os.unlink(self.name, dir_fd=self.folder)

    def close(self) -> None:
        """From now on it is anybody's."""
        os.close(self.descriptor)
        os.close(self.folder)


def _take(session: Session, blob: Blob) -> Arrival:
    """Bytes of one blob from the wire into its partial file."""
    needed = session.wire.owed + blob.offset
    try:
        arrival = claim(blob, session.site)
    except OSError as error:
        raise storage(error, blob.folder(session.site), needed) from error
    try:
        append(arrival, _pieces(session, blob))
    except BaseException as error:
        abandon(arrival, error)
        if isinstance(error, OSError):
            raise storage(error, blob.folder(session.site), needed) from error
        raise
    return arrival


def _pieces(session: Session, blob: Blob) -> Iterator[bytes]:
    """What is to be written of what comes."""
    if not blob.packed:
        yield from session.wire.chunks(blob.size - blob.offset)
        return
    unpacker = zlib.decompressobj()
    for packed in session.wire.chunks(blob.packed):
        try:
            # never more than there is to be, however small it was made
            yield unpacker.decompress(packed, blob.size + 1)
        except zlib.error as error:
            raise Damaged(f"{blob.name} arrived damaged: {error}") from error


def claim(blob: Blob, site: Site) -> Arrival:
    """The partial file for us alone; where another deployment into this cache is at it, one that nobody continues."""
    folder = _open_partial_folder(site, blob.to)
    try:
        return _claimed(blob, folder)
    except BaseException:
        os.close(folder)
        raise


def _open_partial_folder(site: Site, to: str) -> int:
    """Made where it is not there."""
    path = partial_folder(site, to)
    if to == TO_DIST:
        path.mkdir(mode=0o755, exist_ok=True)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    with incoming(site) as above:
        with suppress(FileExistsError):
            os.mkdir(path.name, 0o755, dir_fd=above)
        with durable.own_folder(Path(path.name), path, above) as folder:
            return os.dup(folder)


def _claimed(blob: Blob, folder: int) -> Arrival:
    descriptor = os.open(blob.sha256, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    if _is_ours(descriptor, blob.sha256, folder):
        return Arrival(blob, folder, blob.sha256, descriptor)
    os.close(descriptor)
    if blob.offset:
        raise Damaged(f"{blob.name}: another deployment sends it just now; try again")
    alone = f"{blob.sha256}.{secrets.token_hex(4)}"
    return Arrival(blob, folder, alone, os.open(alone, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder))


def _is_ours(descriptor: int, name: str, folder: int) -> bool:
    """Whether nobody else has the file locked, and it has not been renamed into place meanwhile."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), os.stat(name, dir_fd=folder, follow_symlinks=False))
    except (BlockingIOError, FileNotFoundError):
        return False


def abandon(arrival: Arrival, error: BaseException) -> None:
    """What has arrived waits for the next upload, unless nobody would continue it or the room is needed."""
    # room that the running application may need more than the next upload does
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or isinstance(error, Damaged) or arrival.name != arrival.blob.sha256:
        arrival.remove()
    arrival.close()


class Damaged(Failed):
    """What arrived is not what was announced; ``found`` is its sha256, where it came to one."""

    found = ""

    @classmethod
    def by(cls, blob: Blob, found: str) -> Damaged:
        """It has that sha256 instead of its own."""
        error = cls(f"{blob.name} arrived damaged: its sha256 is {found}, not {blob.sha256}")
        error.found = found
        return error


def append(arrival: Arrival, pieces: Iterator[bytes]) -> None:
    """Continue the file at the blob's offset; raises Failed where the whole has not its sha256."""
    blob, descriptor = arrival.blob, arrival.descriptor
    digest, written, begun = _digest(descriptor, blob), blob.offset, blob.offset
    for piece in pieces:
        digest.update(piece)
        durable.write_all(descriptor, piece)
        written += len(piece)
        begun = durable.begin_to_sync(descriptor, begun, written)
    os.fchmod(descriptor, 0o644)
    if (found := digest.hexdigest()) != blob.sha256:
        raise Damaged.by(blob, found)


def _digest(descriptor: int, blob: Blob) -> hashlib._Hash:
    """The digest of the first ``offset`` bytes; the file ends and stands there."""
    if os.fstat(descriptor).st_size < blob.offset:
        raise Damaged(f"{blob.name}: less than {blob.offset} bytes of it are here")
    os.ftruncate(descriptor, blob.offset)
    os.lseek(descriptor, 0, os.SEEK_SET)
    digest = hashlib.sha256()
    while piece := os.read(descriptor, CHUNK):
        digest.update(piece)
    return digest


def keep(session: Session, arrived: Sequence[Arrival]) -> None:
    """Complete and checked uploads get their names, after one sync for all."""
    if not arrived:
        return
    try:
        syncing.sync(*(arrival.descriptor for arrival in arrived))
    except OSError as error:
        for arrival in arrived:
            # it may show what it did not take, until it is asked anew; or let nothing be removed any more
            with suppress(OSError):
                arrival.remove()
            arrival.close()
        raise storage(error, arrived[0].blob.folder(session.site)) from error
    for arrival in arrived:
        with acting_as(arrival.blob.owner(session)):
            arrival.take(session.site)
        if arrival.blob.to == TO_FILE:
            handover.remember(session, arrival.blob.sha256, arrival.descriptor)
        arrival.close()
    distributed = [arrival.blob for arrival in arrived if arrival.blob.to == TO_DIST]
    if distributed:
        with acting_as(session.buildout):
            durable.sync_folder(session.site.dist)
            _remember(session, distributed)


def _remember(session: Session, blobs: Iterable[Blob]) -> None:
    """The index only saves time: without room for it, the files are hashed again."""
    try:
        Index(session.site).remember({blob.name: blob.sha256 for blob in blobs})
    except OSError as error:
        session.warn(storage(error, session.site.downloads).message)
