"""A release on disk: its record, its state, which one is live.

``release.json`` lies in the release's folder. Its states: ``staging`` → ``built`` → ``live`` → ``good`` or ``bad``;
each is written after a sync of everything that it vouches for. What does not belong here: making a folder
(``stage.py``), switching (``switch.py``).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import durable, tree
from .failure import Failed, storage
from .protocol import BROKEN
from .site import Site

RECORD = "release.json"
NAME = re.compile(r"(\d{4,})-([0-9a-z]+)")
_STATES = ("staging", "built", "live", "good", "bad")
# what is acted upon as root where root wrote it
_TRUSTED = ("commands", "before", "sudo_parts")


@dataclass(frozen=True)
class Release:
    """One folder of ``releases``; ``author`` is the user id that wrote its record."""

    folder: Path
    record: Mapping[str, Any]
    author: int

    @property
    def name(self) -> str:
        """``0007-3f9a1c2b``."""
        return self.folder.name

    @property
    def number(self) -> int:
        """7; 0 where the name is nobody's of ours."""
        found = NAME.fullmatch(self.name)
        return int(found[1]) if found else 0

    @property
    def id(self) -> str:
        """``3f9a1c2b``, or nothing."""
        return str(self.record.get("id", ""))

    @property
    def state(self) -> str:
        """One of the states, or ``broken`` where the record cannot be read."""
        state = self.record.get("state")
        return state if state in _STATES and NAME.fullmatch(self.name) else BROKEN

    @property
    def files(self) -> list[dict[str, Any]]:
        """The files of the bundle as recorded."""
        return [file for file in self.listed("files") if isinstance(file, dict)]

    def listed(self, name: str) -> list[Any]:
        """A list of its record; empty where that has something else there, by whoever's hand."""
        found = self.record.get(name)
        return found if isinstance(found, list) else []

    @property
    def below(self) -> tuple[Path, str]:
        """``path``, and its folder relative to that."""
        return self.folder.parent.parent, f"{self.folder.parent.name}/{self.name}"

    @property
    def shared(self) -> list[str]:
        """What it links to below ``path`` besides ``var``."""
        return [str(name) for name in self.listed("shared")]

    @property
    def states(self) -> Mapping[str, float]:
        """When it first was in which state, seconds since 1970."""
        states = self.record.get("states")
        known = states.items() if isinstance(states, dict) else ()
        return {str(state): float(when) for state, when in known if isinstance(when, (int, float))}

    def facts(self) -> dict[str, Any]:
        """As the facts have it."""
        return {"name": printable(self.name), "id": self.id, "number": self.number, "state": self.state}

    def changed(self, **changes: Any) -> Release:
        """The same release with another record, on disk as well."""
        record = {**self.vouched(), **changes}
        if "state" in changes:
            record["states"] = {changes["state"]: round(time.time(), 3), **self.states}
        try:
            with tree.opened(*self.below) as folder:
                durable.write_in(folder, RECORD, durable.as_json(record))
        except OSError as error:
            raise storage(error, self.folder / RECORD) from error
        return Release(self.folder, record, os.geteuid())

    def vouched(self) -> dict[str, Any]:
        """The record as root may sign it: commands that somebody else wrote into it are not among it."""
        signed = os.geteuid() != 0 or self.author == 0
        return {name: value for name, value in self.record.items() if signed or name not in _TRUSTED}


def load(folder: Path) -> Release:
    """The release in a folder; its state is ``broken`` where there is no readable record."""
    try:
        return Release(folder, *durable.read_signed_json(folder / RECORD))
    except (OSError, ValueError):
        return Release(folder, {}, -1)


def everything(site: Site) -> list[Release]:
    """All releases by number, foreign and broken folders included."""
    try:
        folders = [entry for entry in site.releases.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        return []
    return sorted(map(load, folders), key=lambda release: (release.number, release.name))


def find(site: Site, name: str) -> Release:
    """The release of that name; raises Failed where there is none that is whole."""
    release = load(site.release(name)) if NAME.fullmatch(name) else None
    if release is None or release.state == BROKEN:
        raise Failed(f"there is no release {name} in {site.releases}")
    return release


def live(site: Site) -> Release | None:
    """The release that ``current`` names; None where nothing is live."""
    name = live_name(site)
    return load(site.release(name)) if name else None


def live_name(site: Site) -> str | None:
    """Its name; only a link that we made counts."""
    name = named_by_current(site)
    return name if name and site.release(name).is_dir() else None


def named_by_current(site: Site) -> str | None:
    """The name that our link says, whether there is such a release or not."""
    try:
        target = str(site.current.readlink())
    except OSError:
        return None
    folder, _, name = target.rpartition("/")
    return name if folder == "releases" and name else None


def current(site: Site) -> str:
    """What ``current`` is: absent, link (ours, to a release), dangling (to one that is gone), foreign."""
    if not os.path.lexists(site.current):
        return "absent"
    if live_name(site):
        return "link"
    return "dangling" if named_by_current(site) else "foreign"


def way_out(name: str) -> str:
    """What a release's link ``name`` to the same name in ``path`` says: ``../../var``, so that ``path`` may move."""
    return "../" * (name.count("/") + 2) + name


def with_content(releases: list[Release], digests: Collection[str]) -> dict[str, list[Path]]:
    """By each sha256: files of releases that are recorded with it, newest first; to be verified by who takes one."""
    found: dict[str, list[Path]] = {digest: [] for digest in digests}
    for release in reversed(releases):
        for file in release.files:
            name, digest = str(file.get("name", "")), str(file.get("sha256"))
            if digest in found and not file.get("target") and not durable.outside(name):
                found[digest].append(release.folder / name)
    return found


def holds(path: Path, digest: str) -> bool:
    """Whether ``path`` is a file with that content."""
    try:
        return path.is_file() and not path.is_symlink() and durable.sha256(path) == digest
    except OSError:
        return False


def printable(name: str) -> str:
    """A file's name as it can be shown: no control characters, nothing that is not text."""
    return "".join(each if each.isprintable() else "?" for each in name)
