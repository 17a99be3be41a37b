"""Asks a host about itself and says what it answers: releases, status, diff, log, clean, check.

Nothing here changes what is deployed, and all of it works on a host that has nothing, or no room. What does not belong
here: the words (``report``, ``difference``), what a deployment does (``engine``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hostout.deploy import difference, plan, preflight, report
from hostout.errors import HostoutError, RemoteError
from hostout.model import Event, Json, Step, command_step

if TYPE_CHECKING:
    from hostout.deploy.engine import Deployment

URLS = ("http://", "https://")


class Inspection:
    """Looks at the host of one Deployment. All raise ``RemoteError`` and ``ConnectionFailed`` as that does."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._around = deployment.around
        self._path = deployment.host.path

    def releases(self) -> None:
        """The table of releases."""
        found = self._ask("releases", "list the releases")
        self._list(report.releases(found["releases"], self._path), releases=found["releases"])
        if found.get("ledger"):
            self._warn(found["ledger"])

    def status(self) -> None:
        """What is live, and whether its files are what was deployed. Raises RemoteError where something is wrong."""
        found = self._status()
        self._list(report.status(found, self._path), status=found)
        if told := report.troubles(found, self._path):
            raise self._failure("; ".join(told))

    def diff(self) -> None:
        """What the next deployment would change. Packages the release."""
        release, facts = self._deployment.release, self._deployment.facts
        if plan.is_live(release, facts):
            self._say(f"nothing would change: release {facts['live']} is live, and its files are what was deployed")
            return
        recorded = self._ask("recorded", "read the configuration of the live release")
        before = difference.live(recorded, release.config)
        lines = difference.lines(before, difference.next_one(release, self._deployment.contents))
        if not recorded.get("live"):
            self._say(f"nothing is live in {self._path}: release {release.id} would be the first")
        elif not lines:
            self._say(f"nothing would change in release {before.title}, {self._why_again(before.title)}")
        if lines:
            self._list(lines, live=recorded.get("live"), release=release.id)

    def _why_again(self, live: str) -> str:
        facts = self._deployment.facts
        same = live.endswith(f"-{self._deployment.release.id}")
        state = next((r["state"] for r in facts["releases"] if r["name"] == live), "")
        if same and state != "good":
            return f"but it is {state} and not good, so that it would be deployed again"
        if same:
            return "but its files are not what was deployed (status names them), so that it would be deployed again"
        return "but it was made with another Python, or by an older hostout, so that it would be deployed again"

    def log(self, release: str) -> None:
        """The log of a release's build (a name, number or id), of the newest without one."""
        if not self._nothing():
            self._ask("log", f"show the log of {release or 'the newest build'}", name=release or None)

    def clean(self) -> None:
        """Removes what nobody needs, or with ``--dry-run`` says what that is."""
        if self._nothing():
            return
        options, keep = self._around.options, self._deployment.host.keep_releases
        action, text = ("would_clean", "see what") if options.dry_run else ("clean", "remove what")
        found = self._ask(action, f"{text} nobody needs, besides {keep} good releases", keep=keep)
        lines = report.cleaned(found, dry_run=options.dry_run, verbose=options.verbose)
        for line in lines:
            self._say(line, {"cleaned": found} if line is lines[-1] else {})

    def check(self, checks: Callable[[], None], hooks: Callable[[], Sequence[Step]]) -> None:
        """Whether all is well, a line for each thing. Raises RemoteError where something is not.

        ``checks`` are those of the plugins, before a deployment; ``hooks`` what they ask a host about its health.
        """
        fine = [
            self._verdict("configuration", _complaint(checks)),
            self._verdict("host", self._unfit()),
        ]
        found = self._status()
        fine += [
            self._verdict("release", report.not_good(found, self._path)),
            self._verdict("files", report.summary(report.drift(found))),
        ]
        if found.get("live"):
            fine.append(self._health(hooks()))
        if not all(fine):
            raise self._failure("not all is well")

    def _unfit(self) -> list[str]:
        """Why a deployment could not begin; connects."""
        facts = self._deployment.facts
        if warning := preflight.clock(facts, self._deployment.agent.heard):
            self._warn(warning)
        missing = [f"no {account}" for account in preflight.missing_accounts(facts)]
        return [*preflight.problems(self._deployment.host, facts), *missing]

    def _health(self, hooks: Sequence[Step]) -> bool:
        steps = [*self._health_check(), *map(_once, hooks)]
        if not steps:
            return self._line("health: nothing to ask, there is no health-check")
        if self._around.options.dry_run:
            return self._line("health: not asked (--dry-run)")
        return self._verdict("health", [wrong for step in steps for wrong in self._wrong(step)])

    def _health_check(self) -> list[Step]:
        host = self._deployment.host
        if not host.health_check:
            return []
        if host.health_check.startswith(URLS):
            return [Step("health", f"ask {host.health_check}", {"health_check": plan.health_check(host)})]
        return [command_step("health-check", host.health_check, timeout=host.health_timeout)]

    def _wrong(self, step: Step) -> list[str]:
        return _complaint(lambda: self._deployment.ask(step), RemoteError)

    # how it is asked and said

    def _nothing(self) -> bool:
        """Whether there is no release at all; then that is said."""
        if not self._deployment.facts["releases"]:
            self._say(report.nothing_deployed(self._path))
            return True
        return False

    def _ask(self, action: str, text: str, **args: Json) -> Json:
        return self._deployment.ask(Step(action, text, args))

    def _status(self) -> Mapping[str, Json]:
        switching = self._deployment.facts.data.get("switching", False)
        return {"switching": switching, **self._ask("status", "say what is live")}

    def _verdict(self, what: str, wrong: Sequence[str]) -> bool:
        self._list([report.verdict(what, wrong)], check=what, ok=not wrong)
        return not wrong

    def _line(self, text: str) -> bool:
        self._list([text])
        return True

    def _list(self, lines: Iterable[str], **data: Json) -> None:
        self._around.emit(Event("listing", "\n".join(lines), self._around.label, data))

    def _say(self, text: str, data: Mapping[str, Json] | None = None) -> None:
        self._around.emit(Event("hostout", text, self._around.label, data or {}))

    def _warn(self, text: str) -> None:
        self._around.emit(Event("warning", text, self._around.label))

    def _failure(self, text: str) -> RemoteError:
        return RemoteError(text, host=self._deployment.host.name)


def _complaint(call: Callable[[], object], kind: type[HostoutError] = HostoutError) -> list[str]:
    """What somebody has to say against it; nothing where it succeeds."""
    try:
        call()
    except kind as error:
        return [error.message or "it says no"]
    return []


def _once(step: Step) -> Step:
    """Asked now, not until it says yes."""
    shown = plan.said(step)
    return replace(shown, args={**shown.args, "retry": 0.0})
