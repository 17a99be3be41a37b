"""The files of a release: configuration without hostout's own sections, and what ``include`` names.

The same bytes on any machine: only names, content and the executable bit count. What does not belong here:
distributions, the generated configuration.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import posixpath
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from hostout import cfgfile, lockfile
from hostout.errors import ConfigurationError
from hostout.model import BundleFile, Emit, Host, LocalBuildout
from hostout.packaging.bundlefile import Included, bundled
from hostout.packaging.extends import ConfigFile, Extends, Reader
from hostout.packaging.memo import Memo
from hostout.packaging.places import Places, writing
from hostout.packaging.references import referenced

RECIPE = "collective.hostout"

LEFT_OUT = (".git", ".svn", ".hg", "__pycache__", "*.pyc")
"""What an included folder holds that is not the user's work, or differs from one run to the next."""


MOST_LINKS = 40
"""Behind each other, as the kernel has it."""


@dataclass(frozen=True)
class Bundle:
    """``roots`` are the names of the files of option ``buildout``; ``removed`` the sections that do not travel.

    ``referenced`` has the options of those sections that the files which travel refer to, secrets left out.
    """

    files: tuple[BundleFile, ...]
    roots: tuple[str, ...]
    removed: frozenset[str] = frozenset()
    referenced: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def collect(host: Host, local: LocalBuildout, emit: Emit) -> Bundle:
    """Everything but distributions that a release of ``host`` consists of; raises ConfigurationError."""
    directory = Path(local.directory)
    roots = [os.path.normpath(directory / name) for name in host.buildout]
    reader = Reader(Places.of(local).extends, emit)
    plain = _follow(roots, directory, reader, str, host)
    included = dict(_included(host, local))
    texts = [f.text for f in plain.files.values()] + [_text(path) for name, path in included.items() if _is_cfg(name)]
    removed = hostout_sections(texts, (*local.hostout_parts, *local.hostout_sections)) - set(host.parts)

    def strip(text: str) -> str:
        places = (*local.secret_options, *_with_password(text))
        return cfgfile.without_values(cfgfile.without_sections(text, removed | {*lockfile.SECTIONS}), places)

    stripped = _follow(roots, directory, reader, strip, host)
    files = _read(included, host, local, strip)
    files.update({file.name: _config(file) for file in stripped.files.values()})
    _check_links(files, host)
    applied = [plain.files[name].text for root in roots for name in plain.applied(plain.add(root))]
    secret = (*local.secret_options, *((section, name) for section in removed for name in host.secrets))
    taken = referenced(applied, [f.text for f in stripped.files.values()], removed, secret)
    names = tuple(stripped.add(root) for root in roots)
    return Bundle(tuple(files[name] for name in sorted(files)), names, removed, taken)


def _follow(roots: Iterable[str], directory: Path, reader: Reader, strip: Callable[[str], str], host: Host) -> Extends:
    found = Extends(directory, reader, strip)
    try:
        for root in roots:
            found.add(root)
    except ConfigurationError as error:
        raise ConfigurationError([f"[{host.name}] {line}" for line in error.problems], host=host.name) from error
    return found


def _with_password(text: str) -> Iterator[tuple[str, str]]:
    """The options that name an index by a URL with a password in it: a host looks for nothing outside its caches."""
    for section in (s for s in cfgfile.parse(text) if s.name == "buildout"):
        for option in (o for o in section.options if o.name in ("index", "find-links")):
            if any("@" in urlsplit(word).netloc for word in option.value.split()):
                yield section.name, option.name


# hostout's own sections


def hostout_sections(texts: Iterable[str], known: Iterable[str]) -> frozenset[str]:
    """The sections that only hostout reads: its parts, and the sections without a recipe of their own they extend."""
    sections = _merged(texts)
    found = {name for name, options in sections.items() if _is_ours(options)} | set(known)
    todo = list(found)
    while todo:
        new = [w for w in _bases(sections.get(todo.pop(), {})) if w not in found and w in sections]
        new = [w for w in new if not sections[w].get("recipe") and not _is_shared(w, sections, found)]
        found.update(new)
        todo += new
    return frozenset(found - {"buildout"})


def _bases(options: Mapping[str, str]) -> list[str]:
    return [*options.get("extends", "").split(), *options.get("<", "").split()]


def _is_shared(name: str, sections: Mapping[str, Mapping[str, str]], ours: set[str]) -> bool:
    """Whether a part of the application takes its options from this section too."""
    return any(name in options.get("<", "").split() for part, options in sections.items() if part not in ours)


def _merged(texts: Iterable[str]) -> dict[str, dict[str, str]]:
    """Section, option, value; values of one option in several files one after the other."""
    merged: dict[str, dict[str, str]] = {}
    for section in (s for text in texts for s in cfgfile.parse(text)):
        options = merged.setdefault(section.name, {})
        for option in section.options:
            options[option.name] = f"{options[option.name]}\n{option.value}" if option.name in options else option.value
    return merged


def _is_ours(options: Mapping[str, str]) -> bool:
    return any(word.partition(":")[0] == RECIPE for word in options.get("recipe", "").split())


# what is included


