"""Which file a distribution was installed from, and what the lock keeps: without buildout where that is enough."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
import zc.buildout

from hostout import lockfile
from hostout.lockfile import Lock, locked
from hostout.model import Member
from hostout.recipe import locking, news
from hostout.recipe.files import Files, Watch, key_of
from samples import local_buildout
from wheelsamples import Wheel, plain

A, B, C = "a" * 64, "b" * 64, "c" * 64


class Unpacked:
    """A wheel, the egg that lies unpacked, and a download cache."""

    def __init__(self, folder: Path) -> None:
        self.records = folder / "parts"
        self.cache = folder / "downloads"
        self.eggs = folder / "eggs"

    def unpack(self, wheel: Wheel, where: str = "") -> Member:
        """As buildout and pip do it, as far as this matters."""
        location = self.eggs / (where or f"{wheel.base}-py3.11.egg")
        with zipfile.ZipFile(wheel.make(self.eggs / "made")) as archive:
            archive.extractall(location)
        return Member(wheel.name, wheel.version, str(location))

    def cached(self, wheel: Wheel) -> Path:
        return wheel.make(self.cache / "dist")

    def described(self, member: Member, environment: bool = False) -> Member:
        files = Files(self.records, str(self.cache), {})
        found = files.described(member, environment)
        files.keep()
        return found


@pytest.fixture
def unpacked(tmp_path: Path) -> Unpacked:
    return Unpacked(tmp_path)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_egg_that_nobody_saw_coming_has_no_file(unpacked: Unpacked) -> None:
    found = unpacked.described(unpacked.unpack(plain()))
    assert (found.filename, found.sha256, found.found) == ("", "", "eggs")


def test_an_egg_is_known_by_the_wheel_in_the_download_cache_that_it_was_made_of(unpacked: Unpacked) -> None:
    member = unpacked.unpack(plain())
    path = unpacked.cached(plain())
    found = unpacked.described(member)
    assert (found.filename, found.sha256, found.found) == (path.name, sha256(path), "download-cache")


def test_an_egg_stays_known_when_the_download_cache_is_gone_and_until_it_is_another(unpacked: Unpacked) -> None:
    member = unpacked.unpack(plain())
    path = unpacked.cached(plain())
    expected = unpacked.described(member).sha256
    path.unlink()
    found = unpacked.described(member)
    assert (found.sha256, found.found) == (expected, "eggs")
    info = next(Path(member.location).glob("*.dist-info"))
    info.rename(info.with_name("aside"))
    (info.with_name("aside") / "new").touch()
    info.with_name("aside").rename(info)
    assert unpacked.described(member).sha256 == ""


def test_a_wheel_of_the_same_name_with_other_content_is_not_taken_for_it(unpacked: Unpacked) -> None:
    member = unpacked.unpack(plain())
    unpacked.cached(plain(text="x = 2\n"))
    assert unpacked.described(member).sha256 == ""


def test_a_broken_wheel_in_the_download_cache_is_not_taken_for_it(unpacked: Unpacked) -> None:
    member = unpacked.unpack(plain())
    path = unpacked.cached(plain())
    path.write_bytes(path.read_bytes()[:100])
    (path.parent / "README").touch()
    assert unpacked.described(member).sha256 == ""


def test_each_distribution_of_a_site_packages_has_a_file_of_its_own(unpacked: Unpacked) -> None:
    one, two = (unpacked.unpack(plain(number), "site-packages") for number in (1, 2))
    paths = [unpacked.cached(plain(number)) for number in (1, 2)]
    for _ in range(2):
        assert [unpacked.described(each, True).sha256 for each in (one, two)] == [sha256(path) for path in paths]
    paths[1].unlink()
    assert [unpacked.described(each, True).found for each in (one, two)] == ["download-cache", "environment"]


def test_a_develop_package_has_no_file(unpacked: Unpacked) -> None:
    member = Member("hostouttest-plain1", "1.0", "/somewhere", develop=True, source="/somewhere")
    assert unpacked.described(member) == member


class Dist:
    """What buildout hands around."""

    def __init__(self, location: str) -> None:
        self.location = location
        self.project_name, self.version = lockfile.distribution_of(location.rpartition("/")[2].partition("#")[0])


class Folder:
    """Where files of an index arrive."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def arrived(self, wheel: Wheel, lock: Lock) -> Watch:
        """What a watch knows when buildout has fetched this wheel."""
        path = wheel.make(self.path)
        watch = Watch(lock)
        watch._saw(Dist(f"https://me:s3cret@index.example.com/{path.name}#sha256={A}"), Dist(str(path)))
        return watch


def test_a_fetched_file_is_known_by_its_hash(tmp_path: Path) -> None:
    watch = Folder(tmp_path).arrived(plain(), Lock())
    file = watch.fetched[key_of("HostoutTest_plain1", "1.0.0")]
    assert (file.filename, file.sha256) == (plain().filename, sha256(tmp_path / plain().filename))


def test_a_fetched_file_that_is_not_the_one_tested_is_refused_and_removed(tmp_path: Path) -> None:
    lock = Lock((locked(plain().filename, B),))
    with pytest.raises(zc.buildout.UserError) as caught:
        Folder(tmp_path).arrived(plain(), lock)
    message = str(caught.value)
    assert message.startswith(f"{plain().filename} is not the file that was tested: its sha256 is ")
    assert f"in {lockfile.NAME} it is {B}" in message
    assert message.endswith(f"; it comes from https://index.example.com/{plain().filename}, and is not installed")
    assert not list(tmp_path.iterdir())


