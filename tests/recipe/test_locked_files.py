"""What bin/buildout knows of the files that it installs, in a real zc.buildout with an index of the test's own."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildouts import BuildoutEnvironment
from hostout import config, lockfile
from hostout.lockfile import Lock, locked
from indexsite import DOTS, EGGS, WHEELS, Site, expected
from smallindex import serving

pytestmark = pytest.mark.buildout


@pytest.fixture
def site(tmp_path: Path, buildout_env: BuildoutEnvironment) -> Iterator[Site]:
    with serving(tmp_path / "index") as index:
        for wheel in WHEELS:
            wheel.make(index.folder)
        yield Site(tmp_path, buildout_env, index)


def test_every_file_is_known_whenever_it_was_fetched_and_others_find_the_same(site: Site) -> None:
    site.build()
    assert site.hashes() == expected(site.index)
    assert {member.found for member in site.members().values()} == {"eggs"}
    lock = lockfile.read(site.lock)
    assert {(one.filename, one.sha256) for one in lock.tested} == set(expected(site.index).values())
    assert dict(lock.pins).keys() >= {"zc.buildout", "setuptools", *(wheel.name for wheel in WHEELS)}

    before = site.written()
    site.build()
    assert site.written() == before

    # somebody else, who has the file of another platform to add and none of what we have, with pins and a cache
    line = locked(f"{DOTS.base}-cp39-cp39-macosx_11_0_arm64.whl", "a" * 64)
    gone = locked("hostouttest_gone-1.0.zip", "b" * 64)
    lockfile.write(site.lock, Lock((*lock.tested, line, gone), (), lock.pins))
    for name in ("eggs", "parts", "develop-eggs", ".installed.cfg"):
        path = site.folder / name
        path.unlink() if path.is_file() else shutil.rmtree(path)
    (site.folder / "downloads").mkdir()
    site.configure(f"extends = {lockfile.NAME}\ndownload-cache = downloads\nallow-picked-versions = false")
    site.build("install", "host1")
    assert lockfile.read(site.lock).tested_of("hostouttest_gone", "1.0")
    site.build()
    assert site.hashes() == expected(site.index)
    assert {member.found for member in site.members().values()} == {"download-cache"}
    assert {one.filename for one in lockfile.read(site.lock).tested} == {
        line.filename,
        *(filename for filename, _ in expected(site.index).values()),
    }
    assert config.load(site.folder / "parts" / "hostout").stale() is None


def test_other_versions_than_those_of_the_lock_are_named_unless_something_pins_them(site: Site) -> None:
    site.configure(f"optional-extends = {lockfile.NAME}")
    site.build()
    lock = site.lock.read_bytes()
    dataclasses.replace(DOTS, version="1.1", base="hostouttest_dots_and_dashes-1.1").make(site.index.folder)
    for config_, version in ((f"optional-extends = {lockfile.NAME}", "1.0"), ("", "1.1")):
        site.configure(config_)
        shutil.rmtree(site.folder / "eggs")
        (site.folder / ".installed.cfg").unlink()
        said = site.build()
        assert site.members()[DOTS.name].version == version
        changed = f"{lockfile.NAME} has no say in versions as long as no extends names it: {DOTS.name} 1.1 (was 1.0)"
        assert (changed in said) == ("has no say" in said) == (version == "1.1")
        assert (site.lock.read_bytes() == lock) == (version == "1.0")
    assert "has no say" not in site.build()


def test_zc_buildout_among_other_distributions_than_the_lock_says_is_named(site: Site) -> None:
    """No pin says which platformdirs or packaging zc.buildout finds beside itself: that depends on who made it when."""
    site.build()
    name, version = next(pin for pin in lockfile.read(site.lock).pins if pin[0] in ("packaging", "platformdirs"))
    site.lock.write_text(site.lock.read_text().replace(f"{name} = {version}\n", f"{name} = 0.1\n"))
    changed = f"{name} {version} (was 0.1)"
    said = site.build()
    assert f"zc.buildout runs with other distributions here than {lockfile.NAME} says: {changed}\n" in said
    assert "has no say" not in said
    assert "other distributions" not in site.build()


def test_eggs_of_which_no_file_is_known_are_named_once(site: Site) -> None:
    site.build()
    shutil.rmtree(site.folder / "parts/hostout")
    site.lock.unlink()
    said = site.build()
    assert f"so {lockfile.NAME} has no sha256 of them (in an empty eggs directory it will): {DOTS.name}" in said
    assert "no sha256" not in site.build()
    shutil.rmtree(site.folder / "eggs")
    (site.folder / ".installed.cfg").unlink()
    assert "no sha256" not in site.build()


def test_what_a_part_has_no_use_for_any_more_is_not_in_it(site: Site) -> None:
    config_file = site.folder / "buildout.cfg"
    config_file.write_text(config_file.read_text() + "again = 1\n")
    site.build()
    assert DOTS.name in site.members()
    config_file.write_text(config_file.read_text().replace(DOTS.name, ""))
    site.build()
    assert DOTS.name not in site.members() and DOTS.name not in dict(lockfile.read(site.lock).pins)
    site.build()
    assert DOTS.name not in site.members()


def test_a_file_that_changed_in_the_index_is_refused_before_it_is_unpacked(site: Site) -> None:
    name, right = expected(site.index)[DOTS.name]
    lockfile.write(site.lock, Lock((locked(name, "a" * 64),)))
    (site.folder / "downloads").mkdir()
    site.configure("download-cache = downloads")
    error = site.fails().splitlines()[-1]
    assert f"{name} is not the file that was tested: its sha256 is {right}" in error
    assert error.endswith(f"; it comes from {site.index.address}/files/{name}, and is not installed")
    assert not site.egg(DOTS)
    assert not (site.folder / "downloads" / "dist" / name).exists()
    assert not (site.folder / "parts" / "hostout" / "buildout.json").exists()

    # what was unpacked before anybody looked is found at the end, also when another run has unpacked it
    shutil.rmtree(site.folder / "downloads" / "dist")
    name, _ = expected(site.index)[EGGS.name]
    lockfile.write(site.lock, Lock((locked(name, "a" * 64),)))
    before = site.lock.read_bytes()
    assert f"{name} is not the file that was tested" in site.fails()
    assert site.lock.read_bytes() == before
    assert not (site.folder / "parts" / "hostout" / "buildout.json").exists()

    site.lock.write_text(site.lock.read_text() + "<<<<<<< ours\n")
    os.utime(site.lock)
    assert "'<<<<<<< ours' is nothing that bin/buildout writes here" in site.fails()
