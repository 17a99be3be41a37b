"""Live parts and sudo parts on a Debian machine: one entry each, as the right user, and taken back with the release."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildouts import VERSIONS, environment
from machines import Machine
from projects import HELLO, MACHINE, Project

pytestmark = [pytest.mark.machine, pytest.mark.buildout]

RECIPE = '''\
"""A line in a file that many write to, like a crontab."""
import os, pwd


class Entry:
    def __init__(self, buildout, name, options):
        self.options = options

    def install(self):
        user = pwd.getpwuid(os.geteuid()).pw_name
        with open(self.options["file"], "a") as table:
            table.write(f"{user} {self.options['line']}\\n")
        return ()

    def update(self):
        """It is there."""


def remove(name, options):
    with open(options["file"]) as table:
        lines = [line for line in table if not line.endswith(f" {options['line']}\\n")]
    with open(options["file"], "w") as table:
        table.writelines(lines)
'''
SETUP = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "hostouttesttable"
version = "1.0"
[project.entry-points."zc.buildout"]
default = "hostouttesttable:Entry"
[project.entry-points."zc.buildout.uninstall"]
default = "hostouttesttable:remove"
[tool.setuptools]
py-modules = ["hostouttesttable"]
"""
PARTS = """\

[table]
recipe = hostouttesttable
file = /srv/tables/app
line = {line} ${{buildout:bin-directory}}/hello in ${{buildout:directory}} of ${{hello:eggs}}

[boot]
recipe = hostouttesttable
file = /srv/tables/boot
line = {line} ${{buildout:bin-directory}}/hello
"""
OPTIONS = "live-parts = table\nsudo-parts = boot\n"


def says(project: Project, machine: Machine, line: str, options: str = OPTIONS) -> None:
    """The next version of the configuration."""
    project.write("buildout.cfg", HELLO.format(machine=machine, user="root", more=options))
    project.write("machine.cfg", MACHINE + (PARTS.format(line=line) if options else ""))
    project.build()


def tables(machine: Machine) -> list[str]:
    return machine.run("cat /srv/tables/app /srv/tables/boot").stdout.splitlines()


def entries(line: str) -> list[str]:
    return [f"app {line} /srv/hello/bin/hello in /srv/hello of hello", f"root {line} /srv/hello/bin/hello"]


@pytest.fixture
def project(machine: Machine, tmp_path: Path) -> Project:
    machine.add_user("app")
    machine.run("mkdir /srv/tables && touch /srv/tables/app /srv/tables/boot && chown app /srv/tables/app")
    project = Project.of("hello", environment(max(VERSIONS)), tmp_path)
    project.knows(machine)
    project.edit("base.cfg", "develop = src/hello", "develop = src/hello src/table")
    project.write("src/table/pyproject.toml", SETUP)
    project.write("src/table/hostouttesttable.py", RECIPE)
    return project


def test_parts_with_effects_outside_come_and_go_with_their_release(machine: Machine, project: Project) -> None:
    says(project, machine, "one")
    said = project.succeed("--yes", "host1", "deploy")
    assert "Installing table." in said
    assert tables(machine) == entries("one")
    owners = machine.run("stat -c %U /srv/hello/.hostout/live /srv/hello/.hostout/sudo /srv/hello/.hostout").stdout
    assert owners.split() == ["app", "root", "root"]

    project.edit("src/hello/src/hello/page.py", "TEXT = ", "TEXT = 'second: ' + ")
    said = project.succeed("host1", "deploy")
    assert "Updating table." in said
    assert "Updating boot." in said
    assert tables(machine) == entries("one")

    says(project, machine, "two")
    project.succeed("host1", "deploy")
    assert tables(machine) == entries("two")

    project.edit("buildout.cfg", ":8080/health", ":9/\nhealth-timeout = 2")
    project.edit("machine.cfg", "two", "three")
    project.build()
    assert "health-check failed" in project.fail(1, "host1", "deploy")
    assert tables(machine) == entries("two")

    says(project, machine, "two")
    project.succeed("host1", "rollback")
    assert tables(machine) == entries("one")

    says(project, machine, "", "")
    project.succeed("host1", "deploy")
    assert tables(machine) == []
    assert "second" in machine.http()


def test_parts_of_the_user_who_ran_the_application_before_are_taken_back_as_that_user(
    machine: Machine, project: Project
) -> None:
    machine.add_user("other")
    says(project, machine, "one")
    project.succeed("--yes", "host1", "deploy")
    machine.run("chmod 666 /srv/tables/app")
    project.edit("buildout.cfg", "effective-user = app", "effective-user = other")
    project.edit("buildout.cfg", "su app", "su other")
    project.build()
    project.succeed("host1", "resetpermissions")
    said = project.succeed("host1", "deploy")
    assert "Uninstalling table." in said
    assert "Updating boot." in said
    assert tables(machine) == [entries("one")[0].replace("app", "other", 1), entries("one")[1]]
