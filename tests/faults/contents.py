"""The application that is deployed, in two contents, and the developer's two working copies of it.

``A`` and ``B`` differ in every file of the package: which one runs is seen on its page. Both are built once; a
deployment of the other content is a new release. What does not belong here: the machine that it runs on.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

from buildouts import BuildoutEnvironment
from machines import Machine
from projects import Project

PATH, CACHE, PORT = "/srv/app", "/srv/buildout-cache", 8080
SHARED = "media"
LETTERS = "AB"
PACKAGE = "hostouttest_app"
FILES, CONFIGURATION = 120, 12
SWITCH, DEPLOY = "host1", "host2"
"""The parts: ``downtime = switch`` and ``downtime = deploy``, of one application."""

BUILDOUT = f"""\
[buildout]
extends = base.cfg
parts += {SWITCH} {DEPLOY}

[{SWITCH}]
recipe = collective.hostout
host = {{machine.address}}
user = root
identity-file = {{machine.key}}
path = {PATH}
buildout-cache = {CACHE}
effective-user = app
buildout = base.cfg
include = conf
shared = {SHARED}
pre-commands = systemctl stop faultapp
post-commands = systemctl start faultapp
post-failure = rollback
health-check = http://127.0.0.1:{PORT}/
health-timeout = 20
health-interval = 0.1

[{DEPLOY}]
recipe = collective.hostout
extends = {SWITCH}
downtime = deploy
"""

BASE = f"""\
[buildout]
develop = src/app
parts = app
newest = false
versions = versions

[app]
recipe = zc.recipe.egg
eggs =
    {PACKAGE}
    waitress
    zipp
scripts = faultapp
arguments = '${{{{buildout:directory}}}}', {PORT}

[versions]
waitress = 3.0.2
zipp = 3.21.0
{{pins}}"""

PYPROJECT = f"""\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "{PACKAGE.replace("_", "-")}"
version = "1.0"
dependencies = ["waitress", "zipp"]

[project.scripts]
faultapp = "{PACKAGE}.program:main"

[tool.setuptools]
packages = ["{PACKAGE}"]
package-data = {{ {PACKAGE} = ["data/*"] }}
"""

PROGRAM = '''\
"""Serves one page: the content, and a digest of all files that it is made of, read when it starts."""

import hashlib
import sys
from pathlib import Path

import waitress
import zipp

CONTENT = "{letter}"


def digest(folders):
    found = hashlib.sha256()
    for folder in folders:
        for file in sorted(folder.iterdir()):
            found.update(file.read_bytes())
    return found.hexdigest()


def main(directory, port):
    page = f"{{CONTENT}} {{digest([Path(__file__).parent / 'data', Path(directory) / 'conf'])}}".encode()
    sys.stderr.write(f"{{waitress.__name__}} and {{zipp.__name__}} are here\\n")

    def application(environ, start_response):
        start_response("200 OK", [("Content-Length", str(len(page)))])
        return [page]

    waitress.serve(application, host="0.0.0.0", port=port, threads=2, _quiet=True)
'''

UNIT = f"""\
[Unit]
Description=The application that faults befall
RequiresMountsFor=/srv
# it is started more often than systemd likes
StartLimitIntervalSec=0

[Service]
User=app
ExecStart={PATH}/bin/faultapp
Restart=no
TimeoutStopSec=5

[Install]
WantedBy=multi-user.target
"""
"""How systemd runs it: by ``path``, so that a start after a power failure starts what is live."""


@dataclass(frozen=True)
class Content:
    """A working copy with one content, and the page that it serves."""

    letter: str
    project: Project
    page: str


def content(letter: str, env: BuildoutEnvironment, folder: Path, machine: Machine) -> Content:
    """The working copy, built."""
    here = folder / letter / "app"
    package = here / "src" / "app" / PACKAGE
    (package / "data").mkdir(parents=True)
    (here / "conf").mkdir()
    project = Project.at(here, env, folder / letter / "home")
    project.knows(machine)
    project.write("buildout.cfg", BUILDOUT.format(machine=machine))
    (here / "base.cfg").write_text(BASE.format(pins=env.pins))
    project.write("src/app/pyproject.toml", PYPROJECT)
    (package / "__init__.py").write_text("")
    (package / "program.py").write_text(PROGRAM.format(letter=letter))
    page = f"{letter} {filled(letter, package / 'data', here / 'conf')}"
    project.build()
    return Content(letter, project, page)


def filled(letter: str, data: Path, conf: Path) -> str:
    """Writes files that no other content has; gives the digest that the page shows."""
    chance, found = random.Random(letter), hashlib.sha256()
    for folder, count, largest in ((data, FILES, 20_000), (conf, CONFIGURATION, 4_000)):
        for number in range(count):
            (folder / f"{number:03}").write_bytes(chance.randbytes(chance.randint(1, largest)))
        for file in sorted(folder.iterdir()):
            found.update(file.read_bytes())
    return found.hexdigest()


def data_of_the_application() -> dict[str, bytes]:
    """What lies in ``var`` and in ``media`` before anything befalls it, by name below ``path``."""
    chance = random.Random("var")
    names = [f"var/filestorage/Data.{n}" for n in range(4)] + [f"var/empty/{n}" for n in range(2)]
    names += [f"{SHARED}/{n}/picture" for n in range(6)]
    return {name: b"" if "empty" in name else chance.randbytes(chance.randint(1, 300_000)) for name in names}
