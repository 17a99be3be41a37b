"""The text of the generated configuration."""

from __future__ import annotations

from hostout.cfgfile import parse
from hostout.model import Settings
from hostout.packaging.configuration import generated, pins


def options(text: str) -> dict[str, dict[str, str]]:
    return {section.name: {o.name: o.value for o in section.options} for section in parse(text)}


def test_it_extends_the_users_files_and_leaves_buildout_nothing_to_look_for() -> None:
    settings = Settings(
        extends=("base.cfg", "prod.cfg"),
        parts=("app", "web"),
        extensions=("my.extension",),
        versions="pins",
        pins=(("foo", "1.0"),),
    )
    found = options(generated(settings, "host1", "/srv/buildout-cache"))
    buildout = found["buildout"]
    assert buildout["extends"].split() == ["base.cfg", "prod.cfg"]
    assert buildout["parts"].split() == ["app", "web"]
    assert buildout["extensions"].split() == ["my.extension"]
    assert buildout["versions"] == "pins"
    assert found["pins"] == {"foo": "1.0"}
    assert buildout["eggs-directory"] == "/srv/buildout-cache/eggs"
    assert buildout["download-cache"] == "/srv/buildout-cache/downloads"
    empty = {"develop", "index", "find-links", "allow-hosts"}
    assert {name: buildout[name] for name in empty} == dict.fromkeys(empty, "")
    modes = {"newest": "false", "offline": "false", "install-from-cache": "true", "allow-picked-versions": "false"}
    assert {name: buildout[name] for name in modes} == modes
    assert (buildout["eggs-directory-version"], buildout["abi-tag-eggs"]) == ("v5", "false")


def test_checkouts_are_switched_off_where_mr_developer_makes_them_and_not_mentioned_elsewhere() -> None:
    assert options(generated(Settings(developer=True), "host1", "/c"))["buildout"]["auto-checkout"] == ""
    assert "checkout" not in generated(Settings(), "host1", "/c")


def test_it_says_how_to_run_it_by_hand() -> None:
    assert "bin/buildout -U -N -c hostout-host1.cfg" in generated(Settings(), "host1", "/c")


def test_options_of_hostout_parts_that_others_refer_to_are_there() -> None:
    text = generated(Settings(sections={"host1": {"effective-user": "app", "lines": "a\nb"}}), "host1", "/c")
    assert options(text)["host1"] == {"effective-user": "app", "lines": "a\nb"}


def test_a_pin_stands_under_every_spelling_that_could_be_found_first() -> None:
    found = pins({"zc.recipe.egg": "4.0.0", "Foo_Bar": "1.0"}, ["zc-recipe-egg", "foo-bar", "other"])
    assert dict(found) == {"zc.recipe.egg": "4.0.0", "zc-recipe-egg": "4.0.0", "Foo_Bar": "1.0", "foo-bar": "1.0"}
