"""A Debian machine with a buildout that was made there by hand, as older hostouts did: taken over, and given back."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentclient import fetched
from buildouts import BuildoutEnvironment, environment
from machines import Machine
from projects import Project, hello

pytestmark = [pytest.mark.buildout, pytest.mark.machine]

OLD, NEW = "the version of years ago", "the first version"
RELEASE = "/srv/hello/releases/0000-adopted"
MOVED = ("bin", "parts", "develop-eggs", ".installed.cfg", "buildout.cfg", "pinned.cfg", "host1-77ffa102.cfg")
BY_HAND = "cd /srv/hello && PIP_NO_INDEX=1 PIP_FIND_LINKS=/srv/wheels bin/buildout -N -c host1-77ffa102.cfg"

BUILDOUT = """\
[buildout]
extends = pinned.cfg
develop = src/hello
parts = hello
relative-paths = true

[hello]
recipe = zc.recipe.egg
eggs = hello
arguments =
    ini='${buildout:directory}/hello.ini',
    var='${buildout:directory}/var',
    address='0.0.0.0',
    port=8080,
"""
PINNED = """\
[versions]
waitress = 3.0.2
zc.recipe.egg = 4.0.0
"""
GENERATED = """\
[buildout]
extends = buildout.cfg pinned.cfg
eggs-directory = /srv/buildout-cache/eggs
download-cache = /srv/buildout-cache/downloads
versions = versions
newest = false
"""


@pytest.fixture
def env() -> BuildoutEnvironment:
    return environment("6.0.1")


@pytest.fixture
def project(env: BuildoutEnvironment, machine: Machine, tmp_path: Path) -> Iterator[Project]:
    """The developer's working copy, and what an older one of it became on the machine: it runs there."""
    machine.add_user("app")
    made = hello(env, tmp_path, machine)
    _left_by_an_older_hostout(machine, made, env)
    assert OLD in machine.http()
    yield made


def _left_by_an_older_hostout(machine: Machine, project: Project, env: BuildoutEnvironment) -> None:
    wheels = [*fetched(sys.executable), *(env.caches / "downloads" / "dist").glob("*-3.0.2-*.whl")]
    wheels += (env.caches / "downloads" / "dist").glob("zc_recipe_egg-4.0.0-*.whl")
    (machine.root / "srv/wheels").mkdir()
    for wheel in wheels:
        shutil.copy(wheel, machine.root / "srv/wheels")
    shutil.copytree(project.folder / "src", machine.root / "srv/hello/src", ignore=shutil.ignore_patterns("*.egg-info"))
    page = machine.root / "srv/hello/src/hello/src/hello/page.py"
    page.write_text(page.read_text().replace(NEW, OLD))
    for name, text in (("buildout.cfg", BUILDOUT), ("pinned.cfg", PINNED), ("host1-77ffa102.cfg", GENERATED)):
        (machine.root / "srv/hello" / name).write_text(text)
    shutil.copy(project.folder / "hello.ini", machine.root / "srv/hello")
    (machine.root / "srv/buildout-cache/downloads/dist").mkdir(parents=True)
    (machine.root / "srv/hello/var/filestorage").mkdir(parents=True)
    (machine.root / "srv/hello/var/filestorage/Data.fs").write_bytes(bytes(range(256)) * 4096)
    machine.run("python3 -m venv --without-pip /srv/python")
    site = machine.run(["/srv/python/bin/python", "-c", "import site; print(site.getsitepackages()[0])"]).stdout.strip()
    machine.run(f"for wheel in /srv/wheels/*.whl; do python3 -m zipfile -e $wheel {site}; done")
    machine.run("chown -R app:app /srv/hello /srv/buildout-cache /srv/python")
    run = "import sys; from zc.buildout.buildout import main; main(sys.argv[1:])"
    start = f"cd /srv/hello && /srv/python/bin/python -c '{run}' -c host1-77ffa102.cfg bootstrap"
    machine.run(["sh", "-c", f"export PIP_NO_INDEX=1 PIP_FIND_LINKS=/srv/wheels; {start}"], user="app", timeout=120)
    machine.run(["sh", "-c", BY_HAND], user="app", timeout=120)
    machine.run("touch -d 2016-05-04 /srv/hello/bin/* /srv/hello/bin /srv/hello/*.cfg /srv/hello/.installed.cfg")
    machine.run(["/srv/hello/bin/hello", "start"], user="app")


