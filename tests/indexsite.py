"""A buildout that takes its distributions from an index of the test's own, and a part that resolves some of its own.

What does not belong here: tests.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from textwrap import dedent

from buildouts import BuildoutEnvironment
from hostout import config, lockfile
from hostout.model import Member
from smallindex import SmallIndex
from wheelsamples import Wheel

RECIPE = """\
import zc.buildout.easy_install


def installed(buildout, options):
    settings = buildout["buildout"]
    zc.buildout.easy_install.install(
        options["eggs"].split(),
        settings["eggs-directory"],
        links=settings.get("find-links", "").split(),
        index=settings["index"],
        path=[settings["develop-eggs-directory"]],
        newest=False,
    )


class Recipe:
    def __init__(self, buildout, name, options):
        self.asked = buildout, options
        options["eggs"]

    def install(self):
        installed(*self.asked)
        return ()

    update = install
"""
CONFIG = """\
[buildout]
parts = late host1
index = {index.url}
newest = false
{more}

[host1]
recipe = collective.hostout
host = www.example.com
path = /srv/site
buildout = {deployed}

[late]
recipe = hostouttest-recipe
eggs = HostoutTest.Dots-And_Dashes
"""
DOTS = Wheel(
    "HostoutTest.Dots-And_Dashes",
    "1.0",
    "hostouttest_dots_and_dashes-1.0",
    {"hostouttest_dots.py": "", "{info}/top_level.txt": "hostouttest_dots\n"},
    ("hostouttest_dots.py",),
)
EGGS = Wheel(
    "hostouttest-recipe",
    "1.0",
    "hostouttest_recipe-1.0",
    {
        "hostouttest_recipe.py": RECIPE,
        "{info}/entry_points.txt": "[zc.buildout]\ndefault = hostouttest_recipe:Recipe\n",
        "{info}/top_level.txt": "hostouttest_recipe\n",
    },
    ("hostouttest_recipe.py",),
)
"""Fetched and imported before hostout is there to look on."""

WHEELS = (DOTS, EGGS)


class Site:
    """A buildout with caches of its own."""

    def __init__(self, folder: Path, env: BuildoutEnvironment, index: SmallIndex) -> None:
        self.folder = folder / "site"
        self.home = folder / "home"
        self.env = env
        self.index = index
        self.folder.mkdir()
        (self.home / ".buildout").mkdir(parents=True)
        self.configure()

    @property
    def lock(self) -> Path:
        return self.folder / lockfile.NAME

    def configure(self, more: str = "", deployed: str = "buildout.cfg") -> None:
        text = CONFIG.format(index=self.index, more=dedent(more), deployed=deployed)
        (self.folder / "buildout.cfg").write_text(text)

    def build(self, *args: str) -> str:
        return self.env.build(self.folder, *args, home=self.home)

    def fails(self) -> str:
        done = self.env.run(self.folder, "-N", home=self.home)
        assert done.returncode == 1, done.stdout
        assert "Traceback" not in done.stdout
        return done.stdout.strip()

    def members(self) -> dict[str, Member]:
        local = config.load(self.folder / "parts" / "hostout").local
        assert local.lock == str(self.lock)
        return {member.name: member for member in local.working_set if not member.develop}

    def hashes(self) -> dict[str, tuple[str, str]]:
        return {name: (member.filename, member.sha256) for name, member in self.members().items()}

    def written(self) -> dict[str, int]:
        files = [self.lock, *(self.folder / "parts" / "hostout").iterdir()]
        return {str(file): file.stat().st_mtime_ns for file in files}

    def egg(self, wheel: Wheel) -> list[Path]:
        return list((self.folder / "eggs").rglob(f"{wheel.base}-*.egg"))


def expected(index: SmallIndex) -> dict[str, tuple[str, str]]:
    paths = {wheel.name: index.folder / wheel.filename for wheel in WHEELS}
    return {name: (path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for name, path in paths.items()}
