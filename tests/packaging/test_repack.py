"""A wheel packed again of what is installed: the same content, nothing of the installer, the same bytes everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.utils import parse_wheel_filename

from hostout.agent import wheel as eggs
from hostout.errors import PackagingError
from hostout.packaging import contents, repack, wheelfile
from hostout.packaging.tags import Target
from wheelsamples import EVERY_SORT, Wheel, tree

TAG = "py3.11-linux-x86_64"
HERE = {
    "version": "3.11.2",
    "implementation": "cpython",
    "platform": "linux-x86_64",
    "soabi": "cpython-311-x86_64-linux-gnu",
}


def egg(wheel: Path, folder: Path) -> Path:
    """As zc.buildout unpacks it."""
    with eggs.opened(wheel, wheel.name) as archive:
        made = eggs.egg(archive, TAG)
        for name in ("", *made.folders):
            (folder / made.name / name).mkdir(parents=True, exist_ok=True)
        eggs.write(archive, made.files, folder / made.name)
    return folder / made.name


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {name: content for name, content in tree(folder).items() if not name.endswith("/")}


def pack(location: Path, name: str, version: str, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    found = repack.installed(location, name, version)
    assert found is not None
    return repack.pack(found, repack.build_tag(contents.of_installed(found.info)), folder)


@pytest.mark.parametrize("sample", EVERY_SORT, ids=lambda sample: sample.name)
def test_the_egg_of_a_packed_egg_is_that_egg(sample: Wheel, tmp_path: Path) -> None:
    first = egg(sample.make(tmp_path), tmp_path / "first")
    packed = pack(first, sample.name, sample.version, tmp_path / "packed")
    again = egg(packed, tmp_path / "again")
    assert again.name == first.name
    assert files(again) == files(first)


@pytest.mark.parametrize("sample", EVERY_SORT, ids=lambda sample: sample.name)
def test_an_egg_and_its_wheel_are_known_to_be_the_same(sample: Wheel, tmp_path: Path) -> None:
    wheel = sample.make(tmp_path)
    found = repack.installed(egg(wheel, tmp_path / "eggs"), sample.name, sample.version)
    assert found is not None
    assert contents.of_installed(found.info) == contents.of_wheel(wheel)


def test_an_egg_that_somebody_edited_is_another(tmp_path: Path) -> None:
    wheel = EVERY_SORT[0].make(tmp_path)
    place = egg(wheel, tmp_path / "eggs")
    (place / "hostouttest_plain1/__init__.py").write_text("edited = True\n")
    found = repack.installed(place, "hostouttest-plain1", "1.0")
    assert found is not None
    assert contents.of_installed(found.info) != contents.of_wheel(wheel)


def test_times_and_the_umask_make_no_difference(tmp_path: Path) -> None:
    packed = []
    for number, umask in enumerate((0o022, 0o077)):
        before = os.umask(umask)
        try:
            place = egg(EVERY_SORT[-1].make(tmp_path), tmp_path / f"eggs{number}")
            (place / "hostouttest_modes/__pycache__").mkdir()
            (place / "hostouttest_modes/__pycache__/x.cpython-311.pyc").touch()
            os.utime(place / "hostouttest_modes/tool", (1e9 * (number + 1), 1e9))
            packed.append(pack(place, "hostouttest-modes", "1.0", tmp_path / f"packed{number}"))
        finally:
            os.umask(before)
    assert packed[0].name == packed[1].name
    assert packed[0].read_bytes() == packed[1].read_bytes()


def test_what_pip_installed_comes_back_with_its_scripts_and_data(tmp_path: Path) -> None:
    sample = Wheel(
        "HostoutTest.Tool",
        "1.0",
        "hostouttest_tool-1.0",
        {
            "hostouttest_tool.py": "def main(): pass\n",
            "{data}/scripts/hostouttest-script": "#!python\nimport hostouttest_tool\n",
            "{data}/scripts/hostouttest-shell": "#!/bin/sh\n",
            "{data}/data/share/hostouttest/page.txt": "a page\n",
            "{data}/purelib/hostouttest_more.py": "",
            "{info}/entry_points.txt": "[console_scripts]\nhostouttest = hostouttest_tool:main\n",
        },
        (),
    )
    wheel = sample.make(tmp_path)
    place = tmp_path / "environment"
    argv = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "-q", "--prefix", str(place), str(wheel)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    subprocess.run(argv, check=True, timeout=60, env={**environment, "PIP_CONFIG_FILE": "/dev/null"})
    (library,) = place.glob("lib/python*/site-packages")
    packed = pack(library, "hostouttest-tool", "1.0", tmp_path / "packed")
    assert contents.of_wheel(packed) == contents.of_wheel(wheel)
    with zipfile.ZipFile(packed) as archive:
        data = {name.partition(".data/")[2] for name in archive.namelist() if ".data/" in name}
        assert data == {"scripts/hostouttest-script", "scripts/hostouttest-shell", "data/share/hostouttest/page.txt"}
        script = archive.read("HostoutTest_Tool-1.0.data/scripts/hostouttest-script")
        assert script == b"#!python\nimport hostouttest_tool\n"
        record = archive.read("HostoutTest_Tool-1.0.dist-info/RECORD").decode()
        names = [line.split(",")[0] for line in record.splitlines()]
        assert names == archive.namelist()
        assert not any(name.endswith(("INSTALLER", "REQUESTED", "direct_url.json", ".pyc")) for name in names)


def test_several_tags_are_one_file_name(tmp_path: Path) -> None:
    sample = EVERY_SORT[0]
    place = egg(sample.make(tmp_path), tmp_path / "eggs")
    (info,) = place.glob("*.dist-info")
    text = "Wheel-Version: 1.0\nTag: cp311-cp311-manylinux_2_17_x86_64\nTag: cp311-cp311-manylinux2014_x86_64\n"
    (info / "WHEEL").write_text(text)
    name = pack(place, sample.name, "1.0", tmp_path / "packed").name
    assert name.endswith("-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl")
    assert len(parse_wheel_filename(name)[3]) == 2


@pytest.mark.parametrize(
    ("tag", "libc", "expected"),
    [
        ("py3-none-any", ["musl", "1.2"], True),
        ("cp311-cp311-manylinux2014_x86_64", ["glibc", "2.17"], True),
        ("cp311-cp311-manylinux2014_x86_64", ["musl", "1.2"], False),
        ("cp311-cp311-linux_x86_64", ["glibc", "2.999"], True),
        ("cp311-cp311-linux_x86_64", ["glibc", "2.5"], False),
        ("cp311-cp311-linux_aarch64", ["glibc", "2.999"], False),
        ("cp312-cp312-linux_x86_64", ["glibc", "2.999"], False),
    ],
)
def test_what_was_compiled_here_runs_on_a_system_that_is_no_older(tag: str, libc: list[str], expected: bool) -> None:
    tags = parse_wheel_filename(f"hostouttest-1-{tag}.whl")[3]
    assert repack.runs_there(tags, Target.of({**HERE, "libc": libc})) is expected


def test_what_is_not_all_here_is_not_packed(tmp_path: Path) -> None:
    old = tmp_path / "old-1.0-py3.11.egg"
    (old / "EGG-INFO").mkdir(parents=True)
    assert repack.installed(old, "old", "1.0") is None
    info = tmp_path / "site/edited-1.0.dist-info"
    info.mkdir(parents=True)
    for name in ("METADATA", "WHEEL"):
        (info / name).write_text("Name: edited\nVersion: 1.0\nTag: py3-none-any\n")
    assert repack.installed(tmp_path / "site", "edited", "1.0")
    assert repack.installed(tmp_path / "site", "edited", "1.1") is None
    (info / "direct_url.json").write_text('{"dir_info": {"editable": true}, "url": "file:///x"}')
    assert repack.installed(tmp_path / "site", "edited", "1.0") is None


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    sample = EVERY_SORT[0]
    found = repack.installed(egg(sample.make(tmp_path), tmp_path / "eggs"), sample.name, "1.0")
    assert found is not None
    with pytest.raises(PackagingError, match=r"cannot be packed into .*/nowhere/.*: No such file or directory"):
        repack.pack(found, "0h", tmp_path / "nowhere")


def test_a_file_that_is_no_wheel_is_damaged(tmp_path: Path) -> None:
    wheel = EVERY_SORT[0].make(tmp_path)
    wheel.write_bytes(wheel.read_bytes()[:-100])
    with pytest.raises(wheelfile.Damaged, match=r"plain1-1\.0-py3-none-any\.whl is no wheel, or is damaged: "):
        contents.of_wheel(wheel)
