"""A package index that hosts ask: pages in JSON or HTML, files with their ranges, every way to be of no use.

What does not belong here: what pip makes of an index (``smallindex``).
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from webserver import answering

JSON, HTML = "application/vnd.pypi.simple.v1+json", "text/html"


@dataclass
class DistantIndex:
    """Serves ``files`` (content by name) of projects named like the beginning of the name.

    ``says``: what a page gives as the sha256 of a file, ``""`` for nothing. ``serves``: what comes instead of a file.
    ``cuts``: so many bytes come of the next answer with a file, then the line is cut; once each. ``hangs``: paths that
    are never answered. ``moved``: paths, and where they lead. ``password``: who does not have it (``user:word``) gets
    nothing. ``together``: no file comes before so many are asked for at a time. ``asked`` are the paths that were
    asked for, ``connections`` how many times somebody connected.
    """

    files: dict[str, bytes]
    kind: str = JSON
    ranges: bool = True
    says: dict[str, str] = field(default_factory=dict)
    serves: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    hangs: tuple[str, ...] = ()
    moved: dict[str, str] = field(default_factory=dict)
    password: str = ""
    together: threading.Barrier | None = None
    port: int = 0
    asked: list[str] = field(default_factory=list)
    connections: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def url(self, name: str = "127.0.0.1", password: str = "") -> str:
        """Its address for who knows this machine by that name."""
        return f"http://{password}{'@' if password else ''}{name}:{self.port}/simple"

    def page(self, project: str) -> bytes | None:
        """The page of a project; None where there is none."""
        found = {name: f"/files/{name}" for name in self.files if name.partition("-")[0].replace("_", "-") == project}
        if not found:
            return None
        if self.kind == JSON:
            listed = [{"filename": name, "url": url, "hashes": self._hashes(name)} for name, url in found.items()]
            return json.dumps({"meta": {"api-version": "1.0"}, "name": project, "files": listed}).encode()
        links = (f"<a data-x='1' href='{url}{self._fragment(name)}'>{name}</a>" for name, url in found.items())
        return "<br>\n".join(links).replace("'", '"').encode()

    def _hashes(self, name: str) -> dict[str, str]:
        digest = self.says.get(name, hashlib.sha256(self.files[name]).hexdigest())
        return {"sha256": digest} if digest else {}

    def _fragment(self, name: str) -> str:
        hashes = self._hashes(name)
        return f"#sha256={hashes['sha256']}" if hashes else ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    index: DistantIndex

    def setup(self) -> None:
        super().setup()
        self.index.connections += 1

    def do_GET(self) -> None:
        index = self.index
        index.asked.append(self.path)
        if self.path.startswith(index.hangs or ("none",)):
            index.ended.wait(60)
            self.close_connection = True
        elif index.password and self.headers.get("Authorization") != _basic(index.password):
            self._answer(401, "text/plain", b"who are you?")
        elif self.path in index.moved:
            self._answer(301, "text/plain", b"", Location=index.moved[self.path])
        elif self.path.startswith("/files/"):
            self._file(self.path.removeprefix("/files/"))
        else:
            self._page(index.page(self.path.strip("/").partition("/")[2]))

    def _page(self, content: bytes | None) -> None:
        if content is None:
            self._answer(404, "text/plain", b"not here")
        elif "gzip" in self.headers.get("Accept-Encoding", ""):
            self._answer(200, self.index.kind, gzip.compress(content), Content_Encoding="gzip")
        else:
            self._answer(200, self.index.kind, content)

    def _file(self, name: str) -> None:
        content = self.index.serves.get(name, self.index.files[name])
        if self.index.together:
            self.index.together.wait(60)
        wanted = self.headers.get("Range", "")
        if wanted and self.index.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            there = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._answer(206, "application/octet-stream", content[start:], Content_Range=there)
        else:
            self._answer(200, "application/octet-stream", content)

    def _answer(self, status: int, kind: str, content: bytes, **headers: str) -> None:
        self.send_response(status)
        every = {"Content-Type": kind, "Content-Length": str(len(content)), **headers}
        for name, value in every.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if kind == "application/octet-stream" and self.index.cuts:
            content = content[: self.index.cuts.pop()]
            self.close_connection = True
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """``asked`` has it."""


def _basic(password: str) -> str:
    return "Basic " + base64.b64encode(password.encode()).decode()


@contextmanager
def serving(index: DistantIndex, address: str = "127.0.0.1") -> Iterator[DistantIndex]:
    """The index answers at that address, on a port of its own."""
    handler = type("Handler", (_Handler,), {"index": index})
    with answering(address, handler, index.ended) as index.port:
        yield index


Serve = Callable[..., DistantIndex]
"""Makes an index of files that answers until the end of a test."""
