"""The wire between the developer's machine and the agent: JSON lines, and raw bytes where a request announces them.

The one file that both sides read. What does not belong here: what an action does.

**The question** travels with the program (a JSON object)::

    {"part", "path", "cache": str|null, "effective_user": str|null, "buildout_user": str|null,
     "buildout_group": str|null, "release": id|null, "want": [[name, version], ...], "files": [sha256, ...],
     "environment": key|null, "client": {"user", "machine"}, "sudo": bool, "shared": [relative path] (optional),
     "lock_wait": seconds (optional)}

**The first line** that comes back is ``{"event": "ready", "facts": {...}}`` (``facts.py``), or ``failed`` with id 0.

**Requests** are ``{"id": n, "do": action, "args": {...}}``, one a line. ``receive`` announces blobs, whose bytes
(``due`` of each, in their order) follow its line at once. A request ends with ``done`` or ``failed``; before that
come any number of other events. After ``failed`` the agent drops what is left of announced bytes and takes the next
request. ``{"do": "cancel"}`` while a build, a command or ``fetch`` runs ends that (with ``failed``); while the lock is
waited for, that; while a build is followed, the build.

With ``"after": id`` a request may be sent before that one (no ``build``, ``golive`` or ``rollback``) is answered: where
that one fails, so does this.

Actions and their ``args`` (STEP is ``{"line", "user": "owner"|"root", "timeout", "retry", "interval", "text"}``)::

    facts        {}                             -> {"facts": {...}}: asked again
    releases     {}                             -> {"releases": [{"name", "id", "number", "state", "live": bool,
                 "states": {state: when it first was}, "client", "scm", "when"}], "ledger": what of it is lost|null}
    status       {}                             -> {"live": name|null, "since", "state", "client", "scm", "changed",
                 "missing", "strays", "put": [{"time", "file", "user"}], "unverified": bool, "eggs": [missing],
                 "current": as in the facts, "job": as in the facts, "was": what was live last, where nothing is}
    recorded     {}                             -> {"live": name|null, "record": {}, "files": {name of a .cfg: text}}
    clean        {"keep": good releases}        -> {"releases": [name], "kept": [{"name", "why"}], "eggs": [name],
                 "downloads": [name], "environments": [key], "bytes", "cache": why it was left as it is|null}
    layout       {"commands": {"pre", "stop", "start", "post"} (optional)} -> {"facts": as of then}
                 path, releases, var, .hostout and the cache, with owners and modes; a buildout of somebody else's in
                 path becomes release 0, stopped and started by these commands
    fetch        {"files": [{"sha256", "size" (0: unknown), "name", "project"}], "seconds": for all of them,
                  "indexes": [URL, with its password], "links": [URL of a page of links],
                  "modules": {name: source} of those that did not travel with the agent}
                 -> {"have": {name: sha256} of what is here now, "missing": {name: why not}, "changed": {name: sha256
                 of what is served under that name instead, or ""}, "partial": as in the facts, "indexes": {host
                 (its address, where two of one host are asked): why it does not answer, or ""}}
    receive      {"blobs": [{"sha256", "size", "offset", "to": "dist"|"file", "name", "packed" (optional)}]}
                 -> {"received": number, "damaged": [sha256 of what does not fit to its first ``offset`` bytes,
                 or finds them gone: to be sent whole]}
                 with ``packed`` so many bytes come, which are the whole compressed by zlib
    environment  {"key", "wheels": [{"filename", "sha256": or null, whatever it is}]} -> {"python": path of it}
    stage        {"name", "record": {"id", "part", "config", "environment", "shared": [relative path],
                  "files": [{"name", "mode", "sha256", "target"}],
                  "dists": [{"filename", "sha256", "develop": bool}], ...},
                  "written": {name: text}} (files of the record that need no upload)
                  or {"name", "again": release, "client"}: the content of that one once more
    build        {"name", "config" (else as recorded), "arguments": [...], "commands": [line as root],
                  "compile": "background"|"before-switch" (optional)}
                                                -> {"state", "log"}
                 a job: a process that goes on when client and agent are gone, and keeps the lock meanwhile
    follow       {"name"}                       -> {"state", "release"}: the build of that release from its first line
                 (commands as ``run``, what the agent said as ``note``, the rest as ``out``), and how it ends or ended
    log          {"name": name|number|id|null}  -> {"name"}: its log, line by line as ``out``; null: the newest one
    stop         {"commands": [line as root], "hooks": [STEP]}                      -> {"stopped": bool}
    golive       {"name", "stopped": bool, "pre": [line], "stop": [STEP], "migrate": [line], "start": [STEP],
                  "post": [line], "post_failure": "ignore"|"rollback", "health": [STEP],
                  "health_check": {"check": URL or shell line, "timeout", "interval"}|null,
                  "strays": "any"|[names agreed to be left behind], "keep": int (good releases; absent: all),
                  "compile": "background"|"before-switch"|"no"}
                                                -> {"name", "state": "live"|"good", "before": name|null,
                                                    "switch_seconds": from the lock to the rename, commands aside}
                 where others would be left behind: ``failed`` with these as ``strays``, nothing has begun
                 ``pre`` and ``stop`` also where ``stopped``: recorded, to stop and start this release later
    rollback     {"to": null|name|number|id|"-n", "force": bool (also a bad one), and of golive's "pre", "stop",
                  "start", "post", "post_failure", "health", "health_check"}       -> as golive
                 a release's own recorded commands stop and start it; the lists serve where it has none
    restart      {"start": [STEP]}              what ``stop`` stopped is started again
    command      STEP with "cwd"                -> {"status": 0}
    health       {"health_check": as in golive, a URL}  -> {}: asked once, now
    would_clean  as clean                       -> the same, and nothing is removed: no lock, no line in the ledger
    owners       {}                             owners and modes of path and cache, all the way down
    recover      {}                             takes the lock, and so brings to its end what somebody who died began
    put          {"name", "file"}               a line in the ledger: somebody put a file into that release

Of two that change the same ``path`` the second gets ``failed`` with who holds the lock, when the first one is still
there after 3 s (and ``lock_wait``) and is at work or heard; of one that is not heard it waits for the end.
It is held from the first request that changes something until ``golive``,
``rollback`` or ``restart`` has ended, or the agent and its job have. Whoever takes it next takes back what somebody
who was killed had begun. A client that goes away after ``stop`` and before ``golive`` leaves an agent that starts the
old release again at once; where the agent is killed, a process that watches it does.

An empty line between requests says that the client is still there: a line that is cut ends no connection. A client
sends one every HEARTBEAT seconds, and is gone for an agent that heard nothing for SILENCE seconds.
"""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

