"""Whom a host may ask for distributions: what somebody else can reach as well, with nothing of pip's settings lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hostout.model import LocalBuildout
from hostout.packaging import indexes

DEFAULT = "https://default.example/simple"


def local(folder: Path, **changes: Any) -> LocalBuildout:
    text = dict.fromkeys(("config", "parts_directory", "bin_directory", "eggs_directory", "develop_eggs_directory"), "")
    python = str(folder / "venv" / "bin" / "python")
    known: dict[str, Any] = {"directory": str(folder), "download_cache": None, "executable": python, "python": "3.11.2"}
    return LocalBuildout(**{**text, **known, "default_index": DEFAULT, **changes})


def asked(buildout: LocalBuildout, **environment: str) -> tuple[list[str], list[str]]:
    found = indexes.for_hosts(buildout, environment)
    return [one.reveal() for one in found.indexes], [one.reveal() for one in found.links]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip is told on this machine does not matter."""
    monkeypatch.setattr(indexes, "CONFIGURATION", ())
    monkeypatch.setattr(indexes, "OF_USER", ())


def test_the_index_of_the_buildout_comes_before_that_of_pip_and_the_default(tmp_path: Path) -> None:
    own, pips = "https://ann:word@own.example/simple", "https://pip.example/simple"
    assert asked(local(tmp_path)) == ([DEFAULT], [])
    assert asked(local(tmp_path), PIP_INDEX_URL=pips) == ([pips], [])
    assert asked(local(tmp_path, index=own), PIP_INDEX_URL=pips) == ([own], [])
    more = asked(local(tmp_path, index=own), PIP_EXTRA_INDEX_URL=f"{pips} https://more.example/simple")
    assert more == ([own, pips, "https://more.example/simple"], [])


def test_configuration_files_of_pip_count(tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv/pip.conf").write_text(
        "[global]\nindex_url = https://a.example/\nfind-links =\n    https://l.example/\n    /wheels\n"
    )
    (tmp_path / "named.conf").write_text("[download]\nindex-url = https://b.example/\n")
    assert asked(local(tmp_path)) == (["https://a.example/"], ["https://l.example/"])
    named = str(tmp_path / "named.conf")
    assert asked(local(tmp_path), PIP_CONFIG_FILE=named)[0] == ["https://b.example/"]
    assert asked(local(tmp_path), PIP_CONFIG_FILE=named, PIP_INDEX_URL="https://c.example/")[0] == ["https://c.example/"]
    (tmp_path / "named.conf").write_bytes(b"\xff no configuration")
    assert asked(local(tmp_path), PIP_CONFIG_FILE=named)[0] == [DEFAULT]


@pytest.mark.parametrize(
    "address",
    [
        "/srv/index",
        "file:///srv/index",
        "http://localhost:8080/simple",
        "http://index.localhost/",
        "https://127.0.0.2/simple",
        "http://[::1]/simple",
        "ssh://index.example/",
    ],
)
def test_what_means_this_machine_or_is_no_index_of_the_web_is_not_for_hosts(tmp_path: Path, address: str) -> None:
    assert not indexes.for_hosts(local(tmp_path, index=address, find_links=(address,)), {})


def test_allow_hosts_holds_for_hosts_too(tmp_path: Path) -> None:
    links = ("https://a.example/", "https://b.example/")
    assert asked(local(tmp_path, find_links=links, allow_hosts=("b.*",))) == ([], ["https://b.example/"])
    assert asked(local(tmp_path, find_links=links, allow_hosts=("*",))) == ([DEFAULT], list(links))
