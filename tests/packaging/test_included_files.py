"""Included files that travel as they are: few bytes are held, the others stay where they are and are known by hash."""

from __future__ import annotations

import hashlib
import json
import os
import tracemalloc
from pathlib import Path

import pytest

from hostout.errors import PackagingError
from hostout.model import BundleFile
from hostout.packaging import bundlefile
from hostout.packaging.bundle import Bundle, collect
from hostout.packaging.bundlefile import Included
from hostout.packaging.memo import Memo
from hostout.packaging.rehearsal import unpack
from samples import Said, host, local_buildout, write
from stamps import old_enough

LARGE = bytes(range(256)) * 8192


@pytest.fixture
def buildout(tmp_path: Path) -> Path:
    folder = write(tmp_path / "buildout", {"buildout.cfg": "[buildout]\n", "media/small": "small"})
    (folder / "media/large").write_bytes(LARGE)
    (folder / "media/large").chmod(0o755)
    old_enough(folder / "media/large")
    return folder


def found(buildout: Path) -> Bundle:
    return collect(host(include=("media",)), local_buildout(buildout), Said())


def large(buildout: Path) -> BundleFile:
    return next(file for file in found(buildout).files if file.name == "media/large")


def test_a_large_file_counts_by_its_content_as_a_small_one_does(buildout: Path) -> None:
    file = large(buildout)
    assert file == BundleFile("media/large", 0o755, hashlib.sha256(LARGE).hexdigest())
    assert (file.content, file.path, file.size) == (b"", str(buildout / "media/large"), len(LARGE))
    small = next(file for file in found(buildout).files if file.name == "media/small")
    assert (small.content, small.path, small.size) == (b"small", "", 5)


def test_a_large_file_is_not_hashed_again_until_it_changes(buildout: Path) -> None:
    first = large(buildout)
    hashes = buildout / "parts/hostout/.hashes.json"
    known = json.loads(hashes.read_text())
    hashes.write_text(json.dumps({key: ["kept", *stamp] for key, (_, *stamp) in known.items()}))
    assert large(buildout).sha256 == "kept"
    path = buildout / "media/large"
    before = path.stat()
    path.write_bytes(LARGE[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert large(buildout).sha256 == hashlib.sha256(LARGE[::-1]).hexdigest() != first.sha256


def test_no_more_is_held_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundlefile, "HELD", 250)
    reader = Included(Memo(tmp_path / "hashes.json"))
    files = []
    for number in range(4):
        (tmp_path / str(number)).write_bytes(b"%d" % number * 100)
        files.append(reader.read(str(number), tmp_path / str(number)))
    assert [bool(file.content) for file in files] == [True, True, False, False]
    assert [file.sha256 for file in files] == [hashlib.sha256(b"%d" % n * 100).hexdigest() for n in range(4)]
    assert {file.size for file in files} == {100}


def test_a_large_file_is_never_in_memory(buildout: Path, tmp_path: Path) -> None:
    os.truncate(buildout / "media/large", 100 << 20)
    tracemalloc.start()
    try:
        unpack(found(buildout).files, tmp_path / "scratch")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert (tmp_path / "scratch/media/large").stat().st_size == 100 << 20


def test_what_is_rehearsed_is_what_was_hashed(buildout: Path, tmp_path: Path) -> None:
    file = large(buildout)
    unpack([file], tmp_path / "same")
    copy = tmp_path / "same/media/large"
    assert (copy.read_bytes(), copy.stat().st_mode & 0o777) == (LARGE, 0o755)
    Path(file.path).write_bytes(LARGE[::-1])
    with pytest.raises(PackagingError, match=f"^include: {file.path} changed while it was read: deploy again"):
        unpack([file], tmp_path / "other")
    Path(file.path).unlink()
    with pytest.raises(PackagingError, match=f"^include: {file.path} cannot be copied to .*: No such file"):
        unpack([file], tmp_path / "none")