AGENT = 1
"""Version of this protocol; part of the facts."""

READY, UNFIT, DONE, FAILED = "ready", "unfit", "done", "failed"
OUT, ERR, RUN, SUDO, NOTE, WARNING = "out", "err", "run", "sudo", "note", "warning"

CANCEL = "cancel"
TO_DIST, TO_FILE = "dist", "file"
STAGING, BUILT, LIVE, GOOD, BAD, BROKEN = "staging", "built", "live", "good", "bad", "broken"

TAIL = 20
"""Lines of output that travel with ``failed``."""

HEARTBEAT, SILENCE = 5.0, 75.0
"""Seconds. A connection that was cut for half a minute needs a minute, at times, until it notices that it may go on."""

CHUNK = 1 << 18
LONGEST_LINE = 1 << 26
# what a pipe or socket takes without blocking once it is writable
_SLICE = 4096


class Hangup(Exception):
    """The other side closed the connection where more was due."""


def encode(message: Mapping[str, Any]) -> bytes:
    """One message as a line; ASCII only, so that no locale on the way matters."""
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The message of a line; raises ValueError where it is not a JSON object."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("a message is a JSON object")
    return message


def question_argument(question: Mapping[str, Any]) -> str:
    """The question as the argument that starts the agent."""
    return encode(question).decode("ascii").rstrip()


def question_of(argument: str) -> dict[str, Any]:
    """The question out of that argument."""
    return decode(argument.encode())


def announced(args: Mapping[str, Any]) -> int:
    """How many raw bytes follow a request with these ``args``."""
    return sum(map(due, args.get("blobs", ())))


def due(blob: Mapping[str, Any]) -> int:
    """How many of them are an announced blob's."""
    return int(blob.get("packed") or int(blob["size"]) - int(blob.get("offset", 0)))


