"""The file with the versions and hashes of a tested buildout."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path
from textwrap import dedent

import pytest
from zc.buildout import configparser

from hostout import cfgfile, lockfile
from hostout.errors import ConfigurationError
from hostout.lockfile import Lock, locked

A, B, C = "a" * 64, "b" * 64, "c" * 64
TIMES = 30
PINS = (("hostouttest-two", "2024.7.4"), ("HostoutTest.Dots", "1.0"))
SPELT = {"hostouttest-dots": "HostoutTest.Dots", "hostouttest-two": "hostouttest-two"}
LOCK = Lock(
    (
        locked("hostouttest_dots-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", A, SPELT),
        locked("hostouttest-two-2024.07.04.tar.gz", B, SPELT),
    ),
    (locked("hostouttest_dots-1.0-cp313-cp313-musllinux_1_2_aarch64.whl", C, SPELT),),
    PINS,
)
TEXT = f"""\
{lockfile.HEAD}
[versions]
hostouttest-two = 2024.7.4
HostoutTest.Dots = 1.0

[hostout-tested]
hostouttest-two-2024.07.04.tar.gz = {B}
hostouttest_dots-1.0-cp311-cp311-manylinux_2_17_x86_64.whl = {A}

[hostout-wheels]
hostouttest_dots-1.0-cp313-cp313-musllinux_1_2_aarch64.whl = {C}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / lockfile.NAME


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        lockfile.read(path)
    return [line.replace(f"{path}, ", "") for line in caught.value.problems]


def test_what_is_written_is_what_is_read(path: Path) -> None:
    assert lockfile.write(path, LOCK)
    assert path.read_text() == TEXT
    read = lockfile.read(path)
    assert set(read.tested) == set(LOCK.tested)
    assert read.others == LOCK.others
    assert read.pins == PINS
    assert lockfile.text(read) == TEXT


def test_buildout_itself_can_read_it(path: Path) -> None:
    lockfile.write(path, LOCK)
    with path.open() as file:
        sections = configparser.parse(file, str(path))
    assert sections["versions"] == dict(PINS)
    assert sections["hostout-tested"] == {one.filename: one.sha256 for one in LOCK.tested}


def test_no_file_is_an_empty_lock(path: Path) -> None:
    assert lockfile.read(path) == Lock()


def test_a_file_with_the_same_content_is_left_untouched(path: Path) -> None:
    lockfile.write(path, LOCK)
    os.utime(path, (1, 1))
    assert not lockfile.write(path, lockfile.read(path))
    assert path.stat().st_mtime == 1


def test_a_file_that_only_notes_what_was_sent_keeps_its_time(path: Path) -> None:
    lockfile.write(path, Lock(LOCK.tested, (), PINS))
    os.utime(path, (1, 1))
    assert lockfile.write(path, LOCK, as_old=True)
    assert path.read_text() == TEXT
    assert path.stat().st_mtime == 1
    assert list(path.parent.iterdir()) == [path]


def test_what_another_run_wrote_meanwhile_stays(path: Path) -> None:
    """A deployment fetches for minutes; then it notes files for versions that somebody has changed since."""
    old, new = locked("a_1-1.0-cp313-cp313-any.whl", A), locked("b-2.0-cp313-cp313-any.whl", B)
    before = Lock(pins=(("a.1", "1.0"), ("b", "2.0")))
    now = Lock(pins=(("a.1", "1.1"), ("b", "2.0"), ("c", "3.0")), tested=(locked("c-3.0-py3-none-any.whl", C),))
    lockfile.write(path, now)
    assert lockfile.change(path, lambda there: lockfile.noted(there, before, [old, new, *now.tested]), as_old=True)
    assert lockfile.read(path) == Lock(now.tested, (new,), now.pins)


