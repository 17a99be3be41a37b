"""``--dry-run`` prints what a deployment would do, from what is on the host, and changes nothing there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from buildouts import BuildoutEnvironment, environment
from machines import Machine
from projects import Project, hello, settle

pytestmark = [pytest.mark.buildout, pytest.mark.machine]

PLACES = ("/srv", "/home", "/etc", "/root", "/var/spool")
FIRST, SECOND = "the first version", "the second version"
PAGE = "src/hello/src/hello/page.py"

EVERYTHING = r"""
find "$@" -xdev -printf '%p %y %m %u %g %s %T@ %C@ %l\n' | sort
find "$@" -xdev -type f -print0 | sort -z | xargs -0 sha256sum
"""
"""Every file with its type, mode, owner, size, times of its content and of itself, target; every content."""


@pytest.fixture
def env() -> BuildoutEnvironment:
    return environment("6.0.1")


def everything(machine: Machine) -> list[str]:
    settle(machine)
    listing = machine.run(["sh", "-c", EVERYTHING, "sh", *PLACES]).stdout
    # the application writes its own log, and counts visits
    return [line for line in listing.splitlines() if "/srv/hello/var/" not in line]


def dry(project: Project, machine: Machine, *words: str) -> list[str]:
    """What is printed; the machine is to the byte and to the nanosecond what it was before."""
    before = everything(machine)
    said = project.succeed("--dry-run", *words)
    assert everything(machine) == before
    return said.splitlines()


def test_a_first_deployment_an_edit_a_rollback_and_a_tidying_up(
    env: BuildoutEnvironment, machine: Machine, tmp_path: Path
) -> None:
    machine.add_user("app")
    project = hello(env, tmp_path, machine, more="migrate-commands = echo migrated")
    first = dry(project, machine, "host1", "deploy")
    assert [line for line in first if line.startswith("Hostout: would")][-2:] == [
        "Hostout: would build release 0001-" + release_of(first),
        "Hostout: would make release 0001-" + release_of(first) + " live",
    ]
    assert [line for line in first if re.fullmatch(r"\thello-.*\.whl \(\d+\.\d kB\)", line)]
    assert "\thello.ini" in first and "\tvar -> /srv/hello/var" in first
    assert "\tbuildout as app: bin/buildout" in first
    assert "\tmigrate-command as app: echo migrated" in first
    assert "\tpost-command as root: su app -c '/srv/hello/bin/hello start'" in first
    assert "\thealth-check: http://127.0.0.1:8080/health (for at most 60 s)" in first
    # they run before a first release too, as it goes live
    assert sum(line.startswith("\tpre-command as root: ! test -x /srv/hello/bin/hello") for line in first) == 1

    project.succeed("host1", "deploy")
    assert "Hostout: release 0001-" + release_of(first) + " is live already" in dry(project, machine, "host1", "deploy")
    project.edit(PAGE, FIRST, SECOND)
    edit = dry(project, machine, "host1", "deploy")
    sent = edit[edit.index("Hostout: would upload 1 file, " + size(edit)) + 1]
    assert re.fullmatch(r"\thello-.*\.whl \(\d+\.\d kB\)", sent)
    assert any(line.startswith("\tpre-command as root: ! test -x /srv/hello/bin/hello") for line in edit)
    assert f"\t/srv/hello/current -> releases/0002-{release_of(edit)} (is 0001-{release_of(first)} now)" in edit
    assert FIRST in machine.http()

    project.succeed("host1", "deploy")
    back = dry(project, machine, "host1", "rollback")
    assert f"\t/srv/hello/current -> releases/0001-{release_of(first)} (is 0002-{release_of(edit)} now)" in back
    project.edit("buildout.cfg", "migrate-commands", "keep-releases = 1\nmigrate-commands")
    project.build()
    assert any(f"0001-{release_of(first)}" in line for line in dry(project, machine, "host1", "clean"))
    assert SECOND in machine.http()


def release_of(lines: list[str]) -> str:
    """The id of the release that would go live."""
    found = re.search(r"would make release \d+-(\w+) live", "\n".join(lines))
    assert found, lines
    return found[1]


def size(lines: list[str]) -> str:
    found = re.search(r"would upload 1 file, (.*)", "\n".join(lines))
    assert found, lines
    return found[1]


def test_a_build_alone_is_not_said_to_be_done(env: BuildoutEnvironment, machine: Machine, tmp_path: Path) -> None:
    machine.add_user("app")
    project = hello(env, tmp_path, machine)
    project.succeed("host1", "uploadbuildout")
    lines = dry(project, machine, "host1", "buildout")
    assert any(line.startswith("Hostout: would build release 0001-") for line in lines)
    assert not any("is built" in line for line in lines)


def test_a_downtime_is_shown_where_it_would_begin(env: BuildoutEnvironment, machine: Machine, tmp_path: Path) -> None:
    machine.add_user("app")
    project = hello(env, tmp_path, machine, more="downtime = deploy")
    project.succeed("host1", "deploy")
    project.edit(PAGE, FIRST, SECOND)
    lines = dry(project, machine, "host1", "deploy")
    stop, build = lines.index("Hostout: would stop the application"), _first(lines, "Hostout: would build")
    assert lines[stop + 1].startswith("\tpre-command as root: ! test -x /srv/hello/bin/hello")
    assert stop < build
    assert sum("pre-command" in line for line in lines) == 1
    assert FIRST in machine.http()


def _first(lines: list[str], start: str) -> int:
    return next(index for index, line in enumerate(lines) if line.startswith(start))


def test_an_adoption_and_what_is_missing(env: BuildoutEnvironment, machine: Machine, tmp_path: Path) -> None:
    machine.write("/srv/hello/bin/hello", "#!/bin/sh\n", 0o755)
    machine.write("/srv/hello/buildout.cfg", "[buildout]\nparts =\n")
    machine.write("/srv/hello/.installed.cfg", "[buildout]\ninstalled_develop_eggs =\nparts =\n")
    machine.write("/srv/hello/var/data", "precious")
    machine.write("/srv/hello/backups/one", "mine")
    project = hello(env, tmp_path, machine)
    lines = dry(project, machine, "host1", "deploy")
    assert "Hostout: would ask: no user app on the host; bootstrap creates what is missing. Go on?" in "\n".join(lines)
    assert any(line.startswith("Hostout: would run as root: ") and "useradd" in line for line in lines)
    moved = {line for line in lines if line.startswith("\tmove ")}
    assert "\tmove /srv/hello/bin to /srv/hello/releases/0000-adopted/bin" in moved
    assert not any("/var" in line or "backups" in line for line in moved)


def test_a_host_without_python(env: BuildoutEnvironment, cold_machine: Machine, tmp_path: Path) -> None:
    project = hello(env, tmp_path, cold_machine)
    lines = dry(project, cold_machine, "host1", "deploy")
    assert any(line.startswith("Hostout: would run as root: ") and "apt-get install" in line for line in lines)
    assert "Hostout: what would follow depends on the Python that is there then" in lines
