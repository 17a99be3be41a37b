"""``examples/hello`` under a real supervisor on a Debian machine with systemd: what its users see of a deployment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from buildouts import VERSIONS, BuildoutEnvironment, environment
from machines import Machine
from plugged import init_script, plugged

HELLO = Path(__file__).parents[2] / "examples" / "hello"
BUILT = shutil.ignore_patterns("bin", "develop-eggs", "eggs", "parts", "var", ".installed.cfg", "*.egg-info")
TEXT = "This is the first version of the package."
BUILDOUT = """\
[buildout]
extends = base.cfg
parts += host1

[host1]
recipe = collective.hostout
extends = collective.hostout:supervisor
host = {machine.address}
user = root
identity-file = {machine.key}
host-key = accept-new
path = /srv/hello
effective-user = hello
buildout = production.cfg
include = hello.ini
{options}
"""
UNIT = "supervisor-srv-hello"

pytestmark = [pytest.mark.machine, pytest.mark.buildout]


class Hello:
    """A developer's copy of the example, and the machine that it is deployed to."""

    def __init__(self, env: BuildoutEnvironment, folder: Path, machine: Machine, *options: str) -> None:
        self.env = env
        self.folder = folder
        self.machine = machine
        if not folder.exists():
            shutil.copytree(HELLO, folder, ignore=BUILT)
        (folder / "buildout.cfg").write_text(BUILDOUT.format(machine=machine, options="\n".join(options)))
        env.build(folder)

    def says(self, text: str) -> None:
        """The next version of the package."""
        page = self.folder / "src" / "hello" / "src" / "hello" / "page.py"
        page.write_text(re.sub(r"^TEXT = .*", f"TEXT = {text!r}", page.read_text(), flags=re.MULTILINE))

    def produces(self, old: str, new: str) -> None:
        """Another production configuration."""
        file = self.folder / "production.cfg"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def hostout(self, *words: str) -> subprocess.CompletedProcess[str]:
        script, home = self.folder / "bin" / "hostout", Path(os.environ["HOME"])
        return self.env.script(self.folder, script, "host1", *words, home=home, timeout=300)

    def deploy(self) -> str:
        done = self.hostout("deploy")
        assert done.returncode == 0, done.stdout
        return done.stdout

    @property
    def supervisord(self) -> int:
        return int(self.machine.read("/srv/hello/var/supervisord.pid"))

    def is_service(self) -> bool:
        """Whether systemd has it, and knows that it runs."""
        active = self.machine.run(["systemctl", "is-active", UNIT], check=False).stdout == "active\n"
        return active and f"{UNIT}.service" in self.machine.read(f"/proc/{self.supervisord}/cgroup")

    def cannot_be_built(self) -> None:
        """Deploys a configuration that collective.recipe.supervisor does not understand."""
        self.produces("10 hello (startsecs=2)", "what is this")
        failed = self.hostout("deploy")
        assert failed.returncode == 1, failed.stdout
        assert "Program line incorrect" in failed.stdout

    def crashes(self) -> None:
        """Deploys a release whose program ends as soon as it is started."""
        self.produces("[run]", "[crash]")
        failed = self.hostout("deploy")
        assert failed.returncode == 1, failed.stdout
        assert re.search(r"out: hello +(FATAL|BACKOFF) ", failed.stdout), failed.stdout
        assert "usage: hello run" in failed.stdout, "the last words of the program"


New = Callable[..., Hello]


@pytest.fixture
def hello(machine: Machine, tmp_path: Path) -> New:
    """Makes a Hello with these options of the host part; again for the same copy with others."""
    machine.add_user("hello")
    return lambda *options: Hello(environment(max(VERSIONS)), tmp_path / "hello", machine, *options)


def runs(said: str) -> bool:
    """The status of supervisor is the last that comes from the host."""
    last = [line for line in said.splitlines() if line.startswith("[")][-1]
    running = re.fullmatch(r"\[\S+\] out: hello +RUNNING +pid \d+, uptime 0:00:\d\d", last)
    return bool(running) and said.endswith("\nDone.\n")


