"""Eggs are what zc.buildout itself makes of the same wheels, and it finds nothing left to do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import eggmanifests
from agentclient import CONFIG, Place, send_files, sha256, stage
from buildouts import PINS, BuildoutEnvironment
from filling import Filler, record
from wheelsamples import EVERY_SORT, Wheel, plain, tree

buildout = pytest.mark.buildout

_HEAD = "[buildout]\nextends = buildout.cfg\nparts = do\n[versions]\ndoing = 1.0\n"
PLONE = ("Plone==6.2.2",)
DJANGO = (
    *("Django", "psycopg[binary]", "psycopg2-binary", "Pillow", "gunicorn", "uvicorn", "daphne", "channels"),
    *("channels-redis", "celery", "redis", "hiredis", "django-redis", "djangorestframework", "django-filter"),
    *("drf-spectacular", "django-allauth", "django-cors-headers", "django-debug-toolbar", "django-extensions"),
    *("django-environ", "django-storages", "django-crispy-forms", "django-import-export", "django-guardian"),
    *("django-mptt", "django-taggit", "django-ninja", "django-tables2", "django-htmx", "whitenoise", "wagtail"),
    *("sentry-sdk", "boto3", "cryptography", "lxml", "reportlab", "factory-boy", "dj-database-url", "argon2-cffi"),
    *("bcrypt", "django-simple-history", "django-oauth-toolkit", "djangorestframework-simplejwt", "django-otp"),
    *("msgpack", "watchfiles", "httptools", "uvloop", "numpy"),
)
"""With what each of them needs: more than 200 and more than 100 wheels."""


@pytest.fixture
def filler(place: Place) -> Filler:
    place.dist.mkdir(parents=True)
    return Filler(place)


def by_agent(filler: Filler, wheels: list[Path]) -> dict[str, eggmanifests.Manifest]:
    """The agent makes eggs of all these wheels."""
    if filler.place.dist not in {path.parent for path in wheels}:
        for path in wheels:
            shutil.copy(path, filler.place.dist)
    assert filler.fill([record(filler.place.dist / path.name) for path in wheels]) == []
    return eggmanifests.made(filler.folder, wheels, filler.tag)


def test_eggs_of_every_sort_equal_what_buildout_was_seen_to_make(filler: Filler) -> None:
    made = by_agent(filler, [wheel.make(filler.place.dist) for wheel in EVERY_SORT])
    stored = eggmanifests.stored()
    assert made == {wheel.filename: stored[wheel.filename] for wheel in EVERY_SORT}


@buildout
def test_eggs_of_real_wheels_equal_what_buildout_was_seen_to_make(filler: Filler) -> None:
    made = by_agent(filler, eggmanifests.fetch_real(filler.place.dist))
    sorts = {wheel.filename for wheel in EVERY_SORT}
    assert made == {name: one for name, one in eggmanifests.stored().items() if name not in sorts}
    assert len(made) >= 12


@buildout
@pytest.mark.all
def test_buildout_still_makes_what_it_was_seen_to_make(buildout_env: BuildoutEnvironment, tmp_path: Path) -> None:
    own = [wheel.make(tmp_path / "wheels") for wheel in EVERY_SORT]
    paths = sorted({*own, *eggmanifests.fetch_real(tmp_path / "wheels")})
    assert eggmanifests.by_buildout(buildout_env, paths, tmp_path / "eggs") == eggmanifests.stored()


@buildout
@pytest.mark.all
@pytest.mark.parametrize("wanted", [PLONE, DJANGO], ids=["Plone", "Django and company"])
def test_every_egg_equals_that_of_buildout_file_for_file(
    filler: Filler, buildout_env: BuildoutEnvironment, tmp_path: Path, wanted: tuple[str, ...]
) -> None:
    wheels = eggmanifests.fetch(filler.place.dist, *wanted)
    started = time.monotonic()
    ours = by_agent(filler, wheels)
    between = time.monotonic()
    theirs = eggmanifests.by_buildout(buildout_env, wheels, tmp_path / "eggs")
    ratio = (between - started) / (time.monotonic() - between)
    sys.stdout.write(f"{len(wheels)} wheels; the agent needs {ratio:.3f} of the time that zc.buildout needs\n")
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert len(ours) == len(theirs) == len(wheels) > 100


@buildout
@pytest.mark.parametrize("leftovers", [False, True], ids=["clean", "with leftovers"])
def test_buildout_finds_nothing_to_fetch_or_to_unpack(
    filler: Filler, buildout_env: BuildoutEnvironment, leftovers: bool
) -> None:
    pins = PINS[buildout_env.version]
    dists = filler.send(*EVERY_SORT)
    eggmanifests.fetch(filler.place.dist, "--no-deps", *(f"{name}=={version}" for name, version in pins.items()))
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


@buildout
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


@buildout
def test_sdist_is_made_into_an_egg_once_before_buildout_starts_and_then_known(able: Place, tmp_path: Path) -> None:
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
    more = {"config": "do.cfg", "dists": [record(sdist), record(able.dist / "doing-1.0-py3-none-any.whl")]}
    agent = able.agent()
    for name, made in (("0001-aaaaaaaa", [f"pip wheel {sdist.name}"]), ("0002-bbbbbbbb", [])):
        assert stage(able, agent, name, {"do.cfg": config.encode()}, **more).result
        reply = agent.request("build", {"name": name})
        assert reply.result["state"] == "built"
        assert reply.lines("run") == [*made, "bin/buildout -U -N -c do.cfg"]
        assert not any("Getting distribution" in line for line in reply.lines("out"))
    (note,) = (able.cache / "eggs" / ".hostout" / "v5").glob("hostouttest_source*.json")
    assert json.loads(note.read_text())["sha256"] == [sha256(sdist.read_bytes())]


def test_sdist_of_which_no_wheel_can_be_made_is_named_before_buildout_starts(ready: Place) -> None:
    agent = ready.agent()
    agent.request("layout")
    there = {path.name for path in (ready.cache / "eggs/v5").glob("*")}
    sdist = (b"no archive", "hostouttest_broken-1.0.tar.gz")
    send_files(agent, [sdist], "dist")
    dists = [record(ready.dist / sdist[1])]
    assert stage(ready, agent, "0001-aaaaaaaa", {}, dists=dists).result
    reply = agent.request("build", {"name": "0001-aaaaaaaa"})
    assert reply.message.startswith(f"pip wheel {sdist[1]} failed (status ")
    assert reply.message.endswith("): install there what it lacks, or deploy a version that has a wheel for this host")
    assert reply.lines("run") == [f"pip wheel {sdist[1]}"] and reply.last["tail"]
    (ready.dist / sdist[1]).write_bytes(b"another")
    assert agent.request("build", {"name": "0001-aaaaaaaa"}).message.startswith(f"{sdist[1]} is damaged on the host: ")
    assert {path.name for path in (ready.cache / "eggs/v5").glob("*")} == there
    (ready.dist / sdist[1]).unlink()
