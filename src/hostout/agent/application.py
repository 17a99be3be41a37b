"""Stopping and starting the application, by what its release was started with when it went live.

What does not belong here: why and in which order (``change.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from . import people, steps
from .release import Release
from .session import Session
from .steps import Runner

RECORDED = ("pre", "stop", "start", "post")
"""The lists of commands that a release's record keeps."""

Steps = Sequence[Mapping[str, Any]]


def recorded(release: Release) -> Mapping[str, Any]:
    """The commands with which it went live; empty where it was another program's, or never did."""
    commands = release.record.get("commands")
    if not isinstance(commands, dict) or not all(isinstance(commands.get(name), list) for name in RECORDED):
        return {}
    return commands


def trusted(release: Release) -> bool:
    """Whether what its record says may be run as root: a record that somebody else wrote makes nobody root."""
    return not people.is_root() or release.author == 0


def runner(session: Session, release: Release | None) -> Runner:
    """Runs in ``path``, into the log of the release, or of commands where there is none."""
    return Runner(session, session.site.log(release.name if release else "commands"), session.site.path)


def stop(session: Session, runs: Runner, release: Release, given: Steps) -> None:
    """The stop steps recorded with it, else those that the client knows. Raises Failed."""
    known = recorded(release)
    _trusting(runs, release, known).all(steps.of(known["stop"] if known else given), "stop hook")


def start(session: Session, release: Release, given: Steps) -> None:
    """Its start hooks, then its ``post-commands``, for who starts the application with those. Raises Failed."""
    known = recorded(release)
    runs = _trusting(runner(session, release), release, known)
    try:
        runs.all(steps.of(known["start"] if known else given), f"start hook of {release.name}")
    finally:
        runs.anyway(steps.as_root(known.get("post", ())), "post-command")


def _trusting(runs: Runner, release: Release, known: Mapping[str, Any]) -> Runner:
    return replace(runs, root=trusted(release)) if known else runs