def member(name: str, version: str, filename: str = "", sha256: str = "") -> Member:
    return Member(name, version, f"/eggs/{name}", filename=filename, sha256=sha256)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / lockfile.NAME


def updated(path: Path, *members: Member, whole: bool = True) -> Lock:
    locking.update(path, locking.read(path), members, (), whole)
    return lockfile.read(path)


def test_what_others_found_of_the_same_versions_is_kept_and_the_rest_goes(lock: Path) -> None:
    lines = [("one-1.0-cp313-cp313-linux_x86_64.whl", A), ("one-0.9-py3-none-any.whl", B), ("two-1.0.zip", C)]
    others = (locked("one-1.0-cp310-cp310-linux_x86_64.whl", C), locked("gone-1.0.zip", C))
    lockfile.write(lock, Lock(tuple(locked(*line) for line in lines), others, (("one", "0.9"), ("two", "1.0"))))
    found = updated(lock, member("One", "1.0", "one-1.0-cp311-cp311-linux_x86_64.whl", B), member("three", "3"))
    assert [(one.filename, one.sha256) for one in found.tested] == [
        ("one-1.0-cp311-cp311-linux_x86_64.whl", B),
        ("one-1.0-cp313-cp313-linux_x86_64.whl", A),
    ]
    assert [one.filename for one in found.others] == ["one-1.0-cp310-cp310-linux_x86_64.whl"]
    assert found.pins == (("One", "1.0"), ("three", "3"))


def test_what_only_another_python_needs_is_kept(lock: Path, tmp_path: Path) -> None:
    """Colleagues with two Pythons do not take each other's lines away; what is no requirement any more goes."""
    egg = tmp_path / "one-1.0-py3.11.egg"
    info = egg / "one-1.0.dist-info" / "METADATA"
    info.parent.mkdir(parents=True)
    requires = ("three; python_version > '3'", "Old.Thing>=1; python_version < '3'", "tests; extra == 'x'", "; wrong")
    info.write_text("Name: one\nVersion: 1.0\n" + "".join(f"Requires-Dist: {one}\n" for one in requires))
    lines = [("old_thing-1.1-py2-none-any.whl", A), ("old_thing-1.0-py2-none-any.whl", B), ("tests-1.0.zip", C)]
    pins = (("old-thing", "1.1"), ("tests", "1.0"), ("gone", "2"), ("three", "3"))
    lockfile.write(lock, Lock(tuple(locked(*line) for line in lines), (), pins))
    one = Member("One", "1.0", str(egg))
    for _ in range(2):
        found = updated(lock, one, member("three", "3.1"))
        assert found.pins == (("old-thing", "1.1"), ("One", "1.0"), ("three", "3.1"))
        assert [file.filename for file in found.tested] == ["old_thing-1.1-py2-none-any.whl"]
    info.write_text("Name: one\nVersion: 1.0\n")
    assert updated(lock, one).pins == (("One", "1.0"),)


def test_a_part_of_the_buildout_takes_nothing_away(lock: Path) -> None:
    lockfile.write(lock, Lock((locked("two-1.0.zip", C),), (), (("two", "1.0"), ("one", "0.9"))))
    found = updated(lock, member("one", "1.0", "one-1.0.zip", A), whole=False)
    assert [one.filename for one in found.tested] == ["one-1.0.zip", "two-1.0.zip"]
    assert found.pins == (("one", "1.0"), ("two", "1.0"))


def test_a_file_that_was_only_sent_counts_once_it_is_tested(lock: Path) -> None:
    lockfile.write(lock, Lock((), (locked("one-1.0.zip", A),)))
    found = updated(lock, member("one", "1.0", "one-1.0.zip", A))
    assert ([one.filename for one in found.tested], found.others) == (["one-1.0.zip"], ())


def test_eggs_of_other_files_than_those_tested_are_all_named(lock: Path) -> None:
    lockfile.write(lock, Lock((locked("one-1.0.zip", A), locked("two-1.0.zip", B))))
    before = lock.read_bytes()
    with pytest.raises(zc.buildout.UserError) as caught:
        updated(lock, member("one", "1.0", "one-1.0.zip", C), member("two", "1.0", "two-1.0.zip", C))
    lines = str(caught.value).splitlines()
    assert [line.partition(" is not the file that was tested")[0] for line in lines[:2]] == [
        "one-1.0.zip",
        "two-1.0.zip",
    ]
    assert lines[2].startswith("remove the eggs of these distributions, and run bin/buildout")
    assert lock.read_bytes() == before


def test_where_the_parts_run_with_another_version_than_buildout_it_is_the_pin(lock: Path) -> None:
    locking.update(lock, Lock(), [member("setuptools", "79.0")], [member("setuptools", "84.0")], True)
    assert lockfile.read(lock).pins == (("setuptools", "79.0"),)


def test_buildouts_own_surroundings_are_named_where_they_are_not_what_is_pinned(
    lock: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = Lock(pins=(("packaging", "26.2"), ("pip", "25"), ("setuptools", "79.0")))
    own = (member("packaging", "26.3"), member("pip", "26"), member("setuptools", "84.0"))
    pins = {"Packaging": "26.2", "pip": "26", "setuptools": "79.0"}
    parts = (member("setuptools", "79.0"),)
    local = local_buildout(lock.parent, lock=str(lock), pins=pins, working_set=parts, environment=own)
    news.tell(before, local, (), wrote=False)
    (record,) = caplog.records
    assert record.getMessage().endswith(f"than {lockfile.NAME} says: packaging 26.3 (was 26.2)")


def test_develop_packages_have_no_pin(lock: Path) -> None:
    assert updated(lock, Member("one", "1.0", "/src", develop=True, source="/src")).pins == ()
