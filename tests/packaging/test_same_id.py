"""The same commit is the same release, whoever builds it and wherever: two developers, and no index for the second."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import eggmanifests
from buildouts import PINS, BuildoutEnvironment, environment
from samples import SETUP_CFG, write

pytestmark = pytest.mark.buildout

BUILDOUT = """\
[buildout]
parts = app host1
develop = src/*
versions = versions
# all that is needed is in the repository: no index is asked
find-links = ${buildout:directory}/links
index = ${buildout:directory}/links

[app]
recipe = zc.recipe.egg
eggs =
    example
    MarkupSafe
    hostouttest-source
interpreter = py

[host1]
recipe = collective.hostout
host = app.example.com
path = /srv/app
include =
    etc/app.ini
    tools
pre-commands = ${buildout:directory}/bin/app stop

[versions]
MarkupSafe = 3.0.2
hostouttest-source = 1.0
"""
FILES = {
    ".gitignore": "bin\ndevelop-eggs\neggs\nparts\nvar\n.installed.cfg\n*.egg-info\n__pycache__\n",
    "etc/app.ini": "[app]\ndebug = false\n",
    "tools/run": "#!/bin/sh\n",
    "tools/notes.txt": "größer\n",
    **{f"src/example/{name}": text for name, text in SETUP_CFG.items()},
}
BACKEND = """\
import time, zipfile
def build_wheel(to, config_settings=None, metadata_directory=None):
    name, info = "hostouttest_source-1.0-py3-none-any.whl", "hostouttest_source-1.0.dist-info"
    with zipfile.ZipFile(to + "/" + name, "w") as archive:
        archive.writestr("hostouttest_source.py", f"built = {time.time()}\\n")
        archive.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: hostouttest-source\\nVersion: 1.0\\n")
        archive.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(info + "/RECORD", "")
    return name
"""
SDIST = {
    "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
    "backend.py": BACKEND,
    "PKG-INFO": "Metadata-Version: 2.1\nName: hostouttest-source\nVersion: 1.0\n",
}
IDENTIFY = """\
import sys
from hostout import config, packaging
found = config.load("parts/hostout")
print(packaging.prepare(found.host("host1"), found.local, lambda event: None).id)
"""


@dataclass
class Developer:
    """Somebody's computer: a home folder with caches of its own, a working copy, and how they set it up."""

    folder: Path
    env: BuildoutEnvironment
    umask: str = "022"
    variables: Mapping[str, str] = field(default_factory=dict)
    within: tuple[str, ...] = ()

    def run(self, *argv: str | Path, cwd: Path | None = None) -> str:
        """What it says on its standard output."""
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.copy / "links")}
        env = {**kept, **offline, "HOME": str(self.folder), **self.variables}
        line = ["sh", "-c", f'umask {self.umask}; exec "$@"', "sh", *map(str, argv)]
        where = cwd or self.copy
        done = subprocess.run([*self.within, *line], cwd=where, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def copy(self) -> Path:
        return self.folder / "projects" / "app"

    def build(self) -> str:
        """``bin/buildout``, all eggs made anew; gives the id of the release that would be deployed."""
        write(self.folder / ".buildout", {"default.cfg": f"[buildout]\neggs-directory = {self.folder}/eggs\n"})
        self.run(self.env.directory / "bin" / "buildout", "-N")
        return self.identify()

    def identify(self) -> str:
        """Of the release that would be deployed."""
        return self.run(self.env.python, "-c", IDENTIFY).strip()


def sources(folder: Path) -> Path:
    """A source distribution of which every build is another one."""
    with tarfile.open(folder / "hostouttest_source-1.0.tar.gz", "w:gz") as archive:
        for name, text in SDIST.items():
            about = tarfile.TarInfo(f"hostouttest_source-1.0/{name}")
            about.size = len(text)
            archive.addfile(about, io.BytesIO(text.encode()))
    return folder


def commit(developer: Developer) -> None:
    for words in (["add", "-A"], ["-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-qm", "All"]):
        developer.run("git", *words)


def first(folder: Path, env: BuildoutEnvironment) -> Developer:
    """Has made the project, built it, and committed what was tested."""
    developer = Developer(folder / "first", env)
    write(developer.copy, {"buildout.cfg": BUILDOUT, **FILES})
    (developer.copy / "tools/run").chmod(0o755)
    links = developer.copy / "links"
    links.mkdir()
    pins = {**PINS[env.version], "MarkupSafe": "3.0.2"}
    wanted = [*(f"{name}=={version}" for name, version in pins.items()), "setuptools>=80"]
    version = eggmanifests.tag_of(env.python).removeprefix("py").partition("-")[0]
    eggmanifests.fetch(sources(links), "--no-deps", "--python-version", version, *wanted)
    developer.run("git", "init", "-q")
    return developer


def second(folder: Path, env: BuildoutEnvironment, whose: Developer) -> Developer:
    """Has cloned it: another name, home folder, time zone and umask, no network where this computer can do without."""
    words = {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "USER": "jo", "LOGNAME": "jo", "PYTHONHASHSEED": "7"}
    home = folder / "elsewhere" / "home" / "jo"
    (home / "projects").mkdir(parents=True)
    developer = Developer(home, env, "077", words, alone())
    developer.run("git", "clone", "-q", whose.copy, developer.copy, cwd=home)
    return developer


def alone() -> tuple[str, ...]:
    """Another user in a network without anything in it, where this computer lets us."""
    words = ("unshare", "--user", "--map-user=4321", "--map-group=4321", "--net")
    able = shutil.which("unshare") and not subprocess.run([*words, "true"], capture_output=True, check=False).returncode
    return words if able else ()


def pythons() -> list[str]:
    """Every other Python that is here and can make environments, one a version."""
    named = {minor: shutil.which(f"python3.{minor}") for minor in range(10, 15) if minor != sys.version_info.minor}
    words = ("-c", "import ensurepip, venv")
    found = [path for path in named.values() if path]
    return [path for path in found if not subprocess.run([path, *words], capture_output=True, check=False).returncode]


def compare(folder: Path, env: BuildoutEnvironment) -> str:
    """Both build the same commit; gives the id that both get."""
    one = first(folder, env)
    known = one.build()
    commit(one)
    other = second(folder, env, one)
    assert other.build() == known
    assert other.run("git", "status", "--porcelain") == "" == one.run("git", "status", "--porcelain")
    write(other.copy, {"src/example/example/data/hello.txt": "hi\n"})
    assert other.identify() != known
    return known


def test_two_developers_get_the_same_id_from_the_same_commit(tmp_path: Path) -> None:
    compare(tmp_path, environment("6.0.1"))


@pytest.mark.all
def test_each_python_has_an_id_of_its_own_that_two_developers_agree_on(tmp_path: Path) -> None:
    others = pythons()
    if not others:
        pytest.skip("there is one Python here, and this compares two")
    ids = [compare(tmp_path / Path(path).name, environment("6.0.1", path)) for path in (sys.executable, *others)]
    assert len(set(ids)) == len(ids)
