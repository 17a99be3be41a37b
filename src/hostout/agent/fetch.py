"""Distributions that the host gets from package indexes by itself: many at once, checked before they have their names.

A process of the cache's owner does it, which can end whatever its threads hang in; what they have by then is continued
by whoever sends the rest. What does not belong here: how an index is asked (``web.py``).
"""

from __future__ import annotations

import json
import os
import select
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeVar

from . import distname, failure, store, uploads
from .failure import Cancelled, Failed
from .protocol import CHUNK, TO_DIST, Hangup
from .session import Session
from .unpack import become
from .uploads import Arrival, Blob, Damaged
from .web import CONNECT, NO_ANSWER, Broken, Silent, Web, bare, host, passwords, place, why_not

_PARALLEL, _TRIES = 8, 3
_LOOK = 0.2
# seconds between two looks of the process, and without a byte for anybody after which the rest is given up
_TURN, _STALL = 1.0, 15.0

Words = Mapping[str, Mapping[str, str]]
"""What the process tells: parts of the result of the action."""

T = TypeVar("T")


def fetch(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action. Raises Failed where the cache cannot take what arrives, Cancelled, and Hangup."""
    wanted = [_Wanted.of(file) for file in args["files"]]
    uploads.refuse_replacing(session, [one.blob for one in wanted])
    result: dict[str, dict[str, Any]] = {"indexes": {}, "have": {}, "changed": {}}
    result["missing"] = {one.blob.name: "took too long" for one in wanted}
    for words in _told(session, wanted, args):
        if "failed" in words:
            raise Failed(str(words["failed"]))
        for kind, found in words.items():
            result[kind].update(found)
    for name in (*result["have"], *result["changed"]):
        result["missing"].pop(name)
    return {**result, "partial": store.partials(session.site)}


@dataclass(frozen=True)
class _Wanted:
    """A file that a project has; ``size`` 0 of its blob: any."""

    blob: Blob
    project: str

    @classmethod
    def of(cls, file: Mapping[str, Any]) -> _Wanted:
        """Checked, see ``Blob.of``."""
        return cls(Blob.of({**file, "to": TO_DIST}), distname.canonical(str(file["project"])))


def _told(session: Session, wanted: Sequence[_Wanted], args: Mapping[str, Any]) -> Iterator[Words]:
    """What the process tells, until it or its time has ended."""
    answers, sink = os.pipe()
    parent, child = os.getpid(), os.fork()
    if not child:
        _live(session, wanted, args, sink, parent)
    os.close(sink)
    try:
        yield from map(json.loads, _lines(session, answers))
    finally:
        os.close(answers)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _lines(session: Session, answers: int) -> Iterator[bytes]:
    """Until there are no more; raises Cancelled, and Hangup."""
    rest = b""
    while True:
        if session.wire.cancelled():
            raise Cancelled("fetching was cancelled")
        if session.wire.gone:
            raise Hangup
        if not select.select([answers], [], [], _LOOK)[0]:
            continue
        data = os.read(answers, CHUNK)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from lines


def _live(session: Session, wanted: Sequence[_Wanted], args: Mapping[str, Any], sink: int, parent: int) -> NoReturn:
    """What the process does; it ends soon after its parent."""

    def tell(**words: Any) -> None:
        if os.getppid() != parent:
            os._exit(1)
        os.write(sink, json.dumps(words).encode("ascii") + b"\n")

    try:
        become(session.buildout)
        session.wire.fall_silent()
        _Fetching(session, args).all(wanted, tell)
    except Exception as error:  # noqa: BLE001 - the disk is full, or a bug of ours: the parent says which
        tell(failed=failure.of(error, session.site.dist).message)
    finally:
        # threads may still wait for somebody who does not answer
        os._exit(0)


class _Fetching:
    """Fetches with as many threads as make sense, and tells what became of each file."""

    def __init__(self, session: Session, args: Mapping[str, Any]) -> None:
        self._session = session
        self._indexes, self._links = ([str(url) for url in args.get(kind, ())] for kind in ("indexes", "links"))
        self._asked = dict.fromkeys((*self._indexes, *self._links))
        self._allowed = passwords(self._asked)
        self._named = Counter(map(host, set(map(place, self._asked))))
        self._pool = ThreadPoolExecutor(_PARALLEL)
        self._own = threading.local()
        self._dead: dict[str, str] = {}
        self._alive: set[str] = set()
        self._end = time.monotonic() + float(args["seconds"])
        self._heard = time.monotonic()

    def all(self, wanted: Iterable[_Wanted], tell: Callable[..., None]) -> None:
        """``tell`` gets words as of the result, and none when there is only more to come."""
        tell(indexes=self._reach())
        waiting: dict[Future[Arrival], _Wanted] = {self._pool.submit(self._one, one): one for one in wanted}
        arrived: list[Arrival] = []
        while waiting and time.monotonic() < min(self._heard + _STALL, self._end):
            for future in wait(waiting, _TURN, FIRST_COMPLETED)[0]:
                tell(**_outcome(future, waiting.pop(future).blob.name, arrived))
            if len(arrived) >= uploads.AT_ONCE:
                self._keep(arrived, tell)
            tell()
        self._keep(arrived, tell)

    def _keep(self, arrived: list[Arrival], tell: Callable[..., None]) -> None:
        uploads.keep(self._session, arrived)
        tell(have={one.blob.name: one.blob.sha256 for one in arrived})
        arrived.clear()

    def _reach(self) -> dict[str, str]:
        """Which of the addresses answer, by name; the others are asked nothing."""
        asked = {url: self._pool.submit(why_not, url) for url in self._asked}
        wait(asked.values(), CONNECT)
        said = {url: future.result() if future.done() else NO_ANSWER for url, future in asked.items()}
        self._dead = {place(url): why for url, why in said.items() if why}
        return {self._name(url): why for url, why in said.items()}

    def _name(self, url: str) -> str:
        """An address for people: its host, where only one place of that host is asked."""
        return host(url) if self._named[host(url)] < 2 else place(url)

    def _one(self, wanted: _Wanted) -> Arrival:
        """The file; raises Damaged where only another one of its name is to be had, Broken where none is."""
        why: Exception = Broken("no index was reached")
        pages = (f"{bare(index).rstrip('/')}/{wanted.project}/" for index in self._indexes)
        for page in (*pages, *map(bare, self._links)):
            try:
                if arrival := self._from(page, wanted.blob):
                    return arrival
                why = why if isinstance(why, Damaged) else Broken(f"{self._name(page)} does not have it")
            except (Broken, Damaged) as error:
                why = why if isinstance(why, Damaged) else error
        raise why

    def _from(self, page: str, blob: Blob) -> Arrival | None:
        """The file that a page has; None where there is none of that name."""
        other = None
        for link in self._patiently(page, lambda: self._web.links(page)):
            if link.filename != blob.name:
                continue
            if link.sha256 in ("", blob.sha256):
                return self._download(link.url, blob)
            other = link.sha256
        if other:
            raise Damaged.by(blob, other)
        return None

    def _download(self, url: str, blob: Blob) -> Arrival:
        arrival = uploads.claim(blob, self._session.site)
        try:
            self._patiently(url, lambda: self._append(url, arrival))
        except BaseException as error:
            uploads.abandon(arrival, error)
            raise
        return arrival

    def _append(self, url: str, arrival: Arrival) -> None:
        """Goes on with what there is of it."""
        blob, there = arrival.blob, os.fstat(arrival.descriptor).st_size
        start, pieces = (there, iter(())) if 0 < there == blob.size else self._web.file(url, there)
        try:
            uploads.append(replace(arrival, blob=replace(blob, offset=start)), self._counted(pieces, blob, start))
        except Damaged:
            if not start:
                raise
            os.ftruncate(arrival.descriptor, 0)
            self._append(url, arrival)

    def _counted(self, pieces: Iterator[bytes], blob: Blob, size: int) -> Iterator[bytes]:
        for piece in pieces:
            size += len(piece)
            if blob.size and size > blob.size:
                raise Damaged.by(blob, "")
            self._heard = time.monotonic()
            yield piece

    def _patiently(self, url: str, ask: Callable[[], T]) -> T:
        """Whoever breaks off is asked once more; after that, and where nobody ever answered, nobody asks them again."""
        there, why = place(url), ""
        for _ in range(_TRIES):
            if there in self._dead:
                break
            try:
                found = ask()
            except Silent as error:
                why = error.why
                if there not in self._alive:
                    self._dead[there] = why
                self._alive.discard(there)
            else:
                self._alive.add(there)
                self._heard = time.monotonic()
                return found
        raise Broken(f"{self._name(url)}: {self._dead.get(there, why)}")

    @property
    def _web(self) -> Web:
        """That of this thread."""
        if not hasattr(self._own, "web"):
            self._own.web = Web(self._allowed)
        web: Web = self._own.web
        return web


def _outcome(future: Future[Arrival], name: str, arrived: list[Arrival]) -> Mapping[str, Any]:
    """What to tell of a file, where it has not ``arrived``."""
    try:
        arrived.append(future.result())
    except Damaged as error:
        return {"changed": {name: error.found}}
    except (Failed, OSError):
        # the cache cannot take it
        raise
    except Broken as error:
        return {"missing": {name: str(error)}}
    except Exception as error:  # noqa: BLE001 - whatever an index makes of us, the file can still be sent
        return {"missing": {name: f"{type(error).__name__}: {error}"}}
    return {}
