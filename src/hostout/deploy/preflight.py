"""What a host has against a deployment: all of it at once, a line each, found before anything is changed there.

Pure, like ``plan``. What does not belong here: asking whoever deploys whether to go on all the same (``engine``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hostout.deploy.plan import Upload, amount, live_name
from hostout.model import Facts, Host

MARGIN = 32 * 1024 * 1024
"""Bytes that stay free beside what is sent and unpacked: logs, the ledger, the build's own scripts."""

MARGIN_FILES = 1000
"""The same in files."""

UNPACKED = 5
"""How much larger a wheel is once it lies in the cache and, unpacked, in the egg folder (measured: 3.1 to 4.9)."""

PER_WHEEL, BYTES_PER_FILE = 40, 2500
"""A wheel unpacks into about so many files and folders, and one more for so many of its bytes (measured)."""

SKEW = 60.0
"""Seconds that two clocks may differ before the times in logs and of releases mislead somebody."""


def problems(host: Host, facts: Facts, *, root: bool = True) -> list[str]:
    """Why this host cannot take any deployment as it stands; empty when it can.

    Not ``root``: root would deploy, but could not be become; what the login user may write says nothing then.
    """
    checks = (_occupied, _foreign, _left_behind, *((_unwritable,) if root else ()), _inert)
    return [line for check in checks for line in check(host, facts)]


def _occupied(host: Host, facts: Facts) -> Iterator[str]:
    if facts["path"]["kind"] == "other":
        what = "files that hostout did not make"
        yield f"path: {host.path} on the host holds {what}; choose another path or move them away"


def _foreign(host: Host, facts: Facts) -> Iterator[str]:
    if facts.data.get("current") == "foreign":
        yield f"path: {host.path}/current on the host is not the link that hostout made: move it away"


def _left_behind(host: Host, facts: Facts) -> Iterator[str]:
    live = live_name(facts)
    for name in facts.data.get("unshared") or ():
        there = f"{host.path}/releases/{live}/{name}"
        yield f"shared: {name} is still in release {live} itself: move {there} to {host.path}/{name} first"


def _unwritable(host: Host, facts: Facts) -> Iterator[str]:
    for what, option, where in _places(host, facts):
        if not facts[what]["writable"]:
            yield f"{option}: {where} on the host is not writable for {facts['user']}"


def _inert(host: Host, facts: Facts) -> Iterator[str]:
    for what, option, where in _places(host, facts):
        # scripts of a release are started, and libraries in eggs loaded: neither goes there
        if facts[what].get("noexec"):
            yield f"{option}: {where} on the host is on a file system that is mounted noexec: nothing runs from there"


def _places(host: Host, facts: Facts) -> list[tuple[str, str, str]]:
    """Which fact, by which option, which folder."""
    return [("path", "path", host.path), ("cache", "buildout-cache", facts["cache"]["directory"])]


def missing_accounts(facts: Facts) -> list[str]:
    """What ``bootstrap`` would create: ``user app``, ``group plone``."""
    return [f"user {n}" for n in facts["missing_users"]] + [f"group {n}" for n in facts["missing_groups"]]


# room


@dataclass(frozen=True)
class Need:
    """What will be written to one file system."""

    size: int = 0
    files: int = 0

    def __add__(self, other: Need) -> Need:
        return Need(self.size + other.size, self.files + other.files)


def room(host: Host, sent: Sequence[Upload], facts: Facts) -> list[str]:
    """Where the host has too little space, or too few inodes, for what would be sent; with both figures."""
    needs = {"cache": _unpacked(u for u in sent if u.to == "dist"), "path": _plain(u for u in sent if u.to == "file")}
    if facts["path"]["device"] == facts["cache"]["device"]:
        needs = {"path": needs["cache"] + needs["path"]}
    places = [(what, where) for what, _, where in _places(host, facts) if what in needs]
    return [line for what, where in places for line in _short(where, needs[what], facts, what)]


def _unpacked(wheels: Iterable[Upload]) -> Need:
    return sum((Need(UNPACKED * w.size, PER_WHEEL + w.size // BYTES_PER_FILE) for w in wheels), Need())


def _plain(files: Iterable[Upload]) -> Need:
    return sum((Need(file.size, 1) for file in files), Need())


def _short(where: str, need: Need, facts: Facts, what: str) -> Iterator[str]:
    if not need.files:
        return
    free, inodes = facts[what]["free"], facts[what].get("inodes")
    if free < need.size + MARGIN:
        wanted = amount(need.size + MARGIN)
        yield f"{where} on the host has {amount(free)} free, {wanted} are needed: make room there"
    if inodes is not None and inodes < need.files + MARGIN_FILES:
        wanted = str(need.files + MARGIN_FILES)
        yield f"{where} on the host has {inodes} inodes free, about {wanted} are needed: remove files there"


# what is no reason to stop


def clock(facts: Facts, now: float) -> str:
    """A warning where the clock of the host is more than a minute off ours, ``now`` in seconds; else empty."""
    there = float(facts.data.get("time", now))
    if abs(there - now) <= SKEW:
        return ""
    return f"the clocks differ: it is {_stamp(there)} on the host and {_stamp(now)} here"


def _stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def strays(facts: Facts) -> list[str]:
    """What the live release has that nobody deployed and nothing carries over, relative to it.

    What ``shared`` names is not among it: that is a problem by itself.
    """
    shared = set(facts.data.get("unshared") or ())
    return [name for name in facts.data.get("strays") or () if name.rstrip("/") not in shared]


def stays(name: str, live: str) -> str:
    """The line about one of them."""
    return f"{name} is not in var or shared: it stays in release {live}"


def changed(facts: Facts, live: str) -> str:
    """The line about what was changed in the live release since it was built; empty where nothing was."""
    names = facts.data.get("changed") or ()
    listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"changed on the host since it was built, and left in release {live}: {listed}" if names else ""


def keep(host: Host) -> str:
    """What to do about them."""
    return f"move what is data to {host.path} and name it in the option shared, or go on with --yes"
