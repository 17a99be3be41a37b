"""All that a host has against a deployment is said at once, and nothing on it has been changed then."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildouts import BuildoutEnvironment, environment
from machines import Machine
from projects import hello, tree

pytestmark = [pytest.mark.buildout, pytest.mark.machine]



@pytest.fixture
def env() -> BuildoutEnvironment:
    return environment("6.0.1")


def test_everything_that_is_in_the_way_is_said_at_once(
    env: BuildoutEnvironment, machine: Machine, tmp_path: Path
) -> None:
    machine.run("mkdir -p /srv/hello /srv/buildout-cache")
    machine.run("mount -t tmpfs -o size=20m,nr_inodes=200 none /srv/buildout-cache")
    machine.write("/srv/hello/index.html", "mine")
    machine.run("mkdir /srv/hello/current")
    machine.add_user("guest", "secret")
    project = hello(env, tmp_path, machine)
    before = tree(machine, "/srv", "/home", "/etc")
    said = project.fail(1, "host1", "deploy")
    assert tree(machine, "/srv", "/home", "/etc") == before
    lines = [line.removeprefix("Hostout: [host1] ") for line in said.splitlines() if "[host1]" in line]
    occupied, foreign, space, inodes, user = lines
    assert occupied.startswith("path: /srv/hello on the host holds files that hostout did not make")
    assert foreign == "path: /srv/hello/current on the host is not the link that hostout made: move it away"
    assert space.startswith("/srv/buildout-cache on the host has 2") and "MB are needed" in space
    assert inodes.startswith("/srv/buildout-cache on the host has 19") and "inodes free" in inodes
    assert user == "no user app on the host"
    project.edit("buildout.cfg", "user = root", "user = guest")
    project.build()
    said = project.fail(1, "host1", "deploy", HOSTOUT_PASSWORD="secret")
    lines = [line.removeprefix("Hostout: [host1] ") for line in said.splitlines() if "[host1]" in line]
    assert "guest" in lines[0] and lines[1] == occupied
    assert tree(machine, "/srv", "/home", "/etc") == before


def test_sudo_parts_need_root_whoever_owns_the_buildout(
    env: BuildoutEnvironment, machine: Machine, tmp_path: Path
) -> None:
    machine.add_user("app")
    machine.run("mkdir /srv/hello /srv/buildout-cache && chown app /srv/hello /srv/buildout-cache")
    project = hello(env, tmp_path, machine, user="app", more="sudo-parts = hello")
    before = tree(machine, "/srv", "/home", "/etc")
    said = project.fail(1, "host1", "deploy")
    assert "sudo" in said and "app" in said
    assert tree(machine, "/srv", "/home", "/etc") == before
