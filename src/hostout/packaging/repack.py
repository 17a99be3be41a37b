"""A wheel packed again out of an egg, or out of ``site-packages``: what was tested, where no file of it is left.

The same files give the same wheel on any machine, but for how it is compressed: hence the name has the hash of the
content in it (as the build tag of the binary distribution format). What does not belong here: whether such a wheel
may be used (``wheels``).
"""

from __future__ import annotations

import configparser
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from functools import cached_property
from pathlib import Path

from packaging.tags import Tag, parse_tag
from packaging.utils import canonicalize_name

from hostout.errors import PackagingError
from hostout.lockfile import plain
from hostout.packaging import contents, wheelfile
from hostout.packaging.rehearsal import exact
from hostout.packaging.tags import Target
from hostout.packaging.wheelfile import Entry

SCRIPT = re.compile(rb"\A#!\S*python\S*[^\n]*\n")
"""The line that an installer made of ``#!python``."""

SHELL_SCRIPT = re.compile(rb"\A#!/bin/sh\n'''exec' [^\n]*\n' '''\n")
"""The same where the path to the interpreter is too long for a first line, or has a blank."""


@dataclass(frozen=True)
class Installed:
    """A distribution that is installed here; ``info`` is its folder ``….dist-info``."""

    info: Path

    @property
    def is_egg(self) -> bool:
        return self.info.parent.suffix == ".egg"

    @cached_property
    def tags(self) -> frozenset[Tag]:
        """Of the wheel that it was installed from."""
        return frozenset(tag for text in self._wheel_tags() for tag in parse_tag(text))

    def fits(self, target: Target) -> bool:
        """Whether it can run there."""
        return runs_there(self.tags, target)

    @property
    def base(self) -> str:
        """``Products_CMFPlone-6.2.0``: how files and folders of the wheel are named."""
        headers = HeaderParser().parsestr((self.info / "METADATA").read_text("utf-8", "replace"), headersonly=True)
        return f"{re.sub(r'[-_.]+', '_', headers['Name'])}-{exact(headers['Version']).replace('-', '_')}"

    def filename(self, build: str) -> str:
        """The wheel's name with this build tag."""
        sets = zip(*[text.split("-") for text in self._wheel_tags()], strict=True)
        return "-".join([self.base, build, *(".".join(dict.fromkeys(some)) for some in sets)]) + ".whl"

    def _wheel_tags(self) -> list[str]:
        headers = HeaderParser().parsestr((self.info / "WHEEL").read_text("utf-8", "replace"))
        return [text for text in headers.get_all("Tag", []) if text.count("-") == 2]


def installed(location: Path, name: str, version: str) -> Installed | None:
    """The distribution of this version that makes ``location`` a path to import from; None where it is no such thing:
    an egg of the old format, a folder under development."""
    if location.suffix == ".egg":
        found = sorted(location.glob("*.dist-info"))
    else:
        found = [path for path in location.glob("*.dist-info") if _is_of(path, name, version)]
    usable = [path for path in found if _is_complete(path)]
    return Installed(usable[0]) if len(usable) == 1 else None


def pack(found: Installed, build: str, folder: Path) -> Path:
    """Writes the wheel into ``folder``, with this build tag, unless it is there, whole; raises PackagingError."""
    target = folder / found.filename(build)
    if not (target.exists() and wheelfile.is_whole(target)):
        try:
            wheelfile.write(target, _entries(found), f"{found.base}.dist-info")
        except OSError as error:
            raise PackagingError(f"{found.info.parent} cannot be packed into {target}: {error.strerror}") from error
    return target


def build_tag(digest: str) -> str:
    """The build tag of a wheel that we made of content with this hash."""
    return f"0h{digest[: contents.LENGTH]}"


def source_tag(sources: Iterable[str]) -> str:
    """The build tag of a wheel made of a source distribution that has one of these sha256."""
    return f"0s{hashlib.sha256(' '.join(sorted(sources)).encode()).hexdigest()[: contents.LENGTH]}"


def runs_there(tags: Iterable[Tag], target: Target) -> bool:
    """Whether a wheel made on this machine runs there: what was compiled here, only on a system that is no older."""
    return any(_fits(tag, target) for tag in tags)


def _is_of(info: Path, name: str, version: str) -> bool:
    found, _, number = info.name.removesuffix(".dist-info").rpartition("-")
    return canonicalize_name(found) == canonicalize_name(name) and plain(number.replace("_", "-")) == plain(version)


