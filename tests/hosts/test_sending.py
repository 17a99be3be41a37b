"""How distributions and large files get to a host: fetched from an index, or sent; and always what was tested."""

from __future__ import annotations

import hashlib
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from buildouts import environment
from distantindex import DistantIndex, serving
from machines import Machine
from projects import Project, hello, uploaded
from wheelsamples import Wheel

pytestmark = [pytest.mark.buildout, pytest.mark.machine]

NAME = "hostouttest_large-1.0-py3-none-any.whl"
CONTENT = random.Random(1).randbytes(3_000_000)
FILES: dict[str, str | bytes] = {"hostouttest_large/__init__.py": "", "hostouttest_large/data": CONTENT}
LARGE = "\n[large]\nrecipe = zc.recipe.egg\neggs = hostouttest-large\n"
PART = """
[{name}]
recipe = collective.hostout
extends = host1
path = /srv/{name}/app
buildout-cache = /srv/{name}/cache
eggs-from = {mode}
include = hello.ini
    film
fabfiles = {fabfiles}
"""
LATE = """\
import os
from hostout import replaces, superfun

@replaces
def uploadbuildout():
    if "CUT" in os.environ:
        os.truncate("film", 1_000_000)
    superfun()
"""
MODES = {"first": "auto", "second": "auto", "strict": "index", "sends": "here"}


@pytest.fixture
def project(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The example with a distribution that is worth fetching, and parts that get theirs in every way."""
    machine.add_user("app")
    project = hello(environment("6.0.1"), tmp_path, machine)
    Wheel("hostouttest-large", "1.0", "hostouttest_large-1.0", FILES, ()).make(tmp_path / "links")
    project.edit("base.cfg", "parts = hello\n", f"parts = hello large\nfind-links = {tmp_path / 'links'}\n")
    project.edit("versions.cfg", "waitress", "hostouttest-large = 1.0\nwaitress")
    project.edit("buildout.cfg", "parts += host1", f"parts += {' '.join(MODES)}")
    late = {"sends": "late.py"}
    parts = "".join(PART.format(name=n, mode=mode, fabfiles=late.get(n, "")) for n, mode in MODES.items())
    (project.folder / "film").write_bytes(CONTENT)
    project.write("late.py", LATE)
    for name, text in (("base.cfg", LARGE), ("buildout.cfg", parts)):
        project.write(name, (project.folder / name).read_text() + text)
    # where zc.buildout looks when no ``index`` is set: nobody looks through the list of all packages for ours
    monkeypatch.setenv("buildout_testing_index_url", str(tmp_path / "links"))
    project.build()
    return project


@pytest.fixture
def index(project: Project, machine: Machine, tmp_path: Path) -> Iterator[DistantIndex]:
    """One that the machine reaches, and that only pip's settings name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect((machine.address, 9))
        here = str(way.getsockname()[0])
    files = {NAME: (tmp_path / "links" / NAME).read_bytes()}
    # that index has not what builds the example; another version than that of zc.buildout's environment, which is sent
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(tmp_path / "tools")]
    subprocess.run([*fetch, "setuptools==75.8.2"], check=True, timeout=120)
    project.environment["PIP_FIND_LINKS"] = str(tmp_path / "tools")
    with serving(DistantIndex(files, password="ann:s3cret"), here) as index:
        project.environment["PIP_INDEX_URL"] = index.url(here, "ann:s3cret")
        yield index


def digest(machine: Machine, part: str) -> str:
    """Of the large one, as it is on the machine."""
    return machine.run(f"sha256sum /srv/{part}/cache/downloads/dist/{NAME}").stdout.split()[0]


