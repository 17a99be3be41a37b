"""The actions that stop, switch and start: going live is brought to its end here, good or back.

Each release's record keeps the commands that stop and start it, so that the one before can be started again by
what it was started with. What does not belong here: the order of a switch (``change.py``), how a command runs
(``steps.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from . import application, compiling, journal, ledger, manifest, release, steps, switch
from .change import Change
from .failure import Failed, storage
from .protocol import GOOD, STAGING
from .release import Release
from .session import Session
from .site import Site


def stop(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action: ``pre-commands``, and the stop hooks of what is live. It can be cancelled: then start that again."""
    switch.check(session.site)
    switch.mend(session)
    live = release.live(session.site)
    if live is not None:
        journal.write(session.site, {"release": None, "before": live.name})
    session.stopped = live is not None
    runner = replace(application.runner(session, live), cancellable=True)
    runner.anyway(steps.as_root(args.get("commands", ())), "pre-command")
    if live is not None:
        application.stop(session, runner, live, args.get("hooks", ()))
    return {"stopped": live is not None}


def restart(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action: what is live is started as it was started when it went live."""
    session.stopped = False
    live = release.live(session.site)
    try:
        if live is not None:
            application.start(session, live, args.get("start", ()))
    finally:
        journal.end(session.site)
    return {"started": live is not None}


def golive(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action; when it returns the release is live or good, when it raises the one before is live again."""
    new = release.find(session.site, str(args["name"]))
    if new.state == STAGING:
        raise Failed(f"release {new.name} is {new.state}: it has to be built before it can go live")
    switch.check(session.site)
    switch.mend(session)
    live = release.live(session.site)
    if live is not None and live.name == new.name and new.state == GOOD:
        return already(session, new, args)
    _check_strays(session, live, args.get("strays", "any"))
    before, was = _before(session, new, live), new.state
    commands = {name: list(args.get(name, ())) for name in application.RECORDED}
    new = new.changed(commands=commands, before=before.name if before else None)
    done = Change(session, new, before, args, was).run()
    if args.get("compile") == compiling.BACKGROUND:
        compiling.start(session, new)
    return done


def already(session: Session, new: Release, args: Mapping[str, Any]) -> dict[str, Any]:
    """Nothing to do where it is live and good; what was stopped for it is started."""
    if args.get("stopped"):
        restart(session, args)
    return {"name": new.name, "state": new.state, "before": new.record.get("before"), "switch_seconds": 0.0}


def anew(session: Session, live: Release, args: Mapping[str, Any]) -> dict[str, Any]:
    """What is live is stopped, should it run, and started."""
    try:
        stop(session, {"commands": args.get("pre", ()), "hooks": args.get("stop", ())})
    except Failed as failure:
        session.warn(failure.message)
    return already(session, live, {**args, "stopped": True})


def unfinished(site: Site) -> bool:
    """Whether somebody began to stop or switch here and did not come to an end."""
    return journal.read(site) is not None


def recover(session: Session) -> None:
    """Bring an unfinished switch to its end: the release before is live and runs again. Needs the lock.

    Raises Failed where that release could not be switched to; that it could not be started is only said.
    """
    begun = journal.read(session.site)
    if begun is None:
        return
    name = begun.get("release") or begun.get("before")
    said = Change.unfinished(session, begun).take_back() if begun.get("release") else _start_stopped(session, name)
    session.stopped = False
    session.note(said)
    _note_down(session, {"what": "recover", "release": name, "message": said, "ok": True})


def _start_stopped(session: Session, name: Any) -> str:
    """After a stop that no switch followed."""
    said = f"a deployment was cut short when it had stopped release {name}"
    try:
        restart(session, {})
    except Failed as failure:
        return f"{said}, which cannot be started: {failure.message}"
    return f"{said}: it is started again"


def _note_down(session: Session, entry: Mapping[str, Any]) -> None:
    client = session.question.get("client") or {}
    try:
        ledger.append(session.site.ledger, {"user": client.get("user"), "machine": client.get("machine"), **entry})
    except OSError as error:
        session.warn(f"not in the ledger: {storage(error, session.site.ledger).message}")


def _check_strays(session: Session, live: Release | None, agreed: Any) -> None:
    """Raise Failed where data in the live release would be left behind, and nobody agreed to that."""
    if live is None or agreed == "any":
        return
    names = [name for name in manifest.strays(live) if name not in agreed]
    if not names:
        return
    listed = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    are, they, them = ("is", "it stays", "it") if len(names) == 1 else ("are", "they stay", "them")
    where = session.site.path / names[0].rstrip("/") if len(names) == 1 else session.site.path
    refusal = Failed(
        f"{listed} {are} not in var or shared: {they} in release {live.name}; "
        f"move {them} to {where} and name {them} in shared, or go on with --yes"
    )
    refusal.details = {"strays": names}
    raise refusal


def _before(session: Session, new: Release, live: Release | None) -> Release | None:
    """What to go back to; where the new one is live already (a switch that was cut short), what was before it."""
    if live is None or live.name != new.name:
        return live
    name = new.record.get("before")
    found = release.load(session.site.release(str(name))) if name and name != new.name else None
    return found if found is not None and found.record else None
