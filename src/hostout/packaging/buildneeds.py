"""What a host needs to build a source distribution: wheels of its build backend and of what that asks for.

Buildout runs there without an index: what is not in the cache does not exist. What does not belong here: building.
"""

from __future__ import annotations

import json
import shutil
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Mapping
from gzip import BadGzipFile
from lzma import LZMAError
from pathlib import Path
from zipfile import BadZipFile

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from hostout.errors import PackagingError
from hostout.model import Json, LocalBuildout
from hostout.packaging import fetching, process
from hostout.packaging.fetching import Notes, Pip
from hostout.packaging.indexes import index_environment
from hostout.packaging.places import Places, writing
from hostout.packaging.tags import Target

TIMEOUT = 600.0

DAMAGED = (shutil.ReadError, tarfile.TarError, BadGzipFile, BadZipFile, LZMAError, zlib.error, EOFError, ValueError)
"""What the formats of source distributions raise; an OSError of another kind is about the disk."""

PROGRAM = """\
import json, os, sys
paths, source, answer = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
sys.path[:0] = paths
import build, build.env
def say(needed):
    with open(answer, "w") as file:
        json.dump(sorted(needed), file)
needed = set(build.ProjectBuilder(source).build_system_requires)
say(needed)
with build.env.DefaultIsolatedEnv() as environment:
    environment.install(needed)
    say(needed | build.ProjectBuilder.from_isolated_env(environment, source).get_requires_for_build("wheel"))
"""
"""Reads what a project names, then asks its build backend, in an environment of its own; where that cannot be made
here, what is named has to do."""


def wheels(
    source: Path, sha256: str, local: LocalBuildout, target: Target, environment: Mapping[str, str]
) -> list[Path]:
    """Files in our cache; ``environment`` are the versions of zc.buildout's environment on the host, by name.

    Raises PackagingError where they cannot be had. What was found is kept, and not asked for again.
    """
    kept, key = Places.of(local).builds, f"{_begin(sha256, target)}{sorted(environment.items())}"
    known = _read(kept)
    folder = Places.of(local).wheels
    if key not in known or not all((folder / name).exists() for name in known[key]):
        known[key] = [path.name for path in _found(source, local, target, environment)]
        kept.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    return [folder / name for name in known[key]]


def are_known(sha256: str, local: LocalBuildout, target: Target) -> bool:
    """Whether a source distribution went to such a host before, as no wheel could be made here."""
    return any(key.startswith(_begin(sha256, target)) for key in _read(Places.of(local).builds))


def _begin(sha256: str, target: Target) -> str:
    return f"{sha256} {target} "


def _found(source: Path, local: LocalBuildout, target: Target, environment: Mapping[str, str]) -> list[Path]:
    """In the versions of the environment where that is possible, else the newest."""
    needed = [line for line in _needed(source, local) if not _is_there(line, environment)]
    if not needed:
        return []
    pip = Pip(local, Places.of(local).wheels, target, time.monotonic() + TIMEOUT, Notes())
    with writing(pip.folder), tempfile.TemporaryDirectory(prefix="hostout-") as temporary:
        constraints = Path(temporary) / "constraints.txt"
        for pins in (environment, {}):
            constraints.write_text("".join(f"{name}=={version}\n" for name, version in pins.items()))
            found = pip.requirements(needed, constraints)
            if found is not None:
                return found
    lines = ", ".join(needed)
    raise PackagingError(
        f"{source.name} has to be built on the host, and what that takes cannot be had for {target}: {lines}; "
        f"the log of pip: {fetching.log(local)}"
    )


def _needed(source: Path, local: LocalBuildout) -> list[str]:
    log = Places.of(local).logs / f"{source.name}.log"
    with tempfile.TemporaryDirectory(prefix="hostout-") as temporary:
        _unpack(source, temporary)
        folders = sorted(path for path in Path(temporary).iterdir() if path.is_dir())
        if len(folders) != 1:
            names = ", ".join(folder.name for folder in folders) or "none"
            raise PackagingError(
                f"{source} is no source distribution, which has one folder at its top (here: {names}); "
                "pin another version, or put a wheel of it into a folder of find-links"
            )
        project = folders[0]
        answer = Path(temporary) / "answer.json"
        argv = [sys.executable, "-c", PROGRAM, json.dumps(sys.path), str(project), str(answer)]
        done = process.run(argv, log, timeout=TIMEOUT, cwd=project, environment=index_environment(local, "install"))
        if not answer.exists():
            lines = [f"{source.name} does not say what it takes to build it:", *(f"    {line}" for line in done.tail())]
            raise PackagingError("\n".join([*lines, f"the whole log: {log}"]))
        return [str(line) for line in json.loads(answer.read_text())]


def _unpack(source: Path, folder: str) -> None:
    """Nothing outside of the folder; Pythons older than the filter have only their own checks."""
    try:
        if source.name.endswith(".zip") or not hasattr(tarfile, "data_filter"):
            shutil.unpack_archive(source, folder)
        else:
            shutil.unpack_archive(source, folder, filter="data")
    except DAMAGED as error:
        raise PackagingError(f"{source} is damaged: {error}; remove it to have it fetched again") from error


def _is_there(line: str, environment: Mapping[str, str]) -> bool:
    """Whether the wheels of zc.buildout's environment, which are in the host's cache as well, have it."""
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return False
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return True
    version = environment.get(canonicalize_name(requirement.name))
    return version is not None and not requirement.extras and requirement.specifier.contains(version, prereleases=True)


def _read(path: Path) -> dict[str, Json]:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        # never asked, or half written: ask again
        return {}
    return known if isinstance(known, dict) else {}
