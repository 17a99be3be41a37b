"""Asks the local buildout's own zc.buildout what the deployed configuration needs, without installing a part.

The question goes to ``recipe/rehearsal.py``, which runs in the interpreter of the local buildout; the answer is kept
until anything that it depends on changes. What does not belong here: building, fetching for a host.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

from hostout import lockfile
from hostout.errors import PackagingError
from hostout.lockfile import Lock
from hostout.model import BundleFile, Host, Json, LocalBuildout, Member, Stamp
from hostout.packaging import process
from hostout.packaging.bundle import Bundle
from hostout.packaging.places import Places

PROGRAM = Path(__file__).parent.parent / "recipe" / "rehearsal.py"

LOADER = """\
import json, runpy, sys
sys.path[:0] = json.loads(sys.argv.pop(1))
runpy.run_path(sys.argv[1], run_name="__main__")
"""
"""Runs the program with the modules of the local buildout and without a folder of ours on the import path."""

TIMEOUT = 1800.0

PART_TIMEOUT = 60.0
"""Seconds for what one recipe does when it installs, without the time that buildout takes to fetch eggs for it."""


@dataclass(frozen=True)
class Rehearsal:
    """What zc.buildout found: ``parts`` (those of ``live-parts`` and ``sudo-parts`` too) and ``extensions`` to be
    built, the section with pins and what the files have in it, whether mr.developer is in use, and every distribution
    that parts, recipes and extensions need.

    ``files`` has what was fetched for that: by the folder with the metadata of what lies unpacked, its time in
    nanoseconds, and name and sha256 of the file."""

    parts: tuple[str, ...]
    extensions: tuple[str, ...]
    developer: bool
    versions: str
    pinned: Mapping[str, str]
    members: tuple[Member, ...]
    files: Mapping[str, Json]


def rehearse(
    host: Host, local: LocalBuildout, bundle: Bundle, name: str, text: str, *, from_cache: bool = False
) -> Rehearsal:
    """``text`` is the configuration that extends the user's files, ``name`` its place in the bundle.

    ``from_cache``: buildout may take distributions from its download cache only. Raises PackagingError with the last
    lines of buildout where the configuration cannot be built.
    """
    question = _question(host, local, bundle)
    key = _key(question, bundle, text, local)
    places = Places.of(local)
    kept = places.rehearsal(host.name)
    answer = _kept(kept, key)
    if answer is None:
        # hosts that differ by their address only need the same
        known = (_kept(path, key) for path in sorted(places.root.glob(places.rehearsal("*").name)))
        answer = next((found for found in known if found is not None), None)
        if answer is None:
            answer = _ask(host, local, bundle, {**question, **_besides(question, local, from_cache)}, name, text)
        kept.write_text(json.dumps({"key": key, "answer": answer}, indent=1, sort_keys=True) + "\n")
    return _rehearsal(answer)


def exact(version: str) -> str:
    """A version as PEP 440 normalises it, which is how buildout names eggs."""
    try:
        return str(Version(version))
    except InvalidVersion:
        return version


def is_checkout(member: Member, local: LocalBuildout) -> bool:
    """Whether a recorded member is built from a folder here: what lies in buildout's own environment is not."""
    return member.develop and member.location not in local.environment_path


def builds_the_same(host: Host, local: LocalBuildout) -> bool:
    """Whether the host builds the very configuration, and all the parts of it, that was built here."""
    files = [Path(local.directory, name) for name in host.buildout]
    return files == [Path(local.directory, local.config)] and not host.parts


def _question(host: Host, local: LocalBuildout, bundle: Bundle) -> dict[str, Json]:
    return {
        "parts": list(host.parts),
        "later": [*host.live_parts, *host.sudo_parts],
        "install": not builds_the_same(host, local),
        "seconds": PART_TIMEOUT,
        "versions": host.versions,
        "drop": sorted(bundle.removed),
        "pins": sorted(local.pins.items()),
        "recorded": [[m.name, m.version] for m in _recorded(local)],
        "develop": sorted(m.name for m in local.working_set if is_checkout(m, local)),
        "environment": [[m.name, m.version] for m in local.environment],
        "settings": _settings(local),
    }


def _recorded(local: LocalBuildout) -> list[Member]:
    """The working set; where a distribution is there twice, the egg before what lies in buildout's environment."""
    egg_first = sorted(local.working_set, key=lambda m: m.location in local.environment_path)
    return [m for m in egg_first if not is_checkout(m, local)]


