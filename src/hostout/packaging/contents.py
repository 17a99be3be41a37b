"""What a distribution consists of, apart from the file that it came in: the same for a wheel, for the egg that
zc.buildout makes of it, and for what pip unpacks into ``site-packages``.

Installers record the hash of every file (RECORD of the binary distribution format), also of those that zc.buildout
leaves out of an egg. What does not belong here: sha256 of files as a lock has them, packing (``repack``).
"""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from hostout.packaging import hashes, wheelfile

BY_INSTALLERS = frozenset({"RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED", "direct_url.json"})
"""Metadata that says how something was installed and not what it is."""

LIBRARY = ("purelib", "platlib")

LENGTH = 16
"""Hex digits of a hash in the name of a file that we make."""


def of_wheel(wheel: Path) -> str:
    """The hash (64 hex digits) of the content of a wheel; raises Damaged."""
    with wheelfile.opened(wheel) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        named = sorted((_of_member(m.filename), m.filename) for m in members)
        # data comes after what is at the root, and takes its place
        found = {name: _hashed(archive, member) for (_, name), member in named if name}
    return _digest(found)


def of_installed(info: Path) -> str:
    """The same for an egg or a part of ``site-packages``, by its folder ``….dist-info``."""
    return _digest(dict(_recorded(info)))


def is_metadata(name: str) -> bool:
    """Whether a file, by its name in a ``.dist-info``, was in the wheel already."""
    return name not in BY_INSTALLERS and not name.startswith("uv_")


def is_bytecode(name: str) -> bool:
    """Whether an interpreter made it."""
    return name.endswith((".pyc", ".pyo")) or "__pycache__" in name.split("/")


def rows(info: Path) -> list[tuple[str, str]]:
    """The files that an installer wrote, relative to the folder around ``info``, with the hash as RECORD has it."""
    try:
        text = (info / "RECORD").read_text(encoding="utf-8")
    except FileNotFoundError:
        return [(path.relative_to(info.parent).as_posix(), "") for path in _beside(info)]
    return [(row[0], row[1] if len(row) > 1 else "") for row in csv.reader(text.splitlines()) if row]


def _beside(info: Path) -> list[Path]:
    """All of an egg, which is a folder of its own; of ``site-packages`` only the metadata can be told."""
    top = info.parent if info.parent.suffix == ".egg" else info
    return [path for path in sorted(top.rglob("*")) if path.is_file()]


def _of_member(filename: str) -> tuple[int, str]:
    """Rank and installed name of a member of a wheel; no name where it does not become part of a library.

    A RECORD that no installer has written anew has the names of the wheel.
    """
    top, _, rest = filename.partition("/")
    if not top.endswith(".data"):
        return 0, _named(filename)
    scheme, _, name = rest.partition("/")
    return (1 + LIBRARY.index(scheme), _named(name)) if scheme in LIBRARY else (0, "")


def _named(name: str) -> str:
    """The name without what differs from one installer to the next; none where it does not count."""
    top, _, rest = name.partition("/")
    if top.endswith(".dist-info"):
        return f".dist-info/{rest}" if is_metadata(rest) else ""
    outside = name.startswith(("../", "/")) or "/../" in name
    return "" if outside or is_bytecode(name) else name


def _hashed(archive: zipfile.ZipFile, member: str) -> str:
    with archive.open(member) as stream:
        return hashes.of_stream(stream)


def _recorded(info: Path) -> Iterator[tuple[str, str]]:
    for (_, name), digest in sorted((_of_member(written), digest) for written, digest in rows(info)):
        if not name:
            continue
        path = info / name.partition("/")[2] if name.startswith(".dist-info/") else info.parent / name
        if path.is_file():
            yield name, hashes.of_file(path)
        elif digest:
            yield name, _hex(digest)


def _hex(digest: str) -> str:
    """``sha256=…`` of RECORD as hex digits; another hash as it stands, which is equal to no other."""
    algorithm, _, text = digest.partition("=")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).hex() if algorithm == "sha256" else digest
    except (binascii.Error, ValueError):
        return digest


def _digest(found: Mapping[str, str]) -> str:
    lines = "".join(f"{name}\0{digest}\n" for name, digest in sorted(found.items()))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
