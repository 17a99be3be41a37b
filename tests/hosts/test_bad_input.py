"""What somebody gets who makes a mistake, from ``bin/hostout`` itself: one line, a status, and nothing half done.

What does not belong here: mistakes on the command line (``cli``), in ``extends`` (``recipe``), what only whole
machines can have against a deployment (``test_refusals``), what befalls a deployment on its way (``test_interrupted``).
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from applications import Site
from buildouts import environment
from hostout.remote.limits import Limits
from hostout.testing import EmbeddedHost, make_key
from projects import Project
from records import Records

CFG = "(buildout.cfg, line {})"


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "buildout")


@pytest.fixture
def host(tmp_path: Path, records: Records) -> Iterator[EmbeddedHost]:
    """A host that knows the key of whoever calls the script, and whose key is known."""
    key = make_key(records.home / ".ssh" / "id_ed25519")
    with EmbeddedHost(tmp_path / "host", authorized_keys=[Path(f"{key}.pub")]) as started:
        started.write_known_hosts(records.home / ".ssh" / "known_hosts")
        yield started


def refused(done: subprocess.CompletedProcess[str], status: int) -> str:
    """The one line that there is."""
    assert (done.returncode, done.stderr.count("\n")) == (status, 1), done.stdout + done.stderr
    assert "Done." not in done.stdout
    return done.stderr.removeprefix("Hostout: ").rstrip("\n")


def files(folder: Path) -> list[tuple[Path, int]]:
    return sorted((path, path.lstat().st_mtime_ns) for path in folder.rglob("*") if path.name != "__pycache__")


# options


@pytest.mark.parametrize("command", [["run", "true"], ["deploy"]])
@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"user": "me"}, "[host1] host: is not set, and nothing can connect without it"),
        ({"path": "plone"}, "[host1] path: must be absolute, is 'plone' " + CFG.format(3)),
        ({"path": "/"}, "[host1] path: must be a folder of its own, is '/' " + CFG.format(3)),
        ({"fabfiles": "no.py"}, "[host1] fabfiles: there is no file 'no.py' " + CFG.format(3)),
    ],
)
def test_a_wrong_option_is_named_with_its_line_before_anything_connects(
    records: Records, host: EmbeddedHost, options: dict[str, str], line: str, command: list[str]
) -> None:
    given = {"host": f"127.0.0.1:{host.port}", **options}
    if "user" in options:
        del given["host"]
    records.part("host1", **given)
    before = files(records.folder)
    assert refused(records.call("host1", *command), 2).startswith(line)
    assert not host.connections
    assert files(records.folder) == before


def test_a_misspelt_option_is_a_warning_and_the_command_runs(records: Records, host: EmbeddedHost) -> None:
    records.part("host1", host=f"127.0.0.1:{host.port}", path=str(host.home), pathh="/srv")
    done = records.call("host1", "run", "true")
    assert done.stderr == f"Hostout: warning: [host1] pathh: unknown option, did you mean path? {CFG.format(4)}\n"
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Done.")


MISTAKES = """\
[buildout]
parts = host1 host2
extends = versions.cfg

[hostout]
recipe = collective.hostout
path = plone
fabfiles = no.py

[host1]
recipe = collective.hostout
extends = hostout