def _settings(local: LocalBuildout) -> dict[str, str]:
    settings = {
        "develop": "",
        "newest": "false",
        "offline": "false",
        "install-from-cache": "false",
        "allow-picked-versions": "true",
        "eggs-directory": local.eggs_directory,
        "eggs-directory-version": "",
        "abi-tag-eggs": "false",
        "develop-eggs-directory": local.develop_eggs_directory,
        "find-links": "\n".join(local.find_links),
        "allow-hosts": "\n".join(local.allow_hosts) or "*",
        "update-versions-file": "",
    }
    more = {"index": local.index, "download-cache": local.download_cache}
    return {**settings, **{name: value for name, value in more.items() if value}}


def _besides(question: Json, local: LocalBuildout, from_cache: bool) -> dict[str, Json]:
    """What an answer does not depend on: whether there is one does."""
    lock = lockfile.read(local.lock) if local.lock else Lock()
    return {
        "settings": {**question["settings"], "install-from-cache": str(from_cache).lower()},
        "locked": {one.filename: one.sha256 for one in (*lock.tested, *lock.others)},
        "lock": lockfile.NAME,
    }


def _key(question: Json, bundle: Bundle, text: str, local: LocalBuildout) -> str:
    """Changes with all that the answer depends on: the program, the files, the pins, the metadata of checkouts."""
    files = [[f.name, f.sha256] for f in bundle.files]
    program = hashlib.sha256(PROGRAM.read_bytes()).hexdigest()
    everything = [program, question, files, text, local.executable, local.environment_path, _metadata(local)]
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()


def _metadata(local: LocalBuildout) -> list[list[str]]:
    """What the develop packages say they need, as ``bin/buildout`` left it."""
    folder = Path(local.develop_eggs_directory)
    sources = {Path(m.location) for m in local.working_set if is_checkout(m, local)}
    found = [*folder.glob("*.egg-link"), *folder.glob("*.dist-info/METADATA")]
    found += [path for source in sources for path in source.glob("*.egg-info/requires.txt")]
    return [[str(path), hashlib.sha256(path.read_bytes()).hexdigest()] for path in sorted(found) if path.is_file()]


def _kept(path: Path, key: str) -> Json | None:
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        # never asked, or a file that a crash left half written: ask again
        return None
    return kept["answer"] if kept.get("key") == key else None


def _ask(host: Host, local: LocalBuildout, bundle: Bundle, question: Json, name: str, text: str) -> Json:
    log = Places.of(local).logs / f"{host.name}.rehearsal.log"
    with tempfile.TemporaryDirectory(prefix="hostout-") as temporary:
        # resolved: buildout compares paths, and a temporary folder may be behind a link
        scratch = Path(temporary).resolve() / "buildout"
        unpack(bundle.files, scratch)
        (scratch / "var").mkdir(exist_ok=True)
        (scratch / name).write_text(text, "utf-8", "surrogateescape")
        answer = Path(temporary) / "answer.json"
        writable = [temporary, local.eggs_directory]
        asked = {**question, "config": str(scratch / name), "answer": str(answer), "writable": writable}
        argv = [local.executable, "-I", "-c", LOADER, json.dumps(local.environment_path), str(PROGRAM)]
        settings = {"TMPDIR": temporary}
        stdin = json.dumps(asked).encode()
        done = process.run(argv, log, timeout=TIMEOUT, cwd=scratch, environment=settings, stdin=stdin)
        if not done.ok or not answer.exists():
            raise PackagingError(_failure(host, done), host=host.name)
        return json.loads(answer.read_text())


def _failure(host: Host, done: process.Finished) -> str:
    files = " ".join(host.buildout)
    how = "cannot be resolved here" if done.status is not None else f"is not resolved after {TIMEOUT:.0f} seconds"
    lines = "\n".join(f"    {line}" for line in done.tail())
    return f"[{host.name}] buildout: {files} {how}:\n{lines}\nthe whole log: {done.log}"


def unpack(files: Iterable[BundleFile], folder: Path) -> None:
    """The files of a bundle in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        place = folder / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.target:
            place.symlink_to(file.target)
            continue
        if file.path:
            _copy(file, place)
        else:
            place.write_bytes(file.content)
        place.chmod(file.mode)


def _copy(file: BundleFile, place: Path) -> None:
    """What was hashed, or nothing: the answer is kept for that content."""
    try:
        shutil.copyfile(file.path, place)
        stamp = Stamp.of(Path(file.path).stat())
    except OSError as error:
        raise PackagingError(f"include: {file.path} cannot be copied to {place}: {error.strerror}") from error
    if stamp != file.stamp:
        raise PackagingError(f"include: {file.path} changed while it was read: deploy again when nothing writes to it")


def _rehearsal(answer: Json) -> Rehearsal:
    members = tuple(
        Member(found["name"], exact(found["version"]), found["location"], bool(found["source"]), found["source"])
        for found in answer["requirements"]
    )
    return Rehearsal(
        tuple(answer["parts"]),
        tuple(answer["extensions"]),
        answer["developer"],
        answer["versions"],
        answer["pinned"],
        members,
        answer["files"],
    )
