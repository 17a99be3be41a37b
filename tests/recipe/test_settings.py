"""How the options of sections that extend each other add up."""

from __future__ import annotations

from hostout.model import Origin
from hostout.recipe import settings
from hostout.recipe.settings import Setting


def section(name: str, **options: str) -> dict[str, Setting]:
    return settings.by_name(
        settings.setting(key.replace("_", "-"), value, Origin("buildout.cfg", line, name))
        for line, (key, value) in enumerate(options.items(), 1)
    )


def values(found: settings.Settings) -> dict[str, str]:
    return {name: one.value for name, one in found.items()}


def test_own_values_win_over_those_of_the_extended_part() -> None:
    found = settings.over(section("host1", user="me"), section("base", user="root", path="/srv"))
    assert values(found) == {"user": "me", "path": "/srv"}
    assert found["path"].origin.part == "base"


def test_lines_of_the_extended_part_come_first() -> None:
    found = settings.over(section("host1", post_commands="two\n\n  three"), section("base", post_commands="\none"))
    assert values(found) == {"post-commands": "one\ntwo\nthree"}
    assert [place.part for place in found["post-commands"].lines] == ["base", "host1", "host1"]


def test_of_two_extended_parts_the_first_wins() -> None:
    first = section("a", user="a", fabfiles="a.py")
    found = settings.beside(first, section("b", user="b", fabfiles="b.py", path="/b"))
    assert values(found) == {"user": "a", "fabfiles": "a.py\nb.py", "path": "/b"}


def test_lines_that_two_extended_parts_have_from_one_section_count_once() -> None:
    base = section("base", post_commands="one", path="/srv")
    first, second = (settings.over(section(name, post_commands=name), base) for name in ("a", "b"))
    found = settings.beside(first, second)
    assert values(found) == {"post-commands": "one\na\nb", "path": "/srv"}
    assert [place.part for place in found["post-commands"].lines] == ["base", "a", "b"]


def test_an_empty_option_adds_no_line() -> None:
    found = settings.over(section("host1", include="x"), section("base", include=""))
    assert values(found) == {"include": "x"}


def test_old_and_new_name_of_an_option_are_one() -> None:
    place = Origin("buildout.cfg", 1, "host1")
    both = [settings.setting(name, value, place) for name, value in [("path", "/new"), ("remote_path", "/old")]]
    assert values(settings.by_name(both)) == {"path": "/new"}
    lines = [settings.setting(name, value, place) for name, value in [("post-commands", "b"), ("start_cmd", "a")]]
    assert values(settings.by_name(lines)) == {"post-commands": "a\nb"}
