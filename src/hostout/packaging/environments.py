"""What develop packages were built in, kept for a week: making that takes longer than all else in a small deployment.

``<folder>/<key>.json`` says where the environment of these requirements is, or what a project asked for that said what
it says now. What does not belong here: making one, asking a project (``backend.py``).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hostout.model import Json

WEEK = 7 * 86400.0

ASKS = ("pyproject.toml", "setup.cfg", "setup.py")
"""Files in which a project says what it takes to build it."""

HOOK = """\
import importlib, sys
sys.path.pop(0)
module, _, names = sys.argv[1].partition(":")
backend = importlib.import_module(module)
for name in filter(None, names.split(".")):
    backend = getattr(backend, name)
backend.build_wheel(sys.argv[2])
"""
"""Calls the build backend as PEP 517 says, in the folder of the project but without it on the import path."""


@dataclass(frozen=True)
class Ready:
    """The interpreter of an environment in which a project can be built right now, with the name of its backend."""

    python: str
    backend: str

    def argv(self, out: Path) -> list[str]:
        """The command that puts a wheel of the project it runs in into ``out``."""
        return [self.python, "-c", HOOK, self.backend, str(out)]

    @property
    def variables(self) -> dict[str, str]:
        """Programs of the environment come first, as pypa/build has it."""
        return variables(self.python)


def variables(python: str) -> dict[str, str]:
    """Of a process that works in the environment of that interpreter."""
    return {"PATH": os.pathsep.join([str(Path(python).parent), os.environ.get("PATH", "")]), "PYTHONPATH": ""}


def ready(source: Path, folder: Path, settings: Mapping[str, str]) -> Ready | None:
    """What a project was built in that asked for the same; ``settings`` are all variables that its build sees."""
    said = asked(source, settings)
    known = read(folder / f"{said}.json") if said else {}
    python = kept(folder, known.get("requirements") or (), settings)
    return Ready(python, known["backend"]) if python and known.get("backend") else None


def asked(source: Path, settings: Mapping[str, str]) -> str:
    """A hash of what a project says; empty where it brings its backend along, which can ask for anything."""
    said = [(source / name).read_bytes() if (source / name).exists() else b"" for name in ASKS]
    return "" if b"backend-path" in said[0] else key(map(bytes.hex, said), settings)


def kept(folder: Path, requirements: Sequence[str], settings: Mapping[str, str]) -> str:
    """The interpreter of the environment with these; empty where there is none."""
    python = str(read(folder / f"{key(requirements, settings)}.json").get("python") or "")
    return python if python and Path(python).exists() else ""


def key(words: Iterable[str], settings: Mapping[str, str]) -> str:
    """Of something that holds for this interpreter and these settings of pip."""
    pip = sorted(f"{name}={value}" for name, value in settings.items() if name.startswith("PIP_"))
    content = json.dumps([sys.version, sys.executable, pip, *words])
    return hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()[:20]


def remove_old(folder: Path) -> None:
    """What nobody takes any more; a build may still be at work in what has just become too old."""
    for path in folder.iterdir():
        if age(path) > 2 * WEEK:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def age(path: Path) -> float:
    """In seconds."""
    return time.time() - path.lstat().st_mtime


def read(path: Path) -> dict[str, Json]:
    """What was noted down less than a week ago."""
    try:
        known = json.loads(path.read_text()) if age(path) < WEEK else {}
    except (OSError, ValueError):
        # never, or half
        return {}
    return known if isinstance(known, dict) else {}


def write(path: Path, value: Mapping[str, Json]) -> None:
    """Note it down."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)
