"""A staged release: the files, the links, and what is refused before anything is made."""

from __future__ import annotations

import os
from typing import Any

import pytest

from agentclient import Client, Place, entry, send_files, sha256
from smalldisk import attached, copy_of_one_moment, image


@pytest.fixture
def agent(place: Place) -> Client:
    agent = place.agent()
    agent.request("layout")
    send_files(agent, [(b"content", "a.cfg")])
    return agent


FILE = entry("a.cfg", b"content")


def record(*files: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "0001-aaaaaaaa", "record": {"id": "aaaaaaaa", "files": [FILE, *files], **more}}


def linked(name: str, target: str) -> dict[str, Any]:
    return {"name": name, "mode": 0o777, "sha256": "", "target": target}


def test_release_has_its_files_and_links(agent: Client, place: Place) -> None:
    files = [entry("sub/run.sh", b"content", 0o755), linked("sub/link", "../a.cfg")]
    reply = agent.request("stage", record(*files, shared=["blobs", "data/media"]))
    assert reply.result == {"name": "0001-aaaaaaaa", "state": "staging"}
    release = place.path / "releases/0001-aaaaaaaa"
    assert (release / "a.cfg").stat().st_mode & 0o777 == 0o644
    assert (release / "sub/run.sh").stat().st_mode & 0o777 == 0o755
    assert (release / "sub/link").read_bytes() == b"content"
    assert str((release / "var").readlink()) == "../../var"
    assert str((release / "blobs").readlink()) == "../../blobs"
    assert str((release / "data/media").readlink()) == "../../../data/media"
    assert (release / "data/media").resolve() == place.path / "data/media"
    assert place.state("0001-aaaaaaaa") == "staging"
    assert list((place.path / ".hostout/incoming").glob("[0-9a-f]*")) == []
    facts = agent.request("facts").result["facts"]
    assert facts["releases"] == [{"name": "0001-aaaaaaaa", "id": "aaaaaaaa", "number": 1, "state": "staging"}]
    assert facts["next"] == 2


def test_files_of_another_release_are_used(agent: Client, place: Place) -> None:
    agent.request("stage", record())
    again = {"name": "0002-bbbbbbbb", "record": {"id": "bbbbbbbb", "files": [FILE]}}
    assert agent.request("stage", again).result
    assert (place.path / "releases/0002-bbbbbbbb/a.cfg").read_bytes() == b"content"


def test_content_of_a_release_is_staged_once_more(agent: Client, place: Place) -> None:
    agent.request("stage", record(config="a.cfg", scm={"commit": "c0ffee"}))
    args = {"name": "0002-aaaaaaaa", "again": "0001-aaaaaaaa", "client": {"user": "bob"}}
    assert agent.request("stage", args).result["state"] == "staging"
    assert place.record("0002-aaaaaaaa")["config"] == "a.cfg"
    assert place.record("0002-aaaaaaaa")["client"] == {"user": "bob"}


def test_file_that_was_changed_by_hand_is_not_taken_for_the_recorded_one(agent: Client, place: Place) -> None:
    agent.request("stage", record())
    (place.path / "releases/0001-aaaaaaaa/a.cfg").write_text("by hand")
    again = {"name": "0002-bbbbbbbb", "record": {"id": "bbbbbbbb", "files": [FILE]}}
    assert agent.request("stage", again).message == "the content of a.cfg is not here: it has to be received first"
    assert [path.name for path in (place.path / "releases").iterdir()] == ["0001-aaaaaaaa"]


def test_leftover_of_the_same_content_is_replaced(agent: Client, place: Place) -> None:
    agent.request("stage", record())
    (place.path / "releases/0001-aaaaaaaa/half-built").write_text("")
    (place.path / "var" / "data").write_text("kept")
    assert agent.request("stage", record()).result
    assert not (place.path / "releases/0001-aaaaaaaa/half-built").exists()
    assert (place.path / "var" / "data").read_text() == "kept"


@pytest.mark.parametrize(
    "name", ["../../etc/a", "/etc/a", "", "a/../b", "./a", "var/a", "release.json", "bin/buildout", "var"]
)
def test_file_outside_of_the_release_is_refused(agent: Client, place: Place, name: str) -> None:
    assert agent.request("stage", record(entry(name, b"content"))).message == f"cannot be part of a release: {name}"
    assert list((place.path / "releases").iterdir()) == []


@pytest.mark.parametrize("target", ["/etc/passwd", "../a.cfg", "sub/../../x"])
def test_link_out_of_the_release_is_refused(agent: Client, target: str) -> None:
    message = agent.request("stage", record(linked("link", target))).message
    assert message == f"the link link leads out of the release: {target}"


def test_file_below_a_link_is_refused(agent: Client) -> None:
    message = agent.request("stage", record(linked("link", "var"), entry("link/a", b"content"))).message
    assert message == "cannot be part of a release: link/a"


