"""Two people with a Python that is not ours, on a computer of their own, make the same release of the same commit.

It is also where the whole near side runs in that Python. What does not belong here: hosts with another Python.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import eggmanifests
from buildouts import PINS, PROJECT, VERSIONS
from machines import Machine
from samecommit import BUILDOUT, FILES, IDENTIFY, sources
from samples import write

pytestmark = [pytest.mark.buildout, pytest.mark.machine]

VERSION = "6.0.1"
HERE = "{}.{}".format(*sys.version_info)
WHEELS, ENVIRONMENT = "/srv/wheels", "/srv/env"
ANN = {"HOME": "/home/ann", "TZ": "UTC", "umask": "022"}
JO = {"HOME": "/srv/people/jo", "TZ": "Asia/Kathmandu", "umask": "077"}


@pytest.fixture
def computer(trixie_machine: Machine, tmp_path: Path) -> Machine:
    """One with a zc.buildout and this project, installed from wheels alone: it has no network."""
    python = trixie_machine.run(["python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).stdout.strip()
    assert python != HERE
    wheels = tmp_path / "wheels"
    argv = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(wheels), str(PROJECT)]
    subprocess.run(argv, check=True, timeout=300)
    needed = ["fabric>=3.2,<4", "paramiko>=4", "build>=1.2", "packaging>=24", "pip", *VERSIONS[VERSION]]
    eggmanifests.fetch(wheels, *eggmanifests.words_for(python), *needed)
    shutil.copytree(wheels, trixie_machine.root / WHEELS[1:])
    (pip,) = wheels.glob("pip-*.whl")
    installed = f"{WHEELS}/{pip.name}/pip install -q --no-index --find-links {WHEELS}"
    for line in (
        f"python3 -m venv --without-pip {ENVIRONMENT}",
        f"{ENVIRONMENT}/bin/python {installed} pip collective.hostout {shlex.join(VERSIONS[VERSION])}",
        "mkdir -m 755 /srv/people",
    ):
        trixie_machine.run(line, timeout=300)
    for name, settings in (("ann", ANN), ("jo", JO)):
        trixie_machine.run(["useradd", "--create-home", "--home-dir", settings["HOME"], name])
    return trixie_machine


def repository(folder: Path, python: str) -> Path:
    """What is in version control, with all files that are needed."""
    write(folder, {"buildout.cfg": BUILDOUT, **FILES})
    (folder / "tools/run").chmod(0o755)
    links = folder / "links"
    links.mkdir()
    wanted = [*(f"{name}=={version}" for name, version in PINS[VERSION].items()), "MarkupSafe==3.0.2", "setuptools>=80"]
    eggmanifests.fetch(sources(links), "--no-deps", *eggmanifests.words_for(python), *wanted)
    return folder


def give(computer: Machine, name: str, settings: dict[str, str], files: Path) -> str:
    """A working copy of these files for a user of the computer; gives its path there."""
    copy = f"{settings['HOME']}/projects/app"
    shutil.copytree(files, computer.root / copy[1:], symlinks=True)
    eggs = f"[buildout]\neggs-directory = {settings['HOME']}/eggs\n"
    computer.write(f"{settings['HOME']}/.buildout/default.cfg", eggs)
    computer.run(["chown", "-R", f"{name}:{name}", settings["HOME"]])
    return copy


def identified(computer: Machine, name: str, settings: dict[str, str], copy: str) -> str:
    """``bin/buildout``, then the id of the release that would be deployed; and the script starts."""
    variables = {"HOME": settings["HOME"], "TZ": settings["TZ"], "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"{copy}/links"}
    exported = "".join(f"export {key}={shlex.quote(value)}; " for key, value in variables.items())
    line = f"umask {settings['umask']}; cd {copy}; {exported}set -e; "
    line += f"{ENVIRONMENT}/bin/buildout -N >&2; bin/hostout --version >&2; "
    line += f"{ENVIRONMENT}/bin/python -c {shlex.quote(IDENTIFY)}"
    return computer.run(["sh", "-c", line], user=name, timeout=300).stdout.strip()


def test_two_people_with_another_python_get_the_same_id(computer: Machine, tmp_path: Path) -> None:
    python = computer.run([f"{ENVIRONMENT}/bin/python", "-V"]).stdout.split()[1].rpartition(".")[0]
    files = repository(tmp_path / "commit", python)
    copy = give(computer, "ann", ANN, files)
    known = identified(computer, "ann", ANN, copy)
    assert len(known) == 8
    lock = computer.root / copy[1:] / "hostoutversions.cfg"
    assert f"MarkupSafe-3.0.2-cp{python.replace('.', '')}-" in lock.read_text()
    # what she commits
    shutil.copy(lock, files)
    theirs = give(computer, "jo", JO, files)
    assert identified(computer, "jo", JO, theirs) == known
    assert (computer.root / theirs[1:] / "hostoutversions.cfg").read_bytes() == lock.read_bytes()
    computer.run(f"echo hi > {theirs}/src/example/example/data/hello.txt")
    assert identified(computer, "jo", JO, theirs) != known
