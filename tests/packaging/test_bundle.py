"""The files of a release: every file of extends near and far, includes, and nothing of hostout's own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hostout import cfgfile, lockfile
from hostout.errors import ConfigurationError
from hostout.model import BundleFile, Host
from hostout.packaging.bundle import Bundle, collect
from samples import Said, host, local_buildout, write


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing on the terminal of the tests."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server: its address and its folder."""
    folder = tmp_path / "site"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


@pytest.fixture
def buildout(tmp_path: Path) -> Path:
    return write(tmp_path / "buildout", {"buildout.cfg": "[buildout]\nparts = app\n"})


def bundle(buildout: Path, of: Host | None = None) -> Bundle:
    return collect(of or host(), local_buildout(buildout), Said())


def texts(found: Bundle) -> dict[str, str]:
    return {file.name: file.content.decode() for file in found.files}


def by_name(found: Bundle) -> dict[str, BundleFile]:
    return {file.name: file for file in found.files}


# extends


def test_files_inside_keep_their_place_and_their_bytes(buildout: Path) -> None:
    files = {
        "profiles/base.cfg": "[buildout]\nextends =\n    ../versions.cfg\n    more.cfg\n",
        "profiles/more.cfg": "[a]\nb = \xe9\n",
        "versions.cfg": "[versions]\nfoo = 1\n",
    }
    files["prod.cfg"] = "[buildout]\nextends = profiles/base.cfg\n"
    write(buildout, {**files, "unused.cfg": ""})
    found = bundle(buildout, host(buildout=("prod.cfg",)))
    assert texts(found) == files
    assert found.roots == ("prod.cfg",)


def test_of_the_lock_only_its_pins_travel_and_count(buildout: Path) -> None:
    write(buildout, {"buildout.cfg": f"[buildout]\nextends = {lockfile.NAME}\n"})
    locks = [
        lockfile.Lock((lockfile.locked(f"hostouttest_a-1.0-{tags}.whl", "a" * 64),), (), (("hostouttest-a", "1.0"),))
        for tags in ("py3-none-any", "cp313-cp313-linux_x86_64")
    ]
    found = []
    for lock in locks:
        lockfile.write(buildout / lockfile.NAME, lock)
        found.append(bundle(buildout))
    assert found[0] == found[1]
    assert texts(found[0])[lockfile.NAME].endswith("\n[versions]\nhostouttest-a = 1.0\n\n")


