"""Buildout configuration as text."""

from __future__ import annotations

import io
from textwrap import dedent

import pytest
from zc.buildout import configparser

from hostout import cfgfile

BASE = dedent(
    """\
    # the site
    [buildout]
    extends = base.cfg
        https://example.org/versions.cfg
    optional-extends = local.cfg
    parts =
        app
    # not this one
        host1
    parts += extra
    => dependency

    [host1]  # production
    recipe = collective.hostout
    password = wrong
    password = s3cret
    post-commands =
        echo one
          echo two

        echo three

    [host1:python_version > "3"]
    path -= /srv
    [ other ]
    key=value
    """
)


def test_sections_and_options_are_those_that_buildout_reads() -> None:
    theirs = configparser.parse(io.StringIO(BASE), "base.cfg")
    ours: dict[str, dict[str, str]] = {}
    for section in cfgfile.parse(BASE):
        for option in section.options:
            name = option.name if option.operator == "=" else f"{option.name} {option.operator[0]}"
            ours.setdefault(section.name, {})[name] = option.value
    assert ours == theirs


def test_every_option_knows_its_line() -> None:
    lines = BASE.splitlines()
    found = {
        lines[option.line - 1].split()[0].split("=")[0] or "=>"
        for section in cfgfile.parse(BASE)
        for option in section.options
        if option.name != "<part-dependencies>"
    }
    assert found == {
        "extends", "optional-extends", "parts", "recipe", "password", "post-commands", "path", "key",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("section", "option", "line"),
    [
        ("host1", "recipe", 14),
        ("host1", "password", 16),
        ("host1", "post-commands", 17),
        ("host1", "path", 24),
        ("buildout", "parts", 10),
        ("other", "key", 26),
        ("other", "nothing", 0),
        ("nothing", "key", 0),
    ],
)
def test_the_line_of_an_option_is_where_it_was_set_last(section: str, option: str, line: int) -> None:
    assert cfgfile.option_line(BASE, section, option) == line


def test_a_condition_stays_text() -> None:
    assert [s.condition for s in cfgfile.parse(BASE) if s.name == "host1"] == ["", 'python_version > "3"']


def test_extends_are_its_words() -> None:
    assert cfgfile.extends_of(BASE) == ["base.cfg", "https://example.org/versions.cfg"]
    assert cfgfile.optional_extends_of(BASE) == ["local.cfg"]
    assert cfgfile.extends_of("[app]\nextends = x\n") == []


def test_extends_below_a_condition_can_be_left_out() -> None:
    text = "[buildout]\nextends = a.cfg\n[buildout:windows]\nextends = b.cfg\n"
    assert cfgfile.extends_of(text) == ["a.cfg", "b.cfg"]
    assert cfgfile.extends_of(text, lambda condition: condition != "windows") == ["a.cfg"]


def test_extends_can_be_renamed_one_by_one_in_place() -> None:
    text = cfgfile.rename_extends(BASE, {"https://example.org/versions.cfg": "url/versions.cfg", "local.cfg": None})
    assert cfgfile.extends_of(text) == ["base.cfg", "url/versions.cfg"]
    assert cfgfile.optional_extends_of(text) == []


def test_a_section_goes_with_all_its_conditions_and_nothing_else() -> None:
    text = cfgfile.without_sections(BASE, ["host1"])
    assert "s3cret" not in text and "path" not in text
    assert text == "\n".join(BASE.split("\n")[:12]) + "\n[ other ]\nkey=value\n"


def test_the_value_of_a_secret_goes_and_its_name_stays() -> None:
    text = cfgfile.without_values("[secrets]\npw =\n    one\n    two\nuser = me\n", [("secrets", "pw")])
    assert text == "[secrets]\npw =\nuser = me\n"


@pytest.mark.parametrize(
    ("value", "references"),
    [
        ("${secrets:pw} and ${:user}", [("secrets", "pw"), ("", "user")]),
        ("plain", []),
        ("$${not:this}", []),
    ],
)
def test_references_of_a_value(value: str, references: list[tuple[str, str]]) -> None:
    assert cfgfile.references(value) == references


def test_only_a_newline_ends_a_line() -> None:
    assert cfgfile.option_line("[a]\nb = x\x0c\u2028y\r\nc = 1\r\n", "a", "c") == 3
