"""Many hosts: in which order they are checked, packaged for and asked, before anything is changed on one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from hostout.deploy import fleet
from hostout.deploy.fleet import Candidate
from hostout.errors import ConnectionFailed, HostoutError, PackagingError
from hostout.model import Extent

WHOLE, REMOTE = Extent(packages=True, switches=True), Extent()


@dataclass
class Stand:
    """A selected host and its deployment in one, that write down what they are asked; ``fails`` at a phase."""

    name: str
    log: list[str]
    fails: dict[str, HostoutError] = field(default_factory=dict)

    @property
    def deployment(self) -> Any:
        return self

    def run_checks(self) -> None:
        self._note("check")

    def package(self) -> None:
        self._note("package")

    def prepare(self, extent: Extent) -> None:
        self._note("ask")

    def begin(self, extent: Extent) -> None:
        self._note("begin")

    def _note(self, what: str) -> None:
        self.log.append(f"{what} {self.name}")
        if what in self.fails:
            raise self.fails[what]


def prepared(*stands: Stand, extent: Extent = WHOLE, keep_going: bool = False) -> dict[str, HostoutError]:
    return fleet.prepare([Candidate(each, each.package) for each in stands], extent, keep_going=keep_going)


def test_each_phase_is_done_for_all_hosts_and_those_after_the_first_are_asked_at_once() -> None:
    log: list[str] = []
    assert prepared(*(Stand(name, log) for name in "abc")) == {}
    assert log == [
        "check a", "check b", "check c", "package a", "package b", "package c",
        "ask a", "begin b", "begin c", "ask b", "ask c",
    ]  # fmt: skip


def test_who_uploads_nothing_needs_no_release() -> None:
    log: list[str] = []
    prepared(Stand("a", log), extent=REMOTE)
    assert log == ["check a", "ask a"]


def test_what_is_wrong_with_one_ends_it_for_all_before_any_is_connected_to() -> None:
    log: list[str] = []
    broken = Stand("b", log, {"package": PackagingError("no wheel")})
    with pytest.raises(PackagingError, match="no wheel"):
        prepared(Stand("a", log), broken, Stand("c", log))
    assert log == ["check a", "check b", "check c", "package a", "package b"]


def test_what_goes_wrong_here_is_told_of_the_host_that_it_is_for() -> None:
    log: list[str] = []
    with pytest.raises(PackagingError) as caught:
        prepared(Stand("a", log), Stand("b", log, {"package": PackagingError("no wheel")}))
    assert caught.value.host == "b"


def test_a_host_that_cannot_be_begun_early_keeps_no_other_out() -> None:
    log: list[str] = []
    broken = HostoutError("its hook fails", host="b")
    fails = {"begin": broken, "ask": broken}
    found = prepared(Stand("a", log), Stand("b", log, fails), Stand("c", log), keep_going=True)
    assert found == {"b": broken}
    assert log[-4:] == ["begin b", "begin c", "ask b", "ask c"]


def test_with_keep_going_the_others_are_asked_all_the_same() -> None:
    log: list[str] = []
    gone, broken = ConnectionFailed("gone"), PackagingError("no wheel")
    found = prepared(
        Stand("a", log, {"ask": gone}), Stand("b", log), Stand("c", log, {"package": broken}), Stand("d", log),
        keep_going=True,
    )  # fmt: skip
    assert found == {"a": gone, "c": broken}
    assert log[-4:] == ["ask a", "ask b", "begin d", "ask d"]