def test_files_outside_and_behind_urls_travel_as_files(buildout: Path, site: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = site
    write(
        folder,
        {
            "dist/release.cfg": "[buildout]\nextends = more/versions.cfg\n",
            "dist/more/versions.cfg": "[versions]\nb = 2\n",
        },
    )
    write(tmp_path / "shared", {"common.cfg": "[buildout]\nextends = pins.cfg\n", "pins.cfg": "[versions]\na = 1\n"})
    write(
        buildout,
        {"profiles/prod.cfg": f"[buildout]\nextends =\n    ../../shared/common.cfg\n    {address}/dist/release.cfg\n"},
    )
    found = bundle(buildout, host(buildout=("profiles/prod.cfg",)))
    words = cfgfile.extends_of(texts(found)["profiles/prod.cfg"])
    assert [word.rpartition("-")[2] for word in words] == ["common.cfg", "release.cfg"]
    assert all(word.startswith("../hostout-extends/") for word in words)
    follow = [cfgfile.extends_of(texts(found)[word[3:]])[0] for word in words]
    assert [texts(found)[f"hostout-extends/{word}"] for word in follow] == [
        "[versions]\na = 1\n",
        "[versions]\nb = 2\n",
    ]


def test_a_url_that_cannot_be_reached_gives_what_it_gave_the_last_time(buildout: Path, site: tuple[str, Path]) -> None:
    address, folder = site
    write(folder, {"release.cfg": "[versions]\na = 1\n"})
    write(buildout, {"buildout.cfg": f"[buildout]\nextends = {address}/release.cfg\n"})
    before = bundle(buildout)
    (folder / "release.cfg").unlink()
    said = Said()
    assert collect(host(), local_buildout(buildout), said) == before
    assert [(e.kind, "using the copy of the last deployment" in e.text) for e in said.events] == [("warning", True)]


def test_a_file_of_extends_that_is_not_there_is_named_with_the_file_that_wants_it(buildout: Path) -> None:
    write(buildout, {"buildout.cfg": "[buildout]\nextends = missing.cfg\n"})
    with pytest.raises(
        ConfigurationError, match=r"\[host1\] buildout: .*missing.cfg \(extended by .*buildout.cfg\) cannot"
    ):
        bundle(buildout)


def test_files_that_extend_each_other_are_named(buildout: Path) -> None:
    write(buildout, {"buildout.cfg": "[buildout]\nextends = b.cfg\n", "b.cfg": "[buildout]\nextends = buildout.cfg\n"})
    with pytest.raises(ConfigurationError, match=r"extend each other: .*buildout\.cfg → .*b\.cfg → .*buildout\.cfg"):
        bundle(buildout)


def test_an_optional_file_that_is_not_there_is_left_out(buildout: Path) -> None:
    write(buildout, {"buildout.cfg": "[buildout]\noptional-extends = local.cfg\nparts = app\n"})
    assert cfgfile.optional_extends_of(texts(bundle(buildout))["buildout.cfg"]) == []


# hostout's own sections


CONFIGURED = """\
[buildout]
parts = app host1
[app]
recipe = zc.recipe.egg
user = ${host1:effective-user}
[defaults]
password = secret-1
[host1]
recipe = collective.hostout
extends = defaults collective.hostout:supervisor
effective-user = ${who:name}
password = secret-2
[host2]
recipe = collective.hostout:supervisor
password = secret-3
[who]
name = app
"""


def test_no_section_of_hostout_travels(buildout: Path) -> None:
    write(buildout, {"buildout.cfg": CONFIGURED, "etc/copy.cfg": CONFIGURED})
    found = bundle(buildout, host(include=("etc",)))
    for text in texts(found).values():
        assert "secret" not in text
        assert [section.name for section in cfgfile.parse(text)] == ["buildout", "app", "who"]
    assert found.removed == {"defaults", "host1", "host2"}


def test_options_of_a_host_that_the_application_refers_to_are_kept(buildout: Path) -> None:
    write(buildout, {"buildout.cfg": CONFIGURED})
    assert bundle(buildout).referenced == {"host1": {"effective-user": "${who:name}"}}


def test_a_secret_that_the_application_refers_to_is_not_kept(buildout: Path) -> None:
    write(buildout, {"buildout.cfg": CONFIGURED.replace("${host1:effective-user}", "${host1:password}")})
    assert bundle(buildout).referenced == {}


def test_an_option_that_several_files_set_has_the_value_that_buildout_gives_it(buildout: Path) -> None:
    files = {
        "base.cfg": "[settings]\nport = 8080\nnames =\n    a\n    b\n[a]\nb = ${settings:port} ${settings:names}\n",
        "more.cfg": "[buildout]\nextends = base.cfg\n[settings]\nport = 80\nnames += c\n",
        "buildout.cfg": "[buildout]\nextends = more.cfg\n[settings]\nnames -= a\n"
        "[host1]\nrecipe = collective.hostout\nextends = settings\n",
    }
    found = bundle(write(buildout, files), host(include=("base.cfg",)))
    assert found.referenced == {"settings": {"port": "80", "names": "b\nc"}}


def test_an_option_that_a_host_has_from_a_macro_is_kept(buildout: Path) -> None:
    text = "[app]\nuser = ${host1:user}\n[defaults]\nuser = ${:who}\nwho = app\n[host1]\n<= defaults\n"
    write(buildout, {"buildout.cfg": f"{text}recipe = collective.hostout\n"})
    assert bundle(buildout).referenced == {"host1": {"user": "${:who}", "who": "app"}}


def test_a_secret_of_another_host_that_the_application_refers_to_is_not_kept(buildout: Path) -> None:
    text = "[app]\nkey = ${host2:api-key}\n[keys]\napi-key = secret\n[host2]\n<= keys\nrecipe = collective.hostout\n"
    record = local_buildout(write(buildout, {"buildout.cfg": text}), secret_options=(("keys", "api-key"),))
    assert collect(host(), record, Said()).referenced == {}


def test_the_password_of_an_index_does_not_travel(buildout: Path) -> None:
    text = "[buildout]\nparts = app\nindex = https://me:secret@index/simple\nfind-links = /a https://me:secret@links/\n"
    found = texts(bundle(write(buildout, {"buildout.cfg": text})))["buildout.cfg"]
    assert found == "[buildout]\nparts = app\nindex =\nfind-links =\n"


def test_what_a_url_gave_is_kept_for_nobody_else(buildout: Path, site: tuple[str, Path]) -> None:
    address, folder = site
    write(folder, {"release.cfg": "[host1]\npassword = secret\n"})
    write(buildout, {"buildout.cfg": f"[buildout]\nextends = {address}/release.cfg\n"})
    bundle(buildout)
    assert [oct(path.stat().st_mode & 0o777) for path in buildout.glob("parts/hostout/extends/*")] == ["0o600"]


def test_a_secret_in_a_section_that_travels_is_emptied(buildout: Path) -> None:
    write(buildout, {"buildout.cfg": "[buildout]\n[shared]\ntoken = secret\nother = 1\n"})
    record = local_buildout(buildout, secret_options=(("shared", "token"),))
    found = texts(collect(host(), record, Said()))["buildout.cfg"]
    assert "secret" not in found
    assert "other = 1" in found


# include


def test_included_files_and_folders_keep_place_content_and_executable_bit(buildout: Path) -> None:
    write(
        buildout, {"etc/b.conf": "b", "etc/a/run.sh": "#!/bin/sh\n", "site.zcml": "<x/>", "etc/__pycache__/x.pyc": ""}
    )
    (buildout / "etc/a/run.sh").chmod(0o700)
    (buildout / "etc/b.conf").chmod(0o600)
    found = by_name(bundle(buildout, host(include=("etc", "site.zcml"))))
    assert {name: file.mode for name, file in found.items()} == {
        "buildout.cfg": 0o644,
        "etc/a/run.sh": 0o755,
        "etc/b.conf": 0o644,
        "site.zcml": 0o644,
    }


def test_an_included_folder_brings_neither_records_nor_what_lives_through_releases(buildout: Path) -> None:
    write(buildout, {"parts/hostout/secrets.json": "secret", "parts/x": "", "media/up/load": "", "media/logo": ""})
    found = by_name(bundle(buildout, host(include=("parts", "media"), shared=("media/up",))))
    assert set(found) == {"buildout.cfg", "parts/x", "media/logo"}


def test_links_among_included_files_stay_links(buildout: Path) -> None:
    write(buildout, {"etc/real.conf": "x"})
    (buildout / "etc/short").symlink_to("real.conf")
    (buildout / "etc/absolute").symlink_to(buildout / "etc/real.conf")
    found = by_name(bundle(buildout, host(include=("etc",))))
    assert (found["etc/short"].target, found["etc/absolute"].target) == ("real.conf", "real.conf")


@pytest.mark.parametrize(
    ("include", "reason"),
    [
        ("missing.conf", "does not exist"),
        ("../other", "is outside the buildout"),
        ("/etc/passwd", "is outside the buildout"),
        (".", "is the buildout itself"),
        ("var/db", "lives through releases"),
        ("media/x", "lives through releases"),
        ("parts/hostout/secrets.json", "is hostout's own"),
    ],
)
def test_an_include_that_cannot_travel_is_refused_by_name(buildout: Path, include: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\[host1\] include: ") as caught:
        bundle(buildout, host(include=(include,), shared=("media",)))
    assert include in str(caught.value)
    assert reason in str(caught.value)


def test_a_link_out_of_the_bundle_is_refused(buildout: Path) -> None:
    write(buildout, {"etc/x": ""})
    (buildout / "etc/out").symlink_to("/etc/passwd")
    with pytest.raises(ConfigurationError, match="etc/out is a symbolic link to /etc/passwd, which is not included"):
        bundle(buildout, host(include=("etc",)))


@pytest.mark.parametrize(
    ("links", "named", "why"),
    [
        ({"etc/out": "../../x"}, "etc/out", "which leads out of the buildout"),
        ({"etc/out": "../missing"}, "etc/out", "which is not included"),
        ({"etc/a": "b", "etc/b": "../../x"}, "etc/a", "which leads out of the buildout"),
        ({"etc/a": "b", "etc/b": "a"}, "etc/a", "which leads in a circle"),
        ({"etc/a": "a"}, "etc/a", "which leads in a circle"),
        # by its text this one is etc/x
        ({"etc/deep/up": "..", "etc/out": "deep/up/../../etc/x"}, "etc/out", "which leads out of the buildout"),
        ({"etc/a": "b", "etc/b": "/etc/passwd"}, "etc/a", "which is not included"),
    ],
)
def test_links_that_lead_out_by_way_of_others_are_refused(
    buildout: Path, links: dict[str, str], named: str, why: str
) -> None:
    write(buildout, {"etc/x": "", "etc/deep/y": ""})
    for name, target in links.items():
        (buildout / name).symlink_to(target)
    with pytest.raises(ConfigurationError) as caught:
        bundle(buildout, host(include=("etc",)))
    line = f"[host1] include: {named} is a symbolic link to {links[named]}, {why} (default)"
    assert line in caught.value.problems


def test_links_to_links_and_to_folders_travel(buildout: Path) -> None:
    write(buildout, {"etc/x": "", "etc/deep/y": ""})
    links = {"etc/folder": "deep", "etc/a": "b", "etc/b": "folder/y", "etc/back": "deep/../x"}
    for name, target in links.items():
        (buildout / name).symlink_to(target)
    found = by_name(bundle(buildout, host(include=("etc",))))
    assert {name: found[name].target for name in links} == links


def test_all_wrong_includes_are_named_at_once(buildout: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        bundle(buildout, host(include=("one", "two")))
    assert len(caught.value.problems) == 2


def test_the_same_files_elsewhere_make_the_same_bundle(tmp_path: Path) -> None:
    made = []
    for name in ("here", "there"):
        write(tmp_path / name / "common", {"base.cfg": "[buildout]\nparts = app\n"})
        folder = write(
            tmp_path / name / "b", {"buildout.cfg": "[buildout]\nextends = ../common/base.cfg\n", "etc/x": "x"}
        )
        made.append(bundle(folder, host(include=("etc",))))
    assert made[0] == made[1]
