"""One release takes the place of another: stop, switch, migrate, start, check; and back where something of it fails.

What is begun is journalled before the first stop, so that it can be taken back by whoever finds it unfinished.
What does not belong here: which release that is (``golive.py``, ``rollback.py``), the rename (``switch.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import application, clean, health, journal, liveparts, process, release, steps, switch
from .failure import Failed
from .health import Check
from .protocol import BAD, GOOD, LIVE
from .release import Release
from .session import Session
from .steps import Runner, Step


@dataclass
class Change:
    """``args`` as of ``golive``. ``left``: the old one may be down; ``started``: the new one may be up."""

    session: Session
    new: Release
    before: Release | None
    args: Mapping[str, Any]
    was: str
    left: bool = False
    switched: bool = False
    started: bool = False
    clean: bool = True
    _began: float = field(default_factory=time.monotonic)
    _seconds: float = 0.0

    @classmethod
    def unfinished(cls, session: Session, begun: Mapping[str, Any]) -> Change:
        """The one that somebody began, from the journal."""
        new = release.load(session.site.release(str(begun["release"])))
        before = release.load(session.site.release(str(begun["before"]))) if begun["before"] else None
        # somebody may have removed it meanwhile: what was good before that is better than nothing
        found = before if before is None or before.folder.is_dir() else switch.was_live(session.site, but=new.name)
        switched = switch.named(session.site) == new.name
        return cls(session, new, found, begun["args"], str(begun["was"]), True, switched, switched)

    def run(self) -> dict[str, Any]:
        """All of it, or back."""
        self._begin()
        try:
            self._leave()
            self._switch()
            liveparts.build(self.session, self.new, self.before)
            self._start()
            checked = self._check()
        except BaseException as error:
            raise self._go_back(as_failure(error)) from error
        state = GOOD if checked or self.clean or self.was == GOOD else LIVE
        self._settle(state)
        return {
            "name": self.new.name,
            "state": state,
            "before": self.before.name if self.before else None,
            "switch_seconds": round(self._seconds, 3),
        }

    def take_back(self) -> str:
        """After it was cut short: the release before is live and runs; how that went. Raises Failed where it cannot."""
        self._attempt(self._end)
        self._switch_back()
        troubles = self._attempts(self._revive_somehow, self._mark if self.switched else lambda: None)
        journal.end(self.session.site)
        return f"the switch to release {self.new.name} was cut short: {self._outcome(troubles)}"

    def _begin(self) -> None:
        begun = {
            "release": self.new.name,
            "before": self.before.name if self.before else None,
            "was": self.was,
            "args": {name: self.args.get(name, []) for name in ("pre", "stop", "start")},
        }
        journal.write(self.session.site, begun)
        self.left, self.session.stopped = True, False

    def _leave(self) -> None:
        if self.args.get("stopped"):
            return
        began = time.monotonic()
        self._runner.anyway(self._lines("pre"), "pre-command")
        live = release.live(self.session.site)
        if live is not None:
            application.stop(self.session, self._runner, live, self.args.get("stop", ()))
        # what others take is not ours
        self._began += time.monotonic() - began

    def _switch(self) -> None:
        self.switched = True
        switch.to(self.session, self.new)
        self._seconds = time.monotonic() - self._began
        self.new = self.new.changed(state=LIVE, since=round(time.time(), 3))
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
        """Whether there was a ``health-check``; raises Failed where it is not well, or a hook says so."""
        check = Check.of(self.args.get("health_check"))
        self._runner.all(self._steps("health"), "health hook")
        if check is not None:
            health.passes(self._runner, check)
        return check is not None

    def _settle(self, state: str) -> None:
        """What runs well is not switched off because that cannot be written down, or something cannot be removed."""
        try:
            journal.end(self.session.site)
            self.new.changed(state=state)
        except Failed as failure:
            self.session.warn(f"release {self.new.name} is live, but its state is not recorded: {failure.message}")
        if self.args.get("keep") is not None:
            trouble = self._attempt(lambda: clean.tidy(self.session, int(self.args["keep"])))
            if trouble:
                self.session.warn(f"release {self.new.name} is live, but not all was tidied up: {trouble}")

    def _go_back(self, failure: Failed) -> Failed:
        """The release before is switched in and started; gives the failure with how that went."""
        failure = self._with_log(failure)
        what, mark = f"release {self.new.name} is bad", self._mark_bad
        if not self.switched and self.was in (GOOD, LIVE):
            # what went wrong is the other one's: this one is still there to be gone back to
            what, mark = f"release {self.new.name} is not live", self._mark
        self.session.note(f"{what}: {failure.message}")
        troubles = self._attempts(self._end, self._switch_back, self._revive, mark, self._forget)
        return failure.but(f"{failure.message}; {what}, {self._outcome(troubles)}")

    def _with_log(self, failure: Failed) -> Failed:
        """What no command said (a page that does not answer) is told with what was said last before."""
        if failure.log:
            return failure
        log = self._runner.log
        return Failed(failure.message, tail=process.last(log), log=str(log))

    def _outcome(self, troubles: list[str]) -> str:
        if troubles:
            return f"but not all of that worked: {'; '.join(troubles)}"
        return f"{self.before.name} is live again" if self.before else "nothing is live"

    def _attempts(self, *parts: Callable[[], None]) -> list[str]:
        return [trouble for trouble in map(self._attempt, parts) if trouble]

    def _attempt(self, part: Callable[[], None]) -> str:
        """Why that part of going back failed; the others are tried all the same."""
        try:
            part()
        except Exception as error:  # noqa: BLE001 - whatever it is, the application has to come up again
            return as_failure(error).message
        return ""

    def _end(self) -> None:
        if self.started:
            self._runner.anyway((*self._lines("pre"), *self._steps("stop")), "stop of the bad release")

    def _switch_back(self) -> None:
        if not self.switched:
            return
        if self.before is None:
            # what took effect outside is taken back while the links still lead into the release that did it
            trouble = self._attempt(lambda: liveparts.build(self.session, None, self.new))
            switch.off(self.session.site)
        else:
            switch.back(self.session, self.before)
            before = self.before
            trouble = self._attempt(lambda: liveparts.build(self.session, before, self.new))
        if trouble:
            self.session.warn(trouble)

    def _revive(self) -> None:
        if self.left and self.before is not None:
            application.start(self.session, self.before, self.args.get("start", ()))

    def _revive_somehow(self) -> None:
        """Nobody knows whether it is up, half up or down: what cannot be started is stopped first."""
        before = self.before
        if before is not None and self._attempt(self._revive):
            given = self.args.get("stop", ())
            self._attempt(lambda: application.stop(self.session, self._runner, before, given))
            self._revive()

    def _mark_bad(self) -> None:
        self.new.changed(state=BAD)

    def _mark(self) -> None:
        """What was good once has not been shown to be bad."""
        self.new.changed(state=self.was if self.was in (GOOD, LIVE) else BAD)

    def _forget(self) -> None:
        journal.end(self.session.site)

    @property
    def _runner(self) -> Runner:
        return application.runner(self.session, self.new)

    def _steps(self, name: str) -> tuple[Step, ...]:
        return steps.of(self.args.get(name, ()))

    def _lines(self, name: str) -> tuple[Step, ...]:
        return steps.as_root(self.args.get(name, ()))


def as_failure(error: BaseException) -> Failed:
    """Whatever ended it, as one line."""
    return error if isinstance(error, Failed) else Failed(f"{type(error).__name__}: {error}")
