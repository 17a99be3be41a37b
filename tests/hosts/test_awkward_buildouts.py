"""Buildouts as they have grown over the years: every kind of develop package, and all that zc.buildout lets pass."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import eggmanifests
import samples
from buildouts import BuildoutEnvironment
from hostout.testing import EmbeddedHost, make_key
from projects import Project

pytestmark = pytest.mark.buildout

BUILDOUT = """\
[buildout]
# a host that comes first sees nothing of what others need
parts = host1
extends = base.cfg
parts +=
    python
    made
extensions = mr.developer hostouttest.extension
sources = sources
auto-checkout = *
show-picked-versions = false

[sources]

[host1]
recipe = collective.hostout
host = {host.address}:{host.port}
user = {host.user}
identity-file = {key}
host-key = {host.fingerprint}
path = {path}
no-sudo = true
"""

BASE = """\
[buildout]
extends = {url}shared.cfg
develop = src/*
find-links = ${{buildout:directory}}/links
# else zc.buildout reads the list of all packages of the index, as no index has a page for ours: a minute or more
index = ${{buildout:directory}}/links

[python]
recipe = zc.recipe.egg
interpreter = py
eggs =
    hostouttest.plain
    my.example
    hostouttest.tagged
    collective.grown
    {hatched}

[made]
recipe = my.example
"""

SHARED = """\
[buildout]
extends = versions.cfg
versions = pins
"""

VERSIONS = """\
[pins]
# zc.buildout does not see this spelling, and takes the newest; what it took is what the host gets
zc-recipe-egg = 4.0.0
Waitress = 3.0.2
mr.developer = 3.0.0
hostouttest.extension = 1.0
"""

RECIPE = """\
import os
import pkgutil

class Recipe:
    def __init__(self, buildout, name, options):
        self.file = os.path.join(buildout["buildout"]["parts-directory"], name + ".txt")

    def install(self):
        with open(self.file, "wb") as file:
            file.write(pkgutil.get_data("my.example", "templates/page.txt"))
        return self.file

    update = install
"""

EXTENSION = {
    "setup.py": "from setuptools import setup\nsetup(name='hostouttest.extension', version='1.0', "
    "py_modules=['hostouttest_extension'], "
    "entry_points={'zc.buildout.extension': ['default = hostouttest_extension:load']})\n",
    "hostouttest_extension.py": "def load(buildout): print('the extension is loaded')\n",
}

GROWN = {
    "setup.py": "from setuptools import setup, find_packages\nsetup(name='collective.grown', version='0.9', "
    "packages=find_packages(), namespace_packages=['collective'])\n",
    "collective/__init__.py": "__import__('pkg_resources').declare_namespace(__name__)\n",
    "collective/grown/__init__.py": "years = 20\n",
}

QUESTION = """\
from importlib.metadata import version
import collective.grown, example, my.example, pkgutil
print("grown", collective.grown.years, version("collective.grown"))
print("plain", version("hostouttest.plain"))
print("tagged", version("hostouttest.tagged"))
print("data", pkgutil.get_data("my.example", "templates/page.txt").decode().strip())
print("waitress", version("waitress"))
"""

HATCHED = 'print("hatched", version("hostouttest.hatched"))\n'
"""For zc.buildout 6: the one before makes an egg link for such a package, and then does not find it."""


@pytest.fixture
def server(tmp_path: Path, buildout_env: BuildoutEnvironment) -> Iterator[str]:
    """A web server with configuration files; the URL of its folder."""
    # the newest zc.recipe.egg does not go with zc.buildout 5
    pins = VERSIONS if buildout_env.version >= "6" else VERSIONS + buildout_env.pins
    folder = samples.write(tmp_path / "www", {"shared.cfg": SHARED, "versions.cfg": pins})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as served:
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{served.server_address[1]}/"
        served.shutdown()
        thread.join(10)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """The output belongs to the tests."""


def named(files: dict[str, str], old: str, new: str) -> dict[str, str]:
    return {name: text.replace(old, new) for name, text in files.items()}


def develop_packages(folder: Path) -> None:
    """One of each kind; only the last is in git."""
    samples.write(folder / "plain", named(samples.SETUP_WITHOUT_VERSION, "name='example'", "name='hostouttest.plain'"))
    samples.write(folder / "recipe", {**samples.RECIPE_IN_SRC, "src/my/example/__init__.py": RECIPE})
    samples.write(folder / "hatched", {
        "pyproject.toml": samples.HATCHLING["pyproject.toml"].replace('"example"', '"hostouttest.hatched"'),
        "hostouttest_hatched/__init__.py": "",
    })  # fmt: skip
    samples.write(folder / "grown", GROWN)
    tagged = samples.write(folder / "tagged", {
        "pyproject.toml": samples.SCM["pyproject.toml"].replace('"example.data"', '"tagged.data"')
        .replace('packages = ["example"', 'packages = ["tagged"')
        .replace('name = "example"', 'name = "hostouttest.tagged"'),
        "tagged/__init__.py": "", "tagged/data/__init__.py": "",
    })  # fmt: skip
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "First"], ["tag", "2.0"]):
        subprocess.run(["git", *words], cwd=tagged, check=True, timeout=30)


def extension(links: Path, source: Path) -> None:
    """The extension as a wheel in a folder of links: no index has it. What the index has comes to lie beside it."""
    samples.write(source, EXTENSION)
    argv = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(links), str(source)]
    subprocess.run(argv, check=True, timeout=120)
    eggmanifests.fetch(links, "--no-deps", "waitress==3.0.2", "mr.developer==3.0.0", "zc.recipe.egg")


def test_what_was_built_here_is_built_there(buildout_env: BuildoutEnvironment, tmp_path: Path, server: str) -> None:
    develop_packages(tmp_path / "project" / "src")
    extension(tmp_path / "project" / "links", tmp_path / "extension")
    key = make_key(tmp_path / "key")
    with EmbeddedHost(tmp_path / "host", authorized_keys=[key.with_suffix(".pub")]) as host:
        path = host.home / "app"
        project = Project.at(tmp_path / "project", buildout_env, tmp_path / "home")
        project.write("buildout.cfg", BUILDOUT.format(host=host, key=key, path=path))
        hatched = buildout_env.version >= "6"
        project.write("base.cfg", BASE.format(url=server, hatched="hostouttest.hatched" if hatched else ""))
        assert "the extension is loaded" in project.build()
        (host.home / ".buildout").mkdir()
        (host.home / ".buildout" / "default.cfg").write_text("[buildout]\nextensions = no.such.extension\n")

        said = project.succeed("host1", "deploy")
        assert "the extension is loaded" in said
        answers = project.succeed("host1", "run", "bin/py", "-c", f"'{QUESTION}{HATCHED if hatched else ''}'")
        assert answered(answers, "grown").startswith("20 0.9+h")
        assert answered(answers, "plain").startswith("0.0.0+h")
        assert not hatched or answered(answers, "hatched").startswith("1.2+h")
        assert answered(answers, "tagged").startswith("2.0+h")
        assert answered(answers, "data") == "a page"
        assert answered(answers, "waitress") == "3.0.2"
        assert (path / "parts/made.txt").read_text() == "a page\n"

        assert "is live already" in project.succeed("host1", "deploy")
        project.write("src/recipe/src/my/example/templates/page.txt", "another page\n")
        edited = project.succeed("host1", "deploy")
        assert edited.count("changed. Releasing with hash") == 1
        assert "upload 1 file," in edited
        assert (path / "parts/made.txt").read_text() == "another page\n"


def answered(said: str, what: str) -> str:
    """What the host answered to a line of the question."""
    (line,) = [line for line in said.splitlines() if f" out: {what} " in line]
    return line.partition(f" out: {what} ")[2]