def test_a_deployment_ends_with_its_status_and_a_failed_build_leaves_the_old_processes_running(hello: New) -> None:
    mine = hello()
    assert runs(mine.deploy())
    assert TEXT in mine.machine.http()
    old = mine.supervisord
    mine.says("Another version.")
    assert runs(mine.deploy())
    assert "Another version." in mine.machine.http()
    assert not mine.machine.exists(f"/proc/{old}")
    new = mine.supervisord
    assert mine.machine.run(["stat", "-c", "%U", f"/proc/{new}"]).stdout == "hello\n"
    mine.cannot_be_built()
    assert mine.supervisord == new
    assert "Another version." in mine.machine.http()


def test_with_downtime_deploy_it_ends_so_too_and_a_failed_build_starts_the_old_processes_again(hello: New) -> None:
    mine = hello("downtime = deploy")
    assert runs(mine.deploy())
    mine.says("Another version.")
    assert runs(mine.deploy())
    assert "Another version." in mine.machine.http()
    mine.cannot_be_built()
    assert "Another version." in mine.machine.http()


def test_a_release_whose_program_crashes_is_bad_and_the_one_before_runs_again(hello: New) -> None:
    mine = hello()
    mine.deploy()
    mine.crashes()
    assert TEXT in mine.machine.http()


def test_with_init_d_the_application_is_a_service_that_starts_with_the_machine(hello: New) -> None:
    hello().deploy()
    mine = hello("init.d = True")
    by_hand = mine.supervisord
    mine.says("Another version.")
    assert runs(mine.deploy())
    assert not mine.machine.exists(f"/proc/{by_hand}"), "it takes over what was started without it"
    assert mine.is_service()
    unit = mine.machine.read(f"/etc/systemd/system/{UNIT}.service")
    assert "releases" not in unit
    assert "User=hello" in unit
    mine.machine.restart()
    assert "Another version." in mine.machine.http(within=120)
    assert mine.is_service()
    mine.machine.run("sync")
    mine.machine.restart(crash=True)
    assert "Another version." in mine.machine.http(within=120)
    mine.says("One more.")
    assert runs(mine.deploy())
    assert "One more." in mine.machine.http()
    assert mine.is_service()
    assert mine.machine.read(f"/etc/systemd/system/{UNIT}.service") == unit
    mine.crashes()
    assert "One more." in mine.machine.http()
    assert mine.is_service()


def test_the_commands_run_as_the_user_of_the_application(hello: New) -> None:
    mine = hello()
    mine.deploy()
    restarted = mine.hostout("supervisorctl", "restart", "hello")
    assert "[" + mine.machine.address + "] out: hello: started" in restarted.stdout
    stopped = mine.hostout("supervisorshutdown")
    assert stopped.returncode == 0, stopped.stdout
    assert not mine.machine.exists("/srv/hello/var/supervisord.pid")
    assert runs(mine.hostout("supervisorstartup").stdout)
    installed = mine.hostout("installonstartup")
    assert installed.returncode == 0, installed.stdout
    assert mine.machine.run(["systemctl", "is-enabled", UNIT]).stdout == "enabled\n"


def test_the_init_script_for_hosts_without_systemd_starts_and_stops_it(hello: New) -> None:
    mine = hello()
    mine.deploy()
    old = mine.supervisord
    host = plugged(Path("/srv/hello"), "hostout.plugins.supervisor", options={"init.d": "true"})
    mine.machine.write("/etc/init.d/hello", init_script(host).replace("@owner@", "hello"), 0o755)
    assert "is running already" in mine.machine.run(["/etc/init.d/hello", "start"]).stdout
    mine.machine.run(["/etc/init.d/hello", "restart"])
    assert mine.supervisord != old
    assert TEXT in mine.machine.http()
    assert mine.machine.run(["stat", "-c", "%U", f"/proc/{mine.supervisord}"]).stdout == "hello\n"
    mine.machine.run(["/etc/init.d/hello", "stop"])
    assert not mine.machine.exists("/srv/hello/var/supervisord.pid")
