"""What can be asked of the agent: the table of its actions.

What does not belong here: what they do; but for the smallest.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from . import (
    build,
    clean,
    environment,
    facts,
    golive,
    health,
    job,
    later,
    layout,
    report,
    rollback,
    scope,
    stage,
    steps,
    uploads,
    watch,
)
from .failure import Failed
from .perform import Action
from .session import Session


def _command(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action ``command``: one step, in ``cwd`` or ``path``."""
    site = session.site
    scope.leave_login_session("hostout-command")
    cwd = site.path / str(args.get("cwd") or "")
    # on a full disk there is no room for another one
    with nullcontext() if site.jobs.is_dir() else tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch, "log") if scratch else site.log("commands")
        runner = steps.Runner(session, log, cwd if cwd.is_dir() else Path("/"), cancellable=True)
        try:
            runner.one(steps.Step.of(args), "command")
        except Failed as failed:
            failed.log = "" if scratch else failed.log
            raise
    return {"status": 0}


def _layout(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action ``layout``, and what is known from then on: with the lock in hand nobody else changes it."""
    layout.layout(session, args)
    return facts.facts(session)


def _fetch(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action ``fetch``, for which its modules travel with the request."""
    later.load(args.get("modules") or {})
    from . import fetch  # noqa: PLC0415 - they are here only now

    return fetch.fetch(session, args)


def _nothing(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The actions ``put``, a line in the ledger, and ``recover``, what everybody does who takes the lock."""
    return {}


ACTIONS = {
    "facts": Action(facts.facts, locks=False, changes=False),
    "layout": Action(_layout, locks=False),
    "fetch": Action(_fetch),
    "receive": Action(uploads.receive),
    "environment": Action(environment.make),
    "stage": Action(stage.stage),
    "build": Action(build.build, job=True),
    "stop": Action(watch.stop),
    "golive": Action(golive.golive, final=True),
    "restart": watch.RESTART,
    "command": Action(_command, locks=False, changes=False),
    "owners": Action(layout.owners),
    "put": Action(_nothing),
    "recover": Action(_nothing, changes=False),
    "rollback": Action(rollback.rollback, final=True),
    "follow": Action(job.follow, locks=False, changes=False),
    "log": Action(job.log, locks=False, changes=False),
    "releases": Action(report.releases, locks=False, changes=False),
    "status": Action(report.status, locks=False, changes=False),
    "recorded": Action(report.recorded, locks=False, changes=False),
    "clean": Action(clean.clean),
    "would_clean": Action(clean.would, locks=False, changes=False),
    "health": Action(health.now, locks=False, changes=False),
}
