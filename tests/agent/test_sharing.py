"""Several buildouts that share a cache: none of them loses what it needs because another one tidies up."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentclient import Client, Place, send_files
from hostout.agent.shelf import Shelf
from onhost import ago, cached, live, released

EGG = "a-1.0-py3.11.egg"


@pytest.fixture
def other(place: Place) -> Iterator[Place]:
    """A second buildout in the same cache."""
    second = _Second(place.root, place.archive, place.python, {"cache": str(place.cache), "path": ""})
    second.extra["path"] = str(second.path)
    yield second
    second.end()


class _Second(Place):
    @property
    def path(self) -> Path:
        return self.root / "srv" / "host2"


def deployed(place: Place, **more: Any) -> Client:
    """An agent of a place that has a live release, and has registered with the cache."""
    agent = place.agent()
    agent.request("layout")
    assert agent.request("owners").result == {}
    live(place, released(place, 1, **more))
    return agent


def clean(place: Place) -> dict[str, Any]:
    agent = place.agent()
    result = agent.request("clean", {"keep": 1}).result
    agent.end()
    return result


def test_egg_that_another_buildout_needs_stays(place: Place, other: Place) -> None:
    deployed(place).end()
    deployed(other, made={"bin/app": f"'{place.cache}/eggs/v5/{EGG}'"}, environment="k2").end()
    cached(place, f"eggs/v5/{EGG}", "buildout/k1", "buildout/k2")
    result = clean(place)
    assert (result["eggs"], result["environments"], result["cache"]) == ([], ["k1"], None)
    shutil.rmtree(other.path / "releases/0001-00000001")
    assert clean(place)["eggs"] == [EGG]


def test_cache_is_not_cleaned_while_another_buildout_deploys(place: Place, other: Place) -> None:
    deployed(place).end()
    busy = deployed(other)
    cached(place, f"eggs/v5/{EGG}")
    result = clean(place)
    assert (result["eggs"], result["cache"]) == ([], f"another deployment uses {place.cache} just now")
    busy.end()
    assert clean(place)["eggs"] == [EGG]


def test_first_deployment_into_a_new_cache_keeps_it_from_being_cleaned(place: Place, other: Place) -> None:
    busy = place.agent()
    busy.request("layout")
    assert send_files(busy, [(b"x", "a-1.whl")], "dist").result
    deployed(other).end()
    assert clean(other)["cache"] == f"another deployment uses {place.cache} just now"


def test_several_buildouts_deploy_at_the_same_time(place: Place, other: Place) -> None:
    first, second = deployed(place), deployed(other)
    for agent, name in ((first, "a-1.whl"), (second, "b-1.whl")):
        assert send_files(agent, [(name.encode(), name)], "dist").result
    assert sorted(path.name for path in place.dist.iterdir()) == ["a-1.whl", "b-1.whl"]


@pytest.mark.parametrize("damage", ["gone", "empty"])
def test_cache_is_not_cleaned_where_a_buildout_that_shares_it_is_not_there(
    place: Place, other: Place, damage: str
) -> None:
    deployed(place).end()
    deployed(other).end()
    cached(place, f"eggs/v5/{EGG}")
    shutil.rmtree(other.path)
    if damage == "empty":
        # a disk that is not mounted
        other.path.mkdir()
    result = clean(place)
    (registered,) = [path for path in sites(place) if json.loads(path.read_text())["path"] == str(other.path)]
    assert (result["eggs"], result["releases"]) == ([], [])
    assert result["cache"].startswith(f"{other.path} shares {place.cache} and cannot be read (")
    assert result["cache"].endswith(f"if it is gone for good, remove {registered}")
    registered.unlink()
    assert clean(place)["eggs"] == [EGG]


def sites(place: Place) -> list[Path]:
    return sorted((place.cache / ".hostout/sites").iterdir())


def test_registration_that_cannot_be_read_stops_cleaning(place: Place) -> None:
    deployed(place).end()
    cached(place, f"eggs/v5/{EGG}")
    (place.cache / ".hostout/sites/0.json").write_text("{")
    assert "does not say who shares the cache" in clean(place)["cache"]


def test_what_was_in_the_cache_before_hostout_stays(place: Place) -> None:
    (place.cache / "downloads/dist").mkdir(parents=True)
    cached(place, f"eggs/v5/{EGG}", "downloads/dist/old-1.0.tar.gz", "buildout/theirs")
    deployed(place).end()
    cached(place, "eggs/v5/new-1-py3.11.egg")
    result = clean(place)
    assert (result["eggs"], result["downloads"], result["environments"]) == (["new-1-py3.11.egg"], [], [])


def test_what_was_there_before_stays_also_where_it_was_replaced(place: Place) -> None:
    cached(place, f"eggs/v5/{EGG}", made=False)
    deployed(place, made={"bin/app": "b-1.0-py3.11.egg"}).end()
    shelf = Shelf(place.cache / "eggs/v5", "")
    cached(place, "eggs/v5/b-1.0-py3.11.egg", "eggs/v5/c-1.0-py3.11.egg")
    aside = [shelf.put_aside(egg) for egg in (EGG, "b-1.0-py3.11.egg", "c-1.0-py3.11.egg")]
    for path in aside:
        ago(path, 2)
    clean(place)
    assert [path.exists() for path in aside] == [True, True, False]


def test_failed_clean_up_of_the_cache_leaves_it_to_others(place: Place, other: Place) -> None:
    agent = deployed(place)
    deployed(other).end()
    (place.cache / ".hostout/before.json").write_text("{")
    assert "does not say what was in the cache before" in agent.request("clean", {"keep": 1}).result["cache"]
    # this agent goes on holding the cache, together with others
    assert deployed_again(other)
    (place.cache / ".hostout/before.json").write_text('{"names": []}')
    assert clean(other)["cache"] == f"another deployment uses {place.cache} just now"


def deployed_again(place: Place) -> bool:
    agent = place.agent()
    done = agent.request("owners").result == {}
    agent.end()
    return done


@pytest.mark.skipif(os.getuid() != 0, reason="only root acts as somebody else")
def test_cache_of_a_user_has_nothing_of_roots(place: Place) -> None:
    place.extra["effective_user"] = "nobody"
    deployed(place).end()
    assert {path.lstat().st_uid for path in (place.cache / ".hostout").rglob("*")} == {65534}
    assert clean(place)["cache"] is None
