"""What a host says of itself, after real deployments to a Debian machine: releases, status, diff, log, clean, check."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from buildouts import BuildoutEnvironment, environment
from machines import Machine
from projects import Project, hello, tree

pytestmark = [pytest.mark.buildout, pytest.mark.machine]

FIRST, SECOND, THIRD = "the first version", "the second version", "the third version"
PAGE = "src/hello/src/hello/page.py"
LOOKING = ("releases", "status", "diff", "log", "check", "clean")
MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d"
DRIFT = ("changed", "missing", "not deployed", "put", "files")


@pytest.fixture
def env() -> BuildoutEnvironment:
    return environment("6.0.1")


@pytest.fixture
def project(env: BuildoutEnvironment, machine: Machine, tmp_path: Path) -> Project:
    """A working copy under git, and a machine that has what the application needs."""
    machine.add_user("app")
    made = hello(env, tmp_path, machine)
    made.write(".gitignore", "bin\nparts\nvar\neggs\ndevelop-eggs\n.installed.cfg\n*.egg-info\n")
    git(made, "init", "-q")
    git(made, "add", ".")
    git(made, "commit", "-q", "-m", "first")
    return made


def git(project: Project, *args: str) -> str:
    return subprocess.run(["git", *args], cwd=project.folder, check=True, capture_output=True, text=True).stdout.strip()


def lines(said: str, machine: Machine) -> list[str]:
    """What was said of the machine itself."""
    label = f"[{machine.address}] "
    return [line.removeprefix(label) for line in said.splitlines() if line.startswith(label)]


def listed(project: Project, *words: str) -> dict[str, Any]:
    """The data of the one listing of a call."""
    events = [json.loads(line) for line in project.hostout("--json", *words).stdout.splitlines() if line[0] == "{"]
    (listing,) = [event for event in events if event["event"] == "listing"]
    return dict(listing)


def names(machine: Machine) -> list[str]:
    return machine.run("ls /srv/hello/releases").stdout.split()


def edited(project: Project, old: str, new: str) -> str:
    """Deploys another version of the page; returns what was said."""
    project.edit(PAGE, old, new)
    return project.succeed("host1", "deploy")


def test_releases_and_status_say_what_was_deployed_and_what_is_live(project: Project, machine: Machine) -> None:
    project.succeed("host1", "deploy")
    commit = git(project, "rev-parse", "HEAD")[:10]
    edited(project, FIRST, SECOND)
    older, newer = names(machine)
    whom = re.escape(listed(project, "host1", "releases")["releases"][0]["client"]["user"])
    head, second, first = lines(project.succeed("host1", "releases"), machine)
    assert head.split() == ["release", "when", "by", "commit", "state"]
    assert re.fullmatch(rf"{newer}  {MOMENT}  {whom}@\S+  {commit}\+  good   <- live", second)
    assert re.fullmatch(rf"{older}  {MOMENT}  {whom}@\S+  {commit}   good", first)
    said = lines(project.succeed("host1", "status"), machine)
    assert said[:2] == [f"live: {newer}", "state: good"]
    assert re.fullmatch(f"since: {MOMENT}", said[2]) and re.fullmatch(rf"by: {whom}@\S+", said[3])
    assert said[4:] == [f"commit: {commit}+", "files: as deployed"]

    assert f"Hostout: release {older} is live again\n" in project.succeed("host1", "rollback")
    assert FIRST in machine.http()
    table = lines(project.succeed("host1", "releases"), machine)
    assert [row.split()[0] for row in table if "<- live" in row] == [older]
    assert f"live: {older}" in lines(project.succeed("host1", "status"), machine)
    refused = project.fail(1, "host1", "rollback", "17")
    assert newer in refused and older in refused
    assert FIRST in machine.http()
    project.succeed("host1", "rollback", newer)
    assert SECOND in machine.http()


def test_status_names_every_file_that_is_not_as_deployed(project: Project, machine: Machine) -> None:
    project.succeed("host1", "deploy")
    name = names(machine)[0]
    machine.run("cd /srv/hello/current && echo '#' >> bin/hello && rm machine.cfg && mkdir media && touch media/a")
    project.write("extra.txt", "by hand")
    project.succeed("host1", "put", "extra.txt", "parts/extra.txt")
    failed = project.fail(1, "host1", "status")
    drift = [line for line in lines(failed, machine) if line.partition(":")[0] in DRIFT]
    assert drift[:4] == [
        "changed: bin/hello",
        "missing: machine.cfg",
        "not deployed: media/",
        "not deployed: parts/extra.txt",
    ]
    assert re.fullmatch(rf"put: parts/extra\.txt \({MOMENT}, \S+\)", drift[4]) and len(drift) == 5
    assert f"Hostout: [host1] the files of release {name} are not what was deployed\n" in failed
    checked = lines(project.fail(1, "host1", "check"), machine)
    assert (
        "files: not ok: changed: bin/hello; missing: machine.cfg; not deployed: media/; and 1 more (status names them)"
        in checked
    )
    project.succeed("--yes", "host1", "deploy")
    assert len(names(machine)) == 2
    assert "files: as deployed" in lines(project.succeed("host1", "status"), machine)


def test_diff_says_what_the_next_deployment_changes(project: Project, machine: Machine) -> None:
    first = project.succeed("host1", "diff")
    assert "Hostout: nothing is live in /srv/hello: release " in first
    assert "    added: hello.ini" in lines(first, machine)
    assert not machine.exists("/srv/hello")
    project.succeed("host1", "deploy")
    live = names(machine)[0]
    assert f"Hostout: nothing would change: release {live} is live" in project.succeed("host1", "diff")
    before = hello_version(machine)

    project.edit(PAGE, FIRST, SECOND)
    project.edit("machine.cfg", "address = 0.0.0.0", "address = 0.0.0.0\nport = 8080")
    project.write("hello.ini", (project.folder / "hello.ini").read_text() + "# password of the day: kumquat\n")
    option(project, "owner = me")
    state = tree(machine, "/srv")
    said = project.succeed("host1", "diff")
    assert tree(machine, "/srv") == state
    shown = lines(said, machine)
    assert "    added: owner = me" in shown
    assert "    changed: hello.ini" in shown and "kumquat" not in said
    assert f"    --- {live}/machine.cfg" in shown and "    +port = 8080" in shown
    assert not any(line.startswith(("    added: ", "    removed: ")) for line in shown if "owner" not in line)
    (changed,) = [line for line in shown if line.startswith("    hello = ")]
    project.succeed("host1", "deploy")
    assert changed == f"    hello = {before} -> {hello_version(machine)}"
    assert "nothing would change" in project.succeed("host1", "diff")


def hello_version(machine: Machine) -> str:
    """The version of the develop package that the live release pins."""
    return machine.run("sed -n 's/^hello = //p' /srv/hello/current/hostout-host1.cfg").stdout.strip()


def test_log_shows_what_a_build_said(project: Project, machine: Machine) -> None:
    project.succeed("host1", "deploy")
    edited(project, FIRST, SECOND)
    older, newer = names(machine)
    said = "Generated script '/srv/hello/releases/{}/bin/hello'."
    assert said.format(newer) in project.succeed("host1", "log")
    assert said.format(newer) in project.succeed("host1", "log", newer)
    for word in (older, "1", older.partition("-")[2]):
        shown = project.succeed("host1", "log", word)
        assert said.format(older) in shown and newer not in shown
    unknown = project.fail(1, "host1", "log", "17")
    assert re.search(rf"Hostout: \[host1\] there is no .*17.*; there are: {older}, {newer}\n", unknown)


def option(project: Project, line: str) -> None:
    """One more option of the host part."""
    project.edit("buildout.cfg", "post-failure = rollback\n", f"post-failure = rollback\n{line}\n")
    project.build()


def test_clean_removes_what_nobody_needs_and_says_so(project: Project, machine: Machine) -> None:
    option(project, "keep-releases = 5")
    project.succeed("host1", "deploy")
    edited(project, FIRST, SECOND)
    edited(project, SECOND, THIRD)
    first, second, third = names(machine)
    assert "Hostout: nothing to remove\n" in project.succeed("host1", "clean")
    project.edit("buildout.cfg", "keep-releases = 5\n", "keep-releases = 1\n")
    project.build()
    state = tree(machine, "/srv")
    preview = project.succeed("-n", "host1", "clean")
    assert tree(machine, "/srv") == state
    assert f"Hostout: would remove release {first}\nHostout: would remove release {second}\n" in preview
    said = project.succeed("host1", "clean")
    assert f"Hostout: removed release {first}\nHostout: removed release {second}\n" in said
    assert re.search(r"Hostout: [\d.]+ [kM]B are free again\n", said)
    assert names(machine) == [third]
    assert THIRD in machine.http()
    assert "files: as deployed" in lines(project.succeed("host1", "status"), machine)


def test_check_asks_whether_all_is_well_now(project: Project, machine: Machine) -> None:
    project.succeed("host1", "deploy")
    well = ["configuration: ok", "host: ok", "release: ok", "files: ok", "health: ok"]
    assert lines(project.succeed("host1", "check"), machine) == well
    machine.run("su app -c '/srv/hello/bin/hello stop'")
    failed = project.fail(1, "host1", "check")
    *fine, health = lines(failed, machine)
    assert fine == well[:-1]
    assert health.startswith("health: not ok: health-check failed: http://127.0.0.1:8080/health: ")
    assert "Hostout: [host1] not all is well\n" in failed


def test_a_health_check_that_is_a_command_is_asked_too(project: Project, machine: Machine) -> None:
    url = "health-check = http://127.0.0.1:8080/health\n"
    project.edit("buildout.cfg", url, "health-check = test -e /srv/hello/var/hello.pid\n")
    project.build()
    project.succeed("host1", "deploy")
    assert lines(project.succeed("host1", "check"), machine)[-1] == "health: ok"
    machine.run("su app -c '/srv/hello/bin/hello stop'; rm -f /srv/hello/var/hello.pid")
    assert "health: not ok: " in lines(project.fail(1, "host1", "check"), machine)[-1]


def test_looking_at_a_host_with_nothing_on_it(project: Project, machine: Machine) -> None:
    state = tree(machine, "/srv")
    for command in ("releases", "status"):
        assert lines(project.succeed("host1", command), machine) == ["nothing has been deployed to /srv/hello"]
    for command in ("log", "clean"):
        assert "Hostout: nothing has been deployed to /srv/hello\n" in project.succeed("host1", command)
    checked = lines(project.fail(1, "host1", "check"), machine)
    assert "release: not ok: nothing has been deployed to /srv/hello" in checked
    assert tree(machine, "/srv") == state


def test_looking_changes_nothing_on_a_host(project: Project, machine: Machine) -> None:
    project.succeed("host1", "deploy")
    state = tree(machine, "/srv")
    for command in LOOKING:
        said = project.succeed("-n", "host1", command)
        assert "cannot be previewed" not in said
        assert tree(machine, "/srv") == state, command


def test_where_current_was_removed_status_says_what_puts_it_back(project: Project, machine: Machine) -> None:
    project.succeed("host1", "deploy")
    name = names(machine)[0]
    machine.run("rm /srv/hello/current")
    said = project.fail(1, "host1", "status")
    assert lines(said, machine) == ["live: nothing", f"live last: {name} (rollback {name} puts it back)"]
    assert "Hostout: [host1] nothing is live in /srv/hello\n" in said
    project.succeed("host1", "rollback", name)
    assert f"live: {name}" in lines(project.succeed("host1", "status"), machine)
    assert FIRST in machine.http()


def test_several_hosts_are_told_apart_and_one_that_is_lost_hides_no_other(
    project: Project, machine: Machine, second_machine: Machine
) -> None:
    project.knows(second_machine)
    second = f"\n[host2]\nrecipe = collective.hostout\nextends = host1\nhost = {second_machine.address}\n"
    project.edit("buildout.cfg", "parts += host1", "parts += host1 host2")
    project.write("buildout.cfg", (project.folder / "buildout.cfg").read_text() + second)
    project.build()
    project.succeed("host1", "deploy")
    said = project.succeed("all", "status")
    assert f"live: {names(machine)[0]}" in lines(said, machine)
    assert lines(said, second_machine) == ["nothing has been deployed to /srv/hello"]
    machine.cut()
    said = project.fail(3, "--keep-going", "all", "status")
    assert lines(said, second_machine) == ["nothing has been deployed to /srv/hello"]
