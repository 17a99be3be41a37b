"""A host whose Python is not the developer's: the files that it needs, or one line that says what there is not."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest

from agentclient import fetched
from buildouts import DEFAULTS, BuildoutEnvironment, environment
from machines import Machine
from projects import Project, hello, tree
from smallindex import SmallIndex, serving
from wheelsamples import Wheel

pytestmark = [pytest.mark.buildout, pytest.mark.machine]

HERE = "{}.{}".format(*sys.version_info)
THERE = "3.11" if HERE == "3.13" else "3.13"
DIGITS = THERE.replace(".", "")
INTERPRETER = """

[other]
recipe = zc.recipe.egg
interpreter = other
eggs =
    {eggs}
"""

SOURCE = "hostouttest_native-1.0.tar.gz"
HEADER = "/usr/include/hostouttest.h"
LACKS = "hostouttest.c:1:10: fatal error: hostouttest.h: No such file or directory"
SETUP = f"""\
import os, sys
import tool
from setuptools import Distribution, setup
class Native(Distribution):
    def has_ext_modules(self):
        return True
if "%d.%d" % sys.version_info[:2] == "{THERE}" and not os.path.exists("{HEADER}"):
    sys.exit("{LACKS}")
setup(
    name="hostouttest-native", version="1.0", py_modules=["hostouttest_native"], distclass=Native,
    entry_points={{"console_scripts": ["hostouttest-native = hostouttest_native:main"]}},
)
"""

LINKS = """\
find-links = ${buildout:directory}/links
# nobody looks through the list of all packages for ours
index = ${buildout:directory}/links
"""


@pytest.fixture
def env() -> BuildoutEnvironment:
    return environment("6.0.1")


@pytest.fixture
def other_machine(request: pytest.FixtureRequest) -> Machine:
    """A machine with a Python that is not ours."""
    machine: Machine = request.getfixturevalue("machine" if THERE == "3.11" else "trixie_machine")
    machine.add_user("app")
    assert machine.run("python3 -V").stdout.startswith(f"Python {THERE}.")
    return machine


def needing(env: BuildoutEnvironment, folder: Path, machine: Machine, *pins: str, more: str = "") -> Project:
    """``examples/hello``, and an interpreter with these distributions; ``more`` is for the section ``buildout``."""
    project = hello(env, folder, machine)
    add(project, *pins, more=more)
    return project


def add(project: Project, *pins: str, more: str = "") -> None:
    """An interpreter with these distributions; ``more`` is for the section ``buildout``."""
    project.edit("base.cfg", "parts = hello\n", f"parts = hello other\n{more}")
    added = {
        "base.cfg": INTERPRETER.format(eggs="\n    ".join(pin.partition(" ")[0] for pin in pins)),
        "versions.cfg": "\n".join((*pins, "")),
    }
    for name, text in added.items():
        with (project.folder / name).open("a") as file:
            file.write(text)


def test_host_gets_the_wheels_of_its_own_python(
    env: BuildoutEnvironment, other_machine: Machine, tmp_path: Path
) -> None:
    project = needing(env, tmp_path, other_machine, "MarkupSafe = 3.0.2", "zope.proxy = 7.3", "zope.interface = 8.2")
    project.build()
    said = project.succeed("host1", "deploy")
    assert f"Python {THERE} on the host, what was tested here is {HERE}" in said
    assert "the first version" in other_machine.http()
    script = "import markupsafe._speedups as m, zope.proxy._zope_proxy_proxy as p; print(m.__file__, p.__file__)"
    for loaded in other_machine.run(["/srv/hello/current/bin/other", "-c", script]).stdout.split():
        assert f"-py{THERE}-" in loaded and f".cpython-{DIGITS}-" in loaded
    assert "is live already" in project.succeed("host1", "deploy")


def test_what_does_not_exist_for_its_python_is_said_before_anything_is_sent(
    env: BuildoutEnvironment, other_machine: Machine, tmp_path: Path
) -> None:
    pins = ("hostouttest-foreign = 1.0", "hostouttest-needing = 1.0")
    project = needing(env, tmp_path, other_machine, *pins, more=LINKS)
    for wheel in (native(HERE), needy()):
        wheel.make(project.folder / "links")
    project.build()
    before = tree(other_machine, "/srv")
    refused = project.fail(2, "host1", "deploy")
    assert "hostouttest-foreign" in refused and f"cpython {THERE} on linux_" in refused
    assert "hostouttest-needing" not in refused

    # somebody made one for it
    native(THERE).make(project.folder / "links")
    refused = project.fail(2, "host1", "deploy")
    assert f"needed on the host (cpython {THERE} on linux_" in refused
    assert "): hostouttest-needing 1.0 needs hostouttest-more>=2; add it to the eggs of a part" in refused
    assert tree(other_machine, "/srv") == before


def native(version: str) -> Wheel:
    """With an extension module for this Python alone."""
    tag, platform = f"cp{version.replace('.', '')}", sysconfig.get_platform().replace("-", "_")
    files = {"hostouttest_foreign.abi3.so": b"\x7fELF"}
    return Wheel("hostouttest-foreign", "1.0", "hostouttest_foreign-1.0", files, (), tags=f"{tag}-{tag}-{platform}")


def needy() -> Wheel:
    """Needs one more with the host's Python."""
    more = f"hostouttest-more>=2; python_version == '{THERE}'"
    return Wheel("hostouttest-needing", "1.0", "hostouttest_needing-1.0", {"needy.py": ""}, (), requires=(more,))


