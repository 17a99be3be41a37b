"""Going back to a release that was good, without uploading or building anything.

What does not belong here: the switch itself (``change.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from . import application, golive, release, switch
from .change import Change
from .failure import Failed
from .protocol import BAD, BROKEN, BUILT, GOOD, STAGING
from .release import Release
from .session import Session

_BACK = re.compile(r"-([1-9]\d*)")


def rollback(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action; when it returns that release is live, when it raises the one that was live is again."""
    site = session.site
    switch.check(site)
    was_lost = switch.mend(session)
    live, existing = release.live(site), release.everything(site)
    to = str(args.get("to") or "-1")
    back = _BACK.fullmatch(to)
    # where nothing was live any more, the last that was counts as one
    target = _back(existing, live, int(back[1]), counts=was_lost) if back else _named(existing, to)
    _check(target, bool(args.get("force")))
    if live is not None and live.name == target.name:
        return golive.anew(session, target, args) if was_lost else _live_already(session, target, args)
    return _change(session, target, live, args).run()


def _change(session: Session, target: Release, live: Release | None, args: Mapping[str, Any]) -> Change:
    """By the commands with which the target went live, where its record can be trusted; nothing is migrated."""
    known = application.recorded(target) if application.trusted(target) else {}
    commands = {name: list(known.get(name, args.get(name, ()))) for name in application.RECORDED}
    was = target.state
    target = target.changed(commands=commands, before=live.name if live else None)
    return Change(session, target, live, {**args, **commands, "pre": args.get("pre", ()), "migrate": ()}, was)


def _live_already(session: Session, target: Release, args: Mapping[str, Any]) -> dict[str, Any]:
    session.note(f"release {target.name} is live already")
    return golive.already(session, target, args)


def _back(existing: Sequence[Release], live: Release | None, steps: int, *, counts: bool) -> Release:
    """So many good releases back from the live one, which may count itself."""
    good = [one for one in existing if one.state == GOOD and _older(one, live, counts)]
    if len(good) < steps:
        raise Failed(f"nothing to go back to: {_too_few(len(good), live)}")
    return good[-steps]


def _too_few(good: int, live: Release | None) -> str:
    many = "only 1 good release is" if good == 1 else f"only {good} good releases are" if good else "no good release is"
    if live is None:
        return f"{many} there" if good else "there is no good release"
    return f"{many} older than {live.name}"


def _older(one: Release, live: Release | None, counts: bool) -> bool:
    return live is None or one.number < live.number or (counts and one.number == live.number)


def _named(existing: Sequence[Release], to: str) -> Release:
    """By name, number or id; of several with that id a good one, and the newest."""
    found = [one for one in existing if to in (one.name, one.id)] or [
        one for one in existing if to.isdigit() and one.number == int(to)
    ]
    if not found:
        there = f"; there are: {', '.join(one.name for one in existing)}" if existing else ": there is none at all"
        raise Failed(f"there is no release {to} on this host{there}")
    return max(found, key=lambda one: (one.state == GOOD, one.number))


def _check(target: Release, force: bool) -> None:
    if target.state == BROKEN:
        raise Failed(f"release {target.name} is broken: its record cannot be read")
    if target.state in (STAGING, BUILT):
        raise Failed(f"release {target.name} is {target.state}: it never was live; postdeploy makes a built one live")
    if target.state == BAD and not force:
        raise Failed(f"release {target.name} is bad: to go back to it all the same, use --force")
