"""Commands and hooks as the plan gives them: who runs them, with their tries, told to the client as they run.

What does not belong here: their order, and what follows from a failure (``golive.py``, ``build.py``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import people
from .failure import Cancelled, Failed
from .people import Person
from .process import CANCELLED, Command, Outcome, run
from .protocol import OUT, RUN, SUDO
from .session import Session


@dataclass(frozen=True)
class Step:
    """One shell line; see ``command`` in ``protocol.py``."""

    line: str
    user: str = "owner"
    timeout: float | None = None
    retry: float = 0.0
    interval: float = 1.0
    text: str = ""

    @classmethod
    def of(cls, step: Mapping[str, Any]) -> Step:
        """From the wire or a record, there with or without the envelope of a request."""
        args = {"text": step.get("text", ""), **step.get("args", step)}
        timeout = args.get("timeout")
        return cls(
            line=str(args["line"]),
            user=str(args.get("user", "owner")),
            timeout=None if timeout is None else float(timeout),
            retry=float(args.get("retry", 0.0)),
            interval=float(args.get("interval", 1.0)),
            text=str(args["text"]),
        )

    @property
    def shown(self) -> str:
        """What people read of it: the line, or what a script of many lines is there for (the record has it whole)."""
        return self.text if self.text and "\n" in self.line.strip() else self.line


def of(steps: Iterable[Mapping[str, Any]]) -> tuple[Step, ...]:
    """All of a list."""
    return tuple(map(Step.of, steps))


def as_root(lines: Iterable[str]) -> tuple[Step, ...]:
    """Command lines of the configuration as steps of root."""
    return tuple(Step(str(line), "root") for line in lines)


@dataclass(frozen=True)
class Runner:
    """Runs steps for a session in ``cwd``; the output also goes to ``log``.

    ``root`` is False where what is run comes from a record that root did not write.
    """

    session: Session
    log: Path
    cwd: Path
    root: bool = True
    cancellable: bool = False

    def at(self, cwd: Path) -> Runner:
        """The same one in another folder."""
        return replace(self, cwd=cwd)

    def all(self, steps: Iterable[Step], what: str) -> None:
        """Run one after the other; raises Failed at the first that fails."""
        for step in steps:
            self.one(step, what)

    def anyway(self, steps: Iterable[Step], what: str) -> bool:
        """Run all of them; failures are reported only. Whether there were none. Raises Cancelled."""
        results = [self._reported(step, what) for step in steps]
        return all(results)

    def one(self, step: Step, what: str) -> None:
        """Run it, again until it succeeds or its ``retry`` seconds are over; raises Failed."""
        deadline = time.monotonic() + step.retry
        while not (outcome := self._shell(step)).ok:
            if outcome.ended == CANCELLED or time.monotonic() + step.interval > deadline:
                raise self.failed(outcome, step.shown, f"{what} failed ({outcome}): {step.text or step.line}")
            time.sleep(step.interval)

    def program(self, argv: Sequence[str], person: Person, environment: Mapping[str, str], shown: str) -> None:
        """Run a program of ours that keeps the lock; raises Failed."""
        keep = self.session.lock.descriptors
        command = Command(tuple(argv), shown, person, self.cwd, environment=environment, keep=keep)
        outcome = self._run(command, RUN)
        if not outcome.ok:
            raise self.failed(outcome, shown, f"{shown} failed ({outcome})")

    def failed(self, outcome: Outcome, command: str, message: str) -> Failed:
        """What to raise for an outcome."""
        kind = Cancelled if outcome.ended == CANCELLED else Failed
        return kind(message, command=command, tail=outcome.tail, log=str(self.log), status=outcome.status)

    def _reported(self, step: Step, what: str) -> bool:
        try:
            self.one(step, what)
        except Cancelled:
            raise
        except Failed as failure:
            self.session.warn(failure.message)
            return False
        return True

    def _shell(self, step: Step) -> Outcome:
        person = self._person(step.user)
        kind = SUDO if people.is_root() and person.uid == 0 else RUN
        command = Command(("/bin/sh", "-c", step.line), step.shown, person, self.cwd, step.timeout)
        return self._run(command, kind)

    def _run(self, command: Command, kind: str) -> Outcome:
        wire = self.session.wire
        wire.event(kind, text=command.shown)
        cancelled = wire.cancelled if self.cancellable else lambda: False
        running = self.session.lock.running
        return run(command, self.log, lambda text: wire.event(OUT, text=text), cancelled, running)

    def _person(self, user: str) -> Person:
        """Root where there is a way to it, else who the agent is."""
        return people.agent() if user == "root" and self.root else self.session.effective
