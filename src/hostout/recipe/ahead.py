"""Has the deployed files of every host resolved at the end of a run: in a process of its own, for what this one has
loaded and decided is another configuration's.

What does not belong here: how that is done (``hostout.resolving``), what becomes of it.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostout.model import Json, Member
from hostout.recipe import records

PROGRAM = """\
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from hostout.resolving import main
sys.exit(main(sys.argv[2:]))
"""
"""With the modules that are there for the recipe."""

TIMEOUT = 3600.0
"""Seconds, for all hosts."""


@dataclass(frozen=True)
class Resolved:
    """``members`` are the distributions that hosts need, ``files`` what is known of the files of some: by the folder
    with their metadata its time, file name and sha256. ``whole``: of all hosts."""

    members: tuple[Member, ...] = ()
    files: Mapping[str, Json] = field(default_factory=dict)
    whole: bool = False


def resolved(buildout: Any, folder: Path, hosts: int) -> Resolved:
    """What the ``hosts`` hosts need whose records are in ``folder``.

    Where that cannot be told it is said, and left to the deployment. With option ``offline`` nobody is asked.
    """
    options = buildout["buildout"]
    if options.get("offline") == "true":
        return Resolved()
    words = ["from-cache"] if options.get("install-from-cache") == "true" else []
    argv = [sys.executable, "-I", "-c", PROGRAM, json.dumps(sys.path), str(folder), *words]
    logging.getLogger("hostout").info("Resolving what is deployed.")
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        _warn(f"what is deployed is not resolved after {TIMEOUT:.0f} seconds; a deployment tries again")
        return Resolved()
    if done.returncode:
        _warn("what is deployed could not be resolved; a deployment tries again")
        return Resolved()
    return _read(json.loads(done.stdout), hosts)


def kept(folder: Path) -> list[Member]:
    """What runs have found out and kept in the folder of the records."""
    return [Member(*one) for one in records.read(folder / records.RESOLVED).get("members", [])]


def keep(folder: Path, found: Resolved) -> None:
    """Keeps it for the next run; what hosts need of which nothing could be told now stays as it was."""
    every = {(m.name, m.version): m.location for m in (*([] if found.whole else kept(folder)), *found.members)}
    members = [[*pin, location] for pin, location in sorted(every.items())]
    records.write(folder / records.RESOLVED, {"format": 1, "members": members})


def _read(found: Mapping[str, Json], hosts: int) -> Resolved:
    for one in found.values():
        if problem := one.get("problem"):
            _warn(problem)
    good = [one for one in found.values() if "problem" not in one]
    files = {place: known for one in good for place, known in one["files"].items()}
    return Resolved(tuple(dict.fromkeys(_members(good))), files, len(good) == hosts)


def _members(found: list[Json]) -> Iterator[Member]:
    for one in found:
        yield from (Member(name, version, location) for name, version, location in one["members"])


def _warn(line: str) -> None:
    logging.getLogger("hostout").warning("%s", line)
