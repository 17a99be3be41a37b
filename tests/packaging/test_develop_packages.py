"""Develop packages of every kind become distributions; real builds, each kind once."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from packaging.tags import platform_tags

import samples
from hostout.errors import PackagingError
from hostout.packaging.develop import Package, Released, releases
from samples import build_one, local_buildout, write

PLATFORM = next(platform_tags())

KINDS = {
    "setup.py without version": (samples.SETUP_WITHOUT_VERSION, "0.0.0", "example.py"),
    "setup.cfg with data files": (samples.SETUP_CFG, "1.2", "example/data/hello.txt"),
    "recipe in a src layout": (samples.RECIPE_IN_SRC, "1.2.dev0", "my/example/templates/page.txt"),
    "hatchling": (samples.HATCHLING, "1.2", "example/__init__.py"),
    "flit": (samples.FLIT, "1.2", "example/__init__.py"),
    "poetry": (samples.POETRY, "1.2", "example/__init__.py"),
    "setuptools_scm": (samples.SCM, "1.3.dev2", "example/data/hello.txt"),
}


def build(directory: Path, files: Mapping[str, str], version: str = "1.2") -> Released:
    """A package released from ``directory/src/example`` of a buildout in ``directory``."""
    folder = write(directory / "src" / "example", files)
    name = "my.example" if "src/my/example/__init__.py" in files else "example"
    return build_one(Package(name, version, folder), local_buildout(directory))


@pytest.fixture(scope="module", params=sorted(KINDS))
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Released]:
    files, version, _ = KINDS[request.param]
    return request.param, build(tmp_path_factory.mktemp("kind"), files, version)


def test_each_kind_has_its_version_with_a_hash_of_its_content(built: tuple[str, Released]) -> None:
    kind, released = built
    assert released.distribution.version == f"{KINDS[kind][1]}+h{released.hash}"
    assert released.built


def test_each_kind_brings_its_files(built: tuple[str, Released]) -> None:
    kind, released = built
    with zipfile.ZipFile(released.wheel) as archive:
        assert KINDS[kind][2] in archive.namelist()


def test_each_kind_can_be_installed(built: tuple[str, Released], tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "-t", str(tmp_path)]
    subprocess.run([*argv, str(built[1].wheel)], check=True, timeout=120)
    assert [path.name.split("-", 1)[1] for path in tmp_path.glob("*.dist-info")] == [
        f"{built[1].distribution.version}.dist-info"
    ]


def test_nothing_is_left_in_the_package(built: tuple[str, Released]) -> None:
    kind, released = built
    found = {
        p.relative_to(released.package.folder).as_posix() for p in released.package.folder.rglob("*") if p.is_file()
    }
    assert found == set(KINDS[kind][0])


def test_an_unchanged_package_is_not_built_again(built: tuple[str, Released]) -> None:
    _, released = built
    again = build_one(released.package, local_buildout(released.package.folder.parent.parent))
    assert not again.built
    assert again.distribution == released.distribution


@pytest.mark.parametrize("size", [0, 40])
def test_a_damaged_wheel_of_before_is_built_again(tmp_path: Path, size: int) -> None:
    first = build(tmp_path, samples.SETUP_WITHOUT_VERSION)
    first.wheel.write_bytes(first.wheel.read_bytes()[:size])
    again = build_one(first.package, local_buildout(tmp_path))
    assert again.built
    assert again.distribution == first.distribution


def test_a_version_from_history_is_that_of_this_commit_for_everybody(tmp_path: Path) -> None:
    """Somebody built before the commit and somebody after it, from the same files."""
    before = build(tmp_path / "mine", samples.SCM, "1.3.dev2")
    after = [build(tmp_path / place, samples.SCM, "1.3.dev3+g1a2b3c4.d20261123") for place in ("mine", "other")]
    assert before.distribution.version == f"1.3.dev2+h{before.hash}"
    assert {(one.distribution.version, one.built) for one in after} == {(f"1.3.dev3+h{before.hash}", True)}
    assert not build_one(after[0].package, local_buildout(tmp_path / "mine")).built


def test_a_package_for_the_stable_abi_is_not_built_again(tmp_path: Path) -> None:
    folder = write(tmp_path / "src" / "example", samples.SETUP_WITHOUT_VERSION)
    package, local = Package("example", "1.2", folder), local_buildout(tmp_path)
    first = build_one(package, local)
    first.wheel.rename(first.wheel.with_name(first.wheel.name.replace("py3-none-any", "cp39-abi3-" + PLATFORM)))
    assert not build_one(package, local).built


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Released:
    return build(tmp_path_factory.mktemp("recipe"), samples.RECIPE_IN_SRC)


def test_entry_points_of_a_recipe_and_scripts_are_kept(recipe: Released) -> None:
    with zipfile.ZipFile(recipe.wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith("entry_points.txt"))
        text = archive.read(name).decode()
    assert "default = my.example:Recipe" in text
    assert "hello = my.example:hello" in text


def test_a_change_makes_another_version_and_the_same_content_the_same_bytes(recipe: Released, tmp_path: Path) -> None:
    page = recipe.package.folder / "src/my/example/templates/page.txt"
    page.write_text("another page\n")
    changed = build_one(recipe.package, local_buildout(tmp_path))
    page.write_text("a page\n")
    back = build_one(recipe.package, local_buildout(tmp_path / "other"))
    assert changed.distribution.version != recipe.distribution.version
    assert (back.distribution.sha256, back.distribution.filename) == (
        recipe.distribution.sha256,
        recipe.distribution.filename,
    )


def test_a_package_that_is_the_buildout_folder_ignores_what_buildout_makes(tmp_path: Path) -> None:
    folder = write(tmp_path, samples.HATCHLING)
    local = local_buildout(folder)
    first = build_one(Package("example", "1.2", folder), local)
    write(folder, {"bin/run": "x", "var/log": "y", ".installed.cfg": "z", "develop-eggs/example.egg-link": "."})
    write(folder, {"hostoutversions.cfg": "[versions]\n"})
    assert not build_one(Package("example", "1.2", folder), local).built
    assert first.built


def test_a_package_that_does_not_build_says_why_and_where_the_log_is(tmp_path: Path) -> None:
    with pytest.raises(PackagingError) as caught:
        build(tmp_path, samples.BROKEN)
    log = tmp_path / "parts/hostout/logs/example.log"
    assert str(caught.value).startswith(f"develop package example ({tmp_path}/src/example) does not build:\n")
    assert "RuntimeError: this package is broken" in str(caught.value)
    assert str(caught.value).endswith(f"the whole log: {log}")
    assert "this package is broken" in log.read_text()


def test_what_it_takes_to_build_a_package_and_is_not_to_be_had_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    needs = '[build-system]\nrequires = ["hostouttest-nowhere == 1"]\nbuild-backend = "hostouttest_nowhere"\n'
    with pytest.raises(PackagingError) as caught:
        build(tmp_path, {"pyproject.toml": needs})
    assert "hostouttest-nowhere==1" in str(caught.value) and "Traceback" not in str(caught.value)


def test_variables_of_this_python_do_not_reach_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "poison", {"setuptools.py": "raise RuntimeError('poisoned')\n"})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "poison"))
    assert build(tmp_path, samples.SETUP_WITHOUT_VERSION).built


SETUP = {"setup.py": "import setuptools; setuptools.setup()"}
WAITS = """\
import pathlib, time
from setuptools import setup

