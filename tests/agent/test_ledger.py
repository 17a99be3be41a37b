"""The ledger: a line for each change, readable whatever a power failure did to its end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentclient import Client, Place

GOOD = b'{"what": "golive", "ok": true, "release": "0001-00000001"}\n'


@pytest.fixture
def ledger(place: Place) -> Path:
    """Of a place that is laid out, nothing in it."""
    agent = place.agent()
    agent.request("layout")
    agent.end()
    path = place.path / ".hostout/ledger.jsonl"
    path.write_bytes(b"")
    return path


def aside(ledger: Path) -> list[bytes]:
    """What was kept of torn lines."""
    return [path.read_bytes() for path in ledger.parent.glob("ledger.jsonl.torn-*")]


@pytest.mark.parametrize("torn", [b'{"what": "bui', b"\0" * 300, b'{"what": "bui\n', b"\0\0\n", b'"text"\n{'])
def test_torn_last_line_is_cut_kept_aside_and_reported(place: Place, ledger: Path, torn: bytes) -> None:
    ledger.write_bytes(GOOD * 3 + torn)
    reply = place.agent().request("owners")
    assert reply.result == {}
    (warning,) = reply.lines("warning")
    assert warning.startswith(f"the last line of {ledger} was torn off while it was written: what there was of it is")
    assert aside(ledger) == [torn]
    assert [entry["what"] for entry in place.ledger()] == ["golive"] * 3 + ["owners"]
    assert place.agent().request("owners").lines("warning") == []


def test_ledger_of_nothing_but_a_torn_line_starts_again(place: Place, ledger: Path) -> None:
    ledger.write_bytes(b'{"wha')
    assert place.agent().request("owners").lines("warning")
    assert aside(ledger) == [b'{"wha']
    assert [entry["what"] for entry in place.ledger()] == ["owners"]


def test_who_only_looks_says_what_is_torn_and_touches_nothing(place: Place, ledger: Path) -> None:
    ledger.write_bytes(GOOD + b'{"wha')
    agent = place.agent()
    assert agent.request("releases").result["ledger"] == f"{ledger}: 1 of 2 lines cannot be read"
    assert agent.request("status").result["was"] == "0001-00000001"
    assert ledger.read_bytes() == GOOD + b'{"wha'
    assert aside(ledger) == []


def test_whole_ledger_has_no_note(place: Place, ledger: Path) -> None:
    ledger.write_bytes(GOOD)
    agent: Client = place.agent()
    assert agent.request("releases").result["ledger"] is None
    assert agent.request("owners").lines("warning") == []


def test_full_disk_does_not_tear_the_ledger(small_disk: Path, place: Place) -> None:
    agent = place.agent(path=str(small_disk / "host1"))
    agent.request("layout")
    ledger = small_disk / "host1/.hostout/ledger.jsonl"
    before = ledger.read_bytes()
    fill = small_disk / "fill"
    with fill.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 512)
    room = 4096 - len(before) % 4096
    entries: list[str] = []
    while len(entries) < 60 and not any("not in the ledger" in line for line in entries):
        entries += agent.request("put", {"name": "x" * 200}).lines("warning") or [""]
    assert "no space left" in entries[-1]
    assert len(ledger.read_bytes()) <= len(before) + room
    assert ledger.read_bytes().endswith(b"}\n")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be led astray")
def test_ledger_behind_a_link_is_not_written(place: Place, ledger: Path, root: Path) -> None:
    (root / "theirs").write_text("")
    ledger.unlink()
    ledger.symlink_to(root / "theirs")
    assert "not in the ledger" in place.agent().request("owners").lines("warning")[0]
    assert (root / "theirs").read_text() == ""
