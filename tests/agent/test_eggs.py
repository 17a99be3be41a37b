"""Eggs in the cache are whole and what was sent, whatever was there before and whatever befalls who makes them."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentclient import Place, blob, send_files, sha256, until
from filling import NOBODY, Filler, record
from hostout.agent import people, unpack
from hostout.agent.failure import Cancelled, Failed
from wheelsamples import EVERY_SORT, Wheel, names, plain, tree


def released(path: Path, name: str, state: str, dists: list[dict[str, Any]]) -> None:
    """A release that was made from these."""
    folder = path / "releases" / name
    folder.mkdir(parents=True)
    (folder / "release.json").write_text(json.dumps({"id": name[5:], "state": state, "dists": dists}))


@pytest.fixture
def filler(place: Place) -> Filler:
    place.dist.mkdir(parents=True)
    return Filler(place)


@pytest.fixture
def neighbour(filler: Filler) -> Path:
    """Another buildout that shares the cache."""
    path = filler.place.root / "srv" / "neighbour"
    sites = filler.place.cache / ".hostout" / "sites"
    sites.mkdir(parents=True)
    (sites / f"{hashlib.sha256(os.fsencode(path)).hexdigest()}.json").write_text(json.dumps({"path": str(path)}))
    (path / "releases").mkdir(parents=True)
    return path


@pytest.mark.parametrize("wheel", EVERY_SORT, ids=lambda wheel: wheel.name)
def test_wheels_of_every_sort_become_the_eggs_that_buildout_makes_of_them(filler: Filler, wheel: Wheel) -> None:
    assert filler.fill(filler.send(wheel)) == []
    assert filler.there() == [wheel.egg_name(filler.tag)]
    egg = filler.egg(wheel)
    assert names(egg) == tuple(sorted(wheel.egg))
    assert f"Name: {wheel.name}\n" in (egg / f"{egg.name[:-4]}.dist-info" / "METADATA").read_text()
    for name, (mode, _) in tree(egg).items():
        assert mode == (0o755 if name.endswith(("/", "tool")) else 0o644), name


def test_the_oldest_python_of_a_host_makes_the_same_eggs(filler: Filler, python: str) -> None:
    filler.place.python = python
    filler.fill(filler.send(*EVERY_SORT))
    assert [names(filler.egg(wheel)) for wheel in EVERY_SORT] == [tuple(sorted(wheel.egg)) for wheel in EVERY_SORT]


def test_what_is_there_is_neither_read_nor_written_again(filler: Filler) -> None:
    wheels = [plain(number, files=1) for number in range(200)]
    dists = filler.send(*wheels)
    filler.fill(dists)
    before = {path: path.lstat().st_ctime_ns for path in filler.folder.rglob("*")}
    for dist in dists:
        (filler.place.dist / dist["filename"]).unlink()
    # who read it would make it anew
    module = filler.egg(wheels[7]) / "hostouttest_plain7/file0.py"
    module.write_text("")
    before[module] = module.lstat().st_ctime_ns
    assert filler.fill(dists) == []
    assert {path: path.lstat().st_ctime_ns for path in filler.folder.rglob("*")} == before


@pytest.mark.parametrize("damage", ["empty", "missing", "changed", "executable", "more", "file"])
def test_egg_that_is_not_whole_is_made_anew_and_the_old_one_kept_aside(filler: Filler, damage: str) -> None:
    dists, egg = filler.send(plain()), filler.egg(plain())
    filler.fill(dists)
    whole = tree(egg)
    nobody_noted(filler)
    module = egg / "hostouttest_plain1" / "file1.py"
    if damage == "empty":
        module.write_text("")
    elif damage == "missing":
        module.unlink()
    elif damage == "changed":
        module.write_text(module.read_text().replace("x = 1", "x = 2"))
    elif damage == "executable":
        module.chmod(0o755)
    elif damage == "more":
        (egg / "hostouttest_plain1" / "more.py").write_text("")
    else:
        egg.rename(egg.with_name(".old"))
        egg.write_text("no folder")
    (note,) = filler.fill(dists)
    assert note.startswith(f"{egg.name} in the cache was incomplete, or made from another file: made anew")
    assert tree(egg) == whole
    aside = Path(note.rpartition(" ")[2])
    assert aside.parent == filler.folder and aside.name.startswith(".") and aside.exists()
    assert filler.fill(dists) == []


def nobody_noted(filler: Filler) -> None:
    """As a crash leaves it, or buildout itself."""
    for note in (filler.folder.parent / ".hostout" / "v5").glob("*.json"):
        note.unlink()


def test_egg_that_somebody_else_made_is_taken_where_it_is_equal(filler: Filler) -> None:
    dists, egg = filler.send(plain()), filler.egg(plain())
    filler.fill(dists)
    nobody_noted(filler)
    info = egg / f"{egg.name[:-4]}.dist-info"
    (info / "INSTALLER").write_text("pip\n")
    (info / "RECORD").write_text("")
    (egg / "hostouttest_plain1" / "__pycache__").mkdir()
    (egg / "hostouttest_plain1" / "__pycache__" / "file1.pyc").write_text("")
    (egg / "hostouttest_plain1" / "plone.mo").write_text("compiled where it lies")
    before = egg.stat().st_ino
    assert filler.fill(dists) == []
    assert egg.stat().st_ino == before
    (filler.place.dist / dists[0]["filename"]).unlink()
    # noted now: the wheel is not needed any more
    assert filler.fill(dists) == []


@pytest.mark.parametrize("sort", ["wheel", "sdist"])
@pytest.mark.parametrize("left", [b"\xde\x12\x04\x95 once more", b""], ids=["compiled once more", "by a crash"])
def test_translations_may_have_been_compiled_once_more(filler: Filler, sort: str, left: bytes) -> None:
    wheel = plain()
    name = "hostouttest_plain1/plone.mo"
    wheel = replace(wheel, content={**wheel.content, name: b"\xde\x12\x04\x95 as shipped"})
    dists, egg = filler.send(wheel), filler.egg(wheel)
    filler.fill(dists)
    nobody_noted(filler)
    (egg / name).write_bytes(left)
    if sort == "sdist":
        sdist = filler.place.dist / "hostouttest_plain1-1.0.tar.gz"
        sdist.write_bytes(b"the sdist")
        dists = [record(sdist)]
    assert len(filler.fill(dists)) == (0 if left else 1)


def test_egg_that_was_made_anew_by_hand_is_looked_at_again(filler: Filler) -> None:
    dists, egg = filler.send(plain()), filler.egg(plain())
    filler.fill(dists)
    subprocess.run(["rm", "-r", str(egg)], check=True)
    info = egg / f"{egg.name[:-4]}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: hostouttest-plain1\n")
    assert len(filler.fill(dists)) == 1
    assert names(egg) == plain().egg


def test_egg_of_another_file_of_that_version_is_replaced_where_no_release_uses_it(filler: Filler) -> None:
    first = filler.send(plain())
    filler.fill(first)
    released(filler.place.path, "0000-aaaaaaaa", "bad", first)
    (note,) = filler.fill(filler.send(plain(text="x = 2\n")))
    assert "made from another file" in note
    assert (filler.egg(plain()) / "hostouttest_plain1/__init__.py").read_text() == "x = 2\n"


@pytest.mark.parametrize("noted", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("whose", ["own", "neighbour"])
def test_egg_that_a_release_uses_is_never_replaced_by_one_of_another_file(
    filler: Filler, neighbour: Path, whose: str, noted: bool
) -> None:
    first = filler.send(plain(), plain(2))
    filler.fill(first)
    path = neighbour if whose == "neighbour" else filler.place.path
    released(path, "0007-bbbbbbbb", "good", first)
    if not noted:
        nobody_noted(filler)
    before = tree(filler.folder)
    second = filler.send(plain(text="x = 2\n"), plain(2), plain(3))
    message = filler.refused(second)
    assert f"made from a file with the sha256 {first[0]['sha256']}, " in message
    assert f"and release 0007-bbbbbbbb in {path} uses it" in message
    assert f"{second[0]['filename']} has {second[0]['sha256']}: what differs needs a version of its own" in message
    assert tree(filler.folder) == before


def test_another_file_that_gives_the_same_egg_is_welcome(filler: Filler, neighbour: Path) -> None:
    first = filler.send(plain())
    filler.fill(first)
    released(neighbour, "0007-bbbbbbbb", "good", first)
    path = filler.place.dist / plain().filename
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"packed again"
    second = [record(path)]
    assert second != first
    assert filler.fill(second) == filler.fill(first) == filler.fill(second) == []


def test_buildout_that_cannot_be_asked_is_not_harmed(filler: Filler, neighbour: Path) -> None:
    first = filler.send(plain())
    filler.fill(first)
    (filler.place.cache / ".hostout/sites/torn.json").write_text("{")
    assert "does not say who shares the cache" in filler.refused(filler.send(plain(text="x = 2\n")))
    assert filler.fill(filler.send(plain(), plain(2))) == []


def test_the_version_of_a_develop_package_says_its_content(filler: Filler, neighbour: Path) -> None:
    wheel = plain(version="1.0+h1a2b3c4d5e")
    (first,) = filler.send(wheel)
    filler.fill([{**first, "develop": True, "sha256": "0" * 64}])
    released(neighbour, "0007-bbbbbbbb", "good", [{**first, "develop": True}])
    before = tree(filler.folder)
    (second,) = filler.send(plain(version="1.0+h1a2b3c4d5e", text="x = 2\n"))
    assert filler.fill([{**second, "develop": True}]) == []
    assert tree(filler.folder) == before


def archive_of(path: Path, members: Iterable[str | zipfile.ZipInfo]) -> Path:
    with zipfile.ZipFile(path, "a") as archive:
        for member in members:
            archive.writestr(member, "x")
    return path


def link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("members", "why"),
    [
        (["/etc/cron.d/hostouttest"], "is outside of it, or under no plain name: '/etc/cron.d/hostouttest'"),
        (["a/../../b"], "is outside of it, or under no plain name: 'a/../../b'"),
        ([".."], "is outside of it, or under no plain name: '..'"),
        (["hostouttest_plain1-1.0.data/data/../../../b"], "has a member that is outside of it"),
        (["a//b"], "or under no plain name: 'a//b'"),
        (["./a"], "or under no plain name: './a'"),
        ([link("hostouttest_link")], "has a link in it: 'hostouttest_link'"),
        (["hostouttest_plain1/__init__.py"], "has a file twice: 'hostouttest_plain1/__init__.py'"),
        (["a", "a/b"], "has a file and a folder of one name: 'a'"),
        (["other-1.0.dist-info/METADATA"], "has 2 folders of metadata where a wheel has one"),
        (["x.data/etc/passwd"], "has data that is of no use: 'x.data/etc/passwd'"),
    ],
    ids=str,
)
def test_wheel_that_would_write_elsewhere_or_one_file_twice_is_refused_by_name(
    filler: Filler, members: list[str | zipfile.ZipInfo], why: str
) -> None:
    (good,) = filler.send(plain(2))
    path = archive_of(plain().make(filler.place.dist), members)
    message = filler.refused([record(path), good])
    assert path.name in message and why in message
    assert filler.there() == []


def test_all_wheels_that_are_damaged_are_named_at_once(filler: Filler) -> None:
    dists = filler.send(plain(), plain(2), plain(3), plain(4))
    paths = [filler.place.dist / dist["filename"] for dist in dists]
    paths[0].write_bytes(paths[0].read_bytes()[:-100])
    paths[1].unlink()
    paths[2].write_bytes(b"no zip")
    dists[2] = record(paths[2])
    message = filler.refused(dists)
    assert f"{paths[0].name} is damaged on the host: its sha256 is {record(paths[0])['sha256']}" in message
    assert f"{paths[1]} is not there" in message
    assert f"{paths[2].name} is no wheel, or is damaged" in message
    assert filler.there() == []


def test_each_core_unpacks_its_share_beside_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    together, do = multiprocessing.Barrier(3), unpack._do

    def at_once(job: unpack.Job) -> Mapping[str, Any]:
        if not job.source.name.startswith("hostouttest_plain0"):
            together.wait(60)
        return do(job)

    monkeypatch.setattr(unpack, "_do", at_once)
    # the smallest goes behind one of the others
    wheels = [plain(number, files=30 * number).make(tmp_path / "wheels") for number in range(4)]
    jobs = [unpack.Job(path, None, "tag", tmp_path / path.stem) for path in wheels]
    made = unpack.unpack(jobs, people.agent())
    assert {one.filename for one in made} == {path.name for path in wheels}


def test_unpacking_that_is_not_wanted_any_more_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "_do", lambda job: time.sleep(300))
    job = unpack.Job(plain().make(tmp_path), None, "tag", tmp_path / "egg")
    started = time.monotonic()
    with pytest.raises(Cancelled, match="the build was cancelled"):
        unpack.unpack([job], people.agent(), lambda: time.monotonic() > started + 0.5)
    assert time.monotonic() - started < 60


def test_wheel_whose_place_a_pipe_has_taken_is_refused(filler: Filler) -> None:
    (dist,) = filler.send(plain())
    (filler.place.dist / dist["filename"]).unlink()
    os.mkfifo(filler.place.dist / dist["filename"])
    assert filler.refused([dist]) == f"{filler.place.dist / dist['filename']}: not a file"


def test_wheel_with_rotten_bytes_inside_is_refused(filler: Filler) -> None:
    path = plain(text="x = 1\n" * 500).make(filler.place.dist)
    content = bytearray(path.read_bytes())
    # in the compressed text of the first member, which begins after 30 bytes and its name
    content[30 + len("hostouttest_plain1/__init__.py") + 10] ^= 0xFF
    path.write_bytes(content)
    assert f"{path.name} is no wheel, or is damaged" in filler.refused([record(path)])
    assert filler.there() == []


def test_wheel_whose_lzma_stream_is_damaged_is_refused(filler: Filler) -> None:
    path = plain().make(filler.place.dist)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("hostouttest_plain1-1.0.dist-info/METADATA", "Name: hostouttest_plain1\n" * 1000)
    content = bytearray(path.read_bytes())
    # after 30 bytes, its name, and what lzma begins with
    start = 30 + len("hostouttest_plain1-1.0.dist-info/METADATA") + 10
    content[start : start + 20] = bytes([0xFF]) * 20
    path.write_bytes(content)
    assert f"{path.name} is no wheel, or is damaged" in filler.refused([record(path)])


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_why_nobody_can_become_the_owner_is_said(tmp_path: Path) -> None:
    job = unpack.Job(plain().make(tmp_path), None, "tag", tmp_path / "egg")
    with pytest.raises(Failed, match="Invalid argument"):
        unpack.unpack([job], people.Person("impossible", -1, NOBODY, "nogroup", "/"))


@pytest.mark.parametrize("told", [b"", b'[{"failed": "a'])
def test_process_that_is_killed_while_it_answers_is_said_to_be(told: bytes) -> None:
    answers, sink = os.pipe()
    os.write(sink, told)
    os.close(sink)
    with pytest.raises(Failed, match="was killed, or the memory is full"):
        unpack._answers(unpack._Child(0, answers), lambda: False)
    os.close(answers)


def test_two_that_fill_one_cache_at_once_do_not_hurt_each_other(filler: Filler) -> None:
    dists = filler.send(*(plain(number, files=20) for number in range(40)))
    processes = [filler.start(dists) for _ in range(4)]
    for process in processes:
        assert process.communicate(timeout=60) == ("", "")
        assert process.returncode == 0
    assert filler.there() == sorted(filler.egg(plain(number)).name for number in range(40))
    nobody_noted(filler)
    # all of them are whole
    assert filler.fill(dists) == []


def test_what_a_killed_one_left_is_cleaned_up_and_nobody_works_on(filler: Filler) -> None:
    dists = filler.send(*(plain(number, files=100) for number in range(200)))
    process = filler.start(dists)
    for _ in until("it unpacks"):
        if filler.folder.exists() and any(filler.folder.glob(".fill-*/*")):
            break
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert filler.there() != [] and not any(filler.folder.glob("*.egg"))
    for _ in until("its helpers have ended"):
        if not any(str(filler.place.cache).encode() in line for line in command_lines()):
            break
    assert filler.fill(dists) == []
    assert len(filler.there()) == 200
    assert all(name.endswith(".egg") for name in filler.there())


def command_lines() -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes())
        except OSError:
            continue
    return found


def test_folder_that_is_worked_in_is_left_alone(filler: Filler) -> None:
    dists = filler.send(*(plain(number, files=100) for number in range(100)))
    process = filler.start(dists)
    for _ in until("it unpacks"):
        if filler.folder.exists() and any(filler.folder.glob(".fill-*/*")):
            break
    assert filler.fill(filler.send(plain(1000))) == []
    assert process.communicate(timeout=60) == ("", "")
    assert len(filler.there()) == 101


def test_what_buildout_was_making_when_it_was_killed_is_removed(filler: Filler) -> None:
    left = filler.folder / "tmpab12_xyz" / "foo-1.0.dist-info"
    left.mkdir(parents=True)
    (filler.folder / "tmpfile").mkdir()
    os.utime(left.parent, (time.time() - 400,) * 2)
    filler.fill(filler.send(plain()))
    assert filler.there() == [filler.egg(plain()).name, "tmpfile"]


def test_what_a_buildout_run_by_hand_is_making_is_left_alone(filler: Filler) -> None:
    young, old = filler.folder / "tmpab12_xyz", filler.folder / "tmpcd34_xyz"
    young.mkdir(parents=True)
    old.mkdir()
    os.utime(old, (time.time() - 4000,) * 2)
    # as pip compiles there
    with subprocess.Popen([sys.executable, "-c", "input()", "-t", str(old)], stdin=subprocess.PIPE) as pip:
        filler.fill(filler.send(plain()))
        assert young.exists() and old.exists()
        pip.communicate(b"\n")
    filler.fill(filler.send(plain()))
    assert young.exists() and not old.exists()


def test_what_another_buildout_is_making_is_left_alone_for_an_hour(filler: Filler, neighbour: Path) -> None:
    left = filler.folder / "tmpab12_xyz"
    left.mkdir(parents=True)
    filler.fill(filler.send(plain()))
    assert left.exists()
    os.utime(left, (time.time() - 4000,) * 2)
    filler.fill(filler.send(plain()))
    assert not left.exists()


def test_full_disk_is_one_line_and_leaves_no_half_egg(filler: Filler, small_disk: Path) -> None:
    filler.place.extra["cache"] = str(small_disk / "cache")
    filler.place.dist.mkdir(parents=True)
    dists = filler.send(*(plain(number, text="x = 1\n" * 20000) for number in range(5)))
    message = filler.refused(dists)
    assert message.startswith(f"{filler.folder}: no space left on the file system") and ";" not in message
    assert filler.there() == []
    (filler.place.dist / "room").unlink(missing_ok=True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_eggs_belong_to_the_owner_of_the_cache_and_root_follows_no_link_of_hers(filler: Filler) -> None:
    filler.place.python = "/usr/bin/python3"
    filler.user = NOBODY
    dists = filler.send(plain())
    secret = filler.place.root / "secret"
    secret.mkdir(mode=0o700)
    (filler.place.cache / "eggs").mkdir()
    for path in (filler.place.cache, *filler.place.cache.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    filler.folder.symlink_to(secret)
    assert filler.refused(dists) == f"{filler.folder}: permission denied for user id {NOBODY}"
    assert list(secret.iterdir()) == []
    filler.folder.unlink()
    filler.fill(dists)
    made = list((filler.place.cache / "eggs").rglob("*"))
    assert {path.stat().st_uid for path in made} == {path.stat().st_gid for path in made} == {NOBODY}


@pytest.mark.skipif(os.getuid() != 0, reason="root makes it so that the owner herself may not write")
def test_read_only_eggs_are_taken_and_broken_ones_among_them_replaced(filler: Filler) -> None:
    filler.place.python = "/usr/bin/python3"
    filler.user = NOBODY
    dists = filler.send(plain(), plain(2))
    (filler.place.cache / "eggs").mkdir()
    for path in (filler.place.cache, *filler.place.cache.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    filler.fill(dists)
    nobody_noted(filler)
    (filler.egg(plain()) / "hostouttest_plain1/file1.py").write_text("")
    subprocess.run(["chmod", "-R", "a-w", *map(str, filler.folder.glob("*.egg"))], check=True)
    (note,) = filler.fill(dists)
    assert filler.egg(plain()).name in note
    assert (filler.egg(plain()) / "hostouttest_plain1/file1.py").read_text() != ""
    assert filler.fill(dists) == []


def test_eggs_of_another_python_are_others(filler: Filler) -> None:
    dists = filler.send(plain())
    filler.fill(dists)
    library = filler.place.cache / "buildout" / "env" / "lib" / "python3.99"
    library.mkdir(parents=True)
    filler.fill(dists, environment="env")
    assert filler.there() == [
        filler.egg(plain()).name,
        f"hostouttest_plain1-1.0-py3.99-{sysconfig.get_platform()}.egg",
    ]


def sdist_egg(filler: Filler, name: str, version: str = "1.0") -> Path:
    """As buildout makes it with pip; the wheel that pip makes on the way is as good as any."""
    wheel = plain(version=version)
    filler.fill(filler.send(wheel))
    nobody_noted(filler)
    (filler.place.dist / name).write_bytes(b"the sdist")
    return filler.egg(wheel)


def test_egg_of_an_sdist_is_noted_after_the_build_and_then_taken(filler: Filler) -> None:
    egg = sdist_egg(filler, "hostouttest_plain1-1.0.tar.gz")
    dists = [record(filler.place.dist / "hostouttest_plain1-1.0.tar.gz")]
    assert filler.fill(dists) == []
    assert filler.fill(dists, "settle") == []
    (egg / "hostouttest_plain1/file1.py").write_text("")
    # not looked at again
    assert filler.fill(dists) == []
    assert egg.exists()


def test_egg_of_an_sdist_that_a_crash_left_is_moved_aside(filler: Filler) -> None:
    egg = sdist_egg(filler, "hostouttest-plain1-1.0.zip")
    (egg / "hostouttest_plain1/file1.py").write_text("")
    dists = [record(filler.place.dist / "hostouttest-plain1-1.0.zip")]
    (note,) = filler.fill(dists)
    assert egg.name in note and not egg.exists()
    assert filler.fill(dists) == []


@pytest.mark.parametrize(("spelt", "version"), [("1.0beta2", "1.0b2"), ("1.0-r1", "1.0.post1")])
def test_egg_of_an_sdist_is_known_however_its_version_is_spelt(filler: Filler, spelt: str, version: str) -> None:
    egg = sdist_egg(filler, f"hostouttest-plain1-{spelt}.tar.gz", version)
    dists = [record(filler.place.dist / f"hostouttest-plain1-{spelt}.tar.gz")]
    assert filler.fill(dists, "settle") == []
    assert json.loads((filler.folder.parent / f".hostout/v5/{egg.name}.json").read_text())["sha256"] == [
        dists[0]["sha256"]
    ]
    nobody_noted(filler)
    (egg / "hostouttest_plain1/file1.py").write_text("")
    (note,) = filler.fill(dists)
    assert egg.name in note


def test_egg_of_another_sdist_that_a_release_uses_is_not_replaced(filler: Filler, neighbour: Path) -> None:
    egg = sdist_egg(filler, "hostouttest_plain1-1.0.tar.gz")
    first = [record(filler.place.dist / "hostouttest_plain1-1.0.tar.gz")]
    filler.fill(first, "settle")
    released(neighbour, "0007-bbbbbbbb", "live", first)
    (filler.place.dist / "hostouttest_plain1-1.0.tar.gz").write_bytes(b"another")
    second = [record(filler.place.dist / "hostouttest_plain1-1.0.tar.gz")]
    assert "release 0007-bbbbbbbb" in filler.refused(second)
    assert egg.exists()


@pytest.mark.parametrize("sort", ["wheel", "sdist"])
def test_egg_that_an_adopted_buildout_uses_is_not_replaced(filler: Filler, neighbour: Path, sort: str) -> None:
    egg = sdist_egg(filler, "hostouttest_plain1-1.0.tar.gz")
    module = egg / "hostouttest_plain1/file1.py"
    module.write_text("x = 'mended on the host'\n")
    released(neighbour, "0000-adopted", "good", [])
    record_of_it = neighbour / "releases/0000-adopted/release.json"
    record_of_it.write_text('{"id": "adopted", "adopted": true, "state": "good"}')
    script = neighbour / "releases/0000-adopted/bin/app"
    script.parent.mkdir()
    script.write_text(f"sys.path[0:0] = ['{egg}']\n")
    name = plain().filename if sort == "wheel" else "hostouttest_plain1-1.0.tar.gz"
    dists = [record(filler.place.dist / name)]
    assert filler.refused(dists) == (
        f"{egg.name} in the cache is not what {name} makes, and release 0000-adopted in {neighbour} uses it: "
        "what differs needs a version of its own, or this host another buildout-cache"
    )
    assert module.read_text() == "x = 'mended on the host'\n"
    script.write_text("")
    assert len(filler.fill(dists)) == 1


def test_download_that_a_release_was_made_from_is_not_replaced_by_other_bytes(place: Place) -> None:
    agent = place.agent()
    agent.request("layout")
    send_files(agent, [(b"first", "a-1-py3-none-any.whl")], "dist")
    dist = {"filename": "a-1-py3-none-any.whl", "sha256": sha256(b"first"), "develop": False}
    released(place.path, "0007-bbbbbbbb", "good", [dist])
    blobs = [blob(b"fine", "b-1.zip", "dist"), blob(b"second", "a-1-py3-none-any.whl", "dist")]
    message = agent.request("receive", {"blobs": blobs}, b"fine" + b"second").message
    assert message == (
        f"{place.dist}/a-1-py3-none-any.whl has the sha256 {sha256(b'first')} and release 0007-bbbbbbbb in "
        f"{place.path} was made from it; the file sent now has {sha256(b'second')}: "
        "what differs needs a version of its own"
    )
    assert (place.dist / "a-1-py3-none-any.whl").read_bytes() == b"first"
    # the same again, and others, are welcome
    welcome = [(b"first", "a-1-py3-none-any.whl"), (b"fine", "b-1.zip")]
    assert send_files(agent, welcome, "dist").result == {"received": 2}


def test_download_that_nothing_was_made_from_is_replaced_and_that_is_said(place: Place) -> None:
    agent = place.agent()
    agent.request("layout")
    send_files(agent, [(b"first", "a-1.zip")], "dist")
    reply = send_files(agent, [(b"second", "a-1.zip")], "dist")
    assert reply.result == {"received": 1}
    assert reply.lines("note") == [
        f"{place.dist}/a-1.zip has the sha256 {sha256(b'first')}, no release was made from it: "
        f"replaced by the one with {sha256(b'second')}"
    ]
    assert (place.dist / "a-1.zip").read_bytes() == b"second"
