"""``rollback`` as its user sees it: another release serves within a moment, nothing is sent, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from buildouts import VERSIONS, environment
from machines import Machine
from projects import Project, hello, uploaded

pytestmark = [pytest.mark.machine, pytest.mark.buildout]


def deploy(project: Project, text: str) -> str:
    """The next version of the package, live; gives the name of its release."""
    page = project.folder / "src/hello/src/hello/page.py"
    page.write_text(re.sub(r"^TEXT = .*", f"TEXT = {text!r}", page.read_text(), flags=re.MULTILINE))
    said = project.succeed("--yes", "host1", "deploy")
    return str(re.findall(r"release (\d{4}-\w+) is live", said)[-1])


def live(machine: Machine) -> str:
    return Path(machine.run("readlink /srv/hello/current").stdout.strip()).name


def test_release_that_was_good_serves_again(machine: Machine, tmp_path: Path) -> None:
    machine.add_user("app")
    project = hello(environment(max(VERSIONS)), tmp_path, machine)
    one = deploy(project, "the first")
    assert f"nothing to go back to: no good release is older than {one}" in project.fail(1, "host1", "rollback")
    two = deploy(project, "the second")
    assert "the second" in machine.http()

    said = project.succeed("host1", "rollback")
    assert "the first" in machine.http()
    assert (live(machine), uploaded(said)) == (one, [])
    assert "bin/buildout" not in said

    said = project.fail(1, "host1", "rollback", "0009")
    assert f"there is no release 0009 on this host; there are: {one}, {two}" in said
    assert "there is no release 0009 on this host" in project.fail(1, "--dry-run", "host1", "rollback", "0009")
    project.succeed("host1", "rollback", two)
    assert "the second" in machine.http()

    project.edit("buildout.cfg", ":8080/health", ":9/\nhealth-timeout = 2")
    project.build()
    said = project.fail(1, "host1", "rollback", one)
    assert f"release {one} is bad, {two} is live again" in said
    assert "the second" in machine.http()
    project.edit("buildout.cfg", ":9/\nhealth-timeout = 2", ":8080/health")
    project.build()
    assert f"release {one} is bad: to go back to it all the same, use --force" in project.fail(
        1, "host1", "rollback", one
    )
    project.succeed("--force", "host1", "rollback", one)
    assert "the first" in machine.http()
    assert machine.run("cat /srv/hello/releases/*/release.json").stdout.count('"state": "good"') == 2
