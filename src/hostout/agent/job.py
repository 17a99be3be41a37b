"""Work that goes on without its client: its log, its status file, and following it from the first line.

``.hostout/jobs/<release>.json`` is the status: what, who, when, which process, how it ended, and where in the log of
the release (``.log`` beside it) its lines begin and end. What does not belong here: what that work is (``build.py``),
its process (``detached.py``).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import durable, failure, lock, release, survivors
from .failure import Cancelled, Failed, storage
from .process import COMMAND, OURS, Output
from .protocol import NOTE, OUT, RUN, STAGING, Hangup, Wire
from .release import NAME, Release
from .session import Session
from .site import Site

RUNNING, DONE, FAILED = "running", "done", "failed"

_LOOK = 0.05
# how long who waits for a process that was killed may take to write that down
_GRACE = 1.0


def running(site: Site) -> dict[str, Any] | None:
    """The job that runs in ``path`` now: ``{"what", "release", "since", "user", "machine"}``; None where none does."""
    words = lock.said(site.lock)
    if words.job is None or not words.working:
        return None
    told = {**words.said, **words.job}
    return {name: told.get(name) for name in ("what", "release", "since", "user", "machine")}


@contextmanager
def recorded(session: Session, what: str, name: str) -> Iterator[None]:
    """What runs within is the job of a release: whoever comes may follow it, and see afterwards how it ended."""
    site, session.log = session.site, session.site.log(name)
    status = {**_begun(session), "what": what, "release": name}
    try:
        _write(site, status)
        session.lock.note(job=status)
        yield
    except Exception as error:
        _end(session, {**status, "state": FAILED, **failure.of(error, site.path).fields()})
        raise
    else:
        _end(session, {**status, "state": DONE})
    finally:
        session.log = None
        session.lock.note(job=None)


def killed(session: Session, name: str) -> Failed:
    """Note down that the job of a release was killed; gives that as a failure."""
    status = _status(session.site, name) or {}
    found = _killed(session.site, name, status)
    if status.get("state") == RUNNING:
        _end(session, {**status, "state": FAILED, **found.fields()})
    session.lock.note(job=None)
    return found


def follow(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action: the output of a release's build from its first line until it ends, and how it ended."""
    found = release.find(session.site, str(args["name"]))
    status = _status(session.site, found.name)
    if status is None:
        if found.state == STAGING:
            raise Failed(f"release {found.name} was never built here")
        return _as_built(found)
    with _opened(session.site.log(found.name)) as descriptor:
        output = Output(descriptor, _teller(session.wire), int(status.get("begins") or 0))
        wanted = _until_its_end(session, found.name, output)
    return _outcome(session.site, found.name, wanted)


