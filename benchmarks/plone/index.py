"""A package index of a folder of wheels, served from this process to hosts that reach no other one.

    with serving(wheels, "10.213.0.1") as index:
        … index.url is what a buildout names as its index; index.requests counts what was asked for …

Simple API (PEP 503), HTML, connections stay open, each file with its sha256: as quick as an index can be.
What does not belong here: which wheels these are (``site.py``).
"""

from __future__ import annotations

import hashlib
import html
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGE = "<!DOCTYPE html><html><body>\n{}\n</body></html>\n"


@dataclass(frozen=True)
class Shelf:
    """The pages and files of a folder: everything is hashed before the first question."""

    folder: Path

    @cached_property
    def pages(self) -> Mapping[str, bytes]:
        """What each project's page says, by normalised name."""
        links: dict[str, list[str]] = {}
        for file in sorted(self.folder.glob("*.whl")):
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            link = f'<a href="/files/{file.name}#sha256={digest}">{html.escape(file.name)}</a>'
            links.setdefault(normalised(file.name.split("-")[0]), []).append(link)
        return {name: PAGE.format("<br>\n".join(each)).encode() for name, each in links.items()}

    def answer(self, path: str) -> tuple[bytes, str] | None:
        """The content at a path and its type; None where there is nothing."""
        if path == "/simple/":
            anchors = (f'<a href="/simple/{name}/">{name}</a>' for name in self.pages)
            return PAGE.format("<br>\n".join(anchors)).encode(), "text/html"
        place, _, name = path.strip("/").partition("/")
        if place == "simple" and (page := self.pages.get(normalised(name))):
            return page, "text/html"
        if place == "files" and name in {file.name for file in self.folder.glob("*.whl")}:
            return (self.folder / name).read_bytes(), "application/octet-stream"
        return None


@dataclass
class Index:
    """An index that is being served: its address, and how many questions it had."""

    url: str
    requests: int = 0


def normalised(name: str) -> str:
    """A name as the simple API has it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@contextmanager
def serving(folder: Path, address: str) -> Iterator[Index]:
    """Serves the wheels of a folder at a free port of one of this machine's addresses."""
    shelf = Shelf(folder)
    assert shelf.pages, f"{folder} has no wheels"
    index = Index("")
    server = ThreadingHTTPServer((address, 0), handler(shelf, index))
    index.url = f"http://{address}:{server.server_address[1]}/simple"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def handler(shelf: Shelf, index: Index) -> type[BaseHTTPRequestHandler]:
    """What answers one connection."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # headers and content are two writes: without this each answer waits for an acknowledgement
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            index.requests += 1
            found = shelf.answer(self.path.partition("?")[0])
            content, kind = found or (b"", "text/html")
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """A log of three hundred lines would hide the figures."""

    return Handler
