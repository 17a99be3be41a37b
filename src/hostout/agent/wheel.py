"""What is in a wheel, and what becomes of it as an egg of zc.buildout.

The wheel is that of the binary distribution format specification; the egg is what zc.buildout 5 and 6 make of it with
pip. A wheel that would write outside of its folder, or one file twice, is refused before anything is written.
What does not belong here: the cache of eggs (``eggs.py``), the environment's folder (``environment.py``).
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from . import durable, people
from .failure import Failed

try:
    from lzma import LZMAError
except ImportError:  # a Python that was made without it
    LZMAError = zipfile.BadZipFile  # type: ignore[assignment, misc]

Members = dict[str, zipfile.ZipInfo]
"""Members of a wheel by the name that they are installed under."""

_LIBRARY = ("purelib", "platlib")
_SCHEMES = (*_LIBRARY, "scripts", "headers", "data")
# where pip keeps its libraries while it installs into one folder: data comes to lie among them, or never comes out
_PIPS_OWN = "lib/python"
_BYTECODE = (".pyc", ".pyo")
_NAMESPACES = (("pkg_resources", "declare_namespace"), ("pkgutil", "extend_path"))
_LONGEST_NAMESPACE = 6
_READ_AT_ONCE = 1 << 22
_VERSION = re.compile(
    r"""v?(?:(?P<epoch>\d+)!)?(?P<release>\d+(?:\.\d+)*)
    (?:[-_.]?(?P<pre>alpha|beta|preview|pre|rc|a|b|c)[-_.]?(?P<pre_number>\d*))?
    (?P<post>-(?P<implicit>\d+)|[-_.]?(?:post|rev|r)[-_.]?(?P<post_number>\d*))?
    (?P<dev>[-_.]?dev[-_.]?(?P<dev_number>\d*))?
    (?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?""",
    re.VERBOSE | re.IGNORECASE,
)
_PRE = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}


@dataclass(frozen=True)
class Egg:
    """An egg before it is written: the name of its folder, its files, and its folders that may be empty."""

    name: str
    files: Mapping[str, zipfile.ZipInfo]
    folders: frozenset[str]


@contextmanager
def opened(file: Path | IO[bytes], name: str) -> Iterator[zipfile.ZipFile]:
    """The wheel, checked; whatever is wrong with it, also while it is read, is a Failed that begins with ``name``."""
    try:
        with zipfile.ZipFile(file) as archive:
            _check(archive)
            yield archive
    except _Unfit as error:
        raise Failed(f"{name} {error}") from error
    # the last ones: a stream cut off, an unknown way to compress, a password, a name that cannot be read
    except (zipfile.BadZipFile, zlib.error, LZMAError, struct.error, EOFError, RuntimeError, ValueError) as error:
        raise Failed(f"{name} is no wheel, or is damaged: {error}") from error
    except LookupError as error:
        # Python loads how names are encoded when it meets one, as who may not read it
        if os.access(os.__file__, os.R_OK, effective_ids=True):
            raise
        raise Failed(
            f"user {people.agent().name} cannot read {Path(os.__file__).parent}, the Python that runs hostout on "
            "this host: put one that everybody can read first in PATH there"
        ) from error


def library(archive: zipfile.ZipFile) -> Members:
    """What goes into a folder of packages: the root of the wheel, then ``.data/purelib`` and ``.data/platlib``."""
    inner = {rest: member for scheme, rest, member in _data(archive) if scheme in _LIBRARY}
    return {**{member.filename: member for member in _files(archive) if not _is_data(member.filename)}, **inner}


def egg(archive: zipfile.ZipFile, tag: str) -> Egg:
    """As zc.buildout makes it; ``tag`` is Python and platform, ``py3.11-linux-x86_64``."""
    every = {**library(archive), **_among(archive)}
    info = _info(every)
    base = _base(archive, info, tag)
    packages = {name: member for name, member in every.items() if not name.startswith(f"{info}/")}
    tree = {**_beside(archive, packages), **packages}
    emptied = _namespaces(archive, tree)
    tree = {name: member for name, member in tree.items() if name not in emptied}
    if _makes_scripts(archive, info):
        tree = {name: member for name, member in tree.items() if not name.startswith("bin/")}
    files, folders = _moved(tree, _parents([*tree, *emptied]), _top_levels(archive, info))
    left = {name: member for name, member in packages.items() if name in tree and not name.endswith(_BYTECODE)}
    metadata = {f"{base}.dist-info/{name[len(info) + 1 :]}": every[name] for name in every if name not in packages}
    return Egg(f"{base}.egg", {**left, **files, **metadata}, folders)


def write(archive: zipfile.ZipFile, files: Mapping[str, zipfile.ZipInfo], folder: Path) -> None:
    """The files into ``folder``, with modes 644 or 755 (under a umask of 022)."""
    made, root = {""}, str(folder)
    # plain text and not paths: these are twenty thousand files of a Plone
    for name, member in files.items():
        above = name.rpartition("/")[0]
        if above not in made:
            (folder / above).mkdir(parents=True, exist_ok=True)
            made.add(above)
        _write(archive, member, f"{root}/{name}")


def is_version(text: str) -> bool:
    """Whether PEP 440 has it."""
    return _VERSION.fullmatch(text) is not None


def version(text: str) -> str:
    """As PEP 440 has it normalised (``2024.07.04`` is ``2024.7.4``); what is none, as eggs have always had it."""
    found = _VERSION.fullmatch(text.strip())
    if found is None:
        return re.sub("[^A-Za-z0-9.]+", "-", text.replace(" ", "."))
    epoch, pre, local = int(found["epoch"] or 0), (found["pre"] or "").lower(), (found["local"] or "").lower()
    return "".join(
        (
            f"{epoch}!" if epoch else "",
            ".".join(str(int(part)) for part in found["release"].split(".")),
            f"{_PRE.get(pre, pre)}{int(found['pre_number'] or 0)}" if pre else "",
            f".post{int(found['implicit'] or found['post_number'] or 0)}" if found["post"] else "",
            f".dev{int(found['dev_number'] or 0)}" if found["dev"] else "",
            "+" + ".".join(str(int(p)) if p.isdigit() else p for p in re.split("[-_.]", local)) if local else "",
        )
    )


class _Unfit(Exception):
    """What a wheel has in it that nothing can be made of; read after the wheel's name."""


def _check(archive: zipfile.ZipFile) -> None:
    """Raise _Unfit where members would become files elsewhere, or nobody can say which of them."""
    seen: set[str] = set()
    for member in _files(archive):
        file = member.filename
        if durable.outside(file):
            raise _Unfit(f"has a member that is outside of it, or under no plain name: {file!r}")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise _Unfit(f"has a link in it: {file!r}")
        if file in seen:
            raise _Unfit(f"has a file twice: {file!r}")
        seen.add(file)
    if clash := sorted(seen & _parents(seen)):
        raise _Unfit(f"has a file and a folder of one name: {clash[0]!r}")


def _files(archive: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    return (member for member in archive.infolist() if not member.filename.endswith("/"))


def _is_data(name: str) -> bool:
    return name.partition("/")[0].endswith(".data")


def _data(archive: zipfile.ZipFile) -> Iterator[tuple[str, str, zipfile.ZipInfo]]:
    """Scheme, name below it and member of what lies in ``.data`` folders; raises _Unfit for an unknown scheme."""
    for member in _files(archive):
        if _is_data(member.filename):
            scheme, _, rest = member.filename.partition("/")[2].partition("/")
            if scheme not in _SCHEMES or not rest:
                raise _Unfit(f"has data that is of no use: {member.filename!r}")
            yield scheme, rest, member


def _info(names: Iterable[str]) -> str:
    """The one folder of metadata."""
    names = set(names)
    found = sorted(top for top in durable.top(names) if top.endswith(".dist-info") and f"{top}/METADATA" in names)
    if len(found) != 1:
        raise _Unfit(f"has {len(found)} folders of metadata where a wheel has one")
    return found[0]


def _base(archive: zipfile.ZipFile, info: str, tag: str) -> str:
    """``Products.CMFPlone-6.1.1-py3.11-linux-x86_64``: the name as METADATA has it, the version of the folder."""
    headers = _text(archive, f"{info}/METADATA").partition("\n\n")[0]
    name = re.search(r"^name:[ \t]*(\w[^/\0\n]*)$", headers, re.MULTILINE | re.IGNORECASE)
    number = re.match(r"[^-]+-([^-]+)", info.removesuffix(".dist-info"))
    if name is None or number is None:
        raise _Unfit(f"has nothing that an egg can be named after in {info}")
    return f"{name[1].strip().replace('-', '_')}-{version(number[1]).replace('-', '_')}-{tag}"


def _among(archive: zipfile.ZipFile) -> Members:
    """Data that comes to lie where the packages do."""
    own = f"{_PIPS_OWN}/"
    data = ((rest, member) for scheme, rest, member in _data(archive) if scheme == "data")
    return {rest[len(own) :]: member for rest, member in data if rest.startswith(own)}


def _beside(archive: zipfile.ZipFile, packages: Mapping[str, zipfile.ZipInfo]) -> Members:
    """Data that comes to lie beside the packages, and is kept where ``top_level.txt`` names it."""
    taken = durable.top(packages)
    data = {rest: member for scheme, rest, member in _data(archive) if scheme == "data"}
    tops = {top for top in durable.top(data) if top not in taken and not _PIPS_OWN.startswith(top)}
    return {name: member for name, member in data.items() if name.partition("/")[0] in tops}


def _namespaces(archive: zipfile.ZipFile, tree: Mapping[str, zipfile.ZipInfo]) -> set[str]:
    """Each ``__init__.py`` that is alone in its folder and does nothing but declare a namespace."""
    within: dict[str, list[str]] = {}
    for name in tree:
        within.setdefault(name.rpartition("/")[0], []).append(name)
    alone = [names[0] for names in within.values() if len(names) == 1]
    return {name for name in alone if name.split("/")[-1] == "__init__.py" and _declares(_read(archive, tree[name]))}


def _declares(text: str) -> bool:
    lines = [line for line in text.split("\n") if line.strip() and not line.strip().startswith("#")]
    if len(lines) > _LONGEST_NAMESPACE:
        return False
    return any(_one_after_the_other(lines, *words) for words in _NAMESPACES)


def _one_after_the_other(lines: list[str], first: str, second: str) -> bool:
    """Whether a line has ``first``, and that one or a later one ``second``."""
    start = next((number for number, line in enumerate(lines) if first in line), len(lines))
    return any(second in line for line in lines[start:])


def _makes_scripts(archive: zipfile.ZipFile, info: str) -> bool:
    text = _text(archive, f"{info}/entry_points.txt")
    return "console_scripts" in text or "gui_scripts" in text


def _top_levels(archive: zipfile.ZipFile, info: str) -> list[str]:
    lines = (line.strip().rstrip("/") for line in _text(archive, f"{info}/top_level.txt").split("\n"))
    return [line for line in lines if not durable.outside(line)]


def _moved(tree: Members, folders: set[str], tops: Iterable[str]) -> tuple[Members, frozenset[str]]:
    """What ``top_level.txt`` names, taken out of ``tree``: whole, under the last part of its name alone.

    A folder comes with its bytecode and with folders that have become empty; what is no folder may be a module.
    """
    files: Members = {}
    kept: set[str] = set()
    for top in tops:
        above = len(top.rpartition("/")[0]) + 1 if "/" in top else 0
        inside = {name for name in folders if f"{name}/".startswith(f"{top}/")}
        module = () if top in tree or inside else (f"{top}.py", f"{top}.pyc" if f"{top}.py" in tree else "")
        names = [name for name in tree if name == top or name in module or name.startswith(f"{top}/")]
        files.update({name[above:]: tree.pop(name) for name in names})
        kept.update(name[above:] for name in inside)
        folders -= inside
    return files, frozenset(kept)


def _parents(names: Iterable[str]) -> set[str]:
    """Every folder above."""
    found: set[str] = set()
    for name in names:
        while "/" in name and (name := name.rpartition("/")[0]) not in found:
            found.add(name)
    return found


def _text(archive: zipfile.ZipFile, name: str) -> str:
    """The text of a member; nothing where there is none."""
    return _read(archive, archive.getinfo(name)) if name in archive.NameToInfo else ""


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    text = archive.read(member).decode("utf-8", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: str) -> None:
    executable = stat.S_ISREG(member.external_attr >> 16) and member.external_attr >> 16 & 0o111
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o755 if executable else 0o644)
    try:
        if member.file_size <= _READ_AT_ONCE:
            # no file object around it: making one takes a fifth of the time of a small file
            durable.write_all(descriptor, archive.read(member))
            return
        with archive.open(member) as source:
            while piece := source.read(_READ_AT_ONCE):
                durable.write_all(descriptor, piece)
    finally:
        os.close(descriptor)
