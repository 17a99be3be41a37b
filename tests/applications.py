"""``examples/hello`` deployed twice to an SSH host in this process: an application that runs, for what may befall it.

What does not belong here: what happens to it (the tests in ``hosts``), whole machines (``machines``).
"""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from buildouts import environment
from hostout.testing import EmbeddedHost, make_key
from ports import free_port
from projects import Project

WAIT, SOON = 60.0, 45.0

CONFIG = """\
[buildout]
extends = base.cfg
parts += host1 host2

[host1]
recipe = collective.hostout
host = {host.address}:{host.port}
user = {host.user}
identity-file = {key}
host-key = {host.fingerprint}
path = {host.home}/host1
no-sudo = true
buildout = one.cfg
include =
    hello.ini
    large
fabfiles = fabfile.py
pre-commands =
    {pause} stop
    ! test -x ${{buildout:directory}}/bin/hello || ${{buildout:directory}}/bin/hello stop
build-commands = {pause} build
migrate-commands = {pause} migrate
post-commands =
    {pause} start
    ${{buildout:directory}}/bin/hello start
post-failure = rollback
health-check = http://127.0.0.1:{port}/health

[host2]
recipe = collective.hostout
extends = host1
path = {host.home}/host2
buildout = two.cfg
downtime = deploy
health-check = http://127.0.0.1:{other}/health
"""

DEPLOYED = """\
[buildout]
extends = base.cfg

[settings]
port = {port}
"""

PAUSE = """\
#!/bin/sh
# waits where a test wants it to; gives up when nobody ends it
if test -e {points}/$1.fails; then . {points}/$1.fails; exit 7; fi
test -e {points}/$1 || exit 0
mv {points}/$1 {points}/$1.reached
for each in $(seq {seconds}0); do
    test -e {points}/$1.reached || exit 0
    sleep 0.1
done
"""

FABFILE = """
import subprocess

def predeploy():
    subprocess.run(["{pause}", "fabfile"], check=True)

def uploadbuildout():
    subprocess.run(["{pause}", "between"], check=True)
"""

SETUP = """
import subprocess, setuptools
subprocess.run(["{pause}", "packaging"], check=True)
setuptools.setup()
"""


@dataclass
class Site:
    """A project with two parts, ``host1`` (``downtime = switch``) and ``host2`` (``deploy``), on one host."""

    project: Project
    host: EmbeddedHost
    points: Path
    ports: dict[str, int]
    numbers: Iterator[int] = field(default_factory=count)
    greeting: str = "Hello"

    def pause_at(self, where: str) -> None:
        """Whoever comes to this point next waits there."""
        (self.points / where).touch()

    def go_on(self, where: str) -> None:
        """Whoever waits at this point does not any longer."""
        (self.points / f"{where}.reached").unlink()

    def fail_at(self, where: str, line: str) -> None:
        """Whoever comes to this point runs that shell line, and fails."""
        (self.points / f"{where}.fails").write_text(f"{line}\n")

    def reached(self, where: str) -> Callable[[], bool]:
        return (self.points / f"{where}.reached").exists

    def wait(self, until: Callable[[], bool], said: Callable[[], str] = str) -> None:
        """Until that is so; ``said`` is shown where it never is."""
        end = time.monotonic() + WAIT
        while not until():
            assert time.monotonic() < end, said()
            time.sleep(0.05)

    def clear(self) -> None:
        """No pause and no fault is left from before."""
        self.host.clear_faults()
        for point in self.points.iterdir():
            point.unlink()

    def greet(self) -> None:
        """Another content of the release, which its page shows."""
        self.greeting = f"Hello {next(self.numbers)}!"
        self.project.write("hello.ini", f"[hello]\ngreeting = {self.greeting}\n")

    def page(self, part: str) -> str:
        """What the application says, "" where it does not run."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[part]}/", timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.URLError:
            return ""

    def current(self, part: str) -> str:
        return str((self.host.home / part / "current").readlink())

    def leftovers(self) -> list[str]:
        """Temporary files, here and on the host."""
        ours, theirs = self.project.folder / "parts" / "hostout", self.host.home
        folders = [ours, *ours.iterdir(), *(folder for place in PLACES for folder in theirs.glob(place))]
        hidden = [path for folder in folders for path in folder.glob(".*") if path.name not in KEPT]
        partial = [path for folder in theirs.rglob(".partial") for path in folder.iterdir()]
        return sorted(map(str, [*hidden, *partial, *Path(self.project.environment["TMPDIR"]).iterdir()]))


PLACES = ("*", "*/releases", "*/releases/*", "*/.hostout", "*/buildout", "*/downloads", "*/downloads/dist")
OURS = (".builds.json", ".files.json", ".hashes.json", ".resolved.json")
KEPT = (".hostout", ".installed.cfg", ".manifest.json", ".partial", *OURS)


def begin(folder: Path, host: EmbeddedHost, key: Path) -> Site:
    """The project, built, with everything deployed that a deployment can find there."""
    project = Project.of("hello", environment("6.0.1"), folder)
    points, ports = folder / "points", {"host1": free_port(), "host2": free_port()}
    pause = folder / "pause"
    pause.write_text(PAUSE.format(points=points, seconds=int(WAIT)))
    pause.chmod(0o755)
    for made in (points, folder / "tmp"):
        made.mkdir()
    project.environment["TMPDIR"] = str(folder / "tmp")
    options = {"host": host, "key": key, "pause": pause, "port": ports["host1"], "other": ports["host2"]}
    project.write("buildout.cfg", CONFIG.format(**options))
    project.write("one.cfg", DEPLOYED.format(port=ports["host1"]))
    project.write("two.cfg", DEPLOYED.format(port=ports["host2"]))
    project.write("large", "")
    project.write("fabfile.py", FABFILE.format(pause=pause))
    project.write("src/hello/setup.py", SETUP.format(pause=pause))
    project.build()
    return Site(project, host, points, ports)


@contextmanager
def deployed(folder: Path) -> Iterator[Site]:
    """Both parts deployed: the application runs twice."""
    key = make_key(folder / "key")
    with EmbeddedHost(folder / "host", authorized_keys=[key.with_suffix(".pub")]) as host:
        site = begin(folder, host, key)
        try:
            site.project.succeed("all", "deploy")
            yield site
        finally:
            for part in site.ports:
                if (script := host.home / part / "bin/hello").exists():
                    subprocess.run([script, "stop"], check=False, timeout=WAIT)
