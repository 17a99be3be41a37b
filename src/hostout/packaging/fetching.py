"""pip, asked for the files that are not here: wheels for a host's Python, else what their source becomes.

The index and links of the local buildout come first, the user's own settings for pip stay. Every call is bounded; a
file whose sha256 is known is fetched with that sha256 or not at all. What does not belong here: which file is chosen in
the end (``wheels``), the words of pip (``piplog``).
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import canonicalize_name, parse_wheel_filename

from hostout.errors import PackagingError
from hostout.model import LocalBuildout
from hostout.packaging import contents, piplog, process, repack, wheelfile
from hostout.packaging.indexes import index_environment, own_index_environment
from hostout.packaging.piplog import Said
from hostout.packaging.places import Places, writing
from hostout.packaging.rehearsal import exact
from hostout.packaging.tags import Target

TIMEOUT = 1800.0
"""Seconds for all that one host needs."""

BUILD_TIMEOUT = 900.0

SILENCE = 15.0
"""Seconds that an index may be silent, where the user has not said it."""

DISTRIBUTIONS = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz")


@dataclass(frozen=True)
class Wish:
    """A distribution that is looked for: the sha256 of its wheels and of its sources, where they are known, and its
    source where that is here. With either hash known nothing else will do."""

    name: str
    version: str
    wheels: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    source: Path | None = None

    @property
    def key(self) -> str:
        return str(canonicalize_name(self.name))

    @property
    def may_be_wheel(self) -> bool:
        return bool(self.wheels) or not self.sources

    @property
    def may_be_source(self) -> bool:
        return bool(self.sources) or not self.wheels

    def line(self, hashes: Iterable[str]) -> str:
        """For a file of requirements. Without a hash ``== 1.0`` takes ``1.0+cpu``, which is another version."""
        known = [f"--hash=sha256:{digest}" for digest in hashes]
        return " ".join([f"{self.name}=={self.version}", *known]) if known else f"{self.name}==={exact(self.version)}"


@dataclass
class Notes:
    """What pip said beside the files that it gave, by normalised name; ``missing`` when it was called last."""

    missing: set[str] = field(default_factory=set)
    changed: dict[str, str] = field(default_factory=dict)
    yanked: dict[str, str] = field(default_factory=dict)
    silent: dict[str, None] = field(default_factory=dict)

    def add(self, said: Said, *, failed: bool) -> None:
        """Of one call, of which ``missing`` speaks alone; who answered in the end was not silent."""
        self.missing = set(said.missing)
        self.changed.update(said.changed)
        self.yanked.update(said.yanked)
        if failed:
            self.silent.update(dict.fromkeys(said.silent))


def log(local: LocalBuildout) -> Path:
    """Where pip's output is."""
    return Places.of(local).logs / "pip.log"


def fetch(wishes: Sequence[Wish], local: LocalBuildout, target: Target) -> Notes:
    """Puts into our cache whatever can be had: a wheel, else one made of the source here, else the source.

    Raises PackagingError where pip does not come to an end, or has nowhere to write.
    """
    folder, notes = Places.of(local).wheels, Notes()
    begin_log(local)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        pip = Pip(local, folder, target, time.monotonic() + TIMEOUT, notes)
        # a hash is the same everywhere: only names without one may mean something else in another index
        known = [wish for wish in wishes if wish.wheels or wish.sources]
        pip.fetch(known)
        left = [wish for wish in wishes if wish not in known]
        for own in (True, False) if local.index else (False,):
            left = dataclasses.replace(pip, own=own).fetch(left)
    return notes


def begin_log(local: LocalBuildout) -> None:
    """An empty log: it speaks of one host."""
    with writing(log(local).parent):
        log(local).parent.mkdir(parents=True, exist_ok=True)
        log(local).write_bytes(b"")


