"""What zc.buildout makes of a wheel, by zc.buildout itself, and as it was written down in ``agent/manifests``.

A manifest is one wheel's egg: each file and folder with its mode and the first half of its sha256, installers' records
and bytecode aside. ``.build/venv/bin/python tests/eggmanifests.py`` writes them all anew, where zc.buildout 5.2 and 6.0
agree. What does not belong here: eggs as the agent makes them, and what is compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import parse_wheel_filename

from buildouts import VERSIONS, BuildoutEnvironment, environment
from wheelsamples import EVERY_SORT, tree

FOLDER = Path(__file__).parent / "agent" / "manifests"
REQUIREMENTS = FOLDER / "wheels.txt"
"""The wheels of others that have a manifest, by name, version and sha256, as pip reads it."""

TAG = "{tag}"
"""Stands in manifests for Python and platform, which are in the names of eggs and of their metadata."""

_GLIBC = (28, 26, 17)
# what a part does for each distribution that buildout has no egg of; nothing that it needs, nothing of the environment
_INSTALL = """\
import json, logging, os, sys
from zc.buildout.easy_install import Installer, pkg_resources
folder, eggs, wanted = sys.argv[1:]
os.umask(0o022)
logging.basicConfig(level=logging.ERROR)
installer = Installer(eggs, links=[folder], index="file:///nonexistent", newest=False)
installer._path = []
installer._env = installer._make_env()
for pin in json.loads(wanted):
    installer._get_dist(pkg_resources.Requirement.parse(pin), pkg_resources.WorkingSet([]))
"""


@dataclass(frozen=True)
class Manifest:
    """The egg of a wheel: ``files`` are ``mode sha256`` by name, of a folder (with a slash at its end) the mode."""

    wheel: str
    egg: str
    files: dict[str, str]

    @classmethod
    def of(cls, wheel: str, egg: Path, tag: str) -> Manifest:
        """Of an egg that is there."""
        entries = {name.replace(tag, TAG): _entry(*entry) for name, entry in sorted(tree(egg).items())}
        return cls(wheel, egg.name.replace(tag, TAG), entries)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """One that was written."""
        return cls(**json.loads(path.read_text()))

    def write(self) -> None:
        """For everybody's later runs."""
        text = json.dumps({"wheel": self.wheel, "egg": self.egg, "files": self.files}, indent=1, ensure_ascii=False)
        (FOLDER / f"{self.egg.partition(f'-{TAG}')[0]}.json").write_text(f"{text}\n")


def _entry(mode: int, content: bytes) -> str:
    return f"{mode:o} {hashlib.sha256(content).hexdigest()[:32]}" if content else f"{mode:o}"


def stored() -> dict[str, Manifest]:
    """All that were written, by the name of the wheel."""
    return {one.wheel: one for one in map(Manifest.read, sorted(FOLDER.glob("*.json")))}


def made(eggs: Path, wheels: Iterable[Path], tag: str) -> dict[str, Manifest]:
    """Of the eggs in a folder, each made of one of the wheels, by the name of the wheel."""
    by_pin = {_pin(path): path.name for path in wheels}
    found = [(by_pin[_pin_of_egg(egg, tag)], egg) for egg in sorted(eggs.iterdir())]
    return {wheel: Manifest.of(wheel, egg, tag) for wheel, egg in found}


def _pin(wheel: Path) -> str:
    name, version, _, _ = parse_wheel_filename(wheel.name)
    return f"{name}=={version}"


def _pin_of_egg(egg: Path, tag: str) -> str:
    return _pin(Path(f"{egg.name.removesuffix('.egg').removesuffix(tag)}py3-none-any.whl"))


def fetch(where: Path, *wanted: str) -> list[Path]:
    """Wheels of the index, for the Python that we run in where ``wanted`` says nothing else; gives all that are there.

    What they need themselves is fetched as well where ``--no-deps`` is not among the words.
    """
    argv = [sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:", "-d", str(where)]
    subprocess.run([*argv, *wanted], check=True, timeout=600)
    return sorted(where.glob("*.whl"))


def words_for(python: str) -> list[str]:
    """Has ``fetch`` take wheels for that Python, on Linux."""
    abis = (f"cp{python.replace('.', '')}", "abi3", "none")
    platforms = [word for minor in _GLIBC for word in ("--platform", f"manylinux_2_{minor}_x86_64")]
    words = ["--python-version", python, "--implementation", "cp", *(word for abi in abis for word in ("--abi", abi))]
    return [*words, *platforms]


def fetch_real(where: Path) -> list[Path]:
    """The wheels of others that have a manifest, of the very bytes that it was written for."""
    # what is in an egg depends on the wheel alone, not on the Python that unpacks it
    return fetch(where, "--no-deps", "--require-hashes", *words_for("3.11"), "-r", str(REQUIREMENTS))


def by_buildout(buildout: BuildoutEnvironment, wheels: Iterable[Path], eggs: Path) -> dict[str, Manifest]:
    """zc.buildout makes eggs of all these wheels, which lie in one folder; gives what they are."""
    paths = list(wheels)
    eggs.mkdir()
    argv = [str(buildout.python), "-c", _INSTALL, str(paths[0].parent), str(eggs), json.dumps([*map(_pin, paths)])]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP"))}
    env = {**clean, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null", "PIP_NO_CACHE_DIR": "1"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return made(eggs, paths, tag_of(buildout.python))


def tag_of(python: Path | str) -> str:
    """Python and platform as eggs are named after them."""
    say = "import sys, sysconfig as s; print('py%d.%d-' % sys.version_info[:2] + s.get_platform())"
    return subprocess.check_output([str(python), "-c", say], text=True, timeout=60).strip()


def write_all() -> None:
    """Anew, what zc.buildout makes of the wheels of every sort and of those of others."""
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder, "wheels")
        paths = [*(wheel.make(wheels) for wheel in EVERY_SORT)]
        paths = sorted({*paths, *fetch_real(wheels)})
        results = [by_buildout(environment(each), paths, Path(folder, each)) for each in VERSIONS]
    assert all(result == results[0] for result in results), "they do not agree"
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for manifest in results[0].values():
        manifest.write()


if __name__ == "__main__":
    write_all()
