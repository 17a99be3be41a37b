"""Going live, brought to its end here: stop, switch, migrate, start, check; and back where something of it fails.

Each release's record keeps the commands that stop and start it, so that the one before can be started again by
what it was started with. What does not belong here: how a command runs (``steps.py``), the rename (``switch.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import health, people, release, steps, switch
from .failure import Failed
from .health import Check
from .protocol import BAD, GOOD, LIVE, STAGING
from .release import Release
from .session import Session
from .steps import Runner, Step

_RECORDED = ("pre", "stop", "start", "post")


def stop(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action: ``pre-commands``, and the stop hooks of what is live. It can be cancelled: then start that again."""
    live = release.live(session.site)
    session.stopped = live is not None
    runner = replace(_runner(session, live), cancellable=True)
    runner.anyway(steps.as_root(args.get("commands", ())), "pre-command")
    if live is not None:
        _stop_hooks(runner, live, args.get("hooks", ()))
    return {"stopped": live is not None}


def restart(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action: what is live is started as it was started when it went live."""
    session.stopped = False
    live = release.live(session.site)
    if live is not None:
        _start_again(session, live, args.get("start", ()))
    return {"started": live is not None}


def golive(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action; when it returns the release is live or good, when it raises the one before is live again."""
    new = release.find(session.site, str(args["name"]))
    if new.state == STAGING:
        raise Failed(f"release {new.name} is {new.state}: it has to be built before it can go live")
    switch.check(session.site)
    before = _before(session, new)
    recorded = {name: list(args.get(name, ())) for name in _RECORDED}
    new = new.changed(commands=recorded, before=before.name if before else None)
    return _Change(session, new, before, args).run()


@dataclass
class _Change:
    """One go-live. ``left``: the old one may be down; ``started``: the new one may be up."""

    session: Session
    new: Release
    before: Release | None
    args: Mapping[str, Any]
    left: bool = False
    switched: bool = False
    started: bool = False
    clean: bool = True

    def run(self) -> dict[str, Any]:
        """All of it, or back."""
        try:
            self._leave()
            self._switch()
            self._start()
            checked = self._check()
        except BaseException as error:
            raise self._go_back(_as_failure(error)) from error
        state = GOOD if checked or self.clean else LIVE
        self._settle(state)
        return {"name": self.new.name, "state": state, "before": self.before.name if self.before else None}

    def _leave(self) -> None:
        self.left, self.session.stopped = True, False
        if self.args.get("stopped"):
            return
        self._runner.anyway(self._lines("pre"), "pre-command")
        live = release.live(self.session.site)
        if live is not None:
            _stop_hooks(self._runner, live, self.args.get("stop", ()))

    def _switch(self) -> None:
        self.switched = True
        switch.to(self.session, self.new)
        self.new = self.new.changed(state=LIVE)
        self.session.note(f"release {self.new.name} is live")

    def _start(self) -> None:
        migrations = [Step(str(line)) for line in self.args.get("migrate", ())]
        self._runner.at(self.new.folder).all(migrations, "migrate-command")
        self.started = True
        self._runner.all(self._steps("start"), "start hook")
        if self.args.get("post_failure") == "rollback":
            self._runner.all(self._lines("post"), "post-command")
        else:
            self.clean = self._runner.anyway(self._lines("post"), "post-command")

    def _check(self) -> bool:
        """Whether there was something to check; raises Failed where it is not well."""
        hooks, check = self._steps("health"), Check.of(self.args.get("health_check"))
        self._runner.all(hooks, "health hook")
        if check is not None:
            health.passes(self._runner, check)
        return bool(hooks) or check is not None

    def _settle(self, state: str) -> None:
        """What runs well is not switched off because that cannot be written down."""
        try:
            self.new.changed(state=state)
        except Failed as failure:
            self.session.warn(f"release {self.new.name} is live, but its state is not recorded: {failure.message}")

    def _go_back(self, failure: Failed) -> Failed:
        """The release before is switched in and started; gives the failure with how that went."""
        back = f"{self.before.name} is live again" if self.before else "nothing is live"
        self.session.note(f"release {self.new.name} is bad: {failure.message}")
        parts = (self._end, self._switch_back, self._revive, self._mark)
        troubles = [trouble for trouble in map(self._attempt, parts) if trouble]
        outcome = f"but not all of that worked: {'; '.join(troubles)}" if troubles else back
        return failure.but(f"{failure.message}; release {self.new.name} is bad, {outcome}")

    def _attempt(self, part: Callable[[], None]) -> str:
        """Why that part of going back failed; the others are tried all the same."""
        try:
            part()
        except Exception as error:  # noqa: BLE001 - whatever it is, the application has to come up again
            return _as_failure(error).message
        return ""

    def _end(self) -> None:
        if self.started:
            self._runner.anyway((*self._lines("pre"), *self._steps("stop")), "stop of the bad release")

    def _switch_back(self) -> None:
        if self.switched and self.before is not None:
            switch.to(self.session, self.before)
        elif self.switched:
            switch.off(self.session.site)

    def _revive(self) -> None:
        if self.left and self.before is not None:
            _start_again(self.session, self.before, self.args.get("start", ()))

    def _mark(self) -> None:
        self.new.changed(state=BAD)

    @property
    def _runner(self) -> Runner:
        return Runner(self.session, self.session.site.log(self.new.name), self.session.site.path)

    def _steps(self, name: str) -> tuple[Step, ...]:
        return steps.of(self.args.get(name, ()))

    def _lines(self, name: str) -> tuple[Step, ...]:
        return steps.as_root(self.args.get(name, ()))


def _before(session: Session, new: Release) -> Release | None:
    """What to go back to; where the new one is live already (a switch that was cut short), what was before it."""
    live = release.live(session.site)
    if live is None or live.name != new.name:
        return live
    name = new.record.get("before")
    found = release.load(session.site.release(str(name))) if name and name != new.name else None
    return found if found is not None and found.record else None


def _stop_hooks(runner: Runner, live: Release, given: Sequence[Mapping[str, Any]]) -> None:
    """The stop steps recorded with what is live, else those that the client knows."""
    recorded = _recorded(live)
    trusted = _trusting(runner, live) if recorded else runner
    trusted.all(steps.of(recorded["stop"] if recorded else given), "stop hook")


def _start_again(session: Session, live: Release, given: Sequence[Mapping[str, Any]]) -> None:
    """Its start hooks, then its ``post-commands``, for who starts the application with those."""
    recorded = _recorded(live)
    runner = _runner(session, live)
    trusted = _trusting(runner, live) if recorded else runner
    try:
        trusted.all(steps.of(recorded["start"] if recorded else given), f"start hook of {live.name}")
    finally:
        trusted.anyway(steps.as_root(recorded.get("post", ())), "post-command")


def _recorded(live: Release) -> Mapping[str, Any]:
    """The commands with which it went live; empty where it was another program's, or never did."""
    commands = live.record.get("commands")
    if not isinstance(commands, dict) or not all(isinstance(commands.get(name), list) for name in _RECORDED):
        return {}
    return commands


def _trusting(runner: Runner, live: Release) -> Runner:
    """A record that somebody else wrote makes nobody root."""
    root = not people.is_root() or live.author == 0
    return replace(runner, root=root)


def _runner(session: Session, live: Release | None) -> Runner:
    return Runner(session, session.site.log(live.name if live else "commands"), session.site.path)


def _as_failure(error: BaseException) -> Failed:
    return error if isinstance(error, Failed) else Failed(f"{type(error).__name__}: {error}")
