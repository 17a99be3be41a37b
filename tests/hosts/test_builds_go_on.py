"""Builds and switches on a host that ends what a user leaves running (logind with ``KillUserProcesses=yes``)."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from buildouts import BuildoutEnvironment, environment
from machines import Machine
from projects import Project, hello, settle, uploaded

pytestmark = [pytest.mark.buildout, pytest.mark.machine]

FIRST, SECOND = "the first version", "the second version"
PAGE = "src/hello/src/hello/page.py"
HELLO = "${buildout:directory}/bin/hello start"
START = f"su app -c '{HELLO}'"
LONG = 180.0

PAUSE = """\
#!/bin/sh
# waits where a test wants it to
test -e /srv/points/pause-$1 || exit 0
touch /srv/points/reached-$1
while test -e /srv/points/pause-$1; do sleep 0.1; done
"""
COMPILING = "pgrep -f 'buildout/[^/]*/bin/[p]ython -I -S -B /proc/self/fd/'"
HOLD = f"""\
#!/bin/sh
# whoever compiles bytecode is held, once, as soon as they begin: beside buildout, and after the switch
seen=
for each in $(seq 60000); do
    test -e /srv/points/free && exit
    for pid in $({COMPILING}); do
        case " $seen " in *" $pid "*) continue ;; esac
        kill -STOP "$pid" && touch /srv/points/held
        seen="$seen $pid"
    done
    sleep 0.02
done
"""

UNCOMPILED = """
find /srv/buildout-cache/eggs/v5 /srv/buildout-cache/buildout -name '*.py' -size +0 | while read -r each; do
    set -- "${each%/*}/__pycache__/$(basename "${each%.py}")".cpython-*.pyc
    test -e "$1" || echo "$each"
done
"""
UNNAMED = "find /srv/buildout-cache -path '*/__pycache__/.*'"
PAUSES = """
    build-commands = /usr/local/bin/pause build
    migrate-commands = /usr/local/bin/pause migrate
