"""Configuration behind URLs: the whole file or the one from before, and its password for its own server alone."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from hostout.packaging import extends
from hostout.packaging.extends import Reader
from samples import Said
from webserver import answering

WHOLE = b"[versions]\nfoo = 1.0\nbar = 2.0\n"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(WHOLE), WHOLE)
BROKEN = {
    "cut off": GOOD[:-12],
    "cut off in pieces": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" + WHOLE[:22],
    "no answer of the web": b"garbage\r\n\r\n",
    "nothing": b"",
}


@dataclass
class Server:
    """Answers every request with some bytes and then closes; ``pause``: seconds after each byte of the content."""

    url: str
    answer: bytes = GOOD
    pause: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)

    def speak(self, client: socket.socket) -> None:
        client.recv(65536)
        if not self.pause:
            client.sendall(self.answer)
            return
        head, _, content = self.answer.partition(b"\r\n\r\n")
        client.sendall(head + b"\r\n\r\n")
        for byte in content:
            if not self.ended.wait(self.pause):
                client.sendall(bytes([byte]))


@contextmanager
def speaking(listening: socket.socket, server: Server) -> Iterator[None]:
    def run() -> None:
        while not server.ended.is_set():
            client, _ = listening.accept()
            with client:
                if not server.ended.is_set():
                    server.speak(client)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.ended.set()
        socket.create_connection(listening.getsockname()).close()
        thread.join(10)


@pytest.fixture
def server() -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found = Server(f"http://127.0.0.1:{listening.getsockname()[1]}/versions.cfg")
        with speaking(listening, found):
            yield found


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_is_not_whole_is_refused_and_takes_the_place_of_nothing(
    server: Server, tmp_path: Path, answer: bytes
) -> None:
    server.answer = answer
    with pytest.raises(OSError, match=r"."):
        Reader(tmp_path / "none", Said()).read(server.url)
    server.answer = GOOD
    assert Reader(tmp_path, Said()).read(server.url) == WHOLE
    server.answer, said = answer, Said()
    assert Reader(tmp_path, said).read(server.url) == WHOLE
    assert [(e.kind, "using the copy of the last deployment" in e.text) for e in said.events] == [("warning", True)]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [WHOLE]


def test_a_server_that_drips_is_given_up(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extends, "PATIENCE", 0.5)
    server.pause = 0.2
    with pytest.raises(OSError, match="not here after 0 seconds"):
        Reader(tmp_path, Said()).read(server.url)


def test_a_new_copy_takes_the_place_of_the_old_one_when_it_is_whole(server: Server, tmp_path: Path) -> None:
    """The old one is not written to, so nothing is lost where writing ends half way."""
    Reader(tmp_path, Said()).read(server.url)
    (kept,) = tmp_path.iterdir()
    os.link(kept, tmp_path / "old")
    server.answer = GOOD.replace(b"2.0", b"3.0")
    Reader(tmp_path, Said()).read(server.url)
    assert (tmp_path / "old").read_bytes() == WHOLE
    assert kept.read_bytes() == WHOLE.replace(b"2.0", b"3.0")
    assert oct(kept.stat().st_mode & 0o777) == "0o600"


def test_a_password_stays_with_its_server_where_that_sends_us_elsewhere(tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []
    to: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((f"{self.headers['Host']}{self.path}", self.headers.get("Authorization", "")))
            self.send_response(302 if self.path in to else 200)
            self.send_header("Location", to.get(self.path, ""))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """``asked`` has it."""

    with answering("127.0.0.1", Handler, threading.Event()) as port:
        to.update({"/first.cfg": "/second.cfg", "/second.cfg": f"http://localhost:{port}/third.cfg"})
        Reader(tmp_path, Said()).read(f"http://bob:SECRET@127.0.0.1:{port}/first.cfg")
    here, there = f"127.0.0.1:{port}", f"localhost:{port}"
    assert [name for name, _ in asked] == [f"{here}/first.cfg", f"{here}/second.cfg", f"{there}/third.cfg"]
    assert [bool(password) for _, password in asked] == [True, True, False]


@pytest.mark.parametrize("path", ["x.cfg", "buildout@1.0/x.cfg"])
def test_an_address_is_shown_without_its_password(path: str) -> None:
    assert extends.shown(f"https://bob:SEC@RET@index.example:8443/{path}") == f"https://index.example:8443/{path}"


@pytest.mark.parametrize(
    ("first", "then", "same"),
    [
        ("http://example.com/a", "https://example.com/b", True),
        ("http://bob:x@example.com:80/a", "https://example.com:443/b", True),
        ("https://example.com/a", "http://example.com/b", False),
        ("http://example.com:8080/a", "https://example.com/b", False),
        ("https://example.com/a", "https://example.com.evil.example/a", False),
        ("https://example.com/a", "https://example.com:8443/a", False),
    ],
)
def test_which_server_is_the_same(first: str, then: str, same: bool) -> None:
    assert extends._is_the_same_server(first, then) is same