@dataclass(frozen=True)
class Pip:
    """pip for one buildout; ``own`` asks the index of the buildout and not the one of the user's settings."""

    local: LocalBuildout
    folder: Path
    target: Target
    deadline: float
    notes: Notes
    own: bool = False

    def fetch(self, wishes: Sequence[Wish]) -> list[Wish]:
        """Returns those that nothing can be had for."""
        wheels = self.wheels([wish for wish in wishes if wish.may_be_wheel])
        left = [wish for wish in wishes if wish in wheels or not wish.may_be_wheel]
        return [wish for wish in left if not (wish.may_be_source and self.source(wish))]

    def wheels(self, wishes: Sequence[Wish]) -> list[Wish]:
        """One call for all, as pip fetches all or nothing: again without those that it names. Returns what is left."""
        left, lacking = list(wishes), list[Wish]()
        while left and not self.notes.silent:
            said = self._download(_for_target(self.target), [wish.line(wish.wheels) for wish in left])
            if said is None:
                return lacking
            named = [wish for wish in left if wish.key in said.missing or wish.key in said.changed]
            if not named and len(left) > 1:
                half = len(left) // 2
                return [*lacking, *self.wheels(left[:half]), *self.wheels(left[half:])]
            lacking += named or left
            left = [wish for wish in left if wish not in lacking]
        return [*lacking, *left]

    def source(self, wish: Wish) -> bool:
        """Whether there is a wheel made of a source distribution now, or that itself: the host can build it as well."""
        if self.notes.silent:
            return wish.source is not None
        if wish.source is not None:
            return self._build(wish) or True
        if self._build(wish):
            return True
        words, lines = ["--no-deps", "--no-binary", wish.name], [wish.line(wish.sources)]
        return wish.key not in self.notes.missing and self._download(words, lines) is None

    def requirements(self, words: Sequence[str], constraints: Path) -> list[Path] | None:
        """Wheels of these requirements and of what they need, for the host; None where they cannot be had."""
        with self._temporary() as folder:
            argv = [*_for_target(self.target)[1:], "--find-links", str(self.folder), "--constraint", str(constraints)]
            said = self._run("download", folder, argv, words, self.deadline)
            return self._taken(folder) if said is None else None

    def _download(self, words: Sequence[str], lines: Sequence[str]) -> Said | None:
        with self._temporary() as folder:
            said = self._run("download", folder, words, lines, self.deadline)
            if said is None:
                self._taken(folder)
            return said

    def _build(self, wish: Wish) -> bool:
        """Whether what comes of it here runs on the host."""
        lines = [] if wish.source else [wish.line(wish.sources)]
        words = ["--no-deps", str(wish.source)] if wish.source else ["--no-deps", "--no-binary", wish.name]
        until = min(self.deadline, time.monotonic() + BUILD_TIMEOUT)
        with self._temporary() as folder:
            self._run("wheel", folder, words, lines, until)
            built = [path for path in folder.glob("*.whl") if _is_for(path, self.target)]
            for path in built:
                _keep(path, wish, self.folder)
            return bool(built)

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=self.folder) as temporary:
            yield Path(temporary)

    def _taken(self, folder: Path) -> list[Path]:
        """What was fetched, now that it is whole."""
        return [path.replace(self.folder / path.name) for path in folder.iterdir() if path.name.endswith(DISTRIBUTIONS)]

    def _run(
        self, command: str, folder: Path, words: Sequence[str], lines: Sequence[str], deadline: float
    ) -> Said | None:
        """One call that leaves its files in ``folder``; None where it succeeded, else why not."""
        remaining = max(1.0, deadline - time.monotonic())
        one, wanted = folder / "pip.log", folder / "requirements.txt"
        wanted.write_text("".join(f"{line}\n" for line in lines))
        to = "--dest" if command == "download" else "--wheel-dir"
        asked = ["-r", str(wanted)] if lines else []
        argv = [self.local.executable, "-m", "pip", command, to, str(folder), *_limits(), *words, *asked]
        done = process.run(
            argv,
            one,
            timeout=remaining,
            cwd=folder,
            environment=self._environment(command),
            hopeless=lambda: piplog.is_hopeless(_text(one)),
        )
        _append(one, log(self.local))
        said = piplog.read(_text(one))
        self.notes.add(said, failed=not done.ok)
        if done.status is None and not said.silent:
            raise PackagingError(f"pip has not finished after {remaining:.0f} seconds; its log: {log(self.local)}")
        if not done.ok and said.no_room:
            raise PackagingError(f"pip could not write: {said.no_room}; its log: {log(self.local)}")
        return None if done.ok else said

    def _environment(self, command: str) -> dict[str, str]:
        """pip itself may be an egg of the local buildout's environment."""
        path = os.pathsep.join(self.local.environment_path)
        indexes = own_index_environment if self.own else index_environment
        return {**indexes(self.local, command), "PYTHONPATH": path}


def _for_target(target: Target) -> list[str]:
    implementation = {"cpython": "cp", "pypy": "pp"}.get(target.implementation, "py")
    abis = [target.abi, "abi3", "none"]
    return [
        *("--no-deps", "--only-binary=:all:", "--python-version", target.full),
        *("--implementation", implementation),
        *(word for abi in abis for word in ("--abi", abi)),
        *(word for platform in target.platforms for word in ("--platform", platform)),
    ]


def _is_for(wheel: Path, target: Target) -> bool:
    return repack.runs_there(parse_wheel_filename(wheel.name)[3], target)


def _keep(wheel: Path, wish: Wish, folder: Path) -> None:
    """The name says what it was made of: where that is not known, what it consists of."""
    tag = repack.source_tag(wish.sources) if wish.sources else repack.build_tag(contents.of_wheel(wheel))
    wheelfile.rewrite(wheel, str(wheelfile.version_of(wheel)), folder, tag)


def _limits() -> list[str]:
    """One retry at least: with none, pip does not say that nobody answered."""
    retries = [] if os.environ.get("PIP_RETRIES", "0").strip() not in ("", "0") else ["--retries", "1"]
    return [*retries, *([] if "PIP_DEFAULT_TIMEOUT" in os.environ else ["--timeout", f"{SILENCE:.0f}"])]


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.exists() else ""


def _append(one: Path, whole: Path) -> None:
    with whole.open("ab") as file:
        file.write(one.read_bytes())
