"""The Plone that is deployed: its wheels, a developer's filled caches, working copies of it.

The wheels come from the package index, the caches out of one ``bin/buildout`` (about six minutes). Both are kept
outside the repository by what went in, in ``$HOSTOUT_BENCH_CACHE`` (else ``hostout-bench`` in the user's cache folder).
What does not belong here: deploying it (``cold.py``).
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hosts import BUILDOUT, Fleet, Project, environment
from machine_base import ENVIRONMENT, locked, made
from measure import program, say
from plone.index import serving

HERE = Path(__file__).resolve().parent
SOURCES = ("base.cfg", "versions.cfg")
MINUTES = 60.0
CLEAN = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": ""}
"""Whatever indexes the user has, here only ours counts."""

HOST = """\
[buildout]
extends = base.cfg
parts += host1

[host1]
recipe = collective.hostout
host = {machine.address}
user = root
identity-file = {machine.key}
path = /srv/plone
effective-user = plone
buildout = base.cfg
eggs-from = {eggs_from}
pre-commands = ! test -x ${{buildout:directory}}/bin/instance || su plone -c '${{buildout:directory}}/bin/instance stop'
post-commands = su plone -c '${{buildout:directory}}/bin/instance start'
"""

DEFAULTS = """\
[buildout]
eggs-directory = {caches}/eggs
download-cache = {caches}/downloads
index = {index}
"""


@dataclass(frozen=True)
class Tested:
    """What the developer has: ``wheels`` are all that ``versions.cfg`` names, ``caches`` those of buildout."""

    wheels: Path
    caches: Path


def cache() -> Path:
    """Where all this is kept."""
    caches = ENVIRONMENT.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(ENVIRONMENT.get("HOSTOUT_BENCH_CACHE") or Path(caches, "hostout-bench")).resolve()


def pins() -> dict[str, str]:
    """The versions by name."""
    lines = (HERE / "versions.cfg").read_text().split("[versions]\n")[1].splitlines()
    return dict(line.split(" = ") for line in lines)


def tested() -> Tested:
    """Everything that is needed before the first measurement; made if it is not there yet."""
    what = [sys.version, platform.machine(), *((HERE / name).read_text() for name in SOURCES)]
    folder = cache() / f"plone-{hashlib.sha256(repr(what).encode()).hexdigest()[:12]}"
    with locked(folder.with_suffix(".lock")):
        made(folder / "wheels", fetch)
        made(folder / "caches", lambda new: fill(folder / "wheels", new))
    return Tested(folder / "wheels", folder / "caches")


def fetch(folder: Path) -> None:
    """All wheels, from wherever the user's pip has them."""
    say(f"fetching {len(pins())} wheels into {cache()}, once\n")
    wanted = [f"{name}=={version}" for name, version in pins().items()]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    program([*pip, "--dest", folder, *wanted], folder, limit=10 * MINUTES)


def fill(wheels: Path, folder: Path) -> None:
    """The caches of a developer who built this Plone once, with an index that is near."""
    say("building Plone once as its developer does; it takes some minutes\n")
    work, home = folder / "work", folder / "home"
    for each in (work, home / ".buildout", folder / "downloads"):
        each.mkdir(parents=True)
    for name in SOURCES:
        shutil.copy(HERE / name, work)
    with serving(wheels, "127.0.0.1") as index:
        (home / ".buildout/default.cfg").write_text(DEFAULTS.format(caches=folder, index=index.url))
        buildout = environment(BUILDOUT).directory / "bin" / "buildout"
        program([buildout, "-c", "base.cfg"], work, {"HOME": str(home), **CLEAN}, limit=20 * MINUTES)
    shutil.rmtree(work)
    shutil.rmtree(home)


def working_copy(there: Fleet, caches: Path, index: str, eggs_from: str) -> Project:
    """A new checkout of a developer whose caches are filled; ``bin/buildout`` made its ``bin/hostout`` just now."""
    project = there.project(f"work{len(list(there.folder.glob('work*')))}")
    (project.home / ".buildout/default.cfg").write_text(DEFAULTS.format(caches=caches, index=index))
    for source in SOURCES:
        shutil.copy(HERE / source, project.folder)
    project.write("buildout.cfg", HOST.format(machine=there.machines[0], eggs_from=eggs_from))
    project.environment.update(CLEAN, PIP_TRUSTED_HOST=urlsplit(index).hostname or "")
    build(project)
    return project


def build(project: Project) -> None:
    """``bin/buildout``, with the index of the project and no other."""
    buildout = environment(BUILDOUT).directory / "bin" / "buildout"
    program([buildout, "-N"], project.folder, project.variables(), limit=10 * MINUTES)
