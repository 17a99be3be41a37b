"""Environments with a real zc.buildout and this project in it, one a version, made once and kept under ``.build``.

``buildout_env`` runs a test with each of them. What does not belong here: the configurations that are tested.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
KEPT = PROJECT / ".build" / "buildouts"
VERSIONS = {
    # setuptools before 80 makes develop eggs as egg links, later ones as PEP 660 has it: one of each
    "5.2.0": ("zc.buildout==5.2.0", "setuptools<80", "wheel"),
    "6.0.1": ("zc.buildout==6.0.1", "setuptools>=80", "wheel"),
}
PINS = {"5.2.0": {"zc.recipe.egg": "4.0.0"}, "6.0.1": {"zc.recipe.egg": "6.0.0"}}
"""The newest versions of what goes with each zc.buildout: a ``[versions]`` of every test."""

DEFAULTS = """\
[buildout]
eggs-directory = {caches}/eggs
download-cache = {caches}/downloads
"""


@dataclass(frozen=True)
class BuildoutEnvironment:
    """A virtual environment with zc.buildout ``version`` and this project, editable.

    ``home`` is a home folder whose ``.buildout/default.cfg`` points at caches that all tests share.
    """

    version: str
    directory: Path

    @property
    def python(self) -> Path:
        return self.directory / "bin" / "python"

    @property
    def home(self) -> Path:
        return self.directory / "home"

    @property
    def caches(self) -> Path:
        """The folder of ``eggs`` and ``downloads``."""
        return self.directory / "caches"

    @property
    def pins(self) -> str:
        """Lines for ``[versions]``: newer releases of these would not go with this zc.buildout."""
        return "".join(f"{name} = {version}\n" for name, version in PINS[self.version].items())

    def run(
        self, cwd: Path, *args: str, home: Path | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """``buildout`` with these arguments in ``cwd``; its output, standard error within, is in ``stdout``."""
        return self.script(cwd, self.directory / "bin" / "buildout", *args, home=home, timeout=timeout)

    def build(self, cwd: Path, *args: str, home: Path | None = None) -> str:
        """``run`` with ``-N``, which asks no index for what is there already; it has to succeed. Gives its output."""
        done = self.run(cwd, "-N", *args, home=home)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def script(
        self, cwd: Path, script: Path, *args: str, home: Path | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Any script (``cwd/bin/hostout``) in the same surroundings."""
        return subprocess.run(
            [str(script), *args],
            cwd=cwd,
            env=_environment(home or self.home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )


def environment(version: str, python: str = sys.executable) -> BuildoutEnvironment:
    """The kept environment of a version, made now if it is not there or if ``pyproject.toml`` has changed.

    ``python`` is the interpreter that it is made with.
    """
    wanted = [*VERSIONS[version], _exact_version(python), (PROJECT / "pyproject.toml").read_text()]
    key = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:8]
    kept = BuildoutEnvironment(version, KEPT / f"{version}-{key}")
    with _locked(KEPT / f"{version}-{key}.lock"):
        if not (kept.directory / "complete").exists():
            _make(kept, python)
    return kept


def _exact_version(python: str) -> str:
    argv = [python, "-c", "import sys; print(sys.version, end='')"]
    return sys.version if python == sys.executable else subprocess.check_output(argv, text=True, timeout=60)


@pytest.fixture(params=sorted(VERSIONS))
def buildout_env(request: pytest.FixtureRequest) -> BuildoutEnvironment:
    """An environment of each version of zc.buildout that we support (mark the test with ``buildout``)."""
    return environment(request.param)


def _make(made: BuildoutEnvironment, python: str) -> None:
    _checked(python, "-m", "venv", "--clear", str(made.directory))
    _checked(str(made.python), "-m", "pip", "install", "-q", *VERSIONS[made.version])
    _checked(str(made.python), "-m", "pip", "install", "-q", "-e", str(PROJECT))
    (made.home / ".buildout").mkdir(parents=True)
    (made.home / ".buildout" / "default.cfg").write_text(DEFAULTS.format(caches=made.caches))
    made.caches.mkdir()
    (made.directory / "complete").touch()


def _checked(*argv: str) -> None:
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout


def _environment(home: Path) -> dict[str, str]:
    """Ours without what would reach into a buildout."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "BUILDOUT", "HOSTOUT"))}
    return {**ours, "HOME": str(home)}


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
