"""Develop packages of every kind, and a LocalBuildout around a folder, for the tests of packaging.

What does not belong here: the records of a real ``bin/buildout`` (the tests of the recipe have them).
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from hostout.model import Event, Host, LocalBuildout, Member
from hostout.packaging.develop import Package, Released, releases

SETUP_WITHOUT_VERSION = {
    "setup.py": "from setuptools import setup\nsetup(name='example', py_modules=['example'])\n",
    "example.py": "answer = 42\n",
}
SETUP_CFG = {
    "setup.py": "from setuptools import setup\nsetup()\n",
    "setup.cfg": "[metadata]\nname = example\nversion = 1.2\n[options]\npackages = find:\n"
    "include_package_data = True\n[options.package_data]\n* = *.txt\n",
    "example/__init__.py": "",
    "example/data/hello.txt": "hello\n",
    "example/data/__init__.py": "",
}
RECIPE_IN_SRC = {
    "pyproject.toml": """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "my.example"
dynamic = ["version"]
dependencies = ["waitress"]
[project.entry-points."zc.buildout"]
default = "my.example:Recipe"
[project.scripts]
hello = "my.example:hello"
[tool.setuptools.dynamic]
version = {attr = "my.example.version.__version__"}
[tool.setuptools.package-data]
"my.example" = ["templates/*.txt"]
""",
    "src/my/example/__init__.py": "class Recipe: ...\ndef hello(): print('hello')\n",
    "src/my/example/version.py": "__version__ = '1.2.dev0'\n",
    "src/my/example/templates/page.txt": "a page\n",
}
HATCHLING = {
    "pyproject.toml": '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
    '[project]\nname = "example"\nversion = "1.2"\n',
    "example/__init__.py": "",
}
FLIT = {
    "pyproject.toml": '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n'
    '[project]\nname = "example"\ndynamic = ["version", "description"]\n',
    "example/__init__.py": '"""An example"""\n__version__ = "1.2"\n',
}
POETRY = {
    "pyproject.toml": '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n'
    '[tool.poetry]\nname = "example"\nversion = "1.2"\ndescription = ""\nauthors = []\n',
    "example/__init__.py": "",
}
SCM = {
    "pyproject.toml": '[build-system]\nrequires = ["setuptools", "setuptools_scm"]\n'
    'build-backend = "setuptools.build_meta"\n[project]\nname = "example"\ndynamic = ["version"]\n'
    '[tool.setuptools]\npackages = ["example", "example.data"]\n[tool.setuptools_scm]\n',
    "example/__init__.py": "",
    "example/data/hello.txt": "only git knows of me\n",
    "example/data/__init__.py": "",
}
BROKEN = {"setup.py": "raise RuntimeError('this package is broken')\n"}


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """The files in a folder, which is made."""
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return folder


def local_buildout(directory: Path, **more: object) -> LocalBuildout:
    """The record of a buildout in ``directory`` run by this Python, with nothing in it."""
    record = LocalBuildout(
        directory=str(directory),
        config=str(directory / "buildout.cfg"),
        parts_directory=str(directory / "parts"),
        bin_directory=str(directory / "bin"),
        eggs_directory=str(directory / "eggs" / "v5"),
        develop_eggs_directory=str(directory / "develop-eggs"),
        download_cache=None,
        executable=sys.executable,
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        hostout_parts=("host1",),
    )
    return dataclasses.replace(record, **more)  # type: ignore[arg-type]  # the caller knows the fields


def build_one(package: Package, local: LocalBuildout) -> Released:
    """A develop package as a distribution."""
    (released,) = releases([package], local)
    return released


def host(**more: object) -> Host:
    return dataclasses.replace(Host("host1", path="/srv/host1"), **more)  # type: ignore[arg-type]


def environment(python: Path) -> tuple[Member, ...]:
    """zc.buildout's own environment as the recipe records it: what that interpreter has of it."""
    names = {"zc.buildout", "setuptools", "packaging", "wheel", "pip", "platformdirs"}
    asked = (
        "import importlib.metadata as m, json, sys;"
        "print(json.dumps([[d.metadata['Name'], d.version, str(d.locate_file(''))] for d in m.distributions()]))"
    )
    done = subprocess.run([python, "-I", "-c", asked], capture_output=True, check=True, timeout=60)
    return tuple(Member(*found) for found in sorted(json.loads(done.stdout)) if found[0] in names)


class Said:
    """An Emit that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def texts(self) -> list[str]:
        return [event.text for event in self.events]
