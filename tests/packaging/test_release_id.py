"""What the id of a release counts of its distributions: what was tested, and not where a file of it happens to lie."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path
from typing import Any

import pytest

from hostout import lockfile
from hostout.lockfile import Lock, Locked
from hostout.model import BundleFile, Distribution, Host, LocalBuildout, Member, Release, Secret, Settings
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


NOT_COUNTED = {
    *("name", "address", "port", "user", "password_command", "identity_file", "host_key", "secrets", "origins"),
    *("buildout", "parts", "include", "versions", "eggs_from", "hash_ignore", "fabfiles", "plugins"),
    "keep_releases",
}
"""How to connect, where files come from (they count themselves), what is kept."""

ANOTHER = {str: "another", tuple: ("another",), bool: True, int: 77, float: 77.0, dict: {"another": "one"}}


def another(value: object) -> object:
    """Of the same kind; of what is nothing by default, a word."""
    return ANOTHER[type(value)] if value is not None else "another"


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Host)])
def test_every_option_counts_but_those_of_the_connection(local: LocalBuildout, name: str) -> None:
    changed = host(**{name: another(getattr(host(), name))})
    assert getattr(changed, name) != getattr(host(), name)
    release = Release("", "host1", "hostout-host1.cfg", "3.11", (), (), (), ())
    ids = {release_id(release, each, local, lambda pin: ()) for each in (host(), changed)}
    assert len(ids) == (1 if name in NOT_COUNTED else 2)


@pytest.mark.parametrize(
    ("name", "counts"),
    [("threads", True), ("pre-commands", True), ("password", False), ("host", False), ("keep-releases", False)],
)
def test_options_that_only_plugins_know_count_as_they_are_written(
    local: LocalBuildout, name: str, counts: bool
) -> None:
    release = Release("", "host1", "hostout-host1.cfg", "3.11", (), (), (), ())
    ids = {release_id(release, host(options={name: value}), local, lambda pin: ()) for value in ("1", "2")}
    assert len(ids) == (2 if counts else 1)


def test_secrets_and_where_things_are_here_do_not_count(local: LocalBuildout) -> None:
    release = Release("", "host1", "hostout-host1.cfg", "3.11", (), (), (), ())
    elsewhere = dataclasses.replace(local, directory="/elsewhere", executable="/opt/python", eggs_directory="/e")

    def identified(word: str, of: LocalBuildout) -> str:
        deployed = host(secrets={"password": Secret(word)}, options={"motd": f"{of.directory}/motd"})
        return release_id(release, deployed, of, lambda pin: ())

    assert identified("one", local) == identified("two", local) == identified("one", elsewhere)


FILE = BundleFile("etc/site.conf", 0o644, A, b"a")
WHOLE = Release(
    *("", "host1", "hostout-host1.cfg", "3.11"),
    requirements=(("hostouttest", "1.0"),),
    environment=(("zc.buildout", "5.2.0"),),
    develop=(),
    files=(FILE,),
    settings=Settings(("buildout.cfg",), ("app",), ("cron",), ("my.example",), False, "versions", (("a", "1"),), {}),
)
CHANGES: dict[str, dict[str, Any]] = {
    "requirements": {"requirements": (("hostouttest", "1.1"),)},
    "environment": {"environment": (("zc.buildout", "6.0.1"),)},
    "python": {"python": "3.13"},
    "config": {"config": "another.cfg"},
    "a file more": {"files": (FILE, dataclasses.replace(FILE, name="b"))},
    "name of a file": {"files": (dataclasses.replace(FILE, name="other"),)},
    "mode of a file": {"files": (dataclasses.replace(FILE, mode=0o755),)},
    "content of a file": {"files": (dataclasses.replace(FILE, sha256=B),)},
    "target of a link": {"files": (dataclasses.replace(FILE, target="elsewhere"),)},
    "pins": {"settings": dataclasses.replace(WHOLE.settings, pins=(("a", "2"),))},
}


@pytest.mark.parametrize("what", CHANGES)
def test_all_that_a_release_consists_of_counts(local: LocalBuildout, what: str) -> None:
    changed = dataclasses.replace(WHOLE, **CHANGES[what])
    assert len({release_id(each, host(), local, lambda pin: [A]) for each in (WHOLE, changed)}) == 2


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Settings) if field.name != "pins"])
def test_all_that_the_generated_configuration_says_counts(local: LocalBuildout, name: str) -> None:
    settings: Any = dataclasses.asdict(WHOLE.settings) | {name: another(getattr(WHOLE.settings, name))}
    changed = dataclasses.replace(WHOLE, settings=Settings(**settings))
    assert len({release_id(each, host(), local, lambda pin: [A]) for each in (WHOLE, changed)}) == 2


@pytest.mark.parametrize("name", ["hostouttest", "zc.buildout"])
def test_the_files_of_parts_and_environment_count(local: LocalBuildout, name: str) -> None:
    def identified(digest: str) -> str:
        return release_id(WHOLE, host(), local, lambda pin: [digest if pin[0] == name else C])

    assert identified(A) != identified(B)


def test_what_is_only_said_of_a_release_does_not_count(local: LocalBuildout) -> None:
    said = dataclasses.replace(WHOLE, id="x", part="host2", messages=("m",), scm={"rev": "1"}, options={"a": "1"})
    assert len({release_id(each, host(), local, lambda pin: [A]) for each in (WHOLE, said)}) == 1


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
