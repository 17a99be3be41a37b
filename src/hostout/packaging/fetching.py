"""pip, asked for the files that are not here: wheels for a host's Python, else wheels made of sources.

The index and links of the local buildout come first, the user's own settings for pip stay. Every call is bounded. What
does not belong here: which file is chosen in the end (``wheels``).
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hostout.errors import PackagingError
from hostout.model import LocalBuildout
from hostout.packaging import process
from hostout.packaging.indexes import index_environment, own_index_environment
from hostout.packaging.places import Places
from hostout.packaging.tags import Target

Pin = tuple[str, str]

TIMEOUT = 1800.0
"""Seconds for all that one host needs."""

BUILD_TIMEOUT = 900.0


def log(local: LocalBuildout) -> Path:
    """Where pip's output is."""
    return Places.of(local).logs / "pip.log"


def wheels(pins: Sequence[Pin], local: LocalBuildout, target: Target) -> None:
    """Puts into our cache whatever can be had for ``pins``: a wheel of the index, else one made of the source."""
    log(local).parent.mkdir(parents=True, exist_ok=True)
    log(local).write_bytes(b"")
    folder = Places.of(local).wheels
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + TIMEOUT
    left = pins
    for own in (True, False) if local.index else (False,):
        pip = Pip(local, folder, deadline, own)
        left = [pin for pin in pip.download(left, target) if not pip.build(pin)]


@dataclass(frozen=True)
class Pip:
    """pip for one buildout; ``own`` asks the index of the buildout and not the one of the user's settings."""

    local: LocalBuildout
    folder: Path
    deadline: float
    own: bool

    def download(self, pins: Sequence[Pin], target: Target) -> list[Pin]:
        """One call for all; as pip fetches all or nothing, halves of what failed. Returns what there is no wheel of."""
        if not pins or self._run(_download_words(pins, target), self.deadline):
            return []
        if len(pins) == 1:
            return list(pins)
        half = len(pins) // 2
        return [pin for some in (pins[:half], pins[half:]) for pin in self.download(some, target)]

    def build(self, pin: Pin) -> bool:
        """A wheel of a source distribution; whether it fits the host shows in its tags."""
        words = ["wheel", "--no-deps", f"{pin[0]}=={pin[1]}"]
        return self._run(words, min(self.deadline, time.monotonic() + BUILD_TIMEOUT))

    def _run(self, words: Sequence[str], deadline: float) -> bool:
        """Whether pip did it; what it fetched moves into ``folder`` only when it is whole."""
        remaining = max(1.0, deadline - time.monotonic())
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=self.folder) as temporary:
            to = "--dest" if words[0] == "download" else "--wheel-dir"
            argv = [self.local.executable, "-m", "pip", words[0], to, temporary, *_limits(), *words[1:]]
            one = Path(temporary) / "pip.log"
            done = process.run(argv, one, timeout=remaining, cwd=self.folder, environment=self._environment())
            _append(one, log(self.local))
            for wheel in Path(temporary).glob("*.whl"):
                wheel.replace(self.folder / wheel.name)
        if done.status is None:
            raise PackagingError(f"pip has not finished after {remaining:.0f} seconds; its log: {log(self.local)}")
        return done.ok

    def _environment(self) -> dict[str, str]:
        """pip itself may be an egg of the local buildout's environment."""
        path = os.pathsep.join(self.local.environment_path)
        indexes = own_index_environment(self.local) if self.own else index_environment(self.local)
        return {**indexes, "PYTHONPATH": path}


def _download_words(pins: Sequence[Pin], target: Target) -> list[str]:
    major, minor = target.version
    implementation = {"cpython": "cp", "pypy": "pp"}.get(target.implementation, "py")
    abis = [target.abi, "abi3", "none"]
    return [
        *("download", "--no-deps", "--only-binary=:all:", "--python-version", f"{major}.{minor}"),
        *("--implementation", implementation),
        *(word for abi in abis for word in ("--abi", abi)),
        *(word for platform in target.platforms for word in ("--platform", platform)),
        *(f"{name}=={version}" for name, version in pins),
    ]


def _limits() -> list[str]:
    return ["--retries", "2", *([] if "PIP_DEFAULT_TIMEOUT" in os.environ else ["--timeout", "30"])]


def _append(one: Path, whole: Path) -> None:
    with whole.open("ab") as file:
        file.write(one.read_bytes())