def listing(machine: Machine, folder: str, *names: str) -> str:
    """Every file with its type, mode, owner, size, time, number and content."""
    found = " ".join(names)
    look = f"cd {folder} && find {found} -printf '%p %y %m %u %g %s %T@ %i %l\\n' | sort"
    return machine.run(f"{look} && find {found} -type f -exec sha256sum {{}} + | sort").stdout


def visits(page: str) -> int:
    (number,) = re.findall(r"Visit (\d+)\.", page)
    return int(number)


def test_old_buildout_is_taken_over_and_given_back(project: Project, machine: Machine) -> None:
    code = listing(machine, "/srv/hello", *MOVED)
    data = listing(machine, "/srv/hello", "var/filestorage", "src", "hello.ini")
    eggs = listing(machine, "/srv/buildout-cache", "eggs/v5/*")
    seen = visits(machine.http())

    shown = project.succeed("--dry-run", "host1", "deploy")
    assert f"move /srv/hello/bin to {RELEASE}/bin" in shown
    assert listing(machine, "/srv/hello", *MOVED) == code

    said = project.succeed("host1", "deploy")
    assert "/srv/hello is release 0000-adopted now: .installed.cfg, bin, " in said
    page = machine.http()
    assert NEW in page and visits(page) == seen + 1
    assert listing(machine, RELEASE, *MOVED) == code
    assert listing(machine, "/srv/hello", "var/filestorage", "src", "hello.ini") == data
    assert set(eggs.splitlines()) <= set(listing(machine, "/srv/buildout-cache", "eggs/v5/*").splitlines())
    assert not machine.exists("/srv/hello/.installed.cfg")

    project.succeed("host1", "rollback")
    page = machine.http()
    assert OLD in page and visits(page) == seen + 2
    assert machine.run("readlink /srv/hello/current").stdout == "releases/0000-adopted\n"
    assert machine.run("stat -c %U /proc/$(cat /srv/hello/var/hello.pid)").stdout == "app\n"
    assert listing(machine, RELEASE, *MOVED) == code
    assert listing(machine, "/srv/hello", "var/filestorage", "src", "hello.ini") == data

    assert "0000-adopted" in project.succeed("host1", "releases")
    assert "live: 0000-adopted" in project.succeed("host1", "status")
    by_hand = machine.run(["sh", "-c", BY_HAND], user="app", timeout=120)
    assert "Updating hello." in by_hand.stdout + by_hand.stderr
    machine.run(["/srv/hello/bin/hello", "stop"], user="app")
    machine.run(["/srv/hello/bin/hello", "start"], user="app")
    assert OLD in machine.http()

    project.succeed("host1", "deploy")
    assert NEW in machine.http()


def test_first_release_that_cannot_start_leaves_the_old_buildout_running(project: Project, machine: Machine) -> None:
    code = listing(machine, "/srv/hello", *MOVED)
    project.edit("buildout.cfg", "/bin/hello start'", "/bin/hello begin'")
    project.build()
    failed = project.fail(1, "host1", "deploy")
    assert "0000-adopted is live again" in failed
    assert listing(machine, RELEASE, *MOVED) == code
    machine.run("su app -c '/srv/hello/bin/hello start'", check=False)
    assert OLD in machine.http()


def test_machine_that_crashes_in_the_middle_comes_up_with_the_old_buildout(
    project: Project, machine: Machine
) -> None:
    """Its service names path, as everything does that outlives a release."""
    unit = "[Service]\nUser=app\nExecStart=/srv/hello/bin/hello run\n[Install]\nWantedBy=multi-user.target\n"
    machine.run(["/srv/hello/bin/hello", "stop"], user="app")
    machine.write("/etc/systemd/system/hello.service", unit)
    machine.run("systemctl enable --now hello")
    assert OLD in machine.http()
    code = listing(machine, "/srv/hello", *MOVED)
    project.edit("buildout.cfg", "post-failure = rollback", "post-failure = rollback\nbuild-commands = sleep 600")
    project.build()
    with project.terminal("host1", "deploy", timeout=120) as deployment:
        deployment.expect("sleep 600")
        machine.run("sync")
        machine.restart(crash=True)
    assert OLD in machine.http(within=120)
    assert listing(machine, RELEASE, *MOVED) == code
    project.edit("buildout.cfg", "build-commands = sleep 600", "")
    project.edit("buildout.cfg", "pre-commands = ", "pre-commands =\n    systemctl disable --now hello\n    ")
    project.build()
    project.succeed("host1", "deploy")
    assert NEW in machine.http()
