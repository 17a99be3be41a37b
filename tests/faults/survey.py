"""Whether what lies on the disk of a host is whole: found out here, by reading it, with nothing of hostout's.

What releases, eggs and environments consist of is learnt from deployments that nothing befell; later ones have to be
the same to the byte. What does not belong here: making anything happen.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.contents import CACHE, PATH, SHARED

Tree = dict[str, str]
"""What a folder consists of: by relative name the type, mode and sha256 or target."""

WRITTEN_BY_US = re.compile(r"release\.json|\.manifest\.json|\.\.?(release|manifest)\.json\.[0-9a-f]{8}").fullmatch
"""Records of hostout in a release, and what is left of one by who was killed while writing it: they tell of one
deployment, not of its content."""

BUILT = ("built", "live", "good")
"""States in which a release vouches for its files."""

EGG = re.compile(rf"{re.escape(CACHE)}/(eggs/v5/[^/'\"\s]+\.egg|buildout/[0-9a-f]+)")


@dataclass
class Survey:
    """The disk of a host, seen at ``root`` (where ``/srv`` lies here), and all that is known to be right."""

    root: Path
    trees: dict[str, Tree] = field(default_factory=dict)
    cached: dict[str, Tree] = field(default_factory=dict)
    data: Tree = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.root / Path(PATH).relative_to("/srv")

    @property
    def cache(self) -> Path:
        return self.root / Path(CACHE).relative_to("/srv")

    # ----- what is known ---------------------------------------------------------------------------------------

    def learn(self) -> str:
        """What is live now is right, and so is all that is in the cache; gives its id."""
        live = self.live()
        found = str(record(live)["id"])
        self.trees[found] = tree(live)
        self.cached.update({name: tree(self.cache / name) for name in self.in_cache()})
        self.data = self.data or self.data_now()
        return found

    def data_now(self) -> Tree:
        """``var`` and what is shared, with owners and times."""
        found = {}
        for name in filter(lambda name: (self.path / name).is_dir(), ("var", SHARED)):
            found.update({f"{name}/{key}": text for key, text in tree(self.path / name, times=True).items()})
        return found

    def in_cache(self) -> list[str]:
        """Eggs and environments that have their names."""
        folders = (("eggs/v5", "*.egg"), ("buildout", "*"))
        found = [path for folder, names in folders for path in (self.cache / folder).glob(names)]
        return sorted(str(path.relative_to(self.cache)) for path in found if not path.name.startswith("."))

    # ----- what there is ---------------------------------------------------------------------------------------

    def live(self) -> Path:
        """The folder of the live release; raises OSError where there is none."""
        return (self.path / "current").resolve(strict=True)

    def is_live(self, release: Path) -> bool:
        """Whether it is that one."""
        return (self.path / "current").resolve() == release

    def live_id(self) -> str:
        """Its id as recorded, "" where that cannot be read."""
        try:
            return str(record(self.live())["id"])
        except (OSError, ValueError, KeyError):
            return ""

    def releases(self) -> list[Path]:
        return sorted(path for path in (self.path / "releases").glob("*") if not path.name.startswith("."))

    # ----- what is wrong ---------------------------------------------------------------------------------------

    def problems(self, *expected: str) -> list[str]:
        """Everything that is not as it has to be, whatever happened: ``expected`` are ids that may be live."""
        if self.live_id() not in expected:
            return [f"live is {self.live_id() or 'nothing'}, not one of {', '.join(expected)}"]
        found = [line for release in self.releases() for line in self._release(release)]
        return [*found, *differences("", self.data, self.data_now())]

    def _release(self, release: Path) -> Iterator[str]:
        said = readable(release)
        if self.is_live(release) and said.get("state") not in BUILT:
            yield f"the live release {release.name} is {said.get('state')}"
        if said.get("state") not in BUILT and not self.is_live(release):
            return
        found = tree(release)
        known = self.trees.get(str(said.get("id")))
        if known is None:
            yield f"{release.name} is {said.get('state')} and of no content that was deployed"
            return
        yield from differences(f"{release.name}/", known, found)
        yield from recorded(release, said)
        for name in sorted(mentioned(release)):
            yield from differences(f"{name}/", self.cached.get(name, {}), tree(self.cache / name))

    def sealed(self) -> list[str]:
        """Eggs and environments that have their names and are not complete, whoever needs them."""
        return [
            line
            for name in self.in_cache()
            for line in differences(f"{name}/", self.cached.get(name, {}), tree(self.cache / name))
        ]


def tree(folder: Path, *, times: bool = False) -> Tree:
    """What a folder consists of, without compiled files; the number of a release in its files does not count."""
    own = folder.name.encode() if (folder / "release.json").exists() else b""
    return dict(_entries(folder, "", own, times))


def _entries(folder: Path, prefix: str, own: bytes, times: bool) -> Iterator[tuple[str, str]]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        status = entry.stat(follow_symlinks=False)
        name = f"{prefix}{entry.name}"
        when = f" {status.st_uid} {status.st_mtime_ns}" if times else ""
        if entry.is_symlink():
            yield name, f"link {Path(entry.path).readlink()}"
        elif stat.S_ISDIR(status.st_mode) and entry.name != "__pycache__":
            yield name, f"folder {stat.S_IMODE(status.st_mode):o}"
            yield from _entries(Path(entry.path), f"{name}/", own, times)
        elif stat.S_ISREG(status.st_mode) and not ignored(name):
            content = digest(Path(entry.path), own, scripted=prefix == "bin/")
            yield name, f"file {stat.S_IMODE(status.st_mode):o} {content}{when}"


def ignored(name: str) -> bool:
    return bool(WRITTEN_BY_US(name)) or name.endswith(".pyc")


def digest(file: Path, own: bytes, *, scripted: bool) -> str:
    """The sha256 of a file in which a release is called by no number, or that it is empty.

    The lines of a script count, not their order: buildout names eggs that it has just installed first.
    """
    content = file.read_bytes()
    if own:
        content = content.replace(own, b"RELEASE")
    if own and scripted:
        content = b"\n".join(sorted(content.splitlines()))
    return hashlib.sha256(content).hexdigest()[:16] if content else "empty"


def differences(where: str, known: Tree, found: Tree) -> Iterator[str]:
    """A line for each entry that is missing, new or different."""
    for name in sorted(known.keys() | found.keys()):
        before, now = known.get(name, "missing"), found.get(name, "missing")
        if before != now:
            yield f"{where}{name}: {now}, should be {before}"


def record(release: Path) -> Mapping[str, Any]:
    """Its ``release.json``; raises OSError or ValueError."""
    read: Mapping[str, Any] = json.loads((release / "release.json").read_text())
    return read


def readable(release: Path) -> Mapping[str, Any]:
    """The same, empty where it cannot be read."""
    try:
        return record(release)
    except (OSError, ValueError):
        return {}


def recorded(release: Path, said: Mapping[str, Any]) -> Iterator[str]:
    """Files of the bundle that are not what ``release.json`` says."""
    for file in said["files"]:
        path = release / file["name"]
        if file.get("target"):
            right = path.is_symlink() and str(path.readlink()) == file["target"]
        else:
            right = path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == file["sha256"]
        if not right:
            yield f"{release.name}/{file['name']} is not what its record says"


def mentioned(release: Path) -> set[str]:
    """The eggs and environments of the cache that scripts of a release name."""
    scripts: Iterable[Path] = (path for path in (release / "bin").iterdir() if path.is_file())
    return {found[1] for script in scripts for found in EGG.finditer(script.read_text(errors="replace"))}
