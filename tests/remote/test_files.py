"""``put`` and ``get``: files and folders, their modes and links, and never half a file."""

from __future__ import annotations

import io
import os
import socket
import time
from pathlib import Path

import paramiko
import pytest
from paramiko.sftp import SFTP_FAILURE

from hostout import testing
from hostout.errors import RemoteError
from hostout.testing import EmbeddedHost
from listening import Heard, LogIn


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with everything that folders have."""
    top = tmp_path / "folder"
    (top / "sub" / "empty").mkdir(parents=True)
    (top / "file").write_text("content")
    (top / "run.sh").write_text("#!/bin/sh")
    (top / "run.sh").chmod(0o750)
    (top / "sub" / "link").symlink_to("../file")
    (top / "dangling").symlink_to("nowhere")
    (top / "sub").chmod(0o711)
    (top / "with blank and ü").write_bytes(b"\x00\xff")
    return top


def picture(top: Path) -> dict[str, object]:
    """What is in a folder: type, mode and content of everything."""
    found: dict[str, object] = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if path.is_symlink():
            found[name] = str(path.readlink())
        else:
            content = path.read_bytes() if path.is_file() else None
            found[name] = (path.stat().st_mode & 0o777, content)
    return found


def test_a_file_keeps_its_mode(server: EmbeddedHost, log_in: LogIn, folder: Path, heard: Heard) -> None:
    connection = log_in(server)
    connection.put(str(folder / "run.sh"), f"{server.home}/copy.sh")
    copy = server.home / "copy.sh"
    assert (copy.read_text(), copy.stat().st_mode & 0o777) == ("#!/bin/sh", 0o750)
    assert heard.lines("line") == [f"[127.0.0.1] put: {folder / 'run.sh'} -> {copy}"]


def test_a_folder_goes_there_and_back(server: EmbeddedHost, log_in: LogIn, folder: Path, tmp_path: Path) -> None:
    connection = log_in(server)
    connection.put(str(folder), "copy")
    assert picture(server.home / "copy") == picture(folder)
    connection.get("copy", str(tmp_path / "back"))
    assert picture(tmp_path / "back") == picture(folder)


def test_into_a_folder_that_exists_it_goes_under_its_name(
    server: EmbeddedHost, log_in: LogIn, folder: Path, tmp_path: Path
) -> None:
    (server.home / "there").mkdir()
    connection = log_in(server)
    connection.put(str(folder), "there")
    connection.put(str(folder / "file"), "there/")
    assert picture(server.home / "there" / "folder") == picture(folder)
    assert (server.home / "there" / "file").read_text() == "content"
    connection.get("there/file", str(tmp_path))
    assert (tmp_path / "file").read_text() == "content"


def test_a_second_put_replaces_files_and_keeps_others(server: EmbeddedHost, log_in: LogIn, folder: Path) -> None:
    connection = log_in(server)
    (server.home / "folder").mkdir()
    (server.home / "folder" / "file").write_text("old")
    (server.home / "folder" / "other").write_text("other")
    connection.put(str(folder), str(server.home))
    assert (server.home / "folder" / "file").read_text() == "content"
    assert (server.home / "folder" / "other").read_text() == "other"


def test_a_folder_goes_onto_one_of_its_name(server: EmbeddedHost, log_in: LogIn, folder: Path, tmp_path: Path) -> None:
    connection = log_in(server)
    for _ in range(2):
        connection.put(str(folder), f"{server.home}/folder")
        connection.get("folder", str(tmp_path / "back" / "folder"))
    assert picture(server.home / "folder") == picture(folder)
    assert picture(tmp_path / "back" / "folder") == picture(folder)


def test_a_link_to_a_file_stays_one(server: EmbeddedHost, log_in: LogIn, folder: Path) -> None:
    (server.home / "release").mkdir()
    (server.home / "release" / "file").write_text("old")
    (server.home / "file").symlink_to("release/file")
    log_in(server).put(str(folder / "file"), "file")
    assert (server.home / "file").is_symlink()
    assert (server.home / "release" / "file").read_text() == "content"


def test_no_temporary_file_stays(server: EmbeddedHost, log_in: LogIn, folder: Path) -> None:
    log_in(server).put(str(folder), "copy")
    assert not [path for path in server.home.rglob("*") if path.name.startswith(".hostout")]


def test_a_file_that_cannot_be_replaced_leaves_nothing_behind(
    server: EmbeddedHost, log_in: LogIn, folder: Path
) -> None:
    (server.home / "place" / "file").mkdir(parents=True)
    with pytest.raises(RemoteError, match="put: "):
        log_in(server).put(str(folder), f"{server.home}/place/../place/../folder/../place/nowhere/deep")
    connection = log_in(server)
    (server.home / "taken").mkdir()
    (server.home / "taken" / "file").mkdir()
    (server.home / "taken" / "file" / "x").write_text("")
    with pytest.raises(RemoteError, match="put: "):
        connection.put(str(folder / "file"), "taken")
        connection.put(str(folder), "taken/..")
    assert not [path for path in server.home.rglob("*") if path.name.startswith(".hostout")]


def test_a_name_may_be_as_long_as_file_systems_take_it(server: EmbeddedHost, log_in: LogIn, tmp_path: Path) -> None:
    name = "\u20ac" * 85
    (tmp_path / name).write_text("long")
    connection = log_in(server)
    connection.put(str(tmp_path / name), name)
    connection.get(name, str(tmp_path / "back" / name))
    assert (tmp_path / "back" / name).read_text() == "long"


def test_a_name_that_is_no_utf_8_is_named(server: EmbeddedHost, log_in: LogIn, folder: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9")).write_text("")
    with pytest.raises(RemoteError, match=r"put: the name .*caf\\udce9.* is not UTF-8"):
        log_in(server).put(str(folder), "copy")


class Greeting(testing._Sftp):
    """What a login shell prints comes before what an external ``sftp-server`` says."""

    def start_subsystem(self, name: str, transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        channel.sendall(b"Welcome!\n")
        super().start_subsystem(name, transport, channel)


def test_a_login_shell_that_prints_is_named_where_sftp_breaks(
    server: EmbeddedHost, log_in: LogIn, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(testing, "_Sftp", Greeting)
    with pytest.raises(RemoteError, match="does its login shell print something"):
        log_in(server).put(str(folder), "copy")


def test_a_host_without_sftp_is_no_lost_host(
    server: EmbeddedHost, log_in: LogIn, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(testing._Rules, "check_channel_subsystem_request", lambda *arguments: False)
    connection = log_in(server)
    with pytest.raises(RemoteError, match="offers no SFTP") as caught:
        connection.put(str(folder), "copy")
    assert caught.value.host == "host1"
    assert connection.run("echo here", hide=True).stdout == "here\n"


@pytest.mark.parametrize(("verb", "name"), [("put", "here"), ("get", "there")])
def test_what_is_missing_is_named(server: EmbeddedHost, log_in: LogIn, tmp_path: Path, verb: str, name: str) -> None:
    with pytest.raises(RemoteError) as caught:
        getattr(log_in(server), verb)(f"missing-{name}", str(tmp_path / "x"))
    assert f"{verb}: there is no missing-{name}" in caught.value.message
    assert caught.value.host == "host1"


def test_a_folder_that_is_missing_there_is_named(server: EmbeddedHost, log_in: LogIn, folder: Path) -> None:
    with pytest.raises(RemoteError, match=r"put: there is no no/such/place$"):
        log_in(server).put(str(folder / "file"), "no/such/place/file")


@pytest.mark.parametrize("megabytes", [0.1, 3])
def test_a_block_in_the_middle_that_is_not_written_is_noticed(
    server: EmbeddedHost, log_in: LogIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, megabytes: float
) -> None:
    content = os.urandom(int(megabytes * 1_000_000))
    (tmp_path / "file").write_bytes(content)
    (server.home / "file").write_text("as it was")
    write = paramiko.SFTPHandle.write

    def sometimes(handle: paramiko.SFTPHandle, offset: int, data: bytes) -> int:
        return SFTP_FAILURE if 0 < offset < len(content) / 2 else write(handle, offset, data)

    with monkeypatch.context() as patched:
        patched.setattr(paramiko.SFTPHandle, "write", sometimes)
        with pytest.raises(RemoteError, match=f"^put: {server.home}/file: it cannot be written: is the disk full"):
            log_in(server).put(str(tmp_path / "file"), f"{server.home}/file")
    assert (server.home / "file").read_text() == "as it was"
    log_in(server).put(str(tmp_path / "file"), f"{server.home}/file")
    assert (server.home / "file").read_bytes() == content
    assert [path.name for path in server.home.iterdir()] == ["file"]


def test_what_is_of_another_kind_there_is_named(server: EmbeddedHost, log_in: LogIn, folder: Path) -> None:
    (server.home / "folder").write_text("no folder")
    with pytest.raises(RemoteError, match=f"^put: {server.home}/folder: is there and is no folder$"):
        log_in(server).put(str(folder), f"{server.home}/folder")
    (server.home / "folder").unlink()
    (server.home / "folder/file/inside").mkdir(parents=True)
    with pytest.raises(RemoteError, match=f"^put: {server.home}/folder/file: is a folder there$"):
        log_in(server).put(str(folder), f"{server.home}/folder")


def test_a_file_that_cannot_be_read_there_is_no_full_disk(
    server: EmbeddedHost, log_in: LogIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (server.home / "file").write_text("content")
    monkeypatch.setattr(paramiko.SFTPHandle, "read", lambda *arguments: SFTP_FAILURE)
    with pytest.raises(RemoteError, match=f"^get: {server.home}/file: the host says only that it failed$"):
        log_in(server).get(f"{server.home}/file", str(tmp_path / "file"))


def test_sockets_are_left_out_with_a_word(
    server: EmbeddedHost, log_in: LogIn, tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "var").mkdir()
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("var/zeo.sock")
        log_in(server).put("var", "var")
    assert "zeo.sock is neither a file" in heard.lines("warning")[0]
    assert picture(server.home / "var") == {}


def test_file_objects_work_as_with_fabric(server: EmbeddedHost, log_in: LogIn) -> None:
    connection = log_in(server)
    connection.put(io.StringIO("text"), "from-memory")
    back = io.BytesIO()
    connection.get("from-memory", back)
    assert back.getvalue() == b"text"


def test_a_large_file_goes_at_full_speed(server: EmbeddedHost, log_in: LogIn, tmp_path: Path) -> None:
    content = os.urandom(1 << 20) * 30
    (tmp_path / "big").write_bytes(content)
    connection = log_in(server)
    began = time.monotonic()
    connection.put(str(tmp_path / "big"), "big")
    connection.get("big", str(tmp_path / "back"))
    assert time.monotonic() - began < 60
    assert (server.home / "big").read_bytes() == content
    assert (tmp_path / "back").read_bytes() == content