def test_what_has_to_be_compiled_is_compiled_on_the_host(
    env: BuildoutEnvironment, other_machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = hello(env, tmp_path, other_machine)
    project.succeed("host1", "deploy")
    with serving(tmp_path / "index") as index:
        sha256 = hashlib.sha256(source(index.folder).read_bytes()).hexdigest()
        only(index, project, monkeypatch)
        add(project, "hostouttest-native = 1.0")
        project.build()
        assert f"{SOURCE} = {sha256}\n" in (project.folder / "hostoutversions.cfg").read_text()
        live = other_machine.run("readlink /srv/hello/current").stdout
        refused = project.fail(1, "host1", "deploy")
        _, _, last = refused.partition(f"Hostout: [host1] pip wheel {SOURCE} failed (status 1): install there what it ")
        assert LACKS in last
        assert LACKS in other_machine.read(last.rpartition("the whole log on the host: ")[2].strip())
        assert other_machine.run("readlink /srv/hello/current").stdout == live
        assert "the first version" in other_machine.http()

        other_machine.write(HEADER, "")
        assert f"run: pip wheel {SOURCE}\n" in project.succeed("host1", "deploy")
        assert other_machine.run("/srv/hello/current/bin/hostouttest-native").stdout == f"for {THERE}\n"
        record = json.loads(other_machine.read("/srv/hello/current/release.json"))
        assert [one["sha256"] for one in record["dists"] if one["filename"] == SOURCE] == [sha256]

        # from now on it is known here that no wheel can be made for it, and there the egg is
        other_machine.run(["rm", HEADER])
        project.edit("src/hello/src/hello/page.py", "the first version", "the second version")
        said = project.succeed("host1", "deploy")
    assert "pip wheel" not in said and "Fetching" not in said
    assert "the second version" in other_machine.http()


def source(folder: Path) -> Path:
    """A source distribution whose wheels are for one Python; the one of the machine takes a header."""
    Wheel("hostouttest-tool", "1.0", "hostouttest_tool-1.0", {"tool.py": ""}, ()).make(folder)
    for wheel in fetched(sys.executable):
        shutil.copy(wheel, folder)
    files = {
        "pyproject.toml": '[build-system]\nrequires = ["setuptools", "hostouttest-tool"]\n'
        'build-backend = "setuptools.build_meta"\n',
        "setup.py": SETUP,
        "hostouttest_native.py": "import sys\ndef main(): print('for', '%d.%d' % sys.version_info[:2])\n",
        "PKG-INFO": "Metadata-Version: 2.1\nName: hostouttest-native\nVersion: 1.0\n",
    }
    with tarfile.open(folder / SOURCE, "w:gz") as archive:
        for name, text in files.items():
            about = tarfile.TarInfo(f"hostouttest_native-1.0/{name}")
            about.size = len(text)
            archive.addfile(about, io.BytesIO(text.encode()))
    return folder / SOURCE


def only(index: SmallIndex, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other index is asked, and what comes from it stays in caches of this test."""
    settings = {"PIP_INDEX_URL": index.url, "PIP_CONFIG_FILE": "/dev/null", "buildout_testing_index_url": index.url}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(project.env.caches, project.home / "caches")
    (project.home / ".buildout/default.cfg").write_text(DEFAULTS.format(caches=project.home / "caches"))
