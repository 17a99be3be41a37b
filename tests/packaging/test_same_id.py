"""The same commit is the same release, whoever builds it and wherever: two developers, and no index for the second."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import eggmanifests
from buildouts import PINS, BuildoutEnvironment, environment
from samecommit import BUILDOUT, FILES, IDENTIFY, sources
from samples import write

pytestmark = pytest.mark.buildout


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


def test_two_developers_get_the_same_id_from_the_same_commit(tmp_path: Path) -> None:
    env = environment("6.0.1")
    one = first(tmp_path, env)
    known = one.build()
    commit(one)
    other = second(tmp_path, env, one)
    assert other.build() == known
    assert other.run("git", "status", "--porcelain") == "" == one.run("git", "status", "--porcelain")
    write(other.copy, {"src/example/example/data/hello.txt": "hi\n"})
    assert other.identify() != known
