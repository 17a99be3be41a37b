"""The option table."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from hostout import options
from hostout.model import Host, Json

DOCUMENTED = Path(__file__).parents[2] / "docs" / "options.md"


def test_the_reference_page_is_made_from_the_table() -> None:
    assert DOCUMENTED.read_text() == options.reference(), "run: python -m hostout.options > docs/options.md"


def test_every_option_is_a_field_of_a_host() -> None:
    known = {field.name for field in fields(Host)}
    elsewhere = {"host", "password", "extends"}
    missing = {o.name for o in options.OPTIONS if o.name.replace("-", "_") not in known} - elsewhere
    assert missing == set()


def test_every_default_is_a_valid_value() -> None:
    for option in options.OPTIONS:
        if option.default:
            options.read(option, option.default)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("host", "www.example.org", ("www.example.org", None)),
        ("host", "127.0.0.1:10022", ("127.0.0.1", 10022)),
        ("host", "[::1]:22", ("::1", 22)),
        ("host", "[fe80::1%eth0]", ("fe80::1%eth0", None)),
        ("host", "fe80::1", ("fe80::1", None)),
        ("path", "/srv//www/", "/srv/www"),
        ("path", "//srv", "/srv"),
        ("parts", "a\n  b c", ("a", "b", "c")),
        ("post-commands", "\n echo a b\n\n echo c", ("echo a b", "echo c")),
        ("shared", "blobs ./media/ blobs", ("blobs", "media")),
        ("no-sudo", "True", True),
        ("no-sudo", "off", False),
        ("keep-releases", "3", 3),
        ("health-interval", "0.5", 0.5),
        ("downtime", "deploy", "deploy"),
        ("host-key", "SHA256:abc", "SHA256:abc"),
    ],
)
def test_values(name: str, text: str, value: Json) -> None:
    assert options.read(options.BY_NAME[name], text) == value


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("host", "a:b", "must have a port between 1 and 65535, is 'a:b'"),
        ("host", "a:70000", "must have a port between 1 and 65535, is 'a:70000'"),
        ("host", "[::1", "must be [ipv6]:port, is '[::1'"),
        ("host", "me@a", "must be an address without a user (that is the option user), is 'me@a'"),
        ("host", "a b", "must be one word, is 'a b'"),
        ("host", "-oProxyCommand=x", "must be one word, is '-oProxyCommand=x'"),
        ("host", ":22", "must be an address, is ':22'"),
        ("path", "plone", "must be absolute, is 'plone'"),
        ("path", "/", "must be a folder of its own, is '/'"),
        ("path", "/srv/..", "must be a folder of its own, is '/srv/..'"),
        ("shared", "../data", "must be inside the buildout, is '../data'"),
        ("shared", "/data", "must be inside the buildout, is '/data'"),
        ("shared", "a .", "must be inside the buildout, is '.'"),
        ("shared", "releases/x", "must not be hostout's own, is 'releases/x'"),
        ("shared", "a/../../x", "must be inside the buildout, is 'a/../../x'"),
        ("shared", "current", "must not be hostout's own, is 'current'"),
        ("shared", "blobs var", "must not be in var, which lives through releases anyway, is 'var'"),
        ("shared", "bin", "must not be what buildout makes anew for each release, is 'bin'"),
        ("shared", "./parts/app/x", "must not be what buildout makes anew for each release, is './parts/app/x'"),
        ("shared", "media/x media", "must be named once: media is shared with all that is in it, 'media/x' too"),
        ("no-sudo", "maybe", "must be true or false, is 'maybe'"),
        ("keep-releases", "0", "must be a whole number of at least 1, is '0'"),
        ("keep-releases", "-1", "must be a whole number of at least 1, is '-1'"),
        ("health-timeout", "soon", "must be a number of seconds, is 'soon'"),
        ("health-timeout", "nan", "must be a number of seconds, is 'nan'"),
        ("downtime", "none", "must be switch or deploy, is 'none'"),
        ("host-key", "yes", "must be ask, accept-new or a fingerprint (SHA256:…), is 'yes'"),
        ("effective-user", "a b", "must be one word, is 'a b'"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_what_it_must_be(name: str, text: str, problem: str) -> None:
    with pytest.raises(ValueError) as raised:
        options.read(options.BY_NAME[name], text)
    assert str(raised.value) == problem


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("ftp://a/x", ""),
        ("localhost:8080/x", " (write http://localhost:8080/x)"),
        ("[::1]:80", " (write http://[::1]:80)"),
        ("//host/x", " (write http://host/x)"),
        ("http:/host/x", ""),
        ("http:///x", ""),
        ("http://:80/x", ""),
        ("http://host/a b", ""),
    ],
)
def test_a_health_check_that_is_neither_url_nor_command_is_named(text: str, advice: str) -> None:
    with pytest.raises(ValueError) as raised:
        options.read(options.BY_NAME["health-check"], text)
    wanted = "must be a URL that begins with http:// or https://, or a shell command"
    assert str(raised.value) == f"{wanted}{advice}, is {text!r}"


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8080/health?x=1",
        "https://[::1]:8443/",
        "http://localhost",
        "bin/check",
        "/usr/bin/check-app",
        "curl -fs ftp://localhost/x",
        "test -e /srv/app/var/ready",
    ],
)
def test_a_health_check_is_a_url_or_a_command(text: str) -> None:
    assert options.read(options.BY_NAME["health-check"], text) == text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("start_cmd", "post-commands"),
        ("stop_cmd", "pre-commands"),
        ("extra_config", "include"),
        ("remote_path", "path"),
        ("identity_file", "identity-file"),
        ("path", "path"),
        ("mine", "mine"),
    ],
)
def test_old_names_stay_valid(old: str, new: str) -> None:
    assert options.canonical(old) == new


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("post-comands", "post-commands"),
        ("hots", "host"),
        ("effective_user", "effective-user"),
        ("paht", "path"),
        ("start_cmd", None),
        ("recipe", None),
        ("supervisor", None),
        ("option1", None),
        ("db", None),
        ("filestorag", "filestorage"),
    ],
)
def test_one_or_two_letters_from_a_known_option_is_a_misspelling(name: str, meant: str | None) -> None:
    assert options.misspelt(name, ["filestorage"]) == meant


@pytest.mark.parametrize(
    ("a", "b", "letters"),
    [
        ("host", "host", 0),
        ("host", "hst", 1),
        ("host", "ohst", 1),
        ("host", "hosts", 1),
        ("host", "port", 2),
        ("", "ab", 2),
    ],
)
def test_distance(a: str, b: str, letters: int) -> None:
    assert options.distance(a, b) == options.distance(b, a) == letters
