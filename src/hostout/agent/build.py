"""Building a release in its folder: ``build-commands`` as root, eggs and buildout as the owner of the code.

Buildout runs without index, with nothing of anybody's configuration (``-U``, ``BUILDOUT_HOME`` to nowhere).
What does not belong here: stopping or starting anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from . import compiling, eggs, job, layout, manifest, release, sources, steps, syncing
from .failure import Cancelled, Failed, is_full, storage
from .protocol import BUILT, STAGING
from .release import Release
from .session import Session
from .sources import hermetic
from .steps import Runner


def build(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action; what is built stays ``staging`` until all of it is."""
    staged = release.find(session.site, str(args["name"]))
    if staged.state not in (STAGING, BUILT):
        raise Failed(f"release {staged.name} is {staged.state}: only a new one is built")
    with job.recorded(session, "build", staged.name):
        _build(session, staged.changed(state=STAGING) if staged.state == BUILT else staged, args)
    return {"state": BUILT, "log": str(session.site.log(staged.name))}


def _build(session: Session, staged: Release, args: Mapping[str, Any]) -> None:
    compiling.stop(session.site)
    runner = Runner(session, session.site.log(staged.name), session.site.path, cancellable=True)
    runner.all(steps.as_root(args.get("commands", ())), "build-command")
    with compiling.of_buildout(session, staged):
        new = eggs.fill(session, staged, _maker(runner, staged))
    if new and args.get("compile") == compiling.BACKGROUND:
        # buildout needs one core, and what is compiled by then makes the first start of the new release shorter
        compiling.start(session, staged, new)
    _still_wanted(session)
    _buildout(session, runner.at(staged.folder), staged, args)
    eggs.settle(session, staged)
    if args.get("compile") == compiling.BEFORE:
        compiling.now(session, staged)
    layout.settle_var(session)
    manifest.write(session, staged)
    _still_wanted(session)
    _sync(session, staged)
    staged.changed(state=BUILT)


def _sync(session: Session, staged: Release) -> None:
    """The word that it is built vouches for all that buildout wrote there and in the cache."""
    folders = (staged.folder, session.site.cache, session.site.egg_folders)
    try:
        # one that needs no distribution may never have had eggs
        syncing.sync(*filter(Path.exists, folders))
    except OSError as error:
        raise storage(error, staged.folder) from error


def _maker(runner: Runner, staged: Release) -> eggs.Make | None:
    """Who makes wheels of source distributions; nobody where the release has no pip."""
    environment = staged.record.get("environment")
    return partial(sources.wheel, runner, str(environment)) if environment else None


def _still_wanted(session: Session) -> None:
    """What runs no command hears of it here."""
    if session.wire.cancelled():
        raise Cancelled("the build was cancelled")


def _buildout(session: Session, runner: Runner, staged: Release, args: Mapping[str, Any]) -> None:
    options = [
        "-U",
        "-N",
        "-c",
        str(args.get("config") or staged.record["config"]),
        *map(str, args.get("arguments", ())),
    ]
    script = staged.folder / "bin" / "buildout"
    try:
        runner.program([str(script), *options], session.buildout, hermetic(session.site), _shown(options))
    except Failed as failure:
        if is_full(staged.folder) or is_full(session.site.cache):
            raise failure.but(f"{failure.message}: the disk is full") from failure
        raise


def _shown(options: list[str]) -> str:
    return " ".join(["bin/buildout", *options])
