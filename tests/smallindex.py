"""A package index on loopback for a real pip: the simple pages of what is in a folder, and every way to misbehave.

What does not belong here: making wheels.
"""

from __future__ import annotations

import hashlib
import html
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote

from packaging.utils import canonicalize_name

from webserver import answering

PAGE = "<!DOCTYPE html><html><body>{}</body></html>"


@dataclass
class SmallIndex:
    """Serves ``folder``; the sets and mappings are read at every request.

    ``yanked`` has reasons by file name, ``said`` the sha256 that the page says of a file instead of the right one,
    ``served`` what comes instead of a file. ``hangs``: paths below which nothing is answered until the end.
    ``asked`` are the paths that were asked for.
    """

    folder: Path
    address: str = ""
    yanked: dict[str, str] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    served: dict[str, bytes] = field(default_factory=dict)
    hangs: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """As an index of pip and of zc.buildout."""
        return f"{self.address}/simple"

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, type and content."""
        first, _, name = unquote(path).strip("/").partition("/")
        if first == "files" and (self.folder / name).is_file():
            return 200, "application/octet-stream", self.served.get(name, (self.folder / name).read_bytes())
        links = "".join(self._links(name.strip("/"))) if first == "simple" else ""
        return (200, "text/html", PAGE.format(links).encode()) if links else (404, "text/plain", b"not here")

    def _links(self, project: str) -> Iterator[str]:
        for file in sorted(self.folder.iterdir()):
            if canonicalize_name(file.name.split("-")[0]) == project:
                right = hashlib.sha256(file.read_bytes()).hexdigest()
                sha256 = self.said.get(file.name, right)
                reason = self.yanked.get(file.name)
                yanked = "" if reason is None else f' data-yanked="{html.escape(reason)}"'
                digest = f"#sha256={sha256}" if sha256 else ""
                yield f'<a href="/files/{file.name}{digest}"{yanked}>{file.name}</a>\n'


@contextmanager
def serving(folder: Path) -> Iterator[SmallIndex]:
    """The index of a folder, which is made, on a port of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    index = SmallIndex(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index.asked.append(self.path)
            if self.path.startswith(index.hangs or ("none",)):
                index.ended.wait(60)
                return
            status, kind, content = index.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """``asked`` has it."""

    with answering("127.0.0.1", Handler, index.ended) as port:
        index.address = f"http://127.0.0.1:{port}"
        yield index