def _is_complete(info: Path) -> bool:
    """Whether all of it lies here; what is editable lies elsewhere."""
    url = info / "direct_url.json"
    editable = url.is_file() and re.search(r'"editable"\s*:\s*true', url.read_text("utf-8", "replace"))
    return (info / "WHEEL").is_file() and (info / "METADATA").is_file() and not editable


def _fits(tag: Tag, target: Target) -> bool:
    if tag not in target.ranks:
        return False
    return not tag.platform.startswith("linux_") or _no_older(target.libc)


def _no_older(libc: tuple[str, int, int]) -> bool:
    """Whether what was linked on this machine finds its C library there."""
    ours = _libc()
    return libc[0] == ours[0] and libc[1:] >= ours[1:] if ours else libc[0] != "glibc"


def _libc() -> tuple[str, int, int] | None:
    """``("glibc", 2, 36)``; None where this machine has another one."""
    try:
        found = re.fullmatch(r"(\w+) (\d+)\.(\d+).*", os.confstr("CS_GNU_LIBC_VERSION") or "")
    except (ValueError, OSError):
        return None
    return (found[1], int(found[2]), int(found[3])) if found else None


def _entries(found: Installed) -> Iterator[Entry]:
    """Sorted by name, one after the other: a distribution may be large."""
    files = dict(_of_egg(found) if found.is_egg else _of_site_packages(found))
    for name in sorted(files):
        content = files[name].read_bytes()
        script = f"{found.base}.data/scripts/" in name
        yield Entry(name, _portable(content) if script else content, _executable(files[name]))


def _executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)


def _of_egg(found: Installed) -> Iterator[tuple[str, Path]]:
    """Names in the wheel and files here."""
    for path in found.info.parent.rglob("*"):
        name = path.relative_to(found.info.parent).as_posix()
        if path.is_file() and (inside := _inside(name, found)):
            yield inside, path


def _of_site_packages(found: Installed) -> Iterator[tuple[str, Path]]:
    """What an installer wrote there, and into ``bin`` and other folders of that environment."""
    library, generated = found.info.parent, _generated(found.info)
    for written, _ in contents.rows(found.info):
        path = Path(os.path.normpath(library / written))
        if path.is_relative_to(library):
            if path.is_file() and (inside := _inside(path.relative_to(library).as_posix(), found)):
                yield inside, path
        elif path.is_file() and not Path(written).is_absolute() and path.name not in generated:
            yield f"{found.base}.data/{_scheme(written)}", path


def _scheme(written: str) -> str:
    """``../../../bin/tool`` of an environment is ``scripts/tool`` in a wheel, all else its data."""
    rest = re.sub(r"\A(\.\./)+", "", written)
    return f"scripts/{rest.removeprefix('bin/')}" if rest.startswith("bin/") else f"data/{rest}"


def _inside(name: str, found: Installed) -> str:
    """A file's name in the wheel; none where it says how this was installed, or is bytecode."""
    top, _, rest = name.partition("/")
    if top == found.info.name:
        return f"{found.base}.dist-info/{rest}" if contents.is_metadata(rest) else ""
    return "" if contents.is_bytecode(name) else name


def _generated(info: Path) -> frozenset[str]:
    """The scripts that installers make of entry points; pip adds some of its own name."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as its documentation has it
    try:
        parser.read_string((info / "entry_points.txt").read_text("utf-8"))
    except (OSError, ValueError, configparser.Error):
        return frozenset()
    sections = [s for s in ("console_scripts", "gui_scripts") if parser.has_section(s)]
    names = {name for section in sections for name in parser.options(section)}
    return frozenset(names | _numbered(names, info))


def _numbered(names: Iterable[str], info: Path) -> set[str]:
    """``pip3.11`` and the like."""
    if not info.name.startswith(("pip-", "setuptools-")):
        return set()
    folder = info.parent.parent.parent.parent / "bin"
    return {path.name for name in names for path in folder.glob(f"{name}[-0-9]*")}


def _portable(script: bytes) -> bytes:
    """A script as it was in the wheel, for any interpreter."""
    line, times = SHELL_SCRIPT.subn(b"#!python\n", script)
    return line if times else SCRIPT.sub(b"#!python\n", script)
