"""Asks a project what it takes to build it, and builds a wheel in an environment of that: a program of its own.

The environment is kept for the next time. What does not belong here: which project, how long it may take
(``develop.py``), what is kept how long (``environments.py``).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from build import BuildBackendException, BuildException, FailedProcessError, ProjectBuilder
from build.env import DefaultIsolatedEnv, IsolatedEnv

from hostout.packaging import environments

LEGACY = "setuptools.build_meta:__legacy__"
"""The backend of a project that names none."""


@dataclass(frozen=True)
class Kept(IsolatedEnv):
    """An environment that was made before."""

    python: str

    @property
    def python_executable(self) -> str:
        return self.python

    def make_extra_environ(self) -> Mapping[str, str]:
        return environments.variables(self.python)


def main(source: str, out: str, kept: str, trust: str) -> None:
    """A wheel of ``source`` appears in ``out``; what is in ``kept`` will do, where ``trust`` says so."""
    folder = Path(kept)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        build(source, out, folder, trust=trust == "trust")
    except (BuildException, BuildBackendException, FailedProcessError) as error:
        sys.exit(f"ERROR {error}")
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.output or b"").decode(errors="replace").rstrip()
        sys.exit(f"{said}\nERROR what it takes to build this project cannot be installed")


def build(source: str, out: str, kept: Path, *, trust: bool) -> None:
    """Raises what pypa/build raises."""
    requirements = sorted(ProjectBuilder(source).build_system_requires)
    builder = ProjectBuilder.from_isolated_env(_environment(kept, requirements, trust), source)
    every = sorted({*requirements, *builder.get_requires_for_build("wheel")})
    if every != requirements:
        builder = ProjectBuilder.from_isolated_env(_environment(kept, every, trust), source)
    builder.build("wheel", out)
    if asked := environments.asked(Path(source), os.environ):
        environments.write(kept / f"{asked}.json", {"requirements": every, "backend": _backend(Path(source))})


def _environment(kept: Path, requirements: Sequence[str], trust: bool) -> IsolatedEnv:
    python = environments.kept(kept, requirements, os.environ) if trust else ""
    return Kept(python) if python else _made(kept, requirements)


def _made(kept: Path, requirements: Sequence[str]) -> IsolatedEnv:
    """A new one; where a requirement is a place, which may have something else tomorrow, it goes with this process."""
    lasts = not any("@" in line for line in requirements)
    environments.remove_old(kept)
    with ExitStack() as stack:
        tempfile.tempdir = str(kept) if lasts else None
        environment = stack.enter_context(DefaultIsolatedEnv())
        tempfile.tempdir = None
        environment.install(requirements)
        stack.pop_all()
    if lasts:
        noted = {"python": environment.python_executable}
        environments.write(kept / f"{environments.key(requirements, os.environ)}.json", noted)
    return environment


def _backend(source: Path) -> str:
    """Its name; empty where nobody here can read that."""
    path = source / "pyproject.toml"
    if not path.exists():
        return LEGACY
    if sys.version_info < (3, 11):
        return ""
    import tomllib  # noqa: PLC0415 - not there before

    system = tomllib.loads(path.read_text("utf-8")).get("build-system", {})
    return str(system.get("build-backend", LEGACY))


if __name__ == "__main__":
    main(*sys.argv[1:])
