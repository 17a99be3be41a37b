"""Every file that ``extends`` names, near or far, as files of the bundle that need nothing else.

Files inside the buildout keep their place; the others, those behind URLs too, become files of ``hostout-extends/``
named by their content, and the ``extends`` that named them are rewritten. What does not belong here: what
is removed from the files (``bundle``), what their sections mean.
"""

from __future__ import annotations

import base64
import hashlib
import os
import posixpath
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO

from hostout import cfgfile
from hostout.errors import ConfigurationError
from hostout.model import Emit, Event
from hostout.packaging.places import writing

FOLDER = "hostout-extends"
TIMEOUT = 20.0
"""Seconds that a server may be silent."""

PATIENCE = 60.0
"""Seconds for one whole file."""

BLOCK = 65536
LIMIT = 10_000_000
"""Bytes of one fetched file; what is larger is no configuration."""


@dataclass(frozen=True)
class ConfigFile:
    """A configuration file of the bundle: ``name`` relative to it, ``source`` the path or URL it came from."""

    name: str
    source: str
    text: str


class Reader:
    """Reads paths and URLs, each once; ``cache`` keeps what URLs gave, for the day when they give nothing."""

    def __init__(self, cache: Path, emit: Emit) -> None:
        self.cache = cache
        self.emit = emit
        self._read: dict[str, bytes] = {}

    def read(self, source: str) -> bytes:
        if source not in self._read:
            self._read[source] = self._fetched(source) if is_url(source) else Path(source).read_bytes()
        return self._read[source]

    def _fetched(self, url: str) -> bytes:
        """What is behind the URL now; where that cannot be had, what was there the last time."""
        kept = self.cache / hashlib.sha256(url.encode()).hexdigest()[:32]
        try:
            content = _download(url)
        except OSError as error:
            if not kept.exists():
                raise
            self.emit(Event("warning", f"{shown(url)}: {_reason(error)}; using the copy of the last deployment"))
            return kept.read_bytes()
        with writing(self.cache):
            self.cache.mkdir(parents=True, exist_ok=True)
            _keep(content, kept)
        return content


class Extends:
    """Follows ``extends`` from the files of the buildout in ``directory``; ``strip`` takes out what must not travel."""

    def __init__(self, directory: Path, reader: Reader, strip: Callable[[str], str]) -> None:
        self.directory = directory
        self.reader = reader
        self.strip = strip
        self.files: dict[str, ConfigFile] = {}
        self._names: dict[str, str] = {}
        self._bases: dict[str, tuple[str, ...]] = {}

    def add(self, source: str, chain: tuple[str, ...] = ()) -> str:
        """Adds a file and all that it extends; returns its name in the bundle.

        ``source`` is an absolute path or a URL. Raises ConfigurationError for a loop or a file that cannot be read.
        """
        if source in chain:
            raise ConfigurationError(
                "extends: these files extend each other: " + " → ".join(map(shown, [*chain, source]))
            )
        if source not in self._names:
            self._names[source] = self._added(source, chain)
        return self._names[source]

    def applied(self, name: str) -> list[str]:
        """The files that a file of the bundle consists of in the order in which buildout applies them: later ones win,
        and one that is extended twice is applied twice."""
        return [*(each for base in self._bases[name] for each in self.applied(base)), name]

    def _added(self, source: str, chain: tuple[str, ...]) -> str:
        text = self._read(source, chain)
        inside = self._inside(source)
        named = {word: self._follow(word, source, text, chain) for word in _words(text)}
        renames = {word: _relative(name, inside) if name else None for word, name in named.items()}
        changed = {word: name for word, name in renames.items() if name != word}
        text = self.strip(cfgfile.rename_extends(text, changed) if changed else text)
        name = inside or f"{FOLDER}/{_digest(text)}-{_basename(source)}"
        self.files[name] = ConfigFile(name, source, text)
        self._bases[name] = tuple(base for base in named.values() if base)
        return name

    def _follow(self, word: str, source: str, text: str, chain: tuple[str, ...]) -> str | None:
        """The bundle's name for a word of ``extends``; ``None``: an optional or conditional file that is not there."""
        target = _resolved(word, source)
        needed = word in cfgfile.extends_of(text, lambda condition: False)
        if not needed and not is_url(target) and not Path(target).is_file():
            return None
        return self.add(target, (*chain, source))

    def _inside(self, source: str) -> str:
        """The place of a file relative to the buildout, empty for one that lies elsewhere."""
        if is_url(source) or not Path(source).is_relative_to(self.directory):
            return ""
        return Path(source).relative_to(self.directory).as_posix()

    def _read(self, source: str, chain: tuple[str, ...]) -> str:
        origin = f" (extended by {shown(chain[-1])})" if chain else ""
        try:
            content = self.reader.read(source)
        except OSError as error:
            raise ConfigurationError(f"buildout: {shown(source)}{origin} cannot be read: {_reason(error)}") from error
        return content.decode("utf-8", "surrogateescape")


