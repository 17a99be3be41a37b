"""What is here: the answer to the one question, gathered without changing anything.

What does not belong here: judging it; the plan does that on the developer's machine.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from . import adoption, durable, job, journal, layout, manifest, people, release, store, switch
from .failure import existing, room
from .protocol import AGENT, BROKEN, BUILT, STAGING
from .release import Release
from .session import Session
from .site import Site


def facts(session: Session, args: Any = None) -> dict[str, Any]:
    """The action: the same as in the first line, as of now."""
    return {"facts": gather(session)}


def gather(session: Session) -> dict[str, Any]:
    """The facts, as ``protocol.py`` and the plan have them."""
    question, site = session.question, session.site
    owners = people.owners(question)
    releases = release.everything(site)
    live = release.live(site)
    drift = _drift(live)
    return {
        **_who(),
        "python": python(),
        "owners": owners.facts(),
        "missing_users": list(owners.missing_users),
        "missing_groups": list(owners.missing_groups),
        "path": {"exists": site.path.exists(), "kind": layout.kind(site), **_place(site.path)},
        "cache": {"directory": str(site.cache), **_place(site.cache)},
        "releases": [one.facts() for one in releases],
        "live": live.name if live else None,
        "current": release.current(site),
        "unchanged": drift is not None and drift.none and switch.linked(site, drift.made),
        "strays": drift.strays if drift else [],
        "changed": drift.changed if drift else [],
        "job": (running := job.running(site)),
        "built": _newest(releases, live, question, BUILT, manifest.whole),
        "staged": _newest(releases, live, question, STAGING, lambda one: one.name != (running or {}).get("release")),
        "adopt": adoption.pending(site),
        "switching": journal.read(site) is not None,
        "unshared": _unshared(site, live, question.get("shared") or ()),
        "next": 1 + max((one.number for one in releases), default=0),
        "have": store.distributions(site, question.get("want") or ()),
        "blobs": _blobs(site, releases, question.get("files") or ()),
        "partial": store.partials(site),
        "environment": bool(key := question.get("environment")) and site.python(str(key)).exists(),
    }


def _drift(live: Release | None) -> manifest.Drift | None:
    """Of the live release: quick, see ``manifest.compare``. None where it cannot be said."""
    try:
        return manifest.compare(live) if live and live.state != BROKEN else None
    except OSError:
        return None


def _newest(
    releases: list[Release],
    live: Release | None,
    question: Mapping[str, Any],
    state: str,
    fit: Callable[[Release], bool],
) -> str | None:
    """The newest release of the asked content, newer than the live one, in that state, if it is ``fit``."""
    after = live.number if live else 0
    same = [one for one in releases if one.id == question.get("release") and one.number > after and one.state == state]
    return next((one.name for one in reversed(same) if fit(one)), None)


def _unshared(site: Site, live: Release | None, names: Iterable[str]) -> list[str]:
    """What of the names the live release has itself, so that it would be left behind by one that shares it."""
    inside = [name for name in names if live and not durable.outside(name) and _is_real(live.folder, name)]
    return [name for name in inside if not _is_real(site.path, name)]


def _is_real(top: Path, name: str) -> bool:
    """Whether it is there, and no link leads to it; one of root's in ``path`` may, to another disk."""
    path = top
    for part in name.split("/"):
        path = path / part
        if path.is_symlink() and str(path.readlink()).startswith(("current/", "../")):
            return False
    return os.path.lexists(path)


def python() -> dict[str, Any]:
    """What decides which wheels fit."""
    return {
        "version": "{}.{}.{}".format(*sys.version_info),
        "implementation": sys.implementation.name,
        "platform": sysconfig.get_platform(),
        "libc": _libc(),
        "executable": sys.executable,
        "soabi": sysconfig.get_config_var("SOABI"),
    }


def _who() -> dict[str, Any]:
    return {
        "agent": AGENT,
        "uid": os.geteuid(),
        "user": people.agent().name,
        "login": people.login(),
        "hostname": os.uname().nodename,
        "time": time.time(),
    }


def _place(path: Path) -> dict[str, Any]:
    """Room, and whether the agent may write, at a path or where it would be made."""
    there = existing(path)
    free, inodes = room(path)
    return {
        "writable": there.is_dir() and os.access(there, os.W_OK | os.X_OK),
        "free": free,
        "inodes": inodes,
        "device": there.stat().st_dev,
        "noexec": bool(os.statvfs(there).f_flag & os.ST_NOEXEC),
    }


def _blobs(site: Site, releases: list[Release], wanted: Collection[str]) -> list[str]:
    """Which of the wanted contents need not be sent: what a record says is verified."""
    places = release.with_content(releases, wanted)
    return [
        digest
        for digest in wanted
        if any(release.holds(path, digest) for path in (site.incoming / digest, *places[digest]))
    ]


def _libc() -> list[str] | None:
    """Kind and version of the C library; None where it is neither glibc nor musl."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        return _musl()
    return [name, version] if version else _musl()


def _musl() -> list[str] | None:
    """Its loader says the version on standard error: ``Version 1.2.3``."""
    for loader in sorted(Path("/lib").glob("ld-musl-*.so.1")):
        said = subprocess.run([str(loader)], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=10, check=False)
        found = re.search(rb"Version (\d+\.\d+)", said.stderr)
        return ["musl", found[1].decode()] if found else None
    return None