here = pathlib.Path({folder!r})
(here / "{own}").touch()
end = time.monotonic() + 300
while not (here / "{other}").exists():
    assert time.monotonic() < end, "nobody else is built"
    time.sleep(0.05)
setup(name="{own}", version="1", py_modules=[])
"""


def waiting(folder: Path, own: str, other: str) -> Package:
    """A package that is built when another one is being built as well."""
    text = WAITS.format(folder=str(folder), own=own, other=other)
    return Package(own, "1", write(folder / "src" / own, {"setup.py": text}))


def test_changed_packages_are_built_side_by_side_and_come_in_their_order(tmp_path: Path) -> None:
    first = Package("first", "1", write(tmp_path / "src" / "first", SETUP))
    packages = [first, waiting(tmp_path, "second", "third"), waiting(tmp_path, "third", "second")]
    found = releases(packages, local_buildout(tmp_path))
    assert [one.package for one in found] == packages
    assert [one.distribution.filename.partition("-")[0] for one in found][1:] == ["second", "third"]
    assert all(one.built for one in found)


def test_when_one_does_not_build_the_others_are_not_waited_for(tmp_path: Path) -> None:
    fails = write(tmp_path / "src" / "fails", {"setup.py": "raise ValueError('wrong here')"})
    first = Package("first", "1", write(tmp_path / "src" / "first", SETUP))
    began = time.monotonic()
    with pytest.raises(PackagingError, match=r"develop package fails .* does not build") as raised:
        # this one would wait for minutes
        releases([first, Package("fails", "1", fails), waiting(tmp_path, "a", "b")], local_buildout(tmp_path))
    assert "wrong here" in str(raised.value)
    assert time.monotonic() - began < 200
