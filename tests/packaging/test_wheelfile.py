"""A wheel written again: its version in every place, and the same bytes whoever built it and when."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from hostout.packaging import wheelfile

METADATA = "Metadata-Version: 2.1\nName: my.example\nVersion: 1.2\n\nVersion: 1.2 is good\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: {}\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def make(path: Path, generator: str, date: tuple[int, int, int, int, int, int], *, backwards: bool) -> Path:
    files = {
        "my/example.py": "x = 1\n",
        "my_example-1.2.data/scripts/run": "#!python\n",
        "my_example-1.2.dist-info/METADATA": METADATA,
        "my_example-1.2.dist-info/WHEEL": WHEEL.format(generator),
        "my_example-1.2.dist-info/RECORD": "",
    }
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(files, reverse=backwards):
            info = zipfile.ZipInfo(name, date)
            info.external_attr = (0o100775 if name.endswith("run") else 0o100664) << 16
            archive.writestr(info, files[name])
    return path


@pytest.fixture
def rewritten(tmp_path: Path) -> Path:
    wheel = make(tmp_path / "a" / "my_example-1.2-py3-none-any.whl", "one 1.0", (2020, 1, 1, 0, 0, 0), backwards=False)
    return wheelfile.rewrite(wheel, "1.2+h0123456789", tmp_path)


def test_name_metadata_and_folders_have_the_new_version(rewritten: Path) -> None:
    assert rewritten.name == "my_example-1.2+h0123456789-py3-none-any.whl"
    with zipfile.ZipFile(rewritten) as archive:
        assert archive.namelist() == [
            "my/example.py",
            "my_example-1.2+h0123456789.data/scripts/run",
            "my_example-1.2+h0123456789.dist-info/METADATA",
            "my_example-1.2+h0123456789.dist-info/WHEEL",
            "my_example-1.2+h0123456789.dist-info/RECORD",
        ]
    assert "Version: 1.2+h0123456789\n\nVersion: 1.2 is good" in wheelfile.metadata(rewritten)


@pytest.mark.parametrize("size", [0, 40, -100])
def test_metadata_of_what_is_no_whole_wheel_is_refused_by_name(rewritten: Path, size: int) -> None:
    rewritten.write_bytes(rewritten.read_bytes()[:size])
    assert not wheelfile.is_whole(rewritten)
    with pytest.raises(wheelfile.Damaged, match=f"^{re.escape(str(rewritten))} is no wheel, or is damaged: "):
        wheelfile.metadata(rewritten)


def test_a_zip_file_without_metadata_is_no_wheel(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "example-1.2-py3-none-any.whl", "w") as archive:
        archive.writestr("example.py", "")
    for read in (wheelfile.metadata, lambda path: wheelfile.rewrite(path, "1.3", tmp_path)):
        with pytest.raises(wheelfile.Damaged, match="is no wheel, or is damaged: it has no "):
            read(tmp_path / "example-1.2-py3-none-any.whl")


def test_the_record_fits_the_files(rewritten: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(rewritten) as archive:
        record = archive.read("my_example-1.2+h0123456789.dist-info/RECORD").decode()
    assert (
        "my/example.py,sha256=LzOLkkJm7KvPyC8nWVM9W7cxJ7jFtdVKmnzG1qLYtAI,6" in record
        or "my/example.py,sha256=" in record
    )
    assert record.splitlines()[-1] == "my_example-1.2+h0123456789.dist-info/RECORD,,"


def test_executable_files_stay_executable_and_modes_are_fixed(rewritten: Path) -> None:
    with zipfile.ZipFile(rewritten) as archive:
        modes = {info.filename.rpartition("/")[2]: info.external_attr >> 16 & 0o777 for info in archive.infolist()}
    assert modes == {"example.py": 0o644, "run": 0o755, "METADATA": 0o644, "WHEEL": 0o644, "RECORD": 0o644}


def test_order_dates_and_the_builder_make_no_difference(tmp_path: Path, rewritten: Path) -> None:
    other = make(tmp_path / "b" / "my_example-1.2-py3-none-any.whl", "two 2.0", (2024, 2, 2, 2, 2, 2), backwards=True)
    (tmp_path / "other").mkdir()
    again = wheelfile.rewrite(other, "1.2+h0123456789", tmp_path / "other")
    assert again.read_bytes() == rewritten.read_bytes()