"""


@pytest.fixture
def env() -> BuildoutEnvironment:
    return environment("6.0.1")


@pytest.fixture
def machine(logind_machine: Machine) -> Machine:
    logind_machine.add_user("app")
    logind_machine.write("/usr/local/bin/pause", PAUSE, 0o755)
    logind_machine.run("install -d -m 777 /srv/points")
    return logind_machine


def until(what: str, happens: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG
    while not happens():
        assert time.monotonic() < end, f"did not happen: {what}"
        time.sleep(0.1)


def left(machine: Machine) -> None:
    """Everybody has left, and logind has ended what they left running."""
    until("all sessions end", lambda: not machine.run("loginctl --no-legend list-sessions").stdout.strip())
    scopes = "systemctl --no-legend list-units --state=active,deactivating 'session-*.scope'"
    until("all that was in them ends", lambda: not machine.run(scopes).stdout.strip())


def hold(machine: Machine) -> None:
    """From now on who compiles bytecode does not get on with it."""
    machine.write("/usr/local/bin/hold", HOLD, 0o755)
    machine.run("setsid /usr/local/bin/hold >/dev/null 2>&1 </dev/null &")


def let_go(machine: Machine) -> None:
    """All of them get on with it, and nobody is held any more."""
    machine.run("touch /srv/points/free")
    until("the one who holds ends", lambda: not machine.run("pgrep -f '[l]ocal/bin/hold'", check=False).stdout)
    machine.run(f"kill -CONT $({COMPILING})")


def state(machine: Machine, number: int) -> str:
    """The state of that release."""
    found = machine.run(f"cat /srv/hello/releases/{number:04}-*/release.json", check=False).stdout
    return str(json.loads(found)["state"]) if found else ""


@contextmanager
def paused(machine: Machine, project: Project, where: str) -> Iterator[None]:
    """A deployment that is where it is to wait, and whose client is killed there; it goes on afterwards."""
    machine.run(f"touch /srv/points/pause-{where}")
    argv = [str(project.folder / "bin" / "hostout"), "host1", "deploy"]
    with (project.home / "out").open("wb") as out:
        client = subprocess.Popen(
            argv, cwd=project.folder, env=project.variables(), stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        end = time.monotonic() + LONG
        while not machine.exists(f"/srv/points/reached-{where}"):
            assert client.poll() is None and time.monotonic() < end, (project.home / "out").read_text()
            time.sleep(0.1)
    finally:
        client.kill()
        client.wait()
    left(machine)
    yield
    machine.run(f"rm /srv/points/pause-{where}")


def ours(project: Project) -> Project:
    """``su`` opens a session of its own, which this host ends together with all that was started in it."""
    project.edit("buildout.cfg", START, f"runuser -u app -- {HELLO}")
    project.build()
    return project


def deployed(env: BuildoutEnvironment, folder: Path, machine: Machine, user: str) -> Project:
    """The first version is live, and the second one is waiting to be deployed."""
    if user != "root":
        machine.add_user(user, sudo="nopasswd")
    project = ours(hello(env, folder, machine, user, PAUSES))
    project.succeed("host1", "deploy")
    project.edit(PAGE, FIRST, SECOND)
    return project


def test_host_ends_what_a_user_leaves_running(machine: Machine, tmp_path: Path) -> None:
    known = machine.known_hosts(tmp_path / "known_hosts")
    options = ["-F", "none", "-i", str(machine.key), "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes"]
    line = "setsid sleep 300 >/dev/null 2>&1 </dev/null & echo $!"
    for user in ("root", "app"):
        argv = ["ssh", *options, f"{user}@{machine.address}", line]
        pid = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True).stdout.strip()
        left(machine)
        assert not machine.exists(f"/proc/{pid}")


@pytest.mark.parametrize("user", ["root", "deploy"])
def test_build_goes_on_and_what_was_started_survives(
    env: BuildoutEnvironment, machine: Machine, tmp_path: Path, user: str
) -> None:
    hold(machine)
    project = deployed(env, tmp_path, machine, user)
    left(machine)
    assert FIRST in machine.http()
    assert machine.exists("/srv/points/held")
    let_go(machine)
    settle(machine)
    assert machine.run(UNCOMPILED).stdout == ""
    with paused(machine, project, "build"):
        assert machine.run("pgrep -f 'pause build'").stdout
        assert state(machine, 2) == "staging"
    until("it is built", lambda: state(machine, 2) == "built")
    assert FIRST in machine.http()
    said = project.succeed("host1", "deploy")
    assert uploaded(said) == []
    left(machine)
    assert SECOND in machine.http()
    assert state(machine, 2) == "good"


@pytest.mark.parametrize("user", ["root", "deploy"])
def test_switch_is_brought_to_its_end(env: BuildoutEnvironment, machine: Machine, tmp_path: Path, user: str) -> None:
    project = deployed(env, tmp_path, machine, user)
    with paused(machine, project, "migrate"):
        assert machine.run("pgrep -f 'pause migrate'").stdout
    until("it is good", lambda: state(machine, 2) == "good")
    assert SECOND in machine.http()


def test_scopes_end_with_what_is_in_them(env: BuildoutEnvironment, machine: Machine, tmp_path: Path) -> None:
    deployed(env, tmp_path, machine, "root")
    left(machine)
    scopes = "systemctl --no-legend --plain list-units 'hostout-*.scope'"
    until("one is left", lambda: len(machine.run(scopes).stdout.splitlines()) == 1)
    assert machine.run(scopes).stdout.startswith("hostout-golive-")
    assert f"{machine.read('/srv/hello/var/hello.pid').strip()}\n" in machine.run(
        "cat /sys/fs/cgroup/systemd/system.slice/hostout-golive-*.scope/cgroup.procs "
        "/sys/fs/cgroup/system.slice/hostout-golive-*.scope/cgroup.procs 2>/dev/null || true"
    ).stdout
    machine.run("kill $(cat /srv/hello/var/hello.pid)")
    until("none is left", lambda: not machine.run(scopes).stdout.strip())


def test_who_cannot_become_root_is_told(env: BuildoutEnvironment, machine: Machine, tmp_path: Path) -> None:
    machine.run("install -d -o app /srv/hello /srv/buildout-cache")
    project = hello(env, tmp_path, machine, "app", "no-sudo = true")
    project.edit("buildout.cfg", START, HELLO)
    project.build()
    hold(machine)
    said = project.succeed("host1", "deploy")
    warning = "this host ends what a user leaves running (KillUserProcesses of logind): without root, builds and"
    assert len([line for line in said.splitlines() if warning in line]) == 1
    # bytecode as well: what was not compiled is left to Python, and nothing is half done
    left(machine)
    assert machine.exists("/srv/points/held")
    assert machine.run(COMPILING, check=False).stdout == machine.run(UNNAMED).stdout == ""
    assert machine.run(UNCOMPILED).stdout != ""
    assert "is live already" in project.succeed("host1", "deploy")