def test_distributions_come_from_an_index_or_from_here_and_are_what_was_tested(
    project: Project, machine: Machine, index: DistantIndex, tmp_path: Path
) -> None:
    right = hashlib.sha256(index.files[NAME]).hexdigest()
    said = project.succeed("first", "predeploy", "uploadeggs")
    assert "Hostout: let the host fetch 3 files, 3.1 MB, from 10." in said
    assert "Hostout: 2 files not to be had there (waitress-3.0.2-py3-none-any.whl: 10." in said
    assert "s3cret" not in said
    assert index.asked.count(f"/files/{NAME}") == 1
    assert digest(machine, "first") == right
    assert [line.split(",")[0] for line in uploaded(said)] == ["upload 9 files"]
    again = project.succeed("first", "uploadeggs")
    assert "fetch" not in again and not uploaded(again)

    index.asked.clear()
    project.succeed("sends", "predeploy", "uploadeggs")
    assert (index.asked, digest(machine, "sends")) == ([], right)

    film = project.folder / "film"
    said = project.fail(1, "sends", "uploadbuildout", CUT="yes")
    assert f"upload: {film} is not what it was when this deployment began: deploy again when nothing writes" in said
    assert machine.run("find /srv/sends/app/.hostout/incoming /srv/sends/app/releases -type f").stdout == ""
    project.succeed("sends", "uploadbuildout")
    there = machine.run("sha256sum /srv/sends/app/releases/*/film").stdout.split()[0]
    assert there == hashlib.sha256(CONTENT[:1_000_000]).hexdigest()

    index.serves[NAME] = b"something else"
    index.says[NAME] = ""
    said = project.succeed("second", "predeploy", "uploadeggs")
    other = hashlib.sha256(b"something else").hexdigest()
    assert f"an index has {NAME} with the sha256 {other}, which is not what was tested: it is sent from here" in said
    assert digest(machine, "second") == right

    said = project.fail(1, "strict", "predeploy", "uploadeggs")
    assert "eggs-from = index, and the host does not get what was tested here:" in said
    assert f"    {NAME} (sha256 {right}): there it has the sha256 {other}\n" in said
    assert "    waitress-3.0.2-py3-none-any.whl (sha256 " in said
    assert machine.run("ls /srv/strict/cache/downloads/dist").stdout == ""


def test_cache_that_fills_up_while_the_host_fetches_is_one_line_and_nothing_is_half_done(
    project: Project, machine: Machine, index: DistantIndex
) -> None:
    cache, host = "/srv/first/cache", urlsplit(project.environment["PIP_INDEX_URL"]).hostname
    machine.run(f"install -d -o app {cache} && mount -t tmpfs -o size=80m,uid=app none {cache}")
    index.serves = Filling(machine, cache)
    said = project.fail(1, "first", "predeploy", "uploadeggs")
    assert said.endswith(
        f"Hostout: let the host fetch 3 files, 3.1 MB, from {host}\n"
        f"Hostout: [first] {cache}/downloads/dist: no space left on the file system: 0.0 MB free\n"
    )
    assert machine.run(f"find {cache}/downloads/dist -type f").stdout == ""
    index.serves = {}
    machine.run(f"rm {cache}/full")
    project.succeed("first", "predeploy", "uploadeggs")
    assert digest(machine, "first") == hashlib.sha256(index.files[NAME]).hexdigest()


class Filling(dict[str, bytes]):
    """What an index serves, while somebody else takes the rest of the cache's file system."""

    def __init__(self, machine: Machine, cache: str) -> None:
        super().__init__()
        self._machine, self._cache = machine, cache

    def get(self, name: str, default: Any = None) -> Any:
        self._machine.run(f"cat /dev/zero > {self._cache}/full", check=False)
        return default


def test_host_that_reaches_no_index_is_sent_everything_soon(
    project: Project, machine: Machine, index: DistantIndex
) -> None:
    project.environment["PIP_INDEX_URL"] = "https://hostouttest.invalid/simple"
    dry = project.succeed("--dry-run", "first", "deploy")
    assert "would let the host fetch 3 files, 3.1 MB, from hostouttest.invalid" in dry
    assert "what it does not get there is sent from here" in dry
    said = project.succeed("first", "predeploy", "uploadeggs")
    assert "Hostout: the host reaches no index (hostouttest.invalid: " in said
    assert [line.split(",")[0] for line in uploaded(said)] == ["upload 10 files"]
    project.environment["PIP_INDEX_URL"] = "http://127.0.0.1:9/simple"
    refused = project.fail(1, "strict", "deploy")
    assert "eggs-from: is index, but this buildout knows none that a host can ask" in refused
