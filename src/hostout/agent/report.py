"""What is there and what happened: the releases, the live one's drift, text for comparing. Changes nothing.

What does not belong here: tables and sentences; those are made on the developer's machine.
"""

from __future__ import annotations

import time
from calendar import timegm
from collections.abc import Mapping
from typing import Any

from . import durable, job, ledger, manifest, references, release, tree
from .failure import storage
from .protocol import LIVE, STAGING
from .release import Release
from .session import Session
from .site import Site

_LARGEST = 1 << 20
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_WENT_LIVE = ("golive", "rollback")


def releases(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action: every release with its history."""
    site = session.site
    live = release.live_name(site)
    every = [_history(one, live) for one in release.everything(site)]
    return {"releases": every, "ledger": _entries(site)[1]}


def status(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action: what is live, since when, and which of its files are no longer what was deployed."""
    site = session.site
    live, (entries, _) = release.live(site), _entries(site)
    here = {"current": release.current(site), "job": job.running(site)}
    if live is None:
        return {**_NOTHING, **here, "was": _was(site, entries)}
    since = site.current.lstat().st_mtime
    return {
        "live": live.name,
        "since": since,
        "was": None,
        "put": [_put(entry) for entry in entries if _is_put(entry, live, since)],
        **{name: _history(live, live.name)[name] for name in ("state", "client", "scm")},
        **_drift(site, live),
        **here,
    }


def recorded(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action: the live release's record, and the text of its configuration files."""
    live = release.live(session.site)
    if live is None:
        return {"live": None, "record": {}, "files": {}}
    names = [str(file.get("name")) for file in live.files if not file.get("target")]
    texts = {name: _text(live, name) for name in names if name.endswith(".cfg") and not durable.outside(name)}
    files = {name: text for name, text in texts.items() if text is not None}
    return {"live": live.name, "record": dict(live.record), "files": files}


_NOTHING: Mapping[str, Any] = {
    **dict.fromkeys(("live", "since", "state")),
    **{name: {} for name in ("client", "scm")},
    **{name: [] for name in ("changed", "missing", "strays", "put", "eggs")},
    "unverified": False,
}


def _history(one: Release, live: str | None) -> dict[str, Any]:
    return {
        **one.facts(),
        "live": one.name == live,
        "states": dict(one.states),
        "client": _object(one.record.get("client")),
        "scm": _object(one.record.get("scm")),
        "when": one.states.get(LIVE, one.states.get(STAGING)),
    }


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _drift(site: Site, live: Release) -> dict[str, Any]:
    drift = manifest.compare(live, thorough=True)
    eggs = sorted(name for name in references.eggs_in(site, live) if not (site.egg_folders / name).exists())
    return {
        "changed": drift.changed,
        "missing": drift.missing,
        "strays": drift.strays,
        "unverified": not drift.verified,
        "eggs": eggs,
    }


def _text(live: Release, name: str) -> str | None:
    """Of a file of the bundle, where it is one still and text."""
    top, below = live.below
    folder, _, last = f"{below}/{name}".rpartition("/")
    try:
        with tree.opened(top, folder) as descriptor:
            return tree.content(descriptor, last, _LARGEST).decode()
    except (OSError, UnicodeDecodeError):
        return None


def _entries(site: Site) -> tuple[list[dict[str, Any]], str | None]:
    try:
        return ledger.entries(site.ledger)
    except OSError as error:
        return [], storage(error, site.ledger).message


def _was(site: Site, entries: list[dict[str, Any]]) -> str | None:
    """What was live last, where nothing is."""
    gone = release.named_by_current(site)
    lived = (entry.get("release") for entry in reversed(entries) if entry.get("what") in _WENT_LIVE and entry.get("ok"))
    return gone or next((str(name) for name in lived if name), None)


def _is_put(entry: Mapping[str, Any], live: Release, since: float) -> bool:
    return entry.get("what") == "put" and entry.get("release") == live.name and _when(entry) >= since - 1


def _put(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry.get(name) for name in ("time", "file", "user", "machine")}


def _when(entry: Mapping[str, Any]) -> float:
    try:
        return timegm(time.strptime(str(entry.get("time")), _TIME))
    except ValueError:
        return 0.0
