"""A wheel written again: another version, the same bytes wherever and whenever it is written.

The format is that of the binary distribution specification (PEP 427, PEP 491). What does not belong
here: how a wheel is built, where it is kept.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
import secrets
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import parse_wheel_filename
from packaging.version import Version

from hostout.errors import PackagingError

DATE = (1980, 1, 1, 0, 0, 0)
"""The earliest date that a zip file can hold."""

GENERATOR = "hostout"


@dataclass(frozen=True)
class Entry:
    """A file of a wheel: ``executable`` is all of its mode that an installer looks at."""

    name: str
    content: bytes
    executable: bool


class Damaged(PackagingError):
    """A file that has the name of a wheel and is none, or not the whole of it."""


@contextmanager
def opened(wheel: Path) -> Iterator[zipfile.ZipFile]:
    """The wheel; whatever is wrong with it, also while it is read, is Damaged."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            yield archive
    # the last ones: a stream cut off, an unknown way to compress, a password, a name that cannot be read
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError) as error:
        raise Damaged(f"{wheel} is no wheel, or is damaged: {error}") from error


def check(wheel: Path) -> None:
    """Raises Damaged where it has no table of contents, which stands at its end; quick, whatever its size."""
    with opened(wheel):
        pass


def is_whole(wheel: Path) -> bool:
    """The same as an answer."""
    try:
        check(wheel)
    except Damaged:
        return False
    return True


def metadata(wheel: Path) -> str:
    """The text of METADATA of a wheel; raises Damaged."""
    with opened(wheel) as archive:
        for name in archive.namelist():
            if re.fullmatch(r"[^/]+\.dist-info/METADATA", name):
                return archive.read(name).decode("utf-8")
        raise ValueError("it has no METADATA")


def version_of(wheel: Path) -> Version:
    """The version in a wheel's file name."""
    return parse_wheel_filename(wheel.name)[1]


def rewrite(wheel: Path, version: str, folder: Path, build: str = "") -> Path:
    """Writes ``wheel`` as ``version`` into ``folder``, entries sorted, dates and modes fixed; returns the new file.

    ``build`` is the tag of that name in its file name, empty for none.
    """
    old = _base(wheel)
    name, tags = wheel.name.split("-")[0], wheel.name.split("-")[-3:]
    new = f"{name}-{version}"
    entries = [_renamed(entry, old, new, version) for entry in _read(wheel) if not _is_record(entry.name)]
    target = folder / "-".join([name, version, *([build] if build else []), *tags])
    write(target, sorted(entries, key=lambda e: e.name), f"{new}.dist-info")
    return target


def write(target: Path, entries: Iterable[Entry], info: str) -> None:
    """A wheel of these entries and of the RECORD of them, which lies in the folder ``info``.

    To a temporary name first: a file that has its final name is whole, also after a power failure.
    """
    temporary, record, rows = target.with_name(f".{target.name}.{secrets.token_hex(4)}.new"), f"{info}/RECORD", []
    try:
        with temporary.open("w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for entry in entries:
                    rows.append((entry.name, f"sha256={_digest(entry.content)}", len(entry.content)))
                    archive.writestr(_info(entry), entry.content, compresslevel=6)
                archive.writestr(_info(Entry(record, b"", False)), _record(rows, record), compresslevel=6)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _base(wheel: Path) -> str:
    """``example-1.2`` of ``example-1.2.dist-info`` as the wheel itself has it: backends differ in how they escape."""
    with opened(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
        found = sorted(top for top in tops if top.endswith(".dist-info"))
        if not found:
            raise ValueError("it has no .dist-info")
        return found[0].removesuffix(".dist-info")


def _read(wheel: Path) -> Iterator[Entry]:
    with opened(wheel) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield Entry(info.filename, archive.read(info), bool(info.external_attr >> 16 & 0o111))


def _is_record(name: str) -> bool:
    return re.fullmatch(r"[^/]+\.dist-info/RECORD(\.jws|\.p7s)?", name) is not None


def _renamed(entry: Entry, old: str, new: str, version: str) -> Entry:
    top, slash, rest = entry.name.partition("/")
    if top not in (f"{old}.dist-info", f"{old}.data"):
        return entry
    name = new + top.removeprefix(old) + slash + rest
    content = entry.content
    if top.endswith(".dist-info") and rest == "METADATA":
        content = _header(content, "Version", version)
    if top.endswith(".dist-info") and rest == "WHEEL":
        content = _header(content, "Generator", GENERATOR)
    return Entry(name, content, entry.executable)


def _header(content: bytes, name: str, value: str) -> bytes:
    """``content`` with the first ``name: …`` of its headers set to ``value``."""
    head, blank, body = content.replace(b"\r\n", b"\n").partition(b"\n\n")
    line = re.compile(rf"^{name}:.*$".encode(), re.MULTILINE | re.IGNORECASE)
    return line.sub(f"{name}: {value}".encode(), head, count=1) + blank + body


def _info(entry: Entry) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(entry.name, DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3
    info.external_attr = (0o100755 if entry.executable else 0o100644) << 16
    return info


def _record(rows: Iterable[tuple[str, str, int]], record: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([*rows, (record, "", "")])
    return text.getvalue().encode()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
