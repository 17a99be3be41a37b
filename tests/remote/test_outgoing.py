"""What is sent of a file: its bytes in blocks, compressed where that helps, and never another file's."""

from __future__ import annotations

import os
import tracemalloc
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from hostout.errors import RemoteError
from hostout.model import Stamp
from hostout.remote import outgoing
from stamps import old_enough

TEXT = b"[buildout]\nparts = app\n" * 50_000
RANDOM = os.urandom(len(TEXT))


@dataclass(frozen=True)
class Sent:
    """A blob."""

    size: int
    content: bytes = b""
    path: str = ""
    stamp: Stamp | None = None


def lying(path: Path, content: bytes) -> Sent:
    path.write_bytes(content)
    return Sent(len(content), path=str(path), stamp=Stamp.of(old_enough(path).stat()))


@pytest.fixture(params=["content", "path"])
def text(request: pytest.FixtureRequest, tmp_path: Path) -> Sent:
    return Sent(len(TEXT), TEXT) if request.param == "content" else lying(tmp_path / "text", TEXT)


@pytest.mark.parametrize("offset", [0, 1, 32768, len(TEXT) - 1, len(TEXT)])
def test_blocks_are_the_bytes_from_where_it_broke_off(text: Sent, offset: int) -> None:
    found = list(outgoing.blocks(text, offset, 10_000))
    assert b"".join(found) == TEXT[offset:]
    assert all(len(block) <= 10_000 for block in found)


def test_text_is_compressed_to_what_was_announced(text: Sent) -> None:
    packed = b"".join(outgoing.packed(text))
    assert zlib.decompress(packed) == TEXT
    assert outgoing.packed_size(text) == len(packed) < len(TEXT) / 10


def test_what_gains_nothing_and_what_is_large_is_not_compressed(tmp_path: Path) -> None:
    large = TEXT * (outgoing.LARGEST_PACKED // len(TEXT) + 1)
    assert outgoing.packed_size(lying(tmp_path / "large", large)) == 0
    assert outgoing.packed_size(lying(tmp_path / "random", RANDOM)) == outgoing.packed_size(Sent(0)) == 0
    assert outgoing.packed_size(Sent(len(RANDOM), RANDOM)) == 0


def test_a_large_file_is_never_in_memory(tmp_path: Path) -> None:
    large = lying(tmp_path / "large", b"")
    os.truncate(large.path, 100 << 20)
    large = Sent(100 << 20, path=large.path, stamp=Stamp.of(Path(large.path).stat()))
    tracemalloc.start()
    try:
        assert sum(map(len, outgoing.blocks(large))) == large.size
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def replaced(path: Path) -> None:
    """By another of the same size and time, as tools do that keep times."""
    before, other = path.stat(), path.with_name("other")
    other.write_bytes(RANDOM)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (replaced, "is not what it was when this deployment began: deploy again"),
        (lambda path: path.write_bytes(RANDOM), "is not what it was "),
        (lambda path: path.write_bytes(TEXT + b"x"), "is not what it was "),
        (lambda path: path.unlink(), "No such file or directory"),
    ],
)
def test_a_file_that_changed_is_named(tmp_path: Path, change: object, why: str) -> None:
    sent = lying(tmp_path / "file", TEXT)
    outgoing.check(sent)
    assert callable(change)
    change(tmp_path / "file")
    for act in (outgoing.check, outgoing.packed_size, lambda blob: list(outgoing.blocks(blob))):
        with pytest.raises(RemoteError, match=f"^upload: {tmp_path / 'file'}:? {why}"):
            act(sent)


def test_a_file_that_is_cut_while_it_is_read_is_named(tmp_path: Path) -> None:
    blocks = outgoing.blocks(lying(tmp_path / "file", TEXT))
    next(blocks)
    os.truncate(tmp_path / "file", 100_000)
    with pytest.raises(RemoteError, match="is not what it was"):
        list(blocks)


def test_a_file_that_nobody_looked_at_before_is_known_by_its_size(tmp_path: Path) -> None:
    lying(tmp_path / "file", TEXT)
    outgoing.check(Sent(len(TEXT), path=str(tmp_path / "file")))
    with pytest.raises(RemoteError, match="is not what it was"):
        outgoing.check(Sent(1, path=str(tmp_path / "file")))
