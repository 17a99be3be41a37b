"""The whole journey to a Debian machine with nothing but Python, and no network but SSH."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from buildouts import PROJECT, BuildoutEnvironment, environment
from machines import Machine
from projects import Project, hello, settle, tree, uploaded

pytestmark = [pytest.mark.buildout, pytest.mark.machine]

FIRST, SECOND = "the first version", "the second version"
PAGE = "src/hello/src/hello/page.py"
PASSWORD = "pass'word $1"

FABFILE = PROJECT / "src" / "hostout" / "fabfile.py"
PHASES = ("predeploy", "uploadeggs", "uploadbuildout", "buildout", "postdeploy")
RUNNING = "".join(f"Hostout: Running command '{phase}' from '{FABFILE}'\n" for phase in PHASES)
EGGS = """\
Hostout: Preparing eggs for transport
Hostout: Develop egg {folder}/src/hello changed. Releasing with hash ([0-9a-f]+)
Hostout: Eggs to transport:
\thello = 1\\.0\\+h\\1
Hostout: Wrote versions to {folder}/parts/hostout/host1.cfg
"""


@pytest.fixture
def env() -> BuildoutEnvironment:
    return environment("6.0.1")


def test_deploy_edit_and_deploy_again(buildout_env: BuildoutEnvironment, machine: Machine, tmp_path: Path) -> None:
    machine.add_user("app")
    project = hello(buildout_env, tmp_path, machine)
    project.succeed("host1", "deploy")
    assert FIRST in machine.http()
    assert machine.run("stat -c %U /srv/hello/current/ /srv/hello/var/").stdout == "app\napp\n"
    assert machine.run("stat -c %U /proc/$(cat /srv/hello/var/hello.pid)").stdout == "app\n"

    before = tree(machine, "/srv")
    name = machine.run("ls /srv/hello/releases").stdout.strip()
    assert (
        project.succeed("host1", "deploy")
        == login(machine) + RUNNING + f"Hostout: release {name} is live already\nDone.\n"
    )
    assert tree(machine, "/srv") == before

    project.edit(PAGE, FIRST, SECOND)
    edited = project.succeed("host1", "deploy")
    assert SECOND in machine.http()
    assert [line.split(",")[0] for line in uploaded(edited)] == ["upload 1 file"]
    assert re.search(EGGS.format(folder=re.escape(str(project.folder))), edited)


def login(machine: Machine) -> str:
    return f"Logging into the following hosts as root:\n    {machine.address}\n"


def test_a_file_put_into_the_live_release_is_noted_down(
    env: BuildoutEnvironment, machine: Machine, tmp_path: Path
) -> None:
    machine.add_user("app")
    project = hello(env, tmp_path, machine)
    project.succeed("host1", "deploy")
    project.write("extra.txt", "by hand")
    project.succeed("host1", "put", "extra.txt", "bin/extra.txt")
    project.succeed("host1", "put", "extra.txt", "var/extra.txt")
    noted = [json.loads(line) for line in machine.read("/srv/hello/.hostout/ledger.jsonl").splitlines()]
    assert [line.get("file") for line in noted if line["what"] == "put"] == ["bin/extra.txt"]
    project.succeed("host1", "get", "bin/extra.txt", "back.txt")
    assert (project.folder / "back.txt").read_text() == "by hand"


@pytest.mark.parametrize("policy", ["", "Defaults use_pty\n"])
@pytest.mark.parametrize("sudo", ["password", "nopasswd"])
def test_deploy_as_somebody_who_may_use_sudo(
    env: BuildoutEnvironment, machine: Machine, tmp_path: Path, sudo: str, policy: str
) -> None:
    machine.add_user("app")
    machine.add_user("admin", PASSWORD, sudo=sudo)
    machine.write("/etc/sudoers.d/policy", policy, 0o440)
    project = hello(env, tmp_path, machine, user="admin")
    said = project.succeed("host1", "deploy", HOSTOUT_PASSWORD=PASSWORD)
    assert FIRST in machine.http()
    assert machine.run("stat -c %U /srv/hello/current/").stdout == "app\n"
    assert PASSWORD not in said
    machine.run("journalctl --no-pager -o cat > /srv/journal")
    assert machine.run(["grep", "-rlF", PASSWORD, "/srv", "/var/log", "/tmp"], check=False).stdout == ""
    who = project.succeed("host1", "sudo", "whoami", HOSTOUT_PASSWORD=PASSWORD)
    assert f"[{machine.address}] out: root" in who


def test_a_wrong_password_for_sudo_is_one_line_and_nothing_is_changed(
    env: BuildoutEnvironment, machine: Machine, tmp_path: Path
) -> None:
    machine.add_user("app")
    machine.add_user("admin", PASSWORD, sudo="password")
    project = hello(env, tmp_path, machine, user="admin")
    before = tree(machine, "/srv", "/home")
    said = project.hostout("host1", "deploy", HOSTOUT_PASSWORD="wrong")
    assert said.returncode in (1, 3), said.stdout
    assert "does not accept the password of admin" in said.stdout
    assert "wrong" not in said.stdout
    assert tree(machine, "/srv", "/home") == before


def test_the_user_of_the_application_deploys_without_sudo(
    env: BuildoutEnvironment, machine: Machine, tmp_path: Path
) -> None:
    machine.add_user("app")
    machine.run("install -d -o app /srv/app")
    project = hello(env, tmp_path, machine, user="app", more="no-sudo = true\npath = /srv/app/hello")
    project.edit("buildout.cfg", "path = /srv/hello\n", "")
    project.edit("buildout.cfg", "su app -c '${buildout:directory}/bin/hello start'", "/srv/app/hello/bin/hello start")
    project.build()
    project.succeed("host1", "deploy")
    assert FIRST in machine.http()
    assert machine.run("find /srv/app ! -user app").stdout == ""


def test_each_phase_can_be_called_alone(env: BuildoutEnvironment, machine: Machine, tmp_path: Path) -> None:
    machine.add_user("app")
    project = hello(env, tmp_path, machine)
    project.succeed("host1", "predeploy", "uploadeggs")
    staged = project.succeed("host1", "uploadbuildout")
    assert "Running command 'uploadbuildout'" in staged
    built = project.succeed("host1", "buildout")
    name = machine.run("ls /srv/hello/releases").stdout.strip()
    assert f"Hostout: release {name} is built, not live; postdeploy makes it live" in built
    assert not machine.exists("/srv/hello/current")
    project.succeed("host1", "postdeploy")
    assert FIRST in machine.http()
    again = project.succeed("host1", "buildout")
    assert "Hostout: release 0002-" in again
    assert machine.run("readlink /srv/hello/current").stdout == f"releases/{name}\n"


def test_arguments_of_buildout_reach_it(env: BuildoutEnvironment, machine: Machine, tmp_path: Path) -> None:
    machine.add_user("app")
    project = hello(env, tmp_path, machine)
    project.succeed("host1", "uploadbuildout")
    said = project.succeed("host1", "buildout", "-v", "buildout:log-level=DEBUG")
    assert "Configuration data:" in said


def test_fabfiles_find_the_cache_where_it_is(env: BuildoutEnvironment, machine: Machine, tmp_path: Path) -> None:
    """What is there belongs to another buildout: the host takes a folder of its own below it."""
    machine.add_user("app")
    machine.add_user("other")
    machine.run("install -d -o other /srv/buildout-cache")
    project = hello(env, tmp_path, machine, more="fabfiles = fabfile.py")
    project.write("fabfile.py", "def postdeploy():\n    run('ls %s/v5' % get('hostout').getEggCache())\n")
    assert re.search(r"out: waitress-\S+\.egg\n", project.succeed("host1", "deploy"))
    assert machine.run("ls /srv/buildout-cache").stdout == "app\n"


@pytest.mark.parametrize("folder", ["current", "releases/*"])
def test_an_administrator_builds_by_hand(
    env: BuildoutEnvironment, machine: Machine, tmp_path: Path, folder: str
) -> None:
    machine.add_user("app")
    project = hello(env, tmp_path, machine)
    project.succeed("host1", "deploy")
    before = machine.run("ls /srv/buildout-cache/eggs/v5").stdout
    said = machine.run(f"su app -c 'cd /srv/hello/{folder} && bin/buildout -c hostout-host1.cfg' 2>&1").stdout
    assert "Updating hello." in said and "Error" not in said, said
    assert machine.run("ls /srv/buildout-cache/eggs/v5").stdout == before
    assert "files: as deployed" in project.succeed("host1", "status")
    assert "is live already" in project.succeed("host1", "deploy")


def test_resetpermissions_puts_owners_right(env: BuildoutEnvironment, machine: Machine, tmp_path: Path) -> None:
    machine.add_user("app")
    project = hello(env, tmp_path, machine)
    project.succeed("host1", "deploy")
    settle(machine)
    owned = ["find", "/srv", "-printf", "%p %u %m\\n"]
    before = set(machine.run(owned).stdout.splitlines())
    machine.run("chown -R root /srv/hello/var /srv/hello/releases; chmod -R g+w /srv/hello/current/bin")
    project.succeed("host1", "resetpermissions")
    assert before ^ set(machine.run(owned).stdout.splitlines()) == set()


def test_two_hosts_in_one_call(env: BuildoutEnvironment, machine_pair: tuple[Machine, Machine], tmp_path: Path) -> None:
    one, two = machine_pair
    for each in machine_pair:
        each.add_user("app")
    project = hello(env, tmp_path, one)
    project.knows(two)
    second = f"\n[host2]\nrecipe = collective.hostout\nextends = host1\nhost = {two.address}\n"
    project.edit("buildout.cfg", "parts += host1", "parts += host1 host2")
    project.write("buildout.cfg", (project.folder / "buildout.cfg").read_text() + second)
    project.build()
    said = project.succeed("host1", "host2", "deploy")
    assert f"Logging into the following hosts as root:\n    {one.address}\n    {two.address}\n" in said
    assert FIRST in one.http() and FIRST in two.http()
    everywhere = project.succeed("all", "run", "echo", "$HOME", "*")
    for each in machine_pair:
        (line,) = re.findall(rf"\[{each.address}\] out: (.*)", everywhere)
        assert {"/root", "bin", "current", "releases", "var"} <= set(line.split())


def test_django_migrates_and_keeps_its_database(
    buildout_env: BuildoutEnvironment, machine: Machine, tmp_path: Path
) -> None:
    machine.add_user("mysite")
    project = Project.of("django", buildout_env, tmp_path)
    project.knows(machine)
    project.edit("hosts.cfg", "host = www.example.com", f"host = {machine.address}\nidentity-file = {machine.key}")
    project.build()
    first = project.succeed("host1", "deploy")
    assert "Applying mysite.0001_initial... OK" in first
    assert "Visit 1." in machine.http(port=8000)
    database = machine.run("cd /srv/mysite/var && sha256sum db.sqlite3 && stat -c '%i %Y' db.sqlite3").stdout
    project.edit("src/mysite/src/mysite/views.py", FIRST, SECOND)
    project.succeed("host1", "deploy")
    assert machine.run("cd /srv/mysite/var && sha256sum db.sqlite3 && stat -c '%i %Y' db.sqlite3").stdout == database
    machine.restart()
    page = machine.http(port=8000)
    assert SECOND in page and "Visit 2." in page


@pytest.mark.parametrize("user", ["root", "admin"])
def test_with_downtime_deploy_the_application_is_down_while_it_is_built(
    env: BuildoutEnvironment, machine: Machine, tmp_path: Path, user: str
) -> None:
    machine.add_user("app")
    machine.add_user("admin", sudo="nopasswd")
    down = shlex.quote("curl -s http://127.0.0.1:8080/ && echo up || echo down")
    project = hello(env, tmp_path, machine, user=user, more=f"downtime = deploy\nbuild-commands = sh -c {down}")
    first = project.succeed("host1", "deploy")
    project.edit(PAGE, FIRST, SECOND)
    said = project.succeed("host1", "deploy")
    assert f"[{machine.address}] out: down" in said
    for each in (first, said):
        assert each.count("hello stop") == 1
        assert each.index("hello stop") < each.index("bin/buildout -U")
    assert SECOND in machine.http()