@pytest.mark.parametrize("name", ["../x", "/x", "releases", "var/x"])
def test_shared_folder_in_a_wrong_place_is_refused(agent: Client, name: str) -> None:
    assert agent.request("stage", record(shared=[name])).message == f"cannot be shared by releases: {name}"


@pytest.mark.parametrize("name", ["0001-bbbbbbbb", "1-aaaaaaaa", "../aaaaaaaa", "0001-aaaaaaaa/x"])
def test_name_that_is_not_the_releases_is_refused(agent: Client, name: str) -> None:
    assert agent.request("stage", {**record(), "name": name}).message.startswith("not the name of a release")


def test_number_that_another_deployment_took_meanwhile_is_refused(agent: Client) -> None:
    agent.request("stage", record())
    message = agent.request("stage", {"name": "0001-bbbbbbbb", "record": {"id": "bbbbbbbb", "files": []}}).message
    assert message.startswith("0001-bbbbbbbb: another deployment came in between")


def test_distributions_that_are_missing_are_named(agent: Client) -> None:
    send_files(agent, [(b"one", "a-1.zip"), (b"two", "b-1+h12.zip")], "dist")
    dists: list[dict[str, Any]] = [
        {"filename": "a-1.zip", "sha256": sha256(b"one")},
        {"filename": "b-1+h12.zip", "sha256": sha256(b"other bytes"), "develop": True},
    ]
    assert agent.request("stage", record(dists=dists)).result
    wrong = [{**dists[0], "sha256": sha256(b"tested")}, {"filename": "c-1.zip", "sha256": ""}]
    assert agent.request("stage", record(dists=wrong)).message.endswith("or with other content: a-1.zip, c-1.zip")


def test_environment_that_is_missing_is_named(agent: Client, place: Place) -> None:
    message = agent.request("stage", record(environment="0123")).message
    assert message == f"there is no environment 0123 in {place.cache}/buildout"


def test_files_belong_to_the_buildout_user(place: Place) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can make files of another user")
    agent = place.agent(effective_user="nobody", buildout_user="daemon")
    agent.request("layout")
    send_files(agent, [(b"content", "a.cfg")])
    assert agent.request("stage", record(shared=["blobs"])).result
    release = place.path / "releases/0001-aaaaaaaa"
    assert {path.lstat().st_uid for path in (release, release / "a.cfg", release / "var")} == {1}
    assert (release / "release.json").stat().st_uid == 0
    assert (place.path / "blobs").stat().st_uid == 65534


LINKS = {
    "up": [("a", "..")],
    "absolute": [("a", "/etc/passwd")],
    "chain": [("a", "b"), ("b", "..")],
    "twice": [("b", "deep/.."), ("a", "b/b/../..")],
    "in place": [("a", "."), ("b", "a/a/..")],
    "through a folder": [("deep/er/a", "../../.."), ("b", "deep/er/a/x")],
    "back from data": [("a", "var/../secret")],
    "back from shared data": [("a", "media/../secret")],
    "behind a link": [("a", "deep"), ("b", "a/../../x")],
}


@pytest.mark.parametrize("links", LINKS.values(), ids=LINKS)
def test_links_that_lead_out_by_any_way_are_refused(agent: Client, place: Place, links: list[tuple[str, str]]) -> None:
    files = [linked(name, target) for name, target in links]
    message = agent.request("stage", record(*files, entry("deep/file", b"content"), shared=["media"])).message
    assert " leads out of the release: " in message
    assert list((place.path / "releases").iterdir()) == []


def test_links_in_a_circle_are_refused(agent: Client) -> None:
    message = agent.request("stage", record(linked("a", "b"), linked("b", "a"))).message
    assert message == "the link a leads in a circle: b"


@pytest.mark.parametrize("target", ["deep/../a.cfg", "deep", "var/log", "media/x", "not/there"])
def test_links_within_the_release_and_into_data_are_fine(agent: Client, place: Place, target: str) -> None:
    files = [linked("link", target), entry("deep/file", b"content")]
    assert agent.request("stage", record(*files, shared=["media"])).result
    assert str((place.path / "releases/0001-aaaaaaaa/link").readlink()) == target


@pytest.mark.parametrize("name", ["bin", "media", "etc"])
def test_link_in_the_place_of_a_folder_that_we_fill_is_refused(agent: Client, name: str) -> None:
    message = agent.request("stage", record(linked(name, "deep"), shared=["media/data", "etc/site.d"])).message
    assert message.startswith(f"cannot be part of a release: {name}, for {name}/")


# what lives through releases besides var


@pytest.mark.parametrize("name", ["bin", "parts/x", "../x", "/x", "a/../b", "", ".hostout/x", "release.json", "a//b"])
def test_what_every_release_has_of_its_own_cannot_be_shared(agent: Client, name: str) -> None:
    assert agent.request("stage", record(shared=[name])).message == f"cannot be shared by releases: {name}"


