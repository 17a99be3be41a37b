"""What the id of a release counts of its distributions: what was tested, and not where a file of it happens to lie."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import pytest

from hostout import lockfile
from hostout.lockfile import Lock, Locked
from hostout.model import Distribution, LocalBuildout, Member, Release
from hostout.packaging.identity import release_id
from hostout.packaging.memo import Memo
from hostout.packaging.wanted import Known
from samples import host, local_buildout
from wheelsamples import Wheel

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


@pytest.fixture
def local(tmp_path: Path) -> LocalBuildout:
    return local_buildout(tmp_path, lock=str(tmp_path / lockfile.NAME), python="3.11.2")


def locked(local: LocalBuildout, tested: dict[str, str], others: dict[str, str] | None = None) -> None:
    lines, more = [tuple(lockfile.locked(*line) for line in some.items()) for some in (tested, others or {})]
    lockfile.write(local.lock, Lock(tested=lines, others=more))


def digests(local: LocalBuildout, name: str = "hostouttest", python: str = "3.11") -> list[str]:
    return Known(local, Memo.of(local)).digests((name, "1.0"), python)


def identify(local: LocalBuildout, *develop: Distribution, name: str = "hostouttest") -> str:
    pins = ((name, "1.0"), *((d.name, d.version) for d in develop))
    release = Release("", "host1", "hostout-host1.cfg", "3.11", pins, (), develop, ())
    known = Known(local, Memo.of(local))
    return release_id(release, host(), local, lambda pin: known.digests(pin, "3.11"))


def egg(local: LocalBuildout, folder: Path, text: str = "x = 1\n", info: str = "") -> LocalBuildout:
    """The buildout with what an installer makes of a wheel, RECORD as the wheel has it."""
    sample = Wheel("hostouttest", "1.0", "hostouttest-1.0", {"hostouttest.py": text}, ())
    place = folder / "hostouttest-1.0-py3.11-linux-x86_64.egg"
    place.mkdir(parents=True)
    with zipfile.ZipFile(sample.make(folder)) as archive:
        archive.extractall(place)
    if info:
        (place / "hostouttest-1.0.dist-info").rename(place / f"{info}.dist-info")
    return dataclasses.replace(local, working_set=(Member("hostouttest", "1.0", str(place)),))


def test_the_tested_files_for_a_python_count_whatever_their_platform(local: LocalBuildout) -> None:
    files = {
        "hostouttest-1.0-cp311-cp311-manylinux2014_x86_64.whl": B,
        "hostouttest-1.0-cp311-cp311-macosx_11_0_arm64.whl": A,
        "hostouttest-1.0-cp313-cp313-manylinux2014_x86_64.whl": C,
    }
    locked(local, files, {"hostouttest-1.0-py3-none-any.whl": "d" * 64})
    assert digests(local) == [A, B]
    assert digests(local, python="3.13") == [C]
    locked(local, {"hostouttest-1.0.tar.gz": A})
    assert digests(local) == digests(local, python="3.13") == [A]


def test_a_name_is_the_same_however_it_is_spelt(local: LocalBuildout) -> None:
    locked(local, {"hostout_test-1.0-py3-none-any.whl": A})
    assert digests(local, "Hostout.Test") == [A]


def test_without_a_line_in_the_lock_it_is_what_is_installed(local: LocalBuildout, tmp_path: Path) -> None:
    here = egg(local, tmp_path / "here")
    there = egg(local, tmp_path / "elsewhere", info="hostouttest-1.0-py3.11-linux-x86_64")
    other = egg(local, tmp_path / "other", "x = 2\n")
    assert digests(here) == digests(there) != digests(other)
    assert digests(here)[0].startswith("content ")
    assert identify(here) == identify(there) != identify(other)
    locked(local, {"hostouttest-1.0-py3-none-any.whl": A})
    assert digests(here) == digests(other) == [A]


def test_a_develop_package_counts_by_its_version(local: LocalBuildout) -> None:
    first = Distribution("mine", "1.0+h1", "mine-1.0+h1-py3-none-any.whl", A, 1, "/x", develop=True)
    again = dataclasses.replace(first, sha256=B, size=2)
    newer = dataclasses.replace(first, version="1.0+h2")
    assert identify(local, first) == identify(local, again) != identify(local, newer)


def test_a_line_for_hosts_of_another_kind_changes_nothing(local: LocalBuildout) -> None:
    locked(local, {"hostouttest-1.0-cp311-cp311-manylinux2014_x86_64.whl": A})
    before = identify(local)
    lock = lockfile.read(local.lock)
    more = Locked("hostouttest", "1.0", "hostouttest-1.0-cp313-cp313-manylinux2014_x86_64.whl", B)
    lockfile.write(local.lock, dataclasses.replace(lock, others=(more,)))
    assert identify(local) == before
    lockfile.write(local.lock, dataclasses.replace(lock, tested=(dataclasses.replace(lock.tested[0], sha256=C),)))
    assert identify(local) != before


def test_hashes_are_kept_until_a_file_changes(local: LocalBuildout, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    memo = Memo(tmp_path / "hashes.json")
    first = memo.sha256(file)
    memo.save()
    again = Memo(tmp_path / "hashes.json")
    assert again.sha256(file) == first
    file.write_text("two and more")
    assert again.sha256(file) != first
    (tmp_path / "hashes.json").write_text("[half")
    assert Memo(tmp_path / "hashes.json").sha256(file) == again.sha256(file)
