"""A staged release: the files, the links, and what is refused before anything is made."""

from __future__ import annotations

import os
from typing import Any

import pytest

from agentclient import Client, Place, entry, send_files, sha256


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