[host2]
recipe = collective.hostout
extends = hostout
host = 127.0.0.1
path = /
fabfiles = neither.py
"""


@pytest.mark.buildout
def test_all_mistakes_of_a_real_buildout_come_at_once_each_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    env = environment("6.0.1")
    project = Project.at(tmp_path / "project", env, tmp_path / "home")
    project.write("versions.cfg", f"[versions]\n{env.pins}")
    project.write("buildout.cfg", MISTAKES)
    project.build()
    before = files(project.folder)
    assert sorted(project.fail(2, "all", "run", "true").splitlines()) == [
        "Hostout: [host1] fabfiles: there is no file 'no.py' " + CFG.format(8),
        "Hostout: [host1] host: is not set, and nothing can connect without it " + CFG.format(11),
        "Hostout: [host1] path: must be absolute, is 'plone' " + CFG.format(7),
        "Hostout: [host2] fabfiles: there is no file 'neither.py' " + CFG.format(19),
        "Hostout: [host2] fabfiles: there is no file 'no.py' " + CFG.format(8),
        "Hostout: [host2] path: must be a folder of its own, is '/' " + CFG.format(18),
    ]
    assert files(project.folder) == before


# fabfiles


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("def good(): pass\n\ndef (:\n", ", line 3: SyntaxError: "),
        ("\nimport nothing_of_that_name\n", ", line 2: ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("from os import nothing\n", ", line 1: ImportError: cannot import name 'nothing'"),
    ],
)
def test_a_fabfile_that_cannot_be_loaded_is_named_with_its_line(
    records: Records, host: EmbeddedHost, text: str, place: str
) -> None:
    fabfile = records.fabfile("fabfile.py", text)
    records.part("host1", host=f"127.0.0.1:{host.port}", path="/srv/app", fabfiles=fabfile)
    done = records.call("host1", "deploy")
    assert refused(done, 2).startswith(f"{fabfile}{place}")
    assert (done.stdout, host.connections) == ("", 0)


# reaching a host


def test_a_port_that_refuses(records: Records) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        records.part("host1", host=f"127.0.0.1:{port}", path="/srv/app")
        line = refused(records.call("host1", "run", "true"), 3)
    assert line == f"[host1] 127.0.0.1, port {port} refused the connection"


def test_a_name_that_does_not_resolve(records: Records) -> None:
    records.part("host1", host="no-such-host.invalid", path="/srv/app")
    line = refused(records.call("host1", "run", "true"), 3)
    assert line.startswith("[host1] no-such-host.invalid: the name does not resolve")


def test_a_host_that_accepts_and_says_nothing_within_the_limit_of_the_ssh_configuration(
    records: Records, host: EmbeddedHost
) -> None:
    host.silent = True
    (records.home / ".ssh" / "config").write_text("Host *\n  ConnectTimeout 2\n")
    records.part("host1", host=f"127.0.0.1:{host.port}", path="/srv/app")
    began = time.monotonic()
    line = refused(records.call("host1", "run", "true"), 3)
    # our own limit
    assert time.monotonic() - began < Limits().banner
    assert line == f"[host1] 127.0.0.1, port {host.port}: accepts connections, but says nothing"


def test_an_unknown_host_key_and_nobody_to_ask(records: Records, host: EmbeddedHost) -> None:
    known = records.home / ".ssh" / "known_hosts"
    known.unlink()
    records.part("host1", host=f"127.0.0.1:{host.port}", path="/srv/app")
    line = refused(records.call("host1", "run", "true"), 3)
    assert line.startswith(f"[host1] 127.0.0.1, port {host.port}: its host key ")
    assert host.fingerprint in line and "accept-new" in line
    assert (host.attempts, known.exists()) == ([], False)


def test_a_host_key_that_has_changed(records: Records, host: EmbeddedHost) -> None:
    known = records.home / ".ssh" / "known_hosts"
    before, old = known.read_text(), host.fingerprint
    host.change_host_key()
    records.part("host1", host=f"127.0.0.1:{host.port}", path="/srv/app", host_key="accept-new")
    line = refused(records.call("host1", "run", "true"), 3)
    assert "its host key has changed" in line and f"{known}, line 1" in line
    assert old in line and host.fingerprint in line
    assert (host.attempts, known.read_text()) == ([], before)


def test_a_wrong_password_is_tried_once_where_nobody_can_be_asked(records: Records, tmp_path: Path) -> None:
    with EmbeddedHost(tmp_path / "host", password="right") as host:
        host.write_known_hosts(records.home / ".ssh" / "known_hosts")
        records.part("host1", host=f"127.0.0.1:{host.port}", path="/srv/app")
        line = refused(records.call("host1", "run", "true", HOSTOUT_PASSWORD="wr0ng-one"), 3)
        assert line.startswith("[host1] could not log into 127.0.0.1") and "was not accepted" in line
        assert "wr0ng-one" not in line
        assert host.attempts.count("password") == 1


# what a host says


def test_output_that_is_not_utf8_arrives(records: Records, host: EmbeddedHost) -> None:
    records.part("host1", host=f"127.0.0.1:{host.port}", path=str(host.home))
    done = records.call("host1", "run", "printf 'a\\377b\\n'", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "[127.0.0.1] out: a\\ufffdb" in done.stdout.splitlines()


def test_a_million_lines_arrive(records: Records, host: EmbeddedHost) -> None:
    records.part("host1", host=f"127.0.0.1:{host.port}", path=str(host.home))
    done = records.call("host1", "run", "seq 1000000")
    assert (done.returncode, done.stderr) == (0, "")
    out = [line for line in done.stdout.splitlines() if " out: " in line]
    assert (len(out), out[-1]) == (1_000_000, "[127.0.0.1] out: 1000000")


# what a deployment finds out


@pytest.mark.buildout
def test_a_develop_package_that_does_not_build_is_named_with_its_last_lines_and_the_log(site: Site) -> None:
    project, setup = site.project, site.project.folder / "src/hello/setup.py"
    text, connections, before = setup.read_text(), site.host.connections, site.current("host1")
    project.write("src/hello/setup.py", "raise RuntimeError('this package is broken')\n")
    said = project.fail(2, "host1", "deploy").splitlines()
    project.write("src/hello/setup.py", text)
    assert said[0] == f"Hostout: [host1] develop package hello ({project.folder}/src/hello) does not build:"
    assert any("RuntimeError: this package is broken" in line for line in said)
    log = Path(said[-1].strip().removeprefix("the whole log: "))
    assert "this package is broken" in log.read_text()
    assert (site.host.connections, site.current("host1")) == (connections, before)
    assert site.leftovers() == []


@pytest.mark.buildout
def test_a_buildout_that_fails_there_shows_its_last_lines_and_the_log(site: Site) -> None:
    before = site.current("host1")
    site.greet()
    site.fail_at("build", "echo what a pity")
    said = site.project.fail(1, "host1", "deploy").splitlines()
    line = next(line for line in said if line.startswith("Hostout: [host1]"))
    assert "build-command failed (status 7)" in line
    assert "    what a pity" in said
    log = Path(said[-1].strip().removeprefix("the whole log on the host: "))
    assert log.parent == site.host.home / "host1/.hostout/jobs"
    assert "what a pity" in log.read_text()
    assert site.current("host1") == before
    assert site.page("host1") and site.greeting not in site.page("host1")
    site.clear()
    site.project.succeed("host1", "deploy")
    assert site.greeting in site.page("host1")
    assert site.leftovers() == []


@pytest.mark.buildout
def test_a_local_file_that_a_build_does_not_find_there_is_named_with_what_to_do(site: Site) -> None:
    site.project.write("etc/forgotten.conf", "")
    site.greet()
    site.fail_at("build", "cat $PWD/current/etc/forgotten.conf $PWD/etc/nowhere.conf")
    said = site.project.fail(1, "host1", "deploy").splitlines()
    line = next(line for line in said if line.startswith("Hostout: [host1]"))
    assert line.endswith(
        "; etc/forgotten.conf is in the buildout here but not in the release: name it in the option include"
    )
    site.clear()
    site.project.succeed("host1", "deploy")