def test_two_that_change_it_at_once_lose_nothing(path: Path) -> None:
    lockfile.write(path, Lock())
    code = "import sys; from test_lockfile import add; add(*sys.argv[1:])"
    argv = [sys.executable, "-c", code, str(path)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = [subprocess.Popen([*argv, name], env=env) for name in ("a", "b", "c")]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert len(lockfile.read(path).others) == 3 * TIMES


def add(path: str, name: str) -> None:
    """Notes many files, one after the other."""
    for number in range(TIMES):
        one = locked(f"{name}-{number}-py3-none-any.whl", A)
        lockfile.change(path, partial(lockfile.noted, before=Lock(), files=[one]))


def test_a_link_to_it_stays_a_link(path: Path) -> None:
    real = path.with_name("shared.cfg")
    path.symlink_to(real.name)
    lockfile.write(path, LOCK)
    assert path.is_symlink()
    assert real.read_text() == TEXT


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "file" / lockfile.NAME
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=f"^{path} cannot be written: Not a directory$"):
        lockfile.write(path, LOCK)


def test_it_is_as_readable_as_the_umask_has_it(path: Path) -> None:
    before = os.umask(0o027)
    try:
        lockfile.write(path, LOCK)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_the_files_of_a_distribution_are_found_however_it_is_spelt(path: Path) -> None:
    assert [one.sha256 for one in LOCK.of("hostouttest_DOTS", "1.0.0")] == [A, C]
    assert [one.sha256 for one in LOCK.tested_of("hostouttest.two", "2024.07.4")] == [B]
    assert not LOCK.of("hostouttest-dots", "1.1")


def test_all_that_is_wrong_is_named_with_its_line(path: Path) -> None:
    path.write_text(
        dedent(
            f"""\
            [versions]
            one = 1.0
            [hostout-tested]
            one-1.0-py3-none-any.whl = abc
            one.txt = {A}
            nothing
            [elsewhere]
            """
        )
    )
    assert problems(path) == [
        "line 6: 'nothing' is nothing that bin/buildout writes here; remove it",
        "line 4: one-1.0-py3-none-any.whl: 'abc' is not a sha256 (64 hex digits)",
        "line 5: one.txt is not the name of a wheel, an sdist or an egg",
        "line 7: [elsewhere] does not belong here: this file is written by bin/buildout",
    ]


def test_a_conflict_of_a_merge_is_named_in_all_its_lines(path: Path) -> None:
    path.write_text(f"[hostout-tested]\n<<<<<<< ours\none-1.0.zip = {A}\n=======\none-1.0.zip = {B}\n>>>>>>> theirs\n")
    assert problems(path) == [
        "line 2: '<<<<<<< ours' is nothing that bin/buildout writes here; remove it",
        "line 4: '=======' is nothing that bin/buildout writes here; remove it",
        "line 6: '>>>>>>> theirs' is nothing that bin/buildout writes here; remove it",
        "line 5: one-1.0.zip stands in line 3 with another value; keep one of them",
    ]


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("zope.interface-5.0-cp311-cp311-linux_x86_64.whl", ("zope.interface", "5.0")),
        ("hostouttest_epoch-1!2.0-py3-none-any.whl", ("hostouttest_epoch", "1!2.0")),
        ("hostouttest_local-1.0+local.7-1build-py3-none-any.whl", ("hostouttest_local", "1.0+local.7")),
        ("Products.CMFPlone-6.0.tar.gz", ("Products.CMFPlone", "6.0")),
        ("hostouttest-with-dashes-1.0.zip", ("hostouttest-with-dashes", "1.0")),
        ("hostouttest_old-1.0-py3.11.egg", ("hostouttest_old", "1.0")),
        ("hostouttest-1.0.TAR.BZ2", ("hostouttest", "1.0")),
    ],
)
def test_the_name_of_a_file_says_its_distribution(filename: str, expected: tuple[str, str]) -> None:
    assert lockfile.distribution_of(filename) == expected


@pytest.mark.parametrize("filename", ["hostouttest.whl", "-1.0.zip", "hostouttest-.zip", "README", "a-1.0.exe"])
def test_a_name_that_says_none_is_refused(filename: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a wheel, an sdist or an egg"):
        lockfile.distribution_of(filename)


def test_hashes_are_no_content_of_a_configuration_that_extends_it() -> None:
    bare = cfgfile.without_sections(lockfile.text(Lock((), (), PINS)), lockfile.SECTIONS)
    assert cfgfile.without_sections(TEXT, lockfile.SECTIONS) == bare
    assert configparser.parse(io.StringIO(bare), "bare") == {"versions": dict(PINS)}