def _included(host: Host, local: LocalBuildout) -> Iterator[tuple[str, Path]]:
    directory, problems = Path(local.directory), []
    kept = {Places.of(local).root, directory / "var", *(directory / name for name in host.shared)}
    for word in host.include:
        path = Path(os.path.normpath(directory / word))
        if problem := _problem(word, path, directory, host):
            problems.append(f"[{host.name}] include: {word} {problem} ({_origin(host)})")
            continue
        yield from _files(path, directory, kept)
    if problems:
        raise ConfigurationError(problems, host=host.name)


def _problem(word: str, path: Path, directory: Path, host: Host) -> str:
    if path == directory or not path.is_relative_to(directory):
        return "is the buildout itself" if path == directory else "is outside the buildout"
    name = path.relative_to(directory).as_posix()
    persistent = ["var", *host.shared]
    if any(name == kept or name.startswith(f"{kept.rstrip('/')}/") for kept in persistent):
        return "lives through releases (var or shared): a deployment never touches it"
    if path.is_relative_to(directory / "parts" / "hostout"):
        return "is hostout's own and may hold secrets"
    return "" if os.path.lexists(path) else "does not exist"


def _origin(host: Host) -> str:
    return str(host.origins["include"]) if "include" in host.origins else "default"


def _files(path: Path, directory: Path, kept: Container[Path]) -> Iterator[tuple[str, Path]]:
    """The files below ``path`` without the folders ``kept``: what is the host's own, our records with their secrets."""
    if path in kept or any(fnmatch.fnmatchcase(path.name, pattern) for pattern in LEFT_OUT):
        return
    if path.is_symlink() or not path.is_dir():
        yield path.relative_to(directory).as_posix(), path
        return
    for entry in sorted(path.iterdir()):
        yield from _files(entry, directory, kept)


def _read(
    included: Mapping[str, Path], host: Host, local: LocalBuildout, strip: Callable[[str], str]
) -> dict[str, BundleFile]:
    memo = Memo.of(local)
    reader, files = Included(memo), {}
    for name, path in included.items():
        try:
            files[name] = _file(name, path, Path(local.directory), strip, reader)
        except OSError as error:
            raise ConfigurationError(f"[{host.name}] include: {name}: {error.strerror} ({_origin(host)})") from error
    with writing(Places.of(local).root):
        memo.save()
    return files


def _file(name: str, path: Path, directory: Path, strip: Callable[[str], str], reader: Included) -> BundleFile:
    if path.is_symlink():
        target = _link(path, directory)
        return BundleFile(name, 0o644, hashlib.sha256(target.encode()).hexdigest(), target=target)
    if not path.is_file():
        raise ConfigurationError(f"include: {name} is neither a file nor a folder nor a symbolic link")
    if _is_cfg(name):
        return bundled(name, encoded(strip(_text(path))), 0o755 if path.stat().st_mode & 0o100 else 0o644)
    return reader.read(name, path)


def _link(path: Path, directory: Path) -> str:
    """The text of a link; an absolute one within the buildout becomes relative, for the release folder is elsewhere."""
    target = path.readlink()
    return os.path.relpath(target, path.parent) if target.is_relative_to(directory) else str(target)


def _check_links(files: Mapping[str, BundleFile], host: Host) -> None:
    """Symbolic links lead to files and folders that travel as well, or the release would differ from what is here."""
    links = [file for file in files.values() if file.target]
    problems = [
        f"[{host.name}] include: {link.name} is a symbolic link to {link.target}, {why} ({_origin(host)})"
        for link in links
        if (why := _astray(link, files))
    ]
    if problems:
        raise ConfigurationError(problems, host=host.name)


def _astray(link: BundleFile, files: Mapping[str, BundleFile]) -> str:
    """Why a link leads to nothing that travels; empty where it does."""
    try:
        name = _end(link, files)
    except _Astray as astray:
        return str(astray)
    travels = name in files or any(other.startswith(f"{name}/") for other in files)
    return "" if travels else "which is not included"


class _Astray(Exception):
    """A link leads where no release has anything."""


def _end(link: BundleFile, files: Mapping[str, BundleFile]) -> str:
    """What a link leads to, as a kernel follows it: ``a/..`` is not the folder of ``a`` where that is a link."""
    place, left, met = link.name.split("/")[:-1], _words(link), 1
    while left:
        word = left.pop()
        if word == ".." and not place:
            raise _Astray("which leads out of the buildout")
        if word == "..":
            place.pop()
            continue
        file = files.get("/".join([*place, word]))
        if file is None or not file.target:
            place.append(word)
            continue
        left += _words(file)
        met += 1
        if met > MOST_LINKS:
            raise _Astray("which leads in a circle")
    return "/".join(place)


def _words(link: BundleFile) -> list[str]:
    """The words of where a link leads, the first one last."""
    if posixpath.isabs(link.target):
        raise _Astray("which is not included")
    return [word for word in reversed(link.target.split("/")) if word not in ("", ".")]


def _is_cfg(name: str) -> bool:
    return name.endswith(".cfg")


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape") if path.is_file() else ""


def encoded(text: str) -> bytes:
    """The bytes of a text that was read here, those that are not UTF-8 as they were."""
    return text.encode("utf-8", "surrogateescape")


def _config(file: ConfigFile) -> BundleFile:
    return bundled(file.name, encoded(file.text), 0o644)