class Wire:
    """The agent's end: requests and raw bytes in, events out, on two file descriptors.

    An event that cannot be written makes the wire ``deaf``: nobody listens, the work goes on. ``patience`` is
    how many seconds a write may wait for a client that does not read (None: for ever), ``stall`` how many a client
    may let pass without a byte of what it announced. ``unwanted``: somebody else said that what runs is to end.
    ``hear`` is called when something was heard of the client.
    """

    def __init__(self, source: int, sink: int) -> None:
        self.deaf = False
        self.unwanted = False
        self.patience: float | None = None
        self.stall = SILENCE
        self.hear: Callable[[], None] = lambda: None
        self._source, self._sink = source, sink
        self._buffer = bytearray()
        self._ended = False
        self._owed = 0
        self._heard = time.monotonic()

    @property
    def gone(self) -> bool:
        """Whether the client was found to be gone; only who reads finds it."""
        return self.silent or (self._ended and not self._buffer)

    @property
    def silent(self) -> bool:
        """Whether nothing was heard of it for so long that it must be gone; as above."""
        return time.monotonic() - self._heard > SILENCE

    def only_speak(self) -> None:
        """From now on nothing is read here: another process does, which shares this wire."""
        os.close(self._source)
        self._ended = True

    def fall_silent(self) -> None:
        """This process has no part in it any more."""
        os.close(self._sink)
        self.only_speak()
        self.deaf = True

    @property
    def owed(self) -> int:
        """Announced bytes that have not been taken yet."""
        return self._owed

    def request(self, idle: float | None = None) -> dict[str, Any] | None:
        """The next request; None when the client is gone, or said nothing for ``idle`` seconds."""
        while b"\n" not in self._words():
            if len(self._buffer) > LONGEST_LINE:
                raise ValueError("a request without end")
            if not self._fill(idle):
                return None
        request = self._take_line()
        self._owed = announced(request.get("args") or {})
        return request

    def chunks(self, size: int) -> Iterator[bytes]:
        """``size`` announced bytes in pieces; raises Hangup where they stop before."""
        while size:
            # what nothing stands before need not be copied
            piece = self._take(min(size, CHUNK)) or self._read(min(size, CHUNK), self.stall)
            if not piece:
                raise Hangup
            size -= len(piece)
            self._owed -= len(piece)
            yield piece

    def discard(self, left: int = 0) -> None:
        """Drop announced bytes that nobody took, all but the ``left`` last, so that what comes next is found."""
        for _ in self.chunks(self._owed - left):
            pass

    def cancelled(self) -> bool:
        """Whether the client asked, meanwhile, to end what runs; never waits."""
        if self.unwanted:
            return True
        while not self._ended and len(self._buffer) < CHUNK and self._readable(0):
            self._fill(0)
        line, newline, _ = bytes(self._words()).partition(b"\n")
        if not newline or b'"cancel"' not in line or decode(line).get("do") != CANCEL:
            return False
        self._take_line()
        return True

    def event(self, kind: str, **fields: Any) -> None:
        """Tell the client; see ``deaf``."""
        if self.deaf:
            return
        try:
            self._write(encode({"event": kind, **fields}))
        except OSError:
            self.deaf = True

    def _words(self) -> bytearray:
        """What was said, without the empty lines before it."""
        del self._buffer[: len(self._buffer) - len(self._buffer.lstrip(b"\n"))]
        return self._buffer

    def _take_line(self) -> dict[str, Any]:
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer[:] = rest
        return decode(line)

    def _take(self, size: int) -> bytes:
        """As much of it as was read already."""
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        return piece

    def _fill(self, timeout: float | None) -> bool:
        data = self._read(CHUNK, timeout)
        self._buffer += data
        return bool(data)

    def _read(self, size: int, timeout: float | None) -> bytes:
        """What has come, empty where nothing does."""
        if self._ended or not self._readable(timeout):
            return b""
        data = os.read(self._source, size)
        self._ended = not data
        if data:
            self._heard = time.monotonic()
            self.hear()
        return data

    def _readable(self, timeout: float | None) -> bool:
        return bool(select.select([self._source], [], [], timeout)[0])

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if not select.select([], [self._sink], [], self.patience)[1]:
                raise TimeoutError("the client does not read")
            view = view[os.write(self._sink, view[:_SLICE]) :]
