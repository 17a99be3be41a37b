"""Which distributions a host is to fetch by itself, and what is said of those that it does not get."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from hostout.deploy import fetching, plan
from hostout.deploy.preview import Preview
from hostout.model import BundleFile, Indexes, Secret, Stamp, Step
from planned import BUILDOUT, CONTENTS, HELLO, HOST, WAITRESS, facts

LARGE = replace(WAITRESS, size=5_000_000)
PASSWORD = "s3cret"
INDEXES = Indexes((Secret(f"https://ann:{PASSWORD}@index.example/simple"),), (Secret("http://links.example/"),))


def step(mode: str = "auto", indexes: Indexes = INDEXES, large: bool = True, **known: Any) -> Step | None:
    contents = replace(CONTENTS, parts=(HELLO, LARGE if large else WAITRESS))
    return fetching.fetch(replace(HOST, eggs_from=mode), plan.uploads(contents, facts(**known)), indexes)


def asked(mode: str = "auto") -> Step:
    found = step(mode)
    assert found is not None
    return found


@pytest.mark.parametrize("mode", ["auto", "index"])
def test_a_host_fetches_all_but_develop_packages(mode: str) -> None:
    files = asked(mode).args["files"]
    assert [file["name"] for file in files] == [BUILDOUT.filename, LARGE.filename]
    assert files[1] == {"sha256": "aa", "size": 5_000_000, "name": LARGE.filename, "project": "waitress"}


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"mode": "here"}, False),
        ({"large": False}, False),
        ({"large": False, "mode": "index"}, True),
        ({"indexes": Indexes()}, False),
        ({"have": {LARGE.filename: "aa"}}, False),
        ({"have": {LARGE.filename: "aa", BUILDOUT.filename: "cc"}, "mode": "index"}, False),
    ],
)
def test_little_or_nothing_is_not_worth_asking_for(how: dict[str, Any], expected: bool) -> None:
    assert (step(**how) is not None) is expected


def test_what_was_made_here_is_in_no_index() -> None:
    contents = replace(CONTENTS, parts=(replace(LARGE, made=True),), environment=())
    assert fetching.fetch(replace(HOST, eggs_from="index"), plan.uploads(contents, facts()), INDEXES) is None


def test_passwords_reach_the_host_and_nobody_else() -> None:
    found = asked()
    assert found.args["indexes"] == [f"https://ann:{PASSWORD}@index.example/simple"]
    assert found.text == "let the host fetch 2 files, 5.0 MB, from index.example, links.example"
    shown = Preview(HOST, facts(), "app").lines(found)
    assert PASSWORD not in json.dumps(shown) and PASSWORD not in repr(INDEXES)
    assert shown[-1] == "\twhat it does not get there is sent from here"


def test_what_was_fetched_is_not_sent_and_what_broke_off_is_continued() -> None:
    result = {"have": {LARGE.filename: "aa"}, "partial": {"cc": 1500}, "missing": {BUILDOUT.filename: "it broke off"}}
    known = fetching.learned(facts(), result)
    sent = plan.uploads(CONTENTS, known)
    assert [u.name for u in sent] == ["buildout.cfg", HELLO.filename, BUILDOUT.filename]
    assert {b["name"]: b["offset"] for b in plan.receive(sent, known).args["blobs"]}[BUILDOUT.filename] == 1500


def test_a_host_without_a_way_to_an_index_is_one_line() -> None:
    missing = {LARGE.filename: "index.example: no answer"}
    result = {"indexes": {"index.example": "no answer"}, "have": {}, "missing": missing}
    assert list(fetching.remarks(result)) == [
        "the host reaches no index (index.example: no answer): what it lacks is sent from here"
    ]


def test_what_an_index_does_not_have_or_has_otherwise_is_said() -> None:
    result = {
        "indexes": {"index.example": ""},
        "have": {},
        "missing": {BUILDOUT.filename: "index.example does not have it"},
        "changed": {LARGE.filename: "ff"},
    }
    assert list(fetching.remarks(result)) == [
        f"1 file not to be had there ({BUILDOUT.filename}: index.example does not have it): sent from here"
    ]
    assert list(fetching.warnings(result)) == [
        f"an index has {LARGE.filename} with the sha256 ff, which is not what was tested: it is sent from here"
    ]
    assert fetching.refused(asked("index"), result).splitlines() == [
        "eggs-from = index, and the host does not get what was tested here:",
        f"    {LARGE.filename} (sha256 aa): there it has the sha256 ff",
        f"    {BUILDOUT.filename} (sha256 cc): index.example does not have it",
    ]


def test_all_of_it_is_nothing_to_speak_of() -> None:
    result = fetching.all_of_it(asked())
    assert (fetching.refused(asked(), result), [*fetching.remarks(result), *fetching.warnings(result)]) == ("", [])
    assert plan.uploads(replace(CONTENTS, files=(), parts=(LARGE,)), fetching.learned(facts(), result)) == []


def test_an_index_that_nobody_knows_is_said_before_anything_happens() -> None:
    host = replace(HOST, eggs_from="index")
    assert fetching.problems(HOST, Indexes()) == fetching.problems(host, INDEXES) == []
    assert fetching.problems(host, Indexes())[0].startswith("eggs-from: is index, but this buildout knows none")


def test_what_is_sent_compressed_is_announced_so_and_what_was_cut_is_continued_as_it_is() -> None:
    sent = [replace(upload, packed=7) for upload in plan.uploads(CONTENTS, facts()) if upload.to == "file"]
    assert [blob["packed"] for blob in plan.receive(sent, facts()).args["blobs"]] == [7]
    assert "packed" not in plan.receive(sent, facts(partial={"dd": 5})).args["blobs"][0]


def test_a_large_file_is_sent_from_where_it_lies() -> None:
    large = BundleFile("media/film", 0o644, "01", path="/here/film", stamp=Stamp(3_000_000, 1, 2))
    (upload,) = [u for u in plan.uploads(replace(CONTENTS, files=(large,)), facts()) if u.to == "file"]
    assert (upload.size, upload.path, upload.content, upload.stamp) == (3_000_000, "/here/film", b"", large.stamp)
    assert plan.uploads(replace(CONTENTS, parts=(), environment=(), files=(large,)), facts(blobs=["01"])) == []
