"""A host whose Python is not the developer's: the files that it needs, or one line that says what there is not."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

from buildouts import BuildoutEnvironment, environment
from machines import Machine
from projects import Project, hello, tree
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
    project.edit("base.cfg", "parts = hello\n", f"parts = hello other\n{more}")
    added = {
        "base.cfg": INTERPRETER.format(eggs="\n    ".join(pin.partition(" ")[0] for pin in pins)),
        "versions.cfg": "\n".join((*pins, "")),
    }
    for name, text in added.items():
        with (project.folder / name).open("a") as file:
            file.write(text)
    return project


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
