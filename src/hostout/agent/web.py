"""Package indexes over HTTP: the pages of their projects in JSON or HTML (PEP 503, 691), and the files on them.

Nothing here is believed but by its sha256, which is compared elsewhere. Passwords go to where they were given for and
nowhere else. What does not belong here: which files are wanted, and where they go (``fetch.py``).
"""

from __future__ import annotations

import base64

# names are looked up with it, by somebody who may not be able to read it any more
import encodings.idna  # noqa: F401
import html
import http.client
import json
import re
import urllib.request
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urldefrag, urljoin, urlsplit, urlunsplit

try:
    import ssl
except ImportError:  # a Python that was made without it
    ssl = None  # type: ignore[assignment]

CONNECT, SILENT = 3.0, 6.0
"""Seconds to wait for a connection, and for the next byte."""

NO_ANSWER = "no answer"

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_LARGEST_PAGE = 1 << 26
_PIECE = 1 << 17
_REDIRECTS = 5
_LINK = re.compile(r"""<a\s[^>]*?href\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_BASE = re.compile(r"""<base\s[^>]*?href\s*=\s*["']([^"']+)""", re.IGNORECASE)
# what is as good as no answer
_BAD = (OSError, http.client.HTTPException)
# what may stand in a request as it is, so that nothing is quoted twice
_PLAIN = "!#$%&'()*+,/:;=?@[]~"

Origin = tuple[str, str, int]
"""Scheme, host and port."""


class Broken(Exception):
    """Not what was asked for: one line, which shows no more of an address than its host."""


class Silent(Broken):
    """Nobody answers there, or not to the end."""

    def __init__(self, url: str, error: Exception | str) -> None:
        self.why = error if isinstance(error, str) else _reason(error)
        super().__init__(f"{host(url)}: {self.why}")


@dataclass(frozen=True)
class Link:
    """A file that somebody offers under this name; ``sha256`` is empty where they do not say it."""

    url: str
    filename: str
    sha256: str


def host(url: str) -> str:
    """What may be shown of an address."""
    return urlsplit(url).hostname or "?"


def place(url: str) -> str:
    """Scheme, host and port of an address, as it has them; may be shown as well."""
    parts = urlsplit(bare(url))
    return f"{parts.scheme}://{parts.netloc}"


def bare(url: str) -> str:
    """An address without its password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def passwords(urls: Iterable[str]) -> dict[Origin, str]:
    """By origin the header that lets us in there."""
    return {_origin(parts): _basic(parts) for parts in map(urlsplit, urls) if parts.username}


def why_not(url: str) -> str:
    """Why nobody can be asked at an address; empty where somebody can."""
    try:
        _Line.to(_origin(urlsplit(url))).connection.close()
    except Broken as error:
        return str(error)
    except (*_BAD, ValueError) as error:
        return _reason(error)
    return ""


class Web:
    """HTTP for one thread, whose connections stay open; ``allowed`` as ``passwords`` gives it. All raise Broken."""

    def __init__(self, allowed: Mapping[Origin, str]) -> None:
        self._allowed = allowed
        self._lines: dict[Origin, _Line] = {}

    def links(self, page: str) -> list[Link]:
        """What a page offers; nothing where there is no such page."""
        url, response = self._get(page, {"Accept": _ACCEPT, "Accept-Encoding": "gzip"})
        content = b"".join(_pieces(url, response, _LARGEST_PAGE))
        if response.status in (404, 410):
            return []
        if response.status != 200:
            raise Broken(f"{host(url)} answers {response.status} {response.reason}")
        try:
            if response.getheader("Content-Encoding") == "gzip":
                content = zlib.decompressobj(31).decompress(content, _LARGEST_PAGE)
            kind = response.getheader("Content-Type") or ""
            return list((_of_json if "json" in kind else _of_html)(url, content.decode("utf-8", "replace")))
        except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
            raise Broken(f"{host(url)} answers with what is no page of an index") from error

    def file(self, url: str, start: int) -> tuple[int, Iterator[bytes]]:
        """A file from ``start`` on, or the whole where only that is to be had: where it begins, and its pieces."""
        url, response = self._get(url, {"Range": f"bytes={start}-"} if start else {})
        if response.status not in (200, 206):
            raise Broken(f"{host(url)} answers {response.status} {response.reason}")
        return (start if response.status == 206 else 0), _pieces(url, response)

    def _get(self, url: str, headers: Mapping[str, str]) -> tuple[str, http.client.HTTPResponse]:
        """What answers, and from where in the end. It is to be read before anything else is asked for there."""
        for _ in range(_REDIRECTS):
            response = self._ask(url, headers)
            target = response.getheader("Location")
            if response.status not in (301, 302, 303, 307, 308) or not target:
                return url, response
            url = _moved(url, target, response)
        raise Broken(f"{host(url)} leads in circles")

    def _ask(self, url: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        parts = urlsplit(url)
        origin = _origin(parts)
        if origin in self._allowed:
            headers = {**headers, "Authorization": self._allowed[origin]}
        kept = self._lines.pop(origin, None)
        try:
            # whoever closed it meanwhile, or was not heard to the end, is called once more
            response = kept and kept.ask(parts, headers)
        except (*_BAD, ValueError):
            response = None
        try:
            line = kept if response and kept else _Line.to(origin)
            response = response or line.ask(parts, headers)
        except (http.client.InvalidURL, ValueError) as error:
            raise Broken(f"{host(url)}: no address that can be asked") from error
        except _BAD as error:
            raise Silent(url, error) from error
        self._lines[origin] = line
        return response


@dataclass(frozen=True)
class _Line:
    """A connection; ``absolute`` where a proxy has to be told whom we mean, with these headers."""

    connection: http.client.HTTPConnection
    absolute: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def to(cls, origin: Origin) -> _Line:
        """Connected, through the proxy that the environment names for it."""
        scheme, name, port = origin
        proxy = _proxy(scheme, name)
        make = _secure if scheme == "https" else http.client.HTTPConnection
        connection = make(proxy.hostname or name, (proxy.port or 8080) if proxy.hostname else port, timeout=CONNECT)
        password = {"Proxy-Authorization": _basic(proxy)} if proxy.username else {}
        if proxy.hostname and scheme == "https":
            connection.set_tunnel(name, port, password)
        connection.connect()
        connection.sock.settimeout(SILENT)
        return cls(connection, True, password) if proxy.hostname and scheme == "http" else cls(connection)

    def ask(self, parts: SplitResult, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """What comes back; raises one of ``_BAD``."""
        netloc = parts.netloc.rpartition("@")[2]
        there = (parts.scheme, netloc) if self.absolute else ("", "")
        # a page may have a blank or an umlaut in a link; http.client takes neither
        path = quote(urlunsplit((*there, parts.path or "/", parts.query, "")), safe=_PLAIN)
        self.connection.request("GET", path, headers={**headers, **self.headers, "Host": netloc})
        return self.connection.getresponse()


def _secure(name: str, port: int, timeout: float) -> http.client.HTTPSConnection:
    if ssl is None:
        raise Broken(f"{name}: the Python of the host has no TLS")
    return http.client.HTTPSConnection(name, port, timeout=timeout, context=_trust())


@lru_cache
def _trust() -> Any:
    """Whom the host trusts; read once."""
    return ssl.create_default_context()


def _moved(url: str, target: str, response: http.client.HTTPResponse) -> str:
    """Where an answer sends us; it is read, so that the line can be used again."""
    try:
        response.read(_PIECE)
        return urljoin(url, target)
    except ValueError as error:
        raise Broken(f"{host(url)} leads to what is no address") from error
    except _BAD as error:
        raise Silent(url, error) from error


def _pieces(url: str, response: http.client.HTTPResponse, most: int = 1 << 40) -> Iterator[bytes]:
    try:
        while piece := response.read(_PIECE):
            yield piece
            most -= len(piece)
            if most < 0:
                raise Broken(f"{host(url)} answers without end")
    except _BAD as error:
        raise Silent(url, error) from error
    if response.length:
        raise Silent(url, "it broke off")


def _of_json(page: str, content: str) -> Iterator[Link]:
    for file in json.loads(content)["files"]:
        # nobody else's link is worse for one that is no address
        with suppress(ValueError):
            url = urljoin(page, file["url"])
            yield Link(url, file["filename"], file.get("hashes", {}).get("sha256", ""))


def _of_html(page: str, content: str) -> Iterator[Link]:
    base = _BASE.search(content)
    top = urljoin(page, html.unescape(base[1])) if base else page
    for found in _LINK.finditer(content):
        try:
            url, fragment = urldefrag(urljoin(top, html.unescape(found[1] or found[2] or "")))
        except ValueError:
            # nobody else's link is worse for it
            continue
        kind, _, digest = fragment.partition("=")
        yield Link(url, unquote(urlsplit(url).path.rpartition("/")[2]), digest if kind == "sha256" else "")


def _origin(parts: SplitResult) -> Origin:
    try:
        ports = {"http": 80, "https": 443}
        return parts.scheme, str(parts.hostname), parts.port or ports[parts.scheme]
    except (ValueError, KeyError):
        raise Broken(f"{parts.hostname or 'an index'}: no address that can be asked") from None


def _proxy(scheme: str, name: str) -> SplitResult:
    """Whom the environment names as a proxy; one without a host where it names none."""
    named = "" if urllib.request.proxy_bypass(name) else urllib.request.getproxies().get(scheme, "")
    return urlsplit(named if "//" in named else f"//{named}")


def _basic(parts: SplitResult) -> str:
    words = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(words.encode()).decode()


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return NO_ANSWER
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
