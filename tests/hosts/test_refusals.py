"""What hosts can have against a deployment: one clear line, an exit status, and nothing half done."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildouts import BuildoutEnvironment, environment
from machines import Machine
from projects import Project, hello, tree

pytestmark = [pytest.mark.buildout, pytest.mark.machine]

OLD_PYTHON = """\
#!/bin/sh
# a Python 3.7.3, as far as it tells
while [ "$1" != -c ]; do shift; done
exec /opt/python -c 'import sys; sys.version_info = (3, 7, 3, "final", 0); exec(sys.argv.pop(1))' "$2"
"""
FIRST, SECOND = "the first version", "the second version"
PAGE = "src/hello/src/hello/page.py"


@pytest.fixture
def env() -> BuildoutEnvironment:
    return environment("6.0.1")


def refused(project: Project, machine: Machine, status: int, *words: str, **variables: str) -> str:
    """What the deployment says in one line; the machine is as it was before."""
    (line,) = reasons(project, machine, status, *words, **variables)
    return line


def reasons(project: Project, machine: Machine, status: int, *words: str, **variables: str) -> list[str]:
    """The same in a line for each reason."""
    before = tree(machine, "/srv", "/home", "/etc")
    said = project.fail(status, "host1", *(words or ("deploy",)), **variables)
    assert tree(machine, "/srv", "/home", "/etc") == before, said
    return [line for line in said.splitlines() if line.startswith("Hostout: [host1]")]


def test_no_python_and_nobody_who_agrees_to_install_it(
    env: BuildoutEnvironment, cold_machine: Machine, tmp_path: Path
) -> None:
    cold_machine.add_user("app")
    project = hello(env, tmp_path, cold_machine)
    line = refused(project, cold_machine, 1)
    assert "there is no Python" in line and "bootstrap" in line and "--yes" in line


def test_a_cold_host_is_bootstrapped_with_its_own_packages(
    env: BuildoutEnvironment, cold_machine: Machine, tmp_path: Path
) -> None:
    project = hello(env, tmp_path, cold_machine)
    said = project.succeed("--yes", "host1", "deploy")
    assert "apt-get install" in said
    assert FIRST in cold_machine.http()
    assert cold_machine.run("stat -c %U /srv/hello/var/").stdout == "app\n"


def test_a_python_that_is_too_old_is_named(env: BuildoutEnvironment, machine: Machine, tmp_path: Path) -> None:
    machine.add_user("app")
    machine.run("mv $(readlink -f /usr/bin/python3) /opt/python && rm /usr/bin/python3")
    machine.write("/usr/bin/python3", OLD_PYTHON, 0o755)
    project = hello(env, tmp_path, machine)
    line = refused(project, machine, 1)
    assert "3.7.3" in line and "3.9" in line


def test_a_missing_user_is_created_only_if_somebody_agrees(
    env: BuildoutEnvironment, machine: Machine, tmp_path: Path
) -> None:
    project = hello(env, tmp_path, machine)
    assert "no user app" in refused(project, machine, 1)
    project.succeed("host1", "bootstrap")
    assert machine.run("id -un app").stdout == "app\n"
    project.succeed("host1", "deploy")
    assert FIRST in machine.http()


def test_a_path_that_cannot_be_written(env: BuildoutEnvironment, machine: Machine, tmp_path: Path) -> None:
    machine.add_user("app")
    project = hello(env, tmp_path, machine, user="app", more="no-sudo = true")
    path, cache = reasons(project, machine, 1)
    assert "/srv/hello" in path and "/srv/buildout-cache" in cache
    assert "not writable" in path and "not writable" in cache


def test_a_full_disk_is_said_before_anything_is_sent(
    env: BuildoutEnvironment, machine: Machine, tmp_path: Path
) -> None:
    machine.add_user("app")
    machine.run("mount -t tmpfs -o size=20m none /srv")
    project = hello(env, tmp_path, machine)
    line = refused(project, machine, 1)
    assert "MB free" in line and "needed" in line


def test_files_of_somebody_else_in_path(env: BuildoutEnvironment, machine: Machine, tmp_path: Path) -> None:
    machine.add_user("app")
    machine.write("/srv/hello/index.html", "mine")
    project = hello(env, tmp_path, machine)
    assert "/srv/hello" in refused(project, machine, 1)


def test_sudo_that_wants_a_terminal(env: BuildoutEnvironment, machine: Machine, tmp_path: Path) -> None:
    machine.add_user("app")
    machine.add_user("admin", sudo="nopasswd")
    machine.write("/etc/sudoers.d/policy", "Defaults requiretty\n", 0o440)
    project = hello(env, tmp_path, machine, user="admin")
    assert "must have a tty" in refused(project, machine, 1)


def test_somebody_who_may_not_use_sudo(env: BuildoutEnvironment, machine: Machine, tmp_path: Path) -> None:
    machine.add_user("app")
    machine.add_user("guest", "secret")
    project = hello(env, tmp_path, machine, user="guest")
    assert "guest" in refused(project, machine, 1, HOSTOUT_PASSWORD="secret")


def test_a_password_that_sudo_does_not_accept(env: BuildoutEnvironment, machine: Machine, tmp_path: Path) -> None:
    machine.add_user("app")
    machine.add_user("admin", "right", sudo="password")
    project = hello(env, tmp_path, machine, user="admin")
    line = refused(project, machine, 1, HOSTOUT_PASSWORD="wr0ng")
    assert "does not accept the password of admin" in line and "wr0ng" not in line
    assert "HOSTOUT_PASSWORD" in refused(project, machine, 1)


def test_an_unknown_and_a_changed_host_key(env: BuildoutEnvironment, machine: Machine, tmp_path: Path) -> None:
    machine.add_user("app")
    project = hello(env, tmp_path, machine)
    (project.home / ".ssh" / "known_hosts").unlink()
    unknown = refused(project, machine, 3)
    assert "SHA256:" in unknown and "accept-new" in unknown
    project.knows(machine)
    machine.new_host_key()
    assert "known_hosts" in refused(project, machine, 3)


def test_a_buildout_that_fails_there_leaves_the_old_release_running(
    env: BuildoutEnvironment, machine: Machine, tmp_path: Path
) -> None:
    machine.add_user("app")
    project = hello(env, tmp_path, machine)
    project.succeed("host1", "deploy")
    live = machine.run("readlink /srv/hello/current; cat /srv/hello/var/hello.pid").stdout
    project.edit(PAGE, FIRST, SECOND)
    project.edit("buildout.cfg", "include = hello.ini", "include = hello.ini\nbuild-commands = echo no luck; false")
    project.build()
    said = project.fail(1, "host1", "deploy")
    assert "Hostout: [host1]" in said and "no luck" in said and "/srv/hello/.hostout/jobs/" in said
    assert machine.run("readlink /srv/hello/current; cat /srv/hello/var/hello.pid").stdout == live
    assert FIRST in machine.http()
    project.edit("buildout.cfg", "echo no luck; false", "true")
    project.build()
    project.succeed("host1", "deploy")
    assert SECOND in machine.http()


def test_a_release_that_is_not_healthy_is_taken_back(
    env: BuildoutEnvironment, machine: Machine, tmp_path: Path
) -> None:
    machine.add_user("app")
    project = hello(env, tmp_path, machine)
    project.succeed("host1", "deploy")
    live = machine.run("readlink /srv/hello/current").stdout
    project.edit(PAGE, FIRST, SECOND)
    project.edit("buildout.cfg", "8080/health", "8099/health\nhealth-timeout = 3")
    project.build()
    said = project.fail(1, "host1", "deploy")
    assert "is bad" in said
    assert machine.run("readlink /srv/hello/current").stdout == live
    assert FIRST in machine.http()


@pytest.mark.parametrize("home", ["/root", "/home/app"])
def test_a_default_cfg_of_the_host_changes_nothing(
    env: BuildoutEnvironment, machine: Machine, tmp_path: Path, home: str
) -> None:
    machine.add_user("app")
    machine.write(f"{home}/.buildout/default.cfg", "[buildout]\nextensions = no.such.extension\neggs-directory = /x\n")
    project = hello(env, tmp_path, machine)
    project.succeed("host1", "deploy")
    assert FIRST in machine.http()
    assert not machine.exists("/x")
