"""Which indexes a real pip asks: those of the buildout and of the user's settings, each only where it should."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hostout.errors import PackagingError
from hostout.model import LocalBuildout, Release
from hostout.packaging import wheels
from hostout.packaging.indexes import index_environment
from pythonfacts import PYTHON, facts
from samples import Said, host, local_buildout, write
from smallindex import SmallIndex, serving
from wheelsamples import Wheel

NAME = "hostouttest_some"

Indexes = dict[str, SmallIndex]


@pytest.fixture
def indexes(tmp_path: Path) -> Iterator[Indexes]:
    """The buildout's, that of pip, and a further one that a file of the user names."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(serving(tmp_path / name)) for name in ("own", "pips", "further")}


@pytest.fixture
def conf(indexes: Indexes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's settings."""
    for name in ("NO_INDEX", "FIND_LINKS", "INDEX_URL", "EXTRA_INDEX_URL", "CONFIG_FILE"):
        monkeypatch.delenv(f"PIP_{name}", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "cache"))
    text = f"[global]\nindex-url = {indexes['pips'].url}\nextra-index-url = {indexes['further'].url}\n"
    return write(tmp_path / "home/.config/pip", {"pip.conf": text}) / "pip.conf"


@pytest.fixture
def local(tmp_path: Path, indexes: Indexes, conf: Path) -> LocalBuildout:
    return local_buildout(tmp_path / "buildout", index=indexes["own"].url)


def wheel(folder: Path, text: str = "") -> Path:
    return Wheel(NAME, "1.0", f"{NAME}-1.0", {f"{NAME}.py": text}, ()).make(folder)


def chosen(local: LocalBuildout) -> Path:
    release = Release("0" * 8, host().name, "hostout-host1.cfg", PYTHON, ((NAME, "1.0"),), (), (), ())
    ((found,), _) = wheels.choose(release, local, facts(), Said())
    return Path(found.path)


def test_what_the_index_of_the_buildout_has_is_asked_of_no_other(local: LocalBuildout, indexes: Indexes) -> None:
    tested = wheel(indexes["own"].folder)
    wheel(indexes["further"].folder, "evil = True\n")
    assert chosen(local).read_bytes() == tested.read_bytes()
    assert (indexes["pips"].asked, indexes["further"].asked) == ([], [])


def test_a_further_index_of_the_users_file_is_asked_for_what_the_buildouts_has_not(
    local: LocalBuildout, indexes: Indexes
) -> None:
    there = wheel(indexes["further"].folder)
    assert chosen(local).read_bytes() == there.read_bytes()


def test_links_of_the_users_file_count_beside_those_of_the_buildout(
    local: LocalBuildout, conf: Path, tmp_path: Path
) -> None:
    there = wheel(tmp_path / "links")
    conf.write_text(f"{conf.read_text()}[download]\nfind-links = {there.parent}\n")
    more = dataclasses.replace(local, index=None, find_links=(str(tmp_path / "empty"),))
    assert chosen(more).read_bytes() == there.read_bytes()


@pytest.mark.parametrize("named", ["/dev/null", "other.conf"])
def test_a_file_that_pip_does_not_read_does_not_count(
    local: LocalBuildout, indexes: Indexes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    (tmp_path / "other.conf").touch()
    wheel(indexes["further"].folder)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / named))
    monkeypatch.setenv("PIP_INDEX_URL", indexes["pips"].url)
    with pytest.raises(PackagingError, match="no wheel for"):
        chosen(local)
    assert indexes["further"].asked == []


def test_an_empty_variable_says_nothing_and_each_command_has_its_section(
    local: LocalBuildout, indexes: Indexes, conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    conf.write_text(f"{conf.read_text()}[install]\nextra-index-url = https://install.example/\n")
    own = indexes["own"].url
    assert index_environment(local)["PIP_EXTRA_INDEX_URL"] == f"{indexes['further'].url} {own}"
    assert index_environment(local, "install")["PIP_EXTRA_INDEX_URL"] == f"https://install.example/ {own}"
