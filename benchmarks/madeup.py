"""A project of any size: made-up distributions in the developer's caches, develop packages, hosts to deploy to.

Its wheels and eggs are written here, for a real ``bin/buildout`` would start one pip for each of them; the rest is done
by a real one. What does not belong here: what is measured with it.
"""

from __future__ import annotations

import itertools
import sysconfig
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hosts import Fleet, Machine, Project
from wheelsamples import Wheel, plain

MODULES, LINES = 40, 60
"""About what a distribution of Plone has: some hundred kilobytes."""

MAIN = """\
[buildout]
extends = app.cfg
parts += {hosts}

"""

APP = """\
[buildout]
develop =
    {develop}
parts = app
newest = false
versions = versions

[versions]
{pins}

[app]
recipe = zc.recipe.egg
eggs =
    {eggs}
"""

HOST = """\
[{name}]
recipe = collective.hostout
host = {address}
user = root
identity-file = {key}
path = {path}
effective-user = app
buildout = app.cfg
include =
    settings.ini
    {include}
keep-releases = 1000

"""

SETUP = 'from setuptools import setup\nsetup(name="{name}", version="1.0", packages=["{package}"])\n'

CACHES = "[buildout]\neggs-directory = {caches}/eggs\ndownload-cache = {caches}/downloads\n"


@dataclass
class MadeUp:
    """A built project of ``distributions`` and ``develop`` packages."""

    project: Project
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def edit(self, package: int = 0) -> None:
        """Another line in one of the develop packages."""
        name = develop_name(package)
        self.project.write(f"src/{name}/{name}/changed.py", f"number = {next(self.numbers)}\n")

    def configure(self) -> None:
        """Another line in an included file: a new release without a new package."""
        self.project.write("settings.ini", f"number = {next(self.numbers)}\n")


@dataclass(frozen=True)
class Place:
    """Where a part deploys to: its machine, the folder there (its cache is beside it), a further file to include."""

    machine: Machine
    path: str
    include: str = ""


def made(
    there: Fleet,
    name: str,
    places: Mapping[str, Place],
    *,
    wheels: Sequence[Wheel] = (),
    develop: int = 1,
    files: Mapping[str, bytes] | None = None,
) -> MadeUp:
    """A project in a folder of its own, with caches of its own, built; ``places`` are its parts by name."""
    project = there.project(name)
    caches = project.home / "caches"
    project.home.joinpath(".buildout", "default.cfg").write_text(CACHES.format(caches=caches))
    for wheel in wheels:
        keep(wheel, caches)
    for number in range(develop):
        package(project, develop_name(number))
    for file, content in (files or {}).items():
        (project.folder / file).write_bytes(content)
    write_configuration(project, places, wheels, develop)
    result = MadeUp(project)
    result.configure()
    result.edit()
    project.build()
    return result


def distributions(count: int) -> list[Wheel]:
    """So many that look alike."""
    return [plain(number, text=code(number), files=MODULES) for number in range(count)]


def write_configuration(
    project: Project, places: Mapping[str, Place], wheels: Sequence[Wheel], develop: int
) -> None:
    """``buildout.cfg`` with the hosts, ``app.cfg`` with what is deployed."""
    names = [develop_name(number) for number in range(develop)]
    pins = project.env.pins + "".join(f"{wheel.name} = {wheel.version}\n" for wheel in wheels)
    eggs = "\n    ".join([*names, *(wheel.name for wheel in wheels)])
    parts = "".join(entry(name, place) for name, place in places.items())
    project.write("buildout.cfg", MAIN.format(hosts=" ".join(places)) + parts)
    develop_paths = "\n    ".join(f"src/{name}" for name in names)
    project.write("app.cfg", APP.format(develop=develop_paths, pins=pins, eggs=eggs))


def entry(name: str, place: Place) -> str:
    """The section of a host part."""
    facts = {"address": place.machine.address, "key": place.machine.key, "path": place.path, "include": place.include}
    return HOST.format(name=name, **facts)


def package(project: Project, name: str) -> None:
    """A develop package."""
    project.write(f"src/{name}/setup.py", SETUP.format(name=name, package=name))
    project.write(f"src/{name}/{name}/__init__.py", code(0))


def develop_name(number: int) -> str:
    """Of a develop package."""
    return f"hostouttest_develop{number}"


def code(number: int) -> str:
    """The text of a module: it differs from one distribution to the next, so that no two files are the same."""
    function = "def function{}(a, b={}):\n    return a + b * {}\n"
    return "".join(function.format(line, number, line * 7919 % 997) for line in range(LINES))


def keep(wheel: Wheel, caches: Path) -> None:
    """Puts a distribution where buildout has its files, and its egg where buildout has its eggs."""
    file = wheel.make(caches / "downloads" / "dist")
    tag = f"py{sysconfig.get_python_version()}-{sysconfig.get_platform()}"
    with zipfile.ZipFile(file) as archive:
        archive.extractall(caches / "eggs" / "v5" / wheel.egg_name(tag))

