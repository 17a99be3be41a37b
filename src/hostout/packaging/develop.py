"""Develop packages become distributions whose version carries a hash of their content.

``1.2+h1a2b3c4d5e`` is built only when no distribution of that hash is kept from before. What does not belong
here: which packages a deployment needs (``rehearsal``), what a wheel looks like inside (``wheelfile``).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.tags import Tag, sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from hostout import lockfile
from hostout.errors import PackagingError
from hostout.model import Distribution, LocalBuildout
from hostout.packaging import environments, process, wheelfile
from hostout.packaging.indexes import index_environment
from hostout.packaging.places import Places
from hostout.packaging.sources import Source, content_hash, copy, sources

TIMEOUT = 1800.0
"""Seconds for one build: a package with C code of its own may take long."""

GIT_TIMEOUT = 120.0

PROGRAM = Path(__file__).with_name("backend.py")

LOADER = """\
import json, runpy, sys
sys.path[:0] = json.loads(sys.argv.pop(1))
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Starts that on our import path, which is in no variable that its children would inherit."""

SCM = re.compile(r"setuptools[-_](scm|git)|hatch[-_]vcs|versioningit|dunamai|poetry-dynamic|\bpbr\b|versioneer")
"""Build tools that ask version control for the version, some of them for the list of files too."""

GIT_SETTINGS = ("user.name=hostout", "user.email=hostout@localhost", "commit.gpgsign=false", "tag.gpgsign=false")


@dataclass(frozen=True)
class Package:
    """A develop package: its name as METADATA has it, its version when ``bin/buildout`` ran, its folder."""

    name: str
    version: str
    folder: Path


@dataclass(frozen=True)
class Released:
    """A develop package as a distribution; ``built`` is false when it was there from before."""

    package: Package
    distribution: Distribution
    hash: str
    built: bool

    @property
    def wheel(self) -> Path:
        return Path(self.distribution.path)


@dataclass(frozen=True)
class Looked:
    """What a develop package consists of, and the wheel of this content from before."""

    package: Package
    found: Sequence[Source]
    digest: str
    kept: Path | None


def releases(packages: Sequence[Package], local: LocalBuildout, ignore: Sequence[str] = ()) -> list[Released]:
    """The distributions of develop packages; raises PackagingError with the last lines of one that does not build."""
    looked = [_look(package, local, ignore) for package in packages]
    wheels = iter(_built([one for one in looked if one.kept is None], local))
    return [
        Released(one.package, _distribution(one.kept or next(wheels)), one.digest, built=one.kept is None)
        for one in looked
    ]


def _look(package: Package, local: LocalBuildout, ignore: Sequence[str]) -> Looked:
    found = sources(package.folder, made_by_buildout(local))
    digest = content_hash(found, ignore)[:10]
    return Looked(package, found, digest, _kept(Places.of(local).wheels, package, digest))


def _built(changed: Sequence[Looked], local: LocalBuildout) -> list[Path]:
    """Their wheels: the first one alone, as the others are mostly built in the environment that is made for it."""
    first = [_build(one, local, bool) for one in changed[:1]]
    given_up = threading.Event()
    with ThreadPoolExecutor(max(2, os.cpu_count() or 2), "hostout-building") as pool:
        try:
            return [*first, *pool.map(lambda one: _build(one, local, given_up.is_set), changed[1:])]
        finally:
            # also what somebody interrupts is not waited for
            given_up.set()


def made_by_buildout(local: LocalBuildout) -> tuple[Path, ...]:
    """What a buildout makes in its folder: not content of a package that is that very folder (``develop = .``)."""
    folders = [local.parts_directory, local.bin_directory, local.eggs_directory, local.develop_eggs_directory]
    names = ("var", ".installed.cfg", ".mr.developer.cfg", "eggs", "downloads", lockfile.NAME)
    here = Path(local.directory)
    folders += [local.download_cache or "", local.lock]
    return tuple(Path(f) for f in folders if f) + tuple(here / name for name in names)


def _kept(folder: Path, package: Package, digest: str) -> Path | None:
    """The wheel of this content from before, where it fits this Python; one that is damaged is built again.

    So is one of another commit, where that makes the version: everybody with this commit has the same.
    """
    found = (path for path in sorted(folder.glob(f"*+h{digest}-*.whl")) if _is_of(path, package.name))
    if _asks_history(package.folder):
        now = _public(package.version)
        found = (path for path in found if wheelfile.version_of(path).public == str(now))
    return next((path for path in found if wheelfile.is_whole(path)), None)


def _asks_history(folder: Path) -> bool:
    texts = [folder / name for name in ("pyproject.toml", "setup.cfg", "setup.py")]
    return any(SCM.search(path.read_text("utf-8", "replace")) for path in texts if path.exists())


def _public(version: str) -> Version:
    """Without a local segment; 0.0.0 where none is recorded."""
    return Version(Version(version or "0.0.0").public)


def _is_of(path: Path, name: str) -> bool:
    try:
        found, _, _, tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename:
        return False
    return found == canonicalize_name(name) and not tags.isdisjoint(_own_tags())


@cache
def _own_tags() -> frozenset[Tag]:
    return frozenset(sys_tags())


def _distribution(wheel: Path) -> Distribution:
    content = wheel.read_bytes()
    name = re.search(r"^Name:\s*(\S+)", wheelfile.metadata(wheel), re.MULTILINE)
    assert name is not None, f"{wheel}: METADATA without a name"
    sha256 = hashlib.sha256(content).hexdigest()
    version = str(wheelfile.version_of(wheel))
    return Distribution(name[1], version, wheel.name, sha256, len(content), str(wheel), develop=True)


def _build(one: Looked, local: LocalBuildout, given_up: Callable[[], bool]) -> Path:
    """A clean copy built by its own backend, unless that is ``given_up``; its wheel with the final version, kept."""
    package, places = one.package, Places.of(local)
    log = places.logs / f"{package.name}.log"
    places.wheels.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hostout-") as temporary:
        copied, built = Path(temporary, "source", package.folder.name), Path(temporary, "wheel")
        copied.mkdir(parents=True)
        built.mkdir()
        copy(one.found, copied)
        _restore_history(copied, package)
        done = _run(copied, built, places.environments, log, _environment(package, local), given_up)
        wheels = list(built.glob("*.whl"))
        if not done.ok or not wheels:
            raise PackagingError(_failure(package, done))
        return wheelfile.rewrite(wheels[0], _version(wheels[0], package, one.digest), places.wheels)


def _run(
    copied: Path, built: Path, kept: Path, log: Path, variables: Mapping[str, str], given_up: Callable[[], bool]
) -> process.Finished:
    """In the environment of the last time, as long as the package asks for the same and that works; else asked anew."""
    ready = environments.ready(copied, kept, process.clean_environment(variables))
    if ready is not None:
        own = {**variables, **ready.variables}
        done = process.run(ready.argv(built), log, timeout=TIMEOUT, cwd=copied, environment=own, hopeless=given_up)
        if done.ok:
            return done
    folders = map(str, (copied, built, kept))
    trust = "trust" if ready is None else "anew"
    argv = [sys.executable, "-c", LOADER, json.dumps(sys.path), str(PROGRAM), *folders, trust]
    return process.run(argv, log, timeout=TIMEOUT, cwd=copied, environment=variables, hopeless=given_up)


def _failure(package: Package, done: process.Finished) -> str:
    how = "does not build" if done.status is not None else f"is not built after {TIMEOUT:.0f} seconds"
    lines = "\n".join(f"    {line}" for line in _without_hooks(done.tail()))
    return f"develop package {package.name} ({package.folder}) {how}:\n{lines}\nthe whole log: {done.log}"


def _without_hooks(lines: Sequence[str]) -> Sequence[str]:
    """A traceback from the first frame that is not of what calls every build backend."""
    frames = [number for number, line in enumerate(lines) if line.lstrip().startswith('File "')]
    hooks = [number for number in frames if "pyproject_hooks" in lines[number]]
    start = next((number for number in frames if hooks and number > hooks[-1]), 0)
    return lines[start:]


def _version(wheel: Path, package: Package, digest: str) -> str:
    """The public version of what was built, with our hash; that of the record where history tells it, for there is none
    in a copy, and where a tool that found none says 0."""
    built = Version(wheelfile.version_of(wheel).public)
    told = _asks_history(package.folder) or built in (Version("0"), Version("0.0.0"))
    base = _public(package.version) if told else built
    if base == Version("0"):
        base = Version("0.0.0")
    return f"{base}+h{digest}"


def _environment(package: Package, local: LocalBuildout) -> Mapping[str, str]:
    """The version for tools that would ask version control, and the index of this buildout beside the user's."""
    version = package.version or "0.0.0"
    known = ("SETUPTOOLS_SCM_PRETEND_VERSION", "PBR_VERSION", "POETRY_DYNAMIC_VERSIONING_BYPASS")
    pretended = {name: version for name in known if name not in os.environ}
    return {**pretended, **index_environment(local, "install")}


def _restore_history(folder: Path, package: Package) -> None:
    """One tagged commit of everything, for build tools that take version or list of files from version control.

    Where git refuses one step the others are left out: without a repository of its own they would go to one above.
    """
    if not _asks_history(folder) or not shutil.which("git"):
        return
    tag = f"v{_public(package.version)}"
    git = ["git", *(word for setting in GIT_SETTINGS for word in ("-c", setting))]
    for words in ("init -q", "add -A -f", f"commit -q --no-verify -m {tag}", f"tag -m {tag} {tag}"):
        if not _succeeds([*git, *words.split()], folder, package):
            return


def _succeeds(git: Sequence[str], folder: Path, package: Package) -> bool:
    environment = process.clean_environment({})
    try:
        done = subprocess.run(
            git, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=GIT_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        line = f"git has not finished after {GIT_TIMEOUT:.0f} seconds with its copy in {folder}; deploy again"
        raise PackagingError(f"develop package {package.name} ({package.folder}): {line}") from None
    return done.returncode == 0
