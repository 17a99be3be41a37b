"""The host fetches distributions by itself, and gives nothing a name that is not what was asked for."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from agentclient import AGENT, LIMIT, Client, Place, Reply, blob, send_files, sha256
from distantindex import HTML, JSON, DistantIndex, Serve, serving
from hostout.remote import shipping

WHEEL = "hostouttest_one-1.0-py3-none-any.whl"
OTHER = "hostouttest_two-2.0.tar.gz"
CONTENT = {WHEEL: bytes(range(256)) * 4096, OTHER: b"a source distribution"}


@pytest.fixture
def laid_out(place: Place) -> Place:
    agent = place.agent()
    agent.request("layout")
    agent.end()
    return place


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:

        def begin(**how: Any) -> DistantIndex:
            return stack.enter_context(serving(DistantIndex(**{"files": dict(CONTENT), **how})))

        yield begin


def wanted(content: dict[str, bytes], sized: bool = True) -> list[dict[str, Any]]:
    return [
        {"sha256": sha256(data), "size": len(data) * sized, "name": name, "project": name.partition("-")[0]}
        for name, data in content.items()
    ]


def fetch(agent: Client, *indexes: str, files: Any = None, links: Any = (), seconds: float = 30) -> Reply:
    args = {"files": files or wanted(CONTENT), "indexes": indexes, "links": links, "seconds": seconds}
    return agent.request("fetch", {**args, **shipping.later(AGENT, "fetch")})


@contextmanager
def deaf() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/simple"


@contextmanager
def answering_with(answer: bytes, then: Callable[[socket.socket], None]) -> Iterator[str]:
    """An address where everybody hears ``answer``, and what is done with their connection next."""

    def all_of_them() -> None:
        # until the server is shut down
        with contextlib.suppress(OSError):
            while True:
                connection = server.accept()[0]
                threading.Thread(target=one, args=(connection,), daemon=True).start()

    def one(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(1 << 16)
            connection.sendall(answer)
            then(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=all_of_them, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/simple"
        finally:
            server.shutdown(socket.SHUT_RDWR)


def kept_open(connection: socket.socket) -> None:
    connection.recv(1 << 16)


def reset(connection: socket.socket) -> None:
    time.sleep(0.3)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody is, nor comes meanwhile: its port is taken, and not listened on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/simple"


@pytest.mark.parametrize(("kind", "sized"), [(JSON, True), (HTML, False)], ids=["JSON", "HTML, of unknown size"])
def test_files_of_an_index_get_their_names_when_they_are_whole(
    laid_out: Place, serve: Serve, python: str, kind: str, sized: bool
) -> None:
    laid_out.python = python
    index = serve(kind=kind)
    agent = laid_out.agent(want=[["hostouttest-one", "1.0"], ["hostouttest-two", "2.0"]])
    result = fetch(agent, index.url(), files=wanted(CONTENT, sized)).result
    have = {name: sha256(data) for name, data in CONTENT.items()}
    assert result == {"indexes": {"127.0.0.1": ""}, "have": have, "changed": {}, "missing": {}, "partial": {}}
    assert agent.request("facts").result["facts"]["have"] == have
    assert {path.name: path.read_bytes() for path in laid_out.dist.iterdir()} == CONTENT
    assert {path.stat().st_mode & 0o777 for path in laid_out.dist.iterdir()} == {0o644}


def test_eight_files_are_fetched_at_a_time(laid_out: Place, serve: Serve) -> None:
    content = {f"hostouttest_one-1.{number}-py3-none-any.whl": bytes([number]) * 10 for number in range(8)}
    index = serve(files=content, together=threading.Barrier(8))
    result = fetch(laid_out.agent(), index.url(), files=wanted(content)).result
    assert (set(result["have"]), result["missing"]) == (set(content), {})


def test_what_is_fetched_belongs_to_the_owner_of_the_cache(laid_out: Place, serve: Serve) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can act as another user")
    laid_out.root.joinpath("srv").chmod(0o755)
    places = {"path": str(laid_out.root / "srv/host2"), "cache": str(laid_out.root / "c")}
    agent = laid_out.agent(effective_user="nobody", **places)
    agent.request("layout")
    assert fetch(agent, serve().url()).result["missing"] == {}
    assert (laid_out.root / "c/downloads/dist" / WHEEL).stat().st_uid == 65534


@pytest.mark.parametrize("said", [{}, {WHEEL: ""}], ids=["on its page too", "only as a file"])
def test_changed_file_is_named_and_gets_no_name(laid_out: Place, serve: Serve, said: dict[str, str]) -> None:
    other = bytes(len(CONTENT[WHEEL]))
    index = serve(says=said or {WHEEL: sha256(other)}, serves={WHEEL: other})
    result = fetch(laid_out.agent(), index.url()).result
    assert result["changed"] == {WHEEL: sha256(other)}
    assert (list(result["have"]), result["missing"], result["partial"]) == ([OTHER], {}, {})
    assert [path.name for path in laid_out.dist.iterdir()] == [OTHER]


def test_file_that_does_not_end_is_not_read_to_its_end(laid_out: Place, serve: Serve) -> None:
    index = serve(says={OTHER: ""}, serves={OTHER: CONTENT[OTHER] + bytes(1 << 20)})
    assert fetch(laid_out.agent(), index.url()).result["changed"] == {OTHER: ""}
    assert not (laid_out.dist / OTHER).exists()


def test_right_file_of_another_index_is_taken(laid_out: Place, serve: Serve) -> None:
    wrong, empty, right = serve(serves={WHEEL: b"x"}, says={WHEEL: ""}), serve(files={}), serve()
    result = fetch(laid_out.agent(), wrong.url(), empty.url(), right.url()).result
    assert (set(result["have"]), result["changed"], result["missing"]) == ({WHEEL, OTHER}, {}, {})
    assert f"/files/{OTHER}" not in right.asked


def test_pages_of_links_are_looked_at_too(laid_out: Place, serve: Serve) -> None:
    index = serve(kind=HTML)
    links = [index.url() + "/hostouttest-one", index.url() + "/hostouttest-two"]
    assert set(fetch(laid_out.agent(), links=links).result["have"]) == {WHEEL, OTHER}


def test_what_an_index_does_not_have_is_said_by_name(laid_out: Place, serve: Serve) -> None:
    index = serve(files={OTHER: CONTENT[OTHER]})
    assert fetch(laid_out.agent(), index.url()).result["missing"] == {WHEEL: "127.0.0.1 does not have it"}


@pytest.mark.parametrize("ranges", [True, False])
def test_download_that_breaks_off_is_continued(laid_out: Place, serve: Serve, ranges: bool) -> None:
    index = serve(cuts=[300000], ranges=ranges)
    assert set(fetch(laid_out.agent(), index.url(), files=wanted({WHEEL: CONTENT[WHEEL]})).result["have"]) == {WHEEL}
    assert index.asked.count(f"/files/{WHEEL}") == 2


def test_upload_that_broke_off_is_continued_by_fetching_and_the_other_way_round(laid_out: Place, serve: Serve) -> None:
    agent = laid_out.agent()
    announced = blob(CONTENT[WHEEL], WHEEL, "dist")
    agent.send("receive", {"blobs": [announced]}, CONTENT[WHEEL][:400000])
    agent.end()
    index = serve(cuts=[100000, 100000])
    again = laid_out.agent()
    result = fetch(again, index.url(), files=wanted({WHEEL: CONTENT[WHEEL]})).result
    assert result["missing"] == {WHEEL: "127.0.0.1: it broke off"}
    assert result["partial"] == {sha256(CONTENT[WHEEL]): 600000}
    blobs = {"blobs": [{**announced, "offset": 600000}]}
    assert again.request("receive", blobs, CONTENT[WHEEL][600000:]).result == {"received": 1}


def test_damaged_part_that_was_there_is_no_reason_to_blame_the_index(laid_out: Place, serve: Serve) -> None:
    agent, partial = laid_out.agent(), laid_out.dist.parent / ".partial"
    partial.mkdir()
    for size in (1000, len(CONTENT[WHEEL]), len(CONTENT[WHEEL]) + 1):
        (partial / sha256(CONTENT[WHEEL])).write_bytes(bytes(size))
        assert set(fetch(agent, serve().url()).result["have"]) == {WHEEL, OTHER}
        assert (laid_out.dist / WHEEL).read_bytes() == CONTENT[WHEEL]


def test_index_that_is_not_there_costs_next_to_nothing(laid_out: Place, nobody: str) -> None:
    agent = laid_out.agent()
    started = time.monotonic()
    result = fetch(agent, nobody).result
    assert result["indexes"] == {"127.0.0.1": "Connection refused"}
    assert result["missing"] == dict.fromkeys(CONTENT, "127.0.0.1: Connection refused")
    # of the half a minute that it might take
    assert time.monotonic() - started < 20


def test_one_of_two_indexes_that_does_not_resolve_keeps_nobody_from_the_other(laid_out: Place, serve: Serve) -> None:
    result = fetch(laid_out.agent(), "https://hostouttest.invalid/simple", serve().url()).result
    assert set(result["have"]) == {WHEEL, OTHER}
    assert result["indexes"]["hostouttest.invalid"]


def test_index_that_says_nothing_is_given_up(laid_out: Place) -> None:
    with deaf() as address:
        # else it would take too long
        result = fetch(laid_out.agent(), address, seconds=300).result
    assert result["missing"] == dict.fromkeys(CONTENT, "127.0.0.1: no answer")


def test_files_that_arrive_before_the_time_is_over_need_not_be_sent(laid_out: Place, serve: Serve) -> None:
    index = serve(hangs=(f"/files/{OTHER}",))
    result = fetch(laid_out.agent(), index.url(), seconds=4).result
    assert (list(result["have"]), result["missing"]) == ([WHEEL], {OTHER: "took too long"})


def test_fetching_ends_when_nobody_wants_it_any_more(laid_out: Place) -> None:
    agent = laid_out.agent()
    with deaf() as address:
        agent.send("fetch", {"files": wanted(CONTENT), "indexes": [address], "seconds": 30})
        agent.send("cancel", {})
        assert agent.reply().message == "fetching was cancelled"
    assert send_files(agent, [(CONTENT[WHEEL], WHEEL)], "dist").result == {"received": 1}


def test_fetching_ends_with_the_connection(laid_out: Place) -> None:
    agent = laid_out.agent()
    with deaf() as address:
        agent.send("fetch", {"files": wanted(CONTENT), "indexes": [address], "seconds": 30})
        agent.hang_up()
        assert agent.process.wait(LIMIT) is not None
    assert laid_out.agent().request("recover").result == {}


def test_password_goes_to_its_index_and_into_no_message(laid_out: Place, serve: Serve) -> None:
    index = serve(password="ann:s3 cret")
    mirror = serve()
    index.moved[f"/files/{WHEEL}"] = mirror.url("localhost").replace("/simple", f"/files/{WHEEL}")
    mirror.password = "nobody:knows"
    agent = laid_out.agent()
    reply = fetch(agent, index.url(password="ann:s3%20cret"))
    assert list(reply.result["have"]) == [OTHER]
    assert reply.result["missing"] == {WHEEL: "localhost answers 401 Unauthorized"}
    assert "s3" not in str(reply.events)
    missing = fetch(agent, index.url()).result["missing"]
    assert missing == dict.fromkeys(CONTENT, "127.0.0.1 answers 401 Unauthorized")


MOVED = b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "then", "why"),
    [
        (MOVED % (b"/x/", 500) + b"abc", kept_open, "no answer"),
        (MOVED % (b"/x/", 500) + b"abc", reset, "Connection reset by peer"),
        (MOVED % (b"http://[bad/x/", 0), kept_open, "leads to what is no address"),
    ],
    ids=["stands still", "reset", "no address"],
)
def test_index_that_moved_to_nowhere_keeps_nobody_from_another(
    laid_out: Place, serve: Serve, answer: bytes, then: Callable[[socket.socket], None], why: str
) -> None:
    agent = laid_out.agent()
    with answering_with(answer, then) as address:
        assert set(fetch(agent, address, serve().url("localhost")).result["have"]) == {WHEEL, OTHER}
        missing = fetch(agent, address, files=wanted({"hostouttest_three-1.tar.gz": b""})).result["missing"]
    assert missing["hostouttest_three-1.tar.gz"].endswith(why)


@pytest.mark.parametrize("folder", ["fil es", "für", "a%20b"])
@pytest.mark.parametrize("kind", [JSON, HTML])
def test_link_that_is_not_quoted_is_followed(
    laid_out: Place, serve: Serve, monkeypatch: pytest.MonkeyPatch, folder: str, kind: str
) -> None:
    index = serve(kind=kind)
    page, quoted = index.page, quote(folder, safe="%")
    inner = f"/files/{folder}/".encode()
    monkeypatch.setattr(index, "page", lambda project: (page(project) or b"").replace(b"/files/", inner))
    index.moved = {f"/files/{quoted}/{name}": f"/files/{name}" for name in CONTENT}
    assert fetch(laid_out.agent(), index.url()).result["missing"] == {}
    assert f"/files/{quoted}/{WHEEL}" in index.asked


@pytest.mark.parametrize("kind", [JSON, HTML])
def test_link_that_nothing_can_be_made_of_is_a_matter_of_its_file_alone(
    laid_out: Place, serve: Serve, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    index, addresses = serve(kind=kind), {WHEEL: f"http://[x/{WHEEL}", OTHER: f"/files/{OTHER}"}
    page = "".join(f"<a href='{url}'>{name}</a>" for name, url in addresses.items())
    if kind == JSON:
        page = json.dumps({"files": [{"filename": name, "url": url} for name, url in addresses.items()]})
    monkeypatch.setattr(index, "page", lambda project: page.encode())
    assert list(fetch(laid_out.agent(), links=[index.url()]).result["have"]) == [OTHER]


@pytest.mark.parametrize("first", ["the one that answers", "the one that is down"])
def test_two_indexes_of_one_host_are_two(laid_out: Place, serve: Serve, nobody: str, first: str) -> None:
    good, down = serve().url(), nobody
    result = fetch(laid_out.agent(), *((good, down) if first == "the one that answers" else (down, good))).result
    assert set(result["have"]) == {WHEEL, OTHER}
    said = {good: "", down: "Connection refused"}
    assert result["indexes"] == {address.removesuffix("/simple"): why for address, why in said.items()}


def test_file_that_moved_is_found(laid_out: Place, serve: Serve) -> None:
    index = serve()
    index.moved = {f"/files/{WHEEL}": f"/files/{OTHER}x", f"/files/{OTHER}x": f"/files/elsewhere/{WHEEL}"}
    index.moved["/simple/hostouttest-two/"] = "/simple/hostouttest-two/"
    index.files[f"elsewhere/{WHEEL}"] = CONTENT[WHEEL]
    result = fetch(laid_out.agent(), index.url()).result
    assert list(result["have"]) == [WHEEL]
    assert result["missing"] == {OTHER: "127.0.0.1 leads in circles"}


@pytest.mark.parametrize("page", [b"{}", b"[", b'{"files": [1]}', b"\xff\xfe"])
def test_page_that_is_none_is_one_line(
    laid_out: Place, serve: Serve, page: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = serve()
    monkeypatch.setattr(index, "page", lambda project: page)
    missing = fetch(laid_out.agent(), index.url()).result["missing"]
    assert missing == dict.fromkeys(CONTENT, "127.0.0.1 answers with what is no page of an index")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http:///x", "http://127.0.0.1:port/x"])
def test_address_that_is_none_is_one_line(laid_out: Place, url: str) -> None:
    assert set(fetch(laid_out.agent(), url).result["missing"]) == set(CONTENT)


def test_hundreds_of_files_come_over_a_few_connections(laid_out: Place, serve: Serve) -> None:
    many = {f"hostouttest{n}-1.0-py3-none-any.whl": str(n).encode() * 1000 for n in range(250)}
    index = serve(files=many)
    assert len(fetch(laid_out.agent(), index.url(), files=wanted(many)).result["have"]) == 250
    assert index.connections < 20


@pytest.mark.parametrize("sized", [True, False], ids=["of known size", "of unknown size"])
def test_full_disk_is_one_line_and_with_more_room_the_rest_is_fetched(
    place: Place, small_disk: Path, serve: Serve, sized: bool
) -> None:
    place.extra["cache"] = str(small_disk / "cache")
    agent = place.agent()
    agent.request("layout")
    files = {**CONTENT, WHEEL: CONTENT[WHEEL] * 2}
    index = serve(files=files)
    message = fetch(agent, index.url(), files=wanted(files, sized)).message
    assert message.startswith(f"{place.dist}: no space left on the file system") and "\n" not in message
    assert agent.request("facts").result["facts"]["partial"].get(sha256(files[WHEEL])) is None
    assert not (place.dist / WHEEL).exists()

    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert fetch(agent, index.url(), files=wanted(files, sized)).result["missing"] == {}
    assert {path.name: path.read_bytes() for path in place.dist.iterdir()} == files
    place.end()


def test_through_the_proxy_of_the_hosts_environment(
    laid_out: Place, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = serve()
    monkeypatch.setenv("http_proxy", index.url().replace("/simple", ""))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    index.moved = {}
    result = fetch(laid_out.agent(), "http://hostouttest.invalid/simple").result
    assert result["indexes"] == {"hostouttest.invalid": ""}
    assert "http://hostouttest.invalid/simple/hostouttest-one/" in index.asked
