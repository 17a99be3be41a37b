"""Records are written only where they change, and secrets are never readable by others."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hostout.recipe import records


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def wide_umask() -> object:
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_record_that_did_not_change_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    assert records.write(path, {"b": "ü", "a": 1})
    before = path.stat()
    assert not records.write(path, {"a": 1, "b": "ü"})
    assert path.stat() == before
    assert path.read_text() == '{\n "a": 1,\n "b": "ü"\n}\n'


def test_secrets_are_for_their_owner_from_the_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = os.fdopen

    def fdopen(descriptor: int, *args: str, **named: str) -> object:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return real(descriptor, *args, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "fdopen", fdopen)
    path = tmp_path / "secrets.json"
    assert records.write(path, {"a": "b"}, records.PRIVATE)
    assert (mode(path), seen) == (0o600, [0o600])


def test_secrets_that_others_can_read_are_written_again(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    records.write(path, {"a": "b"}, records.PRIVATE)
    path.chmod(0o644)
    assert records.write(path, {"a": "b"}, records.PRIVATE)
    assert mode(path) == 0o600


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 2}'])
def test_a_record_that_cannot_be_used_is_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    assert records.read(path) == {}
    path.write_text(text)
    assert records.read(path) == {}


def test_a_record_becomes_as_new_as_its_configuration(tmp_path: Path) -> None:
    record, configuration = tmp_path / "a.json", tmp_path / "buildout.cfg"
    configuration.touch()
    record.touch()
    os.utime(record, ns=(1, 1))
    records.touch_if_older(record, [str(configuration)])
    assert record.stat().st_mtime_ns >= configuration.stat().st_mtime_ns
    before = record.stat().st_mtime_ns
    records.touch_if_older(record, [str(configuration)])
    assert record.stat().st_mtime_ns == before