def test_shared_file_is_linked_and_not_made(agent: Client, place: Place) -> None:
    reply = agent.request("stage", record(entry("etc/other.ini", b"content"), shared=["etc/site.ini", "etc/conf.d"]))
    release = place.path / "releases/0001-aaaaaaaa"
    assert reply.lines("warning") == [
        f"{place.path}/etc/site.ini is not there: put it there, unless the application makes it"
    ]
    assert [path.name for path in (place.path / "etc").iterdir()] == ["conf.d"]
    (release / "etc/site.ini").write_text("by the application")
    assert (place.path / "etc/site.ini").read_text() == "by the application"
    assert (release / "etc/other.ini").read_bytes() == b"content"
    again = {"name": "0002-aaaaaaaa", "again": "0001-aaaaaaaa"}
    assert agent.request("stage", again).lines("warning") == []
    assert (place.path / "releases/0002-aaaaaaaa/etc/site.ini").read_text() == "by the application"


def test_shared_in_shared_is_one_link(agent: Client, place: Place) -> None:
    assert agent.request("stage", record(shared=["a/b", "a", "a/b/c", "a"])).result
    release = place.path / "releases/0001-aaaaaaaa"
    assert str((release / "a").readlink()) == "../../a"
    assert (place.path / "a/b/c").is_dir()
    assert [path.is_symlink() for path in (place.path / "a/b", place.path / "a/b/c")] == [False, False]
    assert place.record("0001-aaaaaaaa")["shared"] == ["a"]


@pytest.mark.parametrize(("file", "name"), [("media/logo.png", "media"), ("etc/site.ini", "etc/site.ini")])
def test_what_is_in_the_bundle_cannot_be_shared(agent: Client, place: Place, file: str, name: str) -> None:
    message = agent.request("stage", record(entry(file, b"content"), shared=[name])).message
    assert message == f"{file} is part of the release, and {name} is shared: it can be only one of them"
    assert not (place.path / name).exists()


def live_with(agent: Client, place: Place, *files: dict[str, Any]) -> None:
    assert agent.request("stage", record(*files)).result
    (place.path / "current").symlink_to("releases/0001-aaaaaaaa")


def staged_second(agent: Client, *shared: str) -> Any:
    return agent.request("stage", {"name": "0002-bbbbbbbb", "record": {"id": "bbbbbbbb", "shared": list(shared)}})


@pytest.mark.parametrize("name", ["media", "data/media"])
def test_data_that_only_the_live_release_has_is_not_left_behind(agent: Client, place: Place, name: str) -> None:
    live_with(agent, place)
    own = place.path / "releases/0001-aaaaaaaa" / name
    own.mkdir(parents=True)
    (own / "upload").write_text("precious")
    message = staged_second(agent, name).message
    assert message == f"{own} is in the live release only: move it to {place.path / name} before it can be shared"
    assert not (place.path / name).exists()
    (place.path / name).parent.mkdir(exist_ok=True)
    own.rename(place.path / name)
    assert staged_second(agent, name).result
    assert (place.path / "releases/0002-bbbbbbbb" / name / "upload").read_text() == "precious"


def test_what_path_shows_of_the_live_release_is_not_shared_as_it_is(agent: Client, place: Place) -> None:
    live_with(agent, place, entry("etc/site.ini", b"content"))
    (place.path / "etc").symlink_to("current/etc")
    assert staged_second(agent, "etc").message == (
        f"{place.path}/etc is part of the live release: move it to {place.path}/etc before it can be shared"
    )
    assert staged_second(agent, "etc/site.ini").message == (
        f"{place.path}/etc/site.ini is part of the live release: move it to {place.path}/etc/site.ini "
        f"into a folder that takes the place of the link {place.path}/etc before it can be shared"
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_files_of_a_staged_release_outlive_a_power_failure(place: Place) -> None:
    files = [*(entry(f"conf/{number}.cfg", b"content") for number in range(9)), entry("own.cfg", b"written")]
    disk, srv, snapshot = image(place.root / "disk"), place.root / "srv", place.root / "snapshot"
    srv.mkdir()
    with attached(["-o", "loop", str(disk), str(srv)], srv):
        agent = place.agent()
        agent.request("layout")
        send_files(agent, [(b"content", "a.cfg")])
        staged = agent.request("stage", {**record(*files), "written": {"own.cfg": "written"}})
        copy_of_one_moment(disk, snapshot)
        place.end()
        assert staged.result["state"] == "staging"
    with attached(["-o", "loop", str(snapshot), str(srv)], srv):
        release = place.path / "releases/0001-aaaaaaaa"
        assert place.state(release.name) == "staging"
        assert [file["name"] for file in files if (release / file["name"]).stat().st_size != 7] == []
