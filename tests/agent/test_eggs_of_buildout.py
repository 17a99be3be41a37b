"""Eggs are what zc.buildout itself makes of the same wheels, and it finds nothing left to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agentclient import CONFIG, Place, sha256, stage
from buildouts import PINS, BuildoutEnvironment
from filling import Filler, record
from wheelsamples import EVERY_SORT, Wheel, plain, tree

pytestmark = pytest.mark.buildout

# what a part does for each distribution that buildout has no egg of
_INSTALL = """\
import json, logging, os, sys
from zc.buildout import easy_install
folder, eggs, wanted = sys.argv[1:]
logging.basicConfig(level=logging.WARNING)
easy_install.install(json.loads(wanted), eggs, links=[folder], index="file:///nonexistent", newest=False)
"""
_HEAD = "[buildout]\nextends = buildout.cfg\nparts = do\n[versions]\ndoing = 1.0\n"
# real ones: namespaces, scripts, data, an extension module, names with dots and capitals, a version with zeros
_REAL = (
    "waitress==3.0.2",
    "supervisor==4.3.0",
    "zope.interface",
    "certifi",
    "MarkupSafe",
    "zc.lockfile",
    "collective.recipe.template==3.0.0",
)


@pytest.fixture
def filler(place: Place) -> Filler:
    place.dist.mkdir(parents=True)
    return Filler(place)


def by_buildout(buildout: BuildoutEnvironment, wheels: Path, eggs: Path, wanted: list[str]) -> None:
    eggs.mkdir()
    argv = [str(buildout.python), "-c", _INSTALL, str(wheels), str(eggs), json.dumps(wanted)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP"))}
    env = {**clean, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null", "PIP_NO_CACHE_DIR": "1"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def compare(filler: Filler, buildout: BuildoutEnvironment, tmp_path: Path, wanted: list[str]) -> None:
    """Both make eggs of all that was sent; says how long each took."""
    started = time.monotonic()
    by_buildout(buildout, filler.place.dist, tmp_path / "eggs", wanted)
    between = time.monotonic()
    assert filler.fill([record(path) for path in sorted(filler.place.dist.glob("*.whl"))]) == []
    ended = time.monotonic()
    theirs, ours = between - started, ended - between
    sys.stdout.write(f"{len(wanted)} wheels: zc.buildout {theirs:.1f} s, the agent {ours:.1f} s: {ours / theirs:.3f}\n")
    assert filler.there() == sorted(path.name for path in (tmp_path / "eggs").iterdir())
    for egg in sorted((tmp_path / "eggs").iterdir()):
        assert tree(filler.folder / egg.name) == tree(egg), egg.name


def test_eggs_equal_those_of_buildout_file_for_file(
    filler: Filler, buildout_env: BuildoutEnvironment, tmp_path: Path
) -> None:
    filler.send(*EVERY_SORT)
    compare(filler, buildout_env, tmp_path, [f"{wheel.name}=={wheel.version}" for wheel in EVERY_SORT])


def test_eggs_of_real_wheels_equal_those_of_buildout(
    filler: Filler, buildout_env: BuildoutEnvironment, tmp_path: Path
) -> None:
    wanted = [*_REAL, *(f"{name}=={version}" for name, version in PINS[buildout_env.version].items())]
    fetch(filler.place.dist, *wanted)
    compare(filler, buildout_env, tmp_path, wanted)


def fetch(where: Path, *wanted: str) -> None:
    argv = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(where)]
    subprocess.run([*argv, *wanted], check=True, timeout=300)


@pytest.mark.parametrize("leftovers", [False, True], ids=["clean", "with leftovers"])
def test_buildout_finds_nothing_to_fetch_or_to_unpack(
    filler: Filler, buildout_env: BuildoutEnvironment, leftovers: bool
) -> None:
    pins = PINS[buildout_env.version]
    dists = filler.send(*EVERY_SORT)
    fetch(filler.place.dist, *(f"{name}=={version}" for name, version in pins.items()))
    dists += [record(path) for path in filler.place.dist.glob("zc_recipe_egg*")]
    filler.fill(dists)
    if leftovers:
        # what another one works in, and what was moved aside
        for name in (".fill-beef", ".aside-beef-zc.recipe.egg-9.0.egg"):
            left = filler.folder / name / "zc.recipe.egg-9.0.dist-info"
            left.mkdir(parents=True)
            (left / "METADATA").write_text("Name: zc.recipe.egg\nVersion: 9.0\n")
    before = tree(filler.folder)
    done = run_buildout(filler, buildout_env, pins, EVERY_SORT)
    assert done.returncode == 0, done.stdout
    assert "Getting distribution" not in done.stdout and "Unused" not in done.stdout, done.stdout
    assert tree(filler.folder) == before
    script = (filler.place.root / "site" / "bin" / "hostouttest").read_text()
    assert all(str(filler.egg(wheel)) in script for wheel in EVERY_SORT)
    assert "beef" not in script


def run_buildout(
    filler: Filler, buildout: BuildoutEnvironment, pins: dict[str, str], wheels: tuple[Wheel, ...]
) -> subprocess.CompletedProcess[str]:
    """As the agent runs it, in a network without anything in it where this user may make one."""
    site = filler.place.root / "site"
    site.mkdir()
    every = {**pins, **{wheel.name: wheel.version for wheel in wheels}}
    (site / "buildout.cfg").write_text(
        CONFIG.format(parts="app", cache=filler.place.cache)
        + "[versions]\n"
        + "".join(f"{name} = {version}\n" for name, version in every.items())
        + "[app]\nrecipe = zc.recipe.egg\ninterpreter = hostouttest\neggs =\n"
        + "".join(f"    {wheel.name}\n" for wheel in wheels)
    )
    cut = ["unshare", "--net"] if os.getuid() == 0 else []
    return subprocess.run(
        [*cut, str(buildout.directory / "bin" / "buildout"), "-U", "-N"],
        cwd=site,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "BUILDOUT_HOME": "/nonexistent", "PIP_NO_INDEX": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )


def test_egg_that_a_power_failure_emptied_is_whole_in_the_next_build(able: Place) -> None:
    agent = able.agent()
    wheel = plain()
    path = wheel.make(able.dist)
    config = f"{_HEAD}[do]\nrecipe = doing\ncode = pass\n"
    dists = [record(path), record(able.dist / "doing-1.0-py3-none-any.whl")]
    more = {"config": "do.cfg", "dists": dists}
    assert stage(able, agent, "0001-aaaaaaaa", {"do.cfg": config.encode()}, **more).result
    assert agent.request("build", {"name": "0001-aaaaaaaa"}).result["state"] == "built"
    egg = Filler(able).egg(wheel)
    for file in egg.rglob("*.py"):
        file.write_bytes(b"")
    # the crash came before it was noted down
    (able.cache / "eggs" / ".hostout" / "v5" / f"{egg.name}.json").unlink()
    assert stage(able, agent, "0002-bbbbbbbb", {"do.cfg": config.encode()}, **more).result
    reply = agent.request("build", {"name": "0002-bbbbbbbb"})
    assert reply.result["state"] == "built"
    assert any(egg.name in line for line in reply.lines("note"))
    assert (egg / "hostouttest_plain1" / "__init__.py").read_text() == "x = 1\n"


def test_sdist_is_made_into_an_egg_by_buildout_once_and_then_known(able: Place, tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text(
        "from setuptools import setup\n"
        "setup(name='hostouttest-source', version='1.0', py_modules=['hostouttest_source'])\n"
    )
    (tmp_path / "hostouttest_source.py").write_text("x = 1\n")
    argv = [sys.executable, "-m", "build", "-q", "--sdist", "-n", "-x", "-o", str(able.dist), str(tmp_path)]
    subprocess.run(argv, check=True, timeout=120, capture_output=True)
    (sdist,) = able.dist.glob("hostouttest[-_]source-1.0.tar.gz")
    config = (
        f"{_HEAD}hostouttest-source = 1.0\n[do]\n"
        "recipe = doing\ncode = import sys, zc.buildout.easy_install as e; e.install(['hostouttest-source'], "
        "'${buildout:eggs-directory}', links=['${buildout:download-cache}/dist'], path=sys.path)\n"
    )
    dists = [record(sdist), record(able.dist / "doing-1.0-py3-none-any.whl")]
    agent = able.agent()
    assert stage(able, agent, "0001-aaaaaaaa", {"do.cfg": config.encode()}, config="do.cfg", dists=dists).result
    assert agent.request("build", {"name": "0001-aaaaaaaa"}).result["state"] == "built"
    (note,) = (able.cache / "eggs" / ".hostout" / "v5").glob("hostouttest_source*.json")
    assert json.loads(note.read_text())["sha256"] == [sha256(sdist.read_bytes())]
