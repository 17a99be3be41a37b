"""Where deployments are tried: a machine with a disk, an application under load, and faults that strike it.

``Field.attempt`` deploys the other content, lets a fault strike meanwhile, and looks at everything afterwards; the
next plain ``deploy`` has to put all right.

What does not belong here: the faults themselves (the tests).
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import machine_base
from buildouts import environment
from faults.client import Call, Desk
from faults.contents import (
    CACHE,
    DEPLOY,
    LETTERS,
    PACKAGE,
    PATH,
    PORT,
    SHARED,
    SWITCH,
    UNIT,
    Content,
    content,
    data_of_the_application,
)
from faults.disk import PREFIX, DiskMachine, sweep, with_disk
from faults.load import Load
from faults.processes import Processes
from faults.survey import Survey, readable
from faults.table import Row
from machines import Testbed

SOON = 60.0
FIRST, ASIDE = "first", "/srv/aside"
BUGS = ("this is a bug in hostout", "the agent has a bug")
"""What is said of a failure that nobody thought of."""

Strike = Callable[["Attempt"], None]
"""Lets a fault happen to a deployment that has begun to connect; the host can be reached again when it returns."""


@dataclass
class Attempt:
    """One deployment that a fault may befall: ``call`` deploys ``new`` where the id ``old`` is live.

    ``also`` is another id that may be live afterwards. ``found`` is what is wrong.
    """

    at: Field
    call: Call
    part: str
    old: str
    new: Content
    chance: random.Random
    struck: float = 0.0
    recovered: float = 0.0
    also: str = ""
    found: list[str] = field(default_factory=list)

    @property
    def duration(self) -> float:
        """Seconds that it takes undisturbed."""
        return self.at.durations[self.part if self.old else FIRST]

    @property
    def new_id(self) -> str:
        """The id of what is deployed."""
        return self.at.ids[self.part, self.new.letter]

    def wait(self) -> float:
        """Lets a random moment of the deployment come."""
        moment = self.chance.uniform(0, self.duration)
        self.call.until(moment)
        return moment

    def strikes(self) -> None:
        """Now."""
        self.struck = time.monotonic()


class Field:
    """Everything that the tries share. ``ids`` are those of the releases, by part and letter."""

    def __init__(self, testbed: Testbed, place: Path, stack: ExitStack) -> None:
        self.place = place
        self.testbed = testbed
        self.machine: DiskMachine = with_disk(testbed, f"faults{len(testbed.machines)}", place / "disk")
        stack.callback(self.machine.switch_off)
        self.machine.add_user("app")
        self.machine.write("/etc/systemd/system/faultapp.service", UNIT)
        self.machine.run("systemctl daemon-reload && systemctl enable -q faultapp")
        self.desk = Desk(testbed, place)
        stack.callback(lambda: self.desk.destroy())
        self.survey = Survey(self.machine.disk.folder)
        self.processes = Processes(self.machine)
        env = environment("6.0.1")
        self.contents = {letter: content(letter, env, place, self.machine) for letter in LETTERS}
        self.load = Load(self.machine.address, PORT)
        stack.callback(self.load.close)
        self.ids: dict[tuple[str, str], str] = {}
        self.durations: dict[str, float] = {}
        self.steps: dict[str, list[str]] = {}
        self.learn()

    # ----- undisturbed -----------------------------------------------------------------------------------------

    def learn(self) -> None:
        """Deploys everything that there is with nothing in its way: what is right, and how long it takes."""
        self._first()
        for part, letter in ((SWITCH, "A"), (DEPLOY, "B"), (SWITCH, "A"), (DEPLOY, "B")):
            self.forget_all_but_live()
            with self.load.watch() as watch:
                self._undisturbed(part, letter)
            assert watch.strangers(*self.pages) == [], watch.strangers(*self.pages)
        with self.bare():
            began = time.monotonic()
            self.contents["A"].project.succeed(SWITCH, "deploy")
            self.durations[FIRST] = time.monotonic() - began

    def _first(self) -> None:
        """The first deployments, with all that they get from elsewhere, and the data of the application."""
        for part in (SWITCH, DEPLOY):
            for letter in LETTERS:
                self.contents[letter].project.succeed(part, "deploy")
                self.ids[part, letter] = self.survey.learn()
        for name, bytes_ in data_of_the_application().items():
            file = self.survey.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(bytes_)
        self.machine.run(f"chown -R app: {PATH}/var/ {PATH}/{SHARED}/ && sync")
        self.survey.data = self.survey.data_now()

    def _undisturbed(self, part: str, letter: str) -> None:
        names = self.place / f"steps-{part}-{letter}"
        names.write_text("")
        call = self.desk.call(self.contents[letter], part, "deploy", FAULTS_STEPS=str(names))
        call.connects()
        status = call.end()
        assert status == 0, call.text
        self.durations[part] = time.monotonic() - call.began
        self.steps[part] = names.read_text().split()
        found = self.survey.problems(self.ids[part, letter])
        assert not found, "\n".join(found)
        assert self.machine.http() == self.contents[letter].page

    @property
    def pages(self) -> tuple[str, ...]:
        """What the application may say at any time."""
        return tuple(each.page for each in self.contents.values())

    # ----- one try ---------------------------------------------------------------------------------------------

    def attempt(
        self, row: Row, strike: Strike, chance: random.Random, part: str = "", **environment: str
    ) -> list[str]:
        """Deploys the other content while ``strike`` happens; gives all that is wrong afterwards, and counts it."""
        attempt = self._begin(chance, part or chance.choice((SWITCH, DEPLOY)), environment)
        return self._struck(attempt, row, strike)

    def _struck(self, attempt: Attempt, row: Row, strike: Strike) -> list[str]:
        with self.load.watch() as watch:
            strike(attempt)
            status = attempt.call.end()
            attempt.struck = attempt.struck or time.monotonic()
            left = self._afterwards(attempt)
        row.recovered.append(round(attempt.recovered - attempt.struck, 2))
        row.away.append(round(watch.gap, 2))
        attempt.found += [f"a page of nobody's: {page}" for page in watch.strangers(*self.pages)]
        attempt.found += [f"it says: {bug}" for bug in BUGS if bug in attempt.call.text]
        if not attempt.found:
            row.count(left == attempt.new_id)
            return []
        row.lost += 1
        return [*attempt.found, f"the deployment that was struck ({attempt.part}) gave {status}:", attempt.call.text]

    def first_attempt(self, row: Row, strike: Strike, chance: random.Random) -> list[str]:
        """The same where nothing was ever deployed: what is live afterwards is nothing, or all of it."""
        part, new = chance.choice((SWITCH, DEPLOY)), self.contents[chance.choice(LETTERS)]
        with self.bare():
            call = self.desk.call(new, part, "deploy")
            call.connects()
            attempt = Attempt(self, call, part, "", new, chance)
            return self._struck(attempt, row, strike)

    @contextmanager
    def bare(self) -> Iterator[None]:
        """The host as if it had never heard of the application."""
        self.machine.run(f"systemctl stop faultapp; mkdir {ASIDE} && mv {PATH} {CACHE} {ASIDE}/ && sync")
        data, self.survey.data = self.survey.data, {}
        try:
            yield
        finally:
            for process in self.processes.ours():
                process.kill()
            self.survey.data = data
            back = f"rm -rf {PATH} {CACHE} && mv {ASIDE}/* /srv/ && rmdir {ASIDE} && sync"
            self.machine.run(f"systemctl stop faultapp; {back} && systemctl start faultapp")

    def _begin(self, chance: random.Random, part: str, environment: dict[str, str]) -> Attempt:
        """Everything as before the other content was ever deployed, and its deployment on the way."""
        self.forget_all_but_live()
        old = self.survey.live_id()
        letter = next(letter for letter in LETTERS if old not in self.ids_of(letter))
        call = self.desk.call(self.contents[letter], part, "deploy", **environment)
        call.connects()
        return Attempt(self, call, part, old, self.contents[letter], chance)

    def _afterwards(self, attempt: Attempt) -> str:
        """What is live is whole; then, at once or when the host rests, the next deployment puts all right."""
        found, new = attempt.found, attempt.new_id
        if attempt.chance.random() < 0.5:
            found += [f"still there: {line}" for line in self.rest()]
            found += self.answers() if attempt.old or self.survey.live_id() else []
        left = self.survey.live_id()
        found += self.survey.problems(attempt.old, new, attempt.also)
        found += self._deploy_again(attempt)
        attempt.recovered = time.monotonic()
        found += [f"still there in the end: {line}" for line in self.rest()]
        found += self.survey.problems(new) + self.survey.sealed()
        return left

    def _deploy_again(self, attempt: Attempt) -> list[str]:
        """The next plain ``deploy`` needs no manual step."""
        call = self.desk.call(attempt.new, attempt.part, "deploy")
        status = call.end()
        if status:
            return [f"the next deploy gave {status}:", call.text]
        state = readable(self.survey.live()).get("state")
        found = [] if state == "good" else [f"it is {state} after the next deploy"]
        return [*found, *self.answers(attempt.new.page)]

    def answers(self, *pages: str) -> list[str]:
        """The application runs, and is one of those that it may be: by default the one that is live."""
        expected = pages or tuple(self.contents[letter].page for letter in LETTERS if self._is_live(letter))
        end, page = time.monotonic() + SOON, ""
        while page not in expected and time.monotonic() < end:
            page, failure = self.load.look()
            page = page or failure
        return [] if page in expected else [f"the application says {page}, not {' or '.join(expected)}"]

    def _is_live(self, letter: str) -> bool:
        return self.survey.live_id() in self.ids_of(letter)

    def ids_of(self, letter: str) -> list[str]:
        """Of the releases with that content."""
        return [self.ids[part, letter] for part in (SWITCH, DEPLOY) if (part, letter) in self.ids]

    def rest(self) -> list[str]:
        """Waits until the host has nothing more to do for us; gives what stays."""
        return self.processes.after_rest()

    def new_desk(self) -> None:
        """Another machine to deploy from."""
        self.desk = Desk(self.testbed, self.place)

    # ----- between tries -----------------------------------------------------------------------------------------

    def forget_all_but_live(self) -> None:
        """Releases, eggs and wheels that what is live does not need: the next deployment has to bring and make them."""
        live = self.survey.live()
        for release in self.survey.releases():
            if release != live:
                shutil.rmtree(release)
        needed = [dist["filename"] for dist in readable(live)["dists"]]
        versions = [name.split("-")[1] for name in needed if name.startswith(PACKAGE)]
        for folder in ("eggs/v5", "downloads/dist", "downloads/dist/.partial", "downloads/.partial"):
            for path in (self.survey.cache / folder).glob("*"):
                if PACKAGE in path.name and not any(version in path.name for version in versions):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in (self.survey.path / ".hostout" / "incoming").glob("*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def put_right(self) -> None:
        """After a failure: nothing of ours runs any more, and something is live; an empty disk where that fails."""
        for process in self.processes.ours():
            process.kill()
        letter = next((letter for letter in LETTERS if self._is_live(letter)), "A")
        call = self.desk.call(self.contents[letter], SWITCH, "deploy")
        if call.end() or self.survey.problems(self.ids[SWITCH, letter]) or self.survey.sealed():
            self._start_over()

    def _start_over(self) -> None:
        self.machine.repair_disk()
        self.machine.run(f"systemctl stop faultapp; rm -rf {PATH} {CACHE}")
        self.survey = Survey(self.machine.disk.folder)
        self.learn()


@contextmanager
def opened(testbed: Testbed) -> Iterator[Field]:
    """A field for this run; nothing is left of it, nor of earlier runs."""
    # one at a time: another worker that begins now finds the same
    with machine_base.locked(machine_base.cache() / "sweep.lock", 120):
        for left in sweep(Path(tempfile.gettempdir())):
            shutil.rmtree(left)
    place = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, place)
        yield Field(testbed, place, stack)