def is_url(source: str) -> bool:
    """As zc.buildout decides it: a scheme of more than one letter."""
    return "://" in source and len(urllib.parse.urlsplit(source).scheme) > 1


def _words(text: str) -> list[str]:
    return cfgfile.extends_of(text) + cfgfile.optional_extends_of(text)


def _resolved(word: str, source: str) -> str:
    """What ``word`` means in ``source``, as zc.buildout reads it: relative to the file or URL that it stands in."""
    if is_url(word):
        return word
    if is_url(source) and not word.startswith("/"):
        return f"{source[: source.rfind('/')]}/{word}"
    folder = Path("/") if is_url(source) else Path(source).parent
    return os.path.normpath(folder / Path(word).expanduser())


def _relative(name: str, inside: str) -> str:
    """``name`` of the bundle as a file of the bundle names it; those from elsewhere all lie in one folder."""
    return posixpath.relpath(name, posixpath.dirname(inside) or ".") if inside else posixpath.relpath(name, FOLDER)


def _basename(source: str) -> str:
    name = posixpath.basename(urllib.parse.urlsplit(source).path if is_url(source) else source)
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name) or "extends.cfg"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:10]


def shown(source: str) -> str:
    """A path or URL for people: without a password in it."""
    if not is_url(source):
        return source
    scheme, _, rest = source.partition("://")
    server, slash, path = rest.partition("/")
    return f"{scheme}://{server.rpartition('@')[2]}{slash}{path}"


def _request(url: str) -> urllib.request.Request:
    """User and password of a URL as the header they mean: urllib does not know them."""
    request = urllib.request.Request(shown(url))
    parts = urllib.parse.urlsplit(url)
    if parts.username:
        words = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        request.add_header("Authorization", "Basic " + base64.b64encode(words.encode()).decode())
    return request


class _Redirects(urllib.request.HTTPRedirectHandler):
    """User and password are for the server that they were written for."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        again = super().redirect_request(req, fp, code, msg, headers, newurl)
        # not by the request's own host, which may be a proxy
        if again and not _is_the_same_server(req.full_url, newurl):
            again.remove_header("Authorization")
        return again


def _is_the_same_server(first: str, then: str) -> bool:
    """Also the one that sends everybody from http to https."""
    one, other = map(urllib.parse.urlsplit, (first, then))
    safer = (one.scheme, other.scheme, one.port or 80, other.port or 443) == ("http", "https", 80, 443)
    return one.hostname == other.hostname and (safer or (one.scheme, one.port) == (other.scheme, other.port))


def _download(url: str) -> bytes:
    """All of it; raises OSError where it breaks off, which an answer does not do by itself."""
    try:
        with urllib.request.build_opener(_Redirects).open(_request(url), timeout=TIMEOUT) as answer:
            content = b"".join(_blocks(answer))
            missing = answer.length if isinstance(answer, HTTPResponse) else 0
    except HTTPException as error:
        raise OSError(f"what came is no whole answer ({type(error).__name__})") from error
    if missing:
        raise OSError(f"broke off {missing} bytes before its end")
    return content


def _blocks(answer: IO[bytes]) -> Iterator[bytes]:
    until, size = time.monotonic() + PATIENCE, 0
    while block := answer.read1(BLOCK):  # type: ignore[attr-defined]
        size += len(block)
        if size > LIMIT:
            raise OSError(f"more than {LIMIT} bytes")
        if time.monotonic() > until:
            raise OSError(f"not here after {PATIENCE:.0f} seconds")
        yield block


def _keep(content: bytes, kept: Path) -> None:
    """The whole of it, or what was there before; it may hold secrets that do not travel."""
    temporary = kept.with_name(f".{kept.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(kept)
    finally:
        temporary.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error.strerror
    return str(reason or error)
