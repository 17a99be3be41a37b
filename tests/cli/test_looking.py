"""The commands that only look, on hosts with nothing on them: one clear line, and nothing is made there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostout.testing import EmbeddedHost, make_key
from records import Records


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "buildout")


@pytest.fixture
def host(tmp_path: Path, records: Records) -> Iterator[EmbeddedHost]:
    """An SSH host of two parts, ``one`` and ``two``, whose ``path`` does not exist."""
    key = make_key(records.home / ".ssh" / "id_ed25519")
    with EmbeddedHost(tmp_path / "machine", authorized_keys=[Path(f"{key}.pub")]) as started:
        started.write_known_hosts(records.home / ".ssh" / "known_hosts")
        for name in ("one", "two"):
            records.part(name, host=f"127.0.0.1:{started.port}", path=str(started.home / name), **{"no-sudo": "true"})
        yield started


def everything(host: EmbeddedHost) -> list[Path]:
    return sorted(host.home.rglob("*"))


@pytest.mark.parametrize("command", ["releases", "status"])
def test_where_nothing_was_deployed_that_is_said_of_each_host(
    records: Records, host: EmbeddedHost, command: str
) -> None:
    before = everything(host)
    done = records.call("-q", "all", command)
    assert done.stdout.splitlines() == [
        f"[{name}] nothing has been deployed to {host.home}/{name}" for name in ("one", "two")
    ]
    assert (done.stderr, done.returncode) == ("", 0)
    assert everything(host) == before


@pytest.mark.parametrize("command", ["log", "clean"])
@pytest.mark.parametrize("option", ["-v", "-n"])
def test_there_is_no_log_and_nothing_to_clean_either(
    records: Records, host: EmbeddedHost, command: str, option: str
) -> None:
    before = everything(host)
    done = records.call(option, "one", command)
    assert f"Hostout: nothing has been deployed to {host.home}/one\nDone.\n" in done.stdout
    assert (done.stderr, done.returncode) == ("", 0)
    assert everything(host) == before


def test_nothing_deployed_is_not_well(records: Records, host: EmbeddedHost) -> None:
    done = records.call("-q", "-k", "all", "check")
    assert done.stdout.splitlines() == [
        line
        for name in ("one", "two")
        for line in (
            f"[{name}] configuration: ok",
            f"[{name}] host: ok",
            f"[{name}] release: not ok: nothing has been deployed to {host.home}/{name}",
            f"[{name}] files: ok",
        )
    ]
    assert done.stderr.splitlines() == ["Hostout: [one] not all is well", "Hostout: [two] not all is well"]
    assert done.returncode == 1


def test_check_says_why_a_host_could_not_take_a_deployment(records: Records, host: EmbeddedHost) -> None:
    (host.home / "one").mkdir()
    (host.home / "one" / "precious.txt").write_text("not of hostout")
    done = records.call("-q", "one", "check")
    (line,) = [line for line in done.stdout.splitlines() if "host:" in line]
    assert line.startswith(f"[127.0.0.1] host: not ok: path: {host.home}/one on the host holds files")
    assert done.returncode == 1


def test_json_has_what_the_host_said(records: Records, host: EmbeddedHost) -> None:
    events = [json.loads(line) for line in records.call("--json", "one", "status").stdout.splitlines()]
    (listing,) = [event for event in events if event["event"] == "listing"]
    assert listing["status"]["live"] is None
    assert listing["status"]["current"] == "absent"


def test_a_rollback_with_nothing_to_go_back_to_says_so(records: Records, host: EmbeddedHost) -> None:
    done = records.call("one", "rollback")
    assert done.stderr == f"Hostout: [one] nothing to go back to: nothing has been deployed to {host.home}/one\n"
    assert done.returncode == 1
