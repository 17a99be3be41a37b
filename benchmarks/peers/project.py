"""What is deployed: an application of twenty develop packages and one dependency with many versions.

Every tool has a working copy of its own, and the same is changed in each. What does not belong here: how it gets to
a host (``tools.py``).
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hosts import Project
from measure import Failed
from wheelsamples import Wheel

PACKAGES = 20
MODULES = 8
CHANGED = "hostouttest-part07"
DEPENDENCY = "hostouttest-dependency"
DEPENDENCY_SIZE = 150_000
PATH = "/srv/site"
PORT = 8080

# no index is ever asked for names that nobody has; all wheels are in the download cache, as after a first build
BASE = """\
[buildout]
extends = versions.cfg
develop = src/*
parts = site
newest = false
allow-picked-versions = false
install-from-cache = true
index =
eggs-directory = eggs
download-cache = downloads

[site]
recipe = zc.recipe.egg
eggs = hostouttest-site
"""

VERSIONS = """\
[buildout]
versions = versions

[versions]
{pins}
hostouttest-dependency = 1.{dependency}
waitress = 3.0.2
"""

HOSTOUT = """\
[buildout]
extends = base.cfg
parts += host1

[host1]
recipe = collective.hostout
host = 127.0.0.1:{port}
user = root
identity-file = {key}
host-key = accept-new
path = {path}
effective-user = site
buildout = base.cfg
post-commands = systemctl restart site
post-failure = rollback
health-check = http://127.0.0.1:8080/
"""

PRODUCTION = """\
[buildout]
extends = base.cfg own.cfg
develop =
"""
"""What the peers build on the host: wheels instead of develop packages, out of the folder that was uploaded."""

PYPROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "1.{version}"
dependencies = {dependencies}

[project.scripts]
{scripts}

[tool.setuptools.packages.find]
where = ["src"]
"""

SITE = '''\
"""Serves a page that says what it consists of, and tells systemd as soon as it does."""

import os
import socket

import waitress
from hostouttest_dependency import VERSION
from hostouttest_part07 import LINE


def page(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    return [f"line {LINE}, dependency 1.{VERSION}".encode()]


def ready():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])


def main():
    server = waitress.create_server(page, listen="*:8080")
    ready()
    server.run()
'''

UNIT = """\
[Unit]
Description=The site

[Service]
Type=notify
User=site
ExecStart=/srv/site/bin/site

[Install]
WantedBy=multi-user.target
"""


@dataclass
class Copy:
    """A working copy: ``line`` and ``dependency`` are what its page says where it is deployed."""

    folder: Path
    pins: Mapping[str, str]
    peer: bool
    line: int = 0
    dependency: int = 0

    def make(self, wheels: Iterable[Path]) -> None:
        """Writes all of it, these wheels into the download cache; nothing is built yet."""
        self.downloads.mkdir(parents=True)
        for wheel in wheels:
            shutil.copy2(wheel, self.downloads)
        for number in range(1, PACKAGES):
            self._package(f"hostouttest-part{number:02}", "LINE = 0\n")
        parts = [f"hostouttest-part{number:02}" for number in range(1, PACKAGES)]
        self._package("hostouttest-site", SITE, [*parts, DEPENDENCY, "waitress"], 'site = "hostouttest_site:main"')
        self._write("base.cfg", BASE)
        self._write("production.cfg", PRODUCTION)
        self.update_dependency()

    def change_line(self) -> None:
        """One line of one package; who makes wheels by hand gives it a new version as well."""
        self.line += 1
        module = CHANGED.replace("-", "_")
        self._write(f"src/{CHANGED}/src/{module}/__init__.py", f"LINE = {self.line}\n")
        if self.peer:
            project = self.folder / "src" / CHANGED / "pyproject.toml"
            was, now = (f'version = "1.{line}"' for line in (self.line - 1, self.line))
            project.write_text(project.read_text().replace(was, now))

    def update_dependency(self) -> None:
        """Another version of the dependency is pinned."""
        self.dependency += 1
        pins = "\n".join(f"{name} = {version}" for name, version in self.pins.items())
        self._write("versions.cfg", VERSIONS.format(pins=pins, dependency=self.dependency))
        released(self.downloads, self.dependency)

    @property
    def downloads(self) -> Path:
        """The download cache of the working copy."""
        return self.folder / "downloads" / "dist"

    @property
    def page(self) -> str:
        """What the site says where this is deployed."""
        return f"line {self.line}, dependency 1.{self.dependency}"

    def _package(self, name: str, code: str, needs: list[str] | None = None, scripts: str = "") -> None:
        module = name.replace("-", "_")
        facts = {"name": name, "version": 0, "scripts": scripts}
        self._write(f"src/{name}/pyproject.toml", PYPROJECT.format(**facts, dependencies=json.dumps(needs or [])))
        self._write(f"src/{name}/src/{module}/__init__.py", code)
        for number in range(MODULES):
            self._write(f"src/{name}/src/{module}/module{number}.py", words(f"{name} {number}", 3000))

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def build(project: Project) -> None:
    """``bin/buildout``, untimed; each develop package in the environment that is there, not in one of its own."""
    os.environ["PIP_NO_BUILD_ISOLATION"] = "0"
    try:
        ran = project.env.run(project.folder, "-N", home=project.home)
    finally:
        del os.environ["PIP_NO_BUILD_ISOLATION"]
    if ran.returncode:
        raise Failed(f"bin/buildout in {project.folder} ended with status {ran.returncode}\n{ran.stdout[-4000:]}")


def hostout_part(project: Project, port: int, key: Path) -> None:
    """The main configuration of the working copy that hostout deploys from."""
    project.write("buildout.cfg", HOSTOUT.format(port=port, key=key, path=PATH))


def released(folder: Path, version: int) -> Path:
    """A wheel of the dependency, of the size that wheels commonly have."""
    module = DEPENDENCY.replace("-", "_")
    content: dict[str, str | bytes] = {
        f"{module}/__init__.py": f"VERSION = {version}\n",
        f"{module}/data.txt": words(f"data {version}", DEPENDENCY_SIZE),
        "{info}/top_level.txt": f"{module}\n",
    }
    return Wheel(DEPENDENCY, f"1.{version}", f"{module}-1.{version}", content, ()).make(folder)


def words(seed: str, size: int) -> str:
    """Comments that look like text to a compressor, the same for the same seed."""
    chosen = random.Random(seed)
    letters = "aaabcdeeeefghiiijklmnnooopqrrssstttuuvwxyz   \n"
    return "# " + "".join(chosen.choices(letters, k=size)).replace("\n", "\n# ") + "\n"
