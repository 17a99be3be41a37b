"""Files arrive whole or not at all, and a broken upload is continued."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from agentclient import LIMIT, Place, blob, send_files, sha256, until
from hostout.agent import durable, protocol
from smalldisk import failing

CONTENT = bytes(range(256)) * 4096


@pytest.fixture
def laid_out(place: Place) -> Place:
    agent = place.agent()
    agent.request("layout")
    agent.end()
    return place


def test_files_arrive_whole_and_readable(laid_out: Place, python: str) -> None:
    laid_out.python = python
    agent = laid_out.agent()
    os.umask(0o077)
    try:
        assert send_files(agent, [(CONTENT, "a-1-py3-none-any.whl"), (b"", "b-1.tar.gz")], "dist").result == {
            "received": 2
        }
    finally:
        os.umask(0o022)
    wheel = laid_out.dist / "a-1-py3-none-any.whl"
    assert wheel.read_bytes() == CONTENT
    assert wheel.stat().st_mode & 0o777 == 0o644
    assert send_files(agent, [(b"[buildout]\n", "buildout.cfg")]).result == {"received": 1}
    assert (laid_out.path / ".hostout/incoming" / sha256(b"[buildout]\n")).read_bytes() == b"[buildout]\n"
    assert laid_out.agent().facts["partial"] == {}


@pytest.mark.parametrize("to", ["dist", "file"])
def test_broken_upload_is_continued(laid_out: Place, to: str) -> None:
    agent = laid_out.agent()
    name = "a-1-py3-none-any.whl"
    agent.send(
        "receive", {"blobs": [blob(b"first", "b-1.tar.gz", to), blob(CONTENT, name, to)]}, b"first" + CONTENT[:300000]
    )
    agent.end()
    again = laid_out.agent(want=[["b", "1"]])
    assert again.facts["partial"] == {sha256(CONTENT): 300000}
    assert again.facts["have"] == ({"b-1.tar.gz": sha256(b"first")} if to == "dist" else {})
    args = {"blobs": [blob(CONTENT, name, to, offset=300000)]}
    assert again.request("receive", args, CONTENT[300000:]).result == {"received": 1}
    arrived = laid_out.dist / name if to == "dist" else laid_out.path / ".hostout/incoming" / sha256(CONTENT)
    assert arrived.read_bytes() == CONTENT
    assert again.request("facts").result["facts"]["partial"] == {}


def test_what_broke_off_of_a_file_that_changed_since_goes_and_parts_of_distributions_stay(laid_out: Place) -> None:
    broken = {"file": b"old" + CONTENT, "dist": CONTENT}
    for to, content in broken.items():
        agent = laid_out.agent()
        agent.send("receive", {"blobs": [blob(content, "a-1.zip", to)]}, content[:300000])
        agent.end()
    again = laid_out.agent()
    assert again.facts["partial"] == {sha256(content): 300000 for content in broken.values()}
    assert send_files(again, [(b"new", "b-1.zip")], "dist").result == {"received": 1}
    assert len(again.request("facts").result["facts"]["partial"]) == 2
    assert send_files(again, [(b"new" + CONTENT, "a-1.zip")]).result == {"received": 1}
    assert again.request("facts").result["facts"]["partial"] == {sha256(broken["dist"]): 300000}


def packed(content: bytes, name: str, to: str = "file") -> tuple[dict[str, Any], bytes]:
    """Announced as compressed, and what comes."""
    small = zlib.compress(content)
    return {**blob(content, name, to), "packed": len(small)}, small


def test_text_comes_compressed_between_others(laid_out: Place) -> None:
    agent = laid_out.agent()
    announced, small = packed(CONTENT * 4, "large.cfg")
    blobs = [blob(b"before", "b.cfg"), announced, blob(b"after", "a-1.zip", "dist")]
    assert agent.request("receive", {"blobs": blobs}, b"before" + small + b"after").result == {"received": 3}
    assert (laid_out.path / ".hostout/incoming" / sha256(CONTENT * 4)).read_bytes() == CONTENT * 4
    assert (laid_out.dist / "a-1.zip").read_bytes() == b"after"


def test_compressed_upload_that_was_cut_is_continued_uncompressed(laid_out: Place) -> None:
    agent = laid_out.agent()
    content = os.urandom(100_000) + bytes(100_000)
    announced, small = packed(content, "x.cfg")
    agent.send("receive", {"blobs": [announced]}, small[:60_000])
    agent.end()
    again = laid_out.agent()
    there = again.facts["partial"][sha256(content)]
    assert 50_000 < there < 60_000
    blobs = [blob(content, "x.cfg", offset=there)]
    assert again.request("receive", {"blobs": blobs}, content[there:]).result == {"received": 1}


@pytest.mark.parametrize("cut", [zlib.compress(CONTENT)[:-20], zlib.compress(CONTENT + b"x"), b"no zlib at all", b"x"])
def test_compressed_upload_that_is_damaged_is_thrown_away(laid_out: Place, cut: bytes) -> None:
    agent = laid_out.agent()
    blobs = [{**blob(CONTENT, "x.cfg"), "packed": len(cut)}, blob(b"next", "y.cfg")]
    assert agent.request("receive", {"blobs": blobs}, cut + b"next").message.startswith("x.cfg arrived damaged")
    assert send_files(agent, [(b"good", "x.cfg")]).result == {"received": 1}
    assert agent.request("facts").result["facts"]["partial"] == {}


def test_the_same_content_under_two_names_is_two_files(laid_out: Place) -> None:
    assert send_files(laid_out.agent(), [(CONTENT, "a-1.zip"), (CONTENT, "b-1.zip")], "dist").result == {"received": 2}
    assert (laid_out.dist / "a-1.zip").read_bytes() == (laid_out.dist / "b-1.zip").read_bytes() == CONTENT


def test_damaged_file_is_named_and_thrown_away_and_the_agent_goes_on(laid_out: Place) -> None:
    agent = laid_out.agent()
    blobs = [
        blob(b"good", "good-1.zip", "dist"),
        blob(b"right", "bad-1.zip", "dist"),
        blob(CONTENT, "late-1.zip", "dist"),
    ]
    reply = agent.request("receive", {"blobs": blobs}, b"good" + b"wrong" + CONTENT)
    assert reply.message.startswith("bad-1.zip arrived damaged")
    assert sorted(path.name for path in laid_out.dist.iterdir()) == ["good-1.zip"]
    assert send_files(agent, [(b"right", "bad-1.zip")], "dist").result == {"received": 1}
    assert laid_out.agent().facts["partial"] == {}


def half_of_it(laid_out: Place, name: str) -> Path:
    """A broken upload to go on with; gives its partial file."""
    agent = laid_out.agent()
    agent.send("receive", {"blobs": [blob(CONTENT, name, "dist")]}, CONTENT[:300000])
    agent.end()
    return laid_out.dist.parent / ".partial" / sha256(CONTENT)


def test_continuation_of_what_another_deployment_finished_meanwhile_is_welcome(laid_out: Place) -> None:
    name = "a-1-py3-none-any.whl"
    partial = half_of_it(laid_out, name)
    first, second = laid_out.agent(), laid_out.agent(path=str(laid_out.path.with_name("host2")))
    second.request("layout")
    rest = {"blobs": [blob(CONTENT, name, "dist", offset=300000), blob(b"good", "good-1.zip", "dist")]}
    for agent in (first, second):
        assert agent.request("receive", rest, CONTENT[300000:] + b"good").result == {"received": 2}
    assert ((laid_out.dist / name).read_bytes(), partial.exists()) == (CONTENT, False)
    assert (laid_out.dist / "good-1.zip").read_bytes() == b"good"


@pytest.mark.parametrize("there", ["damaged", "less", "nothing", "sent just now"])
def test_continuation_of_what_is_not_here_any_more_is_to_be_sent_whole(laid_out: Place, there: str) -> None:
    name = "a-1-py3-none-any.whl"
    partial = half_of_it(laid_out, name)
    with partial.open("r+b") as file:
        if there == "damaged":
            file.write(b"damage")
            file.flush()
        elif there == "less":
            file.truncate(100)
        elif there == "nothing":
            partial.unlink()
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
        again = laid_out.agent()
        blobs = [blob(CONTENT, name, "dist", offset=300000), blob(b"good", "good-1.zip", "dist")]
        reply = again.request("receive", {"blobs": blobs}, CONTENT[300000:] + b"good")
        assert reply.result == {"received": 1, "damaged": [sha256(CONTENT)]}
        assert send_files(again, [(CONTENT, name)], "dist").result == {"received": 1}
    assert (laid_out.dist / name).read_bytes() == CONTENT
    assert (laid_out.dist / "good-1.zip").read_bytes() == b"good"


def test_empty_lines_say_that_the_client_is_there_and_nothing_else(laid_out: Place) -> None:
    agent = laid_out.agent()
    lock = laid_out.path / ".hostout/lock"
    assert send_files(agent, [(b"x", "a-1.zip")], "dist").result
    os.utime(lock, (0, 0))
    time.sleep(1.1)  # the agent says so once a second
    agent.raw(b"\n\n")
    for _ in until("the lock says that somebody is there"):
        if lock.stat().st_mtime > 0:
            break
    assert send_files(agent, [(b"y", "b-1.zip")], "dist").result == {"received": 1}


@pytest.mark.parametrize("name", ["../a.whl", "/etc/cron.d/a", ".hidden", "", "a/b.whl", "a\0b"])
def test_file_that_would_lie_elsewhere_is_refused(laid_out: Place, name: str) -> None:
    reply = laid_out.agent().request("receive", {"blobs": [blob(b"x", name, "dist")]}, b"x")
    assert reply.message.startswith("not a blob that can be received")


def test_nothing_is_received_before_path_is_laid_out(place: Place) -> None:
    agent = place.agent()
    assert send_files(agent, [(CONTENT, "a-1.zip")], "dist").message == f"{place.path} has not been laid out by hostout"
    assert agent.request("layout").result["facts"]["path"]["kind"] == "hostout"


def test_full_disk_is_one_line_with_what_is_needed_and_free(place: Place, small_disk: Path) -> None:
    place.extra["cache"] = str(small_disk / "cache")
    agent = place.agent()
    assert agent.request("layout").result["facts"]["path"]["kind"] == "hostout"
    message = send_files(agent, [(b"small", "a-1.zip"), (2 * CONTENT, "b-1.zip")], "dist").message
    assert message == f"{place.dist}: no space left on the file system: 2.1 MB needed, 1.0 MB free"
    assert agent.request("facts").result["facts"]["partial"] == {}
    assert (place.dist / "a-1.zip").read_bytes() == b"small"
    place.end()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_what_the_disk_lost_gets_no_name(place: Place, root: Path) -> None:
    """The kernel had taken all of it, and heard of the error when it wrote that to the disk."""
    content, name = os.urandom(20 << 20), "a-1-py3-none-any.whl"
    with failing(root / "srv") as disk:
        place.extra["cache"] = str(disk / "cache")
        agent = place.agent()
        agent.request("layout")
        message = send_files(agent, [(content, name)], "dist").message
        place.end()
        assert message.startswith(f"{disk}/cache/downloads/dist: ")
        assert not (disk / "cache/downloads/dist" / name).exists()


def test_read_only_file_system_is_one_line(place: Place, small_disk: Path) -> None:
    place.extra["cache"] = str(small_disk / "cache")
    place.agent().request("layout")
    place.end()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    agent = place.agent()
    assert not agent.facts["cache"]["writable"]
    assert send_files(agent, [(b"x", "a-1.zip")], "dist").message == f"{place.dist}: the file system is read-only"


def test_folder_that_is_not_ours_is_one_line(place: Place, root: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can act as another user")
    (root / "srv").mkdir(mode=0o755)
    place.cache.mkdir(parents=True)
    agent = place.agent(effective_user="nobody")
    agent.request("layout")
    os.chown(place.dist, 0, 0)
    os.chown(place.dist.parent, 0, 0)
    message = send_files(agent, [(b"x", "a-1.zip")], "dist").message
    assert message == f"{place.dist}: permission denied for user id 65534"


def test_upload_for_somebody_else_takes_its_time(place: Place, root: Path) -> None:
    """What tells those who wait for the lock that the client is there is done while root acts as the owner."""
    if os.getuid() != 0:
        pytest.skip("only root can act as another user")
    place.extra["effective_user"] = "nobody"
    agent = place.agent()
    agent.request("layout")
    agent.send("receive", {"blobs": [blob(CONTENT, "a-1.zip", "dist")]})
    for start in range(0, len(CONTENT), len(CONTENT) // 4):
        agent.raw(CONTENT[start : start + len(CONTENT) // 4])
        time.sleep(0.8)
    assert agent.reply().result == {"received": 1}


def test_upload_that_stands_still_ends_with_the_connection(laid_out: Place) -> None:
    agent = laid_out.agent()
    agent.send("receive", {"blobs": [blob(CONTENT, "a-1.zip", "dist")]}, CONTENT[:1000])
    for _ in until("the beginning has arrived"):
        if laid_out.agent().facts["partial"] == {sha256(CONTENT): 1000}:
            break
    agent.hang_up()
    assert agent.process.wait(LIMIT) is not None


def test_two_deployments_that_send_the_same_file_into_one_cache_do_not_spoil_it(laid_out: Place) -> None:
    first = laid_out.agent()
    second = laid_out.agent(path=str(laid_out.path.with_name("host2")))
    second.request("layout")
    name = "a-1-py3-none-any.whl"
    announced = {"blobs": [blob(CONTENT, name, "dist")]}
    first.send("receive", announced, CONTENT[:500000])
    for _ in until("half of it has arrived"):
        if laid_out.agent().facts["partial"] == {sha256(CONTENT): 500000}:
            break
    second.send("receive", announced, CONTENT[:1000])
    for _ in until("the beginning has arrived once more"):
        there = laid_out.dist.parent / ".partial"
        if 1000 in {path.stat().st_size for path in there.iterdir()}:
            break
    first.raw(CONTENT[500000:])
    assert first.reply().result == {"received": 1}
    assert (laid_out.dist / name).read_bytes() == CONTENT
    second.raw(CONTENT[1000:])
    assert second.reply().result == {"received": 1}
    assert (laid_out.dist / name).read_bytes() == CONTENT
    assert list((laid_out.dist.parent / ".partial").iterdir()) == []


def test_client_that_sends_no_more_of_what_it_announced_is_not_waited_for() -> None:
    ours, its = os.pipe()
    wire = protocol.Wire(ours, its)
    wire.stall = 0.1
    os.write(its, protocol.encode({"id": 1, "do": "receive", "args": {"blobs": [blob(CONTENT, "a", "file")]}}) + b"x")
    assert wire.request()
    with pytest.raises(protocol.Hangup):
        wire.discard()
    os.close(ours)
    os.close(its)


def test_what_is_large_is_written_out_while_it_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda descriptor, start, size, advice: told.append((start, size)))
    (tmp_path / "from").write_bytes(CONTENT * 20)
    assert durable.copy(tmp_path / "from", tmp_path / "to", 0o644) == sha256(CONTENT * 20)
    assert (tmp_path / "to").read_bytes() == CONTENT * 20
    assert told == [(0, 8 << 20), (8 << 20, 8 << 20)]


def test_a_large_upload_that_was_cut_is_continued(laid_out: Place) -> None:
    large, name, cut = CONTENT * 40, "a-1-py3-none-any.whl", 19 << 20
    agent = laid_out.agent()
    agent.send("receive", {"blobs": [blob(large, name, "dist")]}, large[:cut])
    agent.end()
    again = laid_out.agent(want=[["a", "1"]])
    assert again.facts["partial"] == {sha256(large): cut}
    args = {"blobs": [blob(large, name, "dist", offset=cut)]}
    assert again.request("receive", args, large[cut:]).result == {"received": 1}
    assert (laid_out.dist / name).read_bytes() == large