def log(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action: the log of a release (by name, number or id; without any: the newest one), line by line."""
    name = _named(session.site, args.get("name"))
    with _opened(session.site.log(name)) as descriptor:
        Output(descriptor, lambda text: session.wire.event(OUT, text=text)).finish()
    status = _status(session.site, name) or {}
    if status.get("state") == FAILED:
        session.wire.event(OUT, text=f"{OURS}{status.get('message')}")
    return {"name": name}


def _begun(session: Session) -> dict[str, Any]:
    client, pid = session.question.get("client") or {}, os.getpid()
    try:
        begins = session.log.stat().st_size if session.log else 0
    except OSError:
        begins = 0
    who = {"user": client.get("user"), "machine": client.get("machine")}
    when = {"since": round(time.time(), 3), "pid": pid, "started": survivors.started(pid)}
    return {**who, **when, "state": RUNNING, "begins": begins}


def _end(session: Session, status: Mapping[str, Any]) -> None:
    """How it ended is the release's to say; the status is for who reads."""
    path = session.site.log(str(status["release"]))
    try:
        ends = path.stat().st_size if path.exists() else 0
        _write(session.site, {**status, "ended": round(time.time(), 3), "ends": ends})
    except (OSError, Failed) as error:
        session.warn(f"the end of this job is not written down: {failure.of(error, path).message}")


def _write(site: Site, status: Mapping[str, Any]) -> None:
    path = _path(site, str(status["release"]))
    try:
        with durable.own_folder(path.parent) as folder:
            durable.write_in(folder, path.name, durable.as_json(status), 0o600)
    except OSError as error:
        raise storage(error, path) from error


def _status(site: Site, name: str) -> dict[str, Any] | None:
    """What was written last; None where there is nothing that can be read."""
    try:
        descriptor = durable.open_own(_path(site, name), os.O_RDONLY | os.O_NONBLOCK)
    except PermissionError as error:
        raise storage(error, site.jobs) from error
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return lock.as_object(file.read())


def _path(site: Site, name: str) -> Path:
    return site.jobs / f"{name}.json"


def _lives(status: Mapping[str, Any]) -> bool:
    return status.get("state") == RUNNING and survivors.alive(int(status["pid"]), int(status["started"]))


def _until_its_end(session: Session, name: str, output: Output) -> bool:
    """Tell what it says until it has ended; whether nobody asked to end it."""
    wanted, site = True, session.site
    # asked before the output is read, so that nothing written before its end is missed
    while _lives(status := _status(site, name) or {}):
        if session.wire.cancelled():
            wanted = _cancel(status)
        elif session.wire.gone:
            raise Hangup
        if not output.follow():
            time.sleep(_LOOK)
    output.finish((_settled(site, name)).get("ends"))
    return wanted


def _cancel(status: Mapping[str, Any]) -> bool:
    """Its process ends what it runs; gives False."""
    try:
        os.kill(int(status["pid"]), signal.SIGTERM)
    except PermissionError as error:
        raise Failed(f"the job of {status.get('user')} cannot be ended by you: it is another user's") from error
    except ProcessLookupError:
        # that moment it came to its end
        return True
    return False


def _settled(site: Site, name: str) -> dict[str, Any]:
    """The status when its process has ended: where that was killed, somebody may just be writing so."""
    deadline = time.monotonic() + _GRACE
    while (status := _status(site, name) or {}).get("state") == RUNNING and time.monotonic() < deadline:
        time.sleep(_LOOK)
    return status


def _outcome(site: Site, name: str, wanted: bool) -> dict[str, Any]:
    status = _status(site, name) or {}
    if status.get("state") == DONE:
        return _as_built(release.find(site, name))
    if status.get("state") != FAILED:
        raise _killed(site, name, status)
    kind = Failed if wanted else Cancelled
    raise kind(
        str(status.get("message")),
        command=str(status.get("command") or ""),
        tail=map(str, status.get("tail") or ()),
        log=str(status.get("log") or site.log(name)),
        status=status.get("status"),
    )


def _killed(site: Site, name: str, status: Mapping[str, Any]) -> Failed:
    with _opened(site.log(name)) as descriptor:
        output = Output(descriptor, lambda text: None, int(status.get("begins") or 0))
        output.finish()
    what = f"the {status.get('what', 'job')} of release {name}"
    return Failed(f"{what} was killed", tail=output.tail, log=str(site.log(name)))


def _as_built(found: Release) -> dict[str, Any]:
    return {"state": found.state, "release": found.name}


def _named(site: Site, asked: Any) -> str:
    """The release whose log is meant; it may be gone, with its log still here."""
    try:
        logs = sorted(site.jobs.glob("*.log"), key=lambda path: path.stat().st_mtime)
    except OSError as error:
        raise storage(error, site.jobs) from error
    names = [path.stem for path in logs if NAME.fullmatch(path.stem)]
    found = [name for name in names if not asked or _means(str(asked), name)]
    if not found:
        there = ", ".join(names) or "none"
        raise Failed(f"there is no log of a release {asked or ''} in {site.jobs}; there are: {there}")
    return found[-1]


def _means(word: str, name: str) -> bool:
    """Whether ``word`` is that name, its id or its number."""
    number, _, ident = name.partition("-")
    return word in (name, ident) or (word.isdigit() and int(word) == int(number))


def _teller(wire: Wire) -> Any:
    """Gives lines of a log to the client as what they were."""

    def tell(line: str) -> None:
        for prefix, kind in ((COMMAND, RUN), (OURS, NOTE)):
            if line.startswith(prefix):
                return wire.event(kind, text=line[len(prefix) :])
        return wire.event(OUT, text=line)

    return tell


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """The log; empty where there is none yet."""
    try:
        descriptor = durable.open_own(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        descriptor = os.open(os.devnull, os.O_RDONLY)
    except OSError as error:
        raise storage(error, path) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)
