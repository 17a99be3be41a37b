"""Connections before their turn: side by side, never asking anybody, closed when nobody wants them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from hostout.errors import ConnectionFailed
from hostout.remote.early import AT_ONCE, Early, InTurn
from listening import Person

LIMIT = 30


class Thing:
    """Something that can be closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


def failing(error: Exception) -> Callable[[], Thing]:
    def fail() -> Thing:
        raise error

    return fail


def test_what_was_not_begun_is_not_there() -> None:
    assert Early[Thing]().take("host1") is None


def test_each_is_opened_once_and_given_once() -> None:
    early, opened = Early[Thing](), list[Thing]()

    def open_it() -> Thing:
        opened.append(Thing())
        return opened[-1]

    for _ in range(2):
        early.begin("host1", open_it)
    assert early.take("host1") is opened[0]
    assert early.take("host1") is None
    early.begin("host1", open_it)
    assert early.take("host1") is None
    assert len(opened) == 1
    early.close()
    assert not opened[0].closed.is_set()


def test_they_are_opened_side_by_side_and_not_too_many_at_once() -> None:
    early, together = Early[Thing](), threading.Barrier(AT_ONCE)
    now, most, lock = set[str](), list[int](), threading.Lock()

    def opening(name: str) -> Callable[[], Thing]:
        def open_it() -> Thing:
            with lock:
                now.add(name)
                most.append(len(now))
            together.wait(LIMIT)
            with lock:
                now.remove(name)
            return Thing()

        return open_it

    names = [f"host{number}" for number in range(3 * AT_ONCE)]
    for name in names:
        early.begin(name, opening(name))
    assert all(early.take(name) for name in names)
    assert max(most) == AT_ONCE


def test_who_takes_it_gets_the_failure_and_only_once() -> None:
    early = Early[Thing]()
    early.begin("host1", failing(ConnectionFailed("refused")))
    with pytest.raises(ConnectionFailed, match="refused"):
        early.take("host1")
    assert early.take("host1") is None


def test_nobody_is_asked_before_the_turn_of_a_host() -> None:
    person = Person(["secret"])
    early, asker = Early[Thing](), InTurn(person)

    def open_it() -> Thing:
        assert asker.secret("Password: ")
        return Thing()

    early.begin("host1", open_it)
    assert early.take("host1") is None
    assert person.asked == []
    assert isinstance(open_it(), Thing)
    assert person.asked == ["Password: "]


def test_what_nobody_takes_is_closed_also_when_it_is_there_later() -> None:
    early, ready, slow, go_on = Early[Thing](), Thing(), Thing(), threading.Event()

    def slowly() -> Thing:
        assert go_on.wait(LIMIT)
        return slow

    early.begin("host1", lambda: ready)
    early.begin("host2", slowly)
    end = time.monotonic() + LIMIT
    while not ready.closed.is_set():
        assert time.monotonic() < end
        early.close()
        time.sleep(0.01)
    assert not slow.closed.is_set()
    go_on.set()
    assert slow.closed.wait(LIMIT)
