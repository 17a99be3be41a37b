"""Releases as they lie on a host, without the seconds that building each of them takes.

What does not belong here: what is tested.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from agentclient import Place
from hostout.agent import manifest
from hostout.agent.release import load
from hostout.agent.session import Session
from hostout.agent.shelf import Shelf

DAY = 86400.0


def ago(path: Path, days: float) -> Path:
    """Last changed so many days ago."""
    then = time.time() - days * DAY
    os.utime(path, (then, then), follow_symlinks=False)
    return path


def released(place: Place, number: int, state: str = "good", days: float = 10, **more: Any) -> str:
    """A release that was built and came to that state so many days ago; gives its name.

    ``made`` is what its build made (name and text); all else is part of its record.
    """
    name = f"{number:04d}-{number:08x}"
    folder = place.path / "releases" / name
    made: Mapping[str, str] = more.pop("made", {"parts/app/made.txt": "made"})
    for path, text in made.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "var").symlink_to("../../var")
    states = ["staging", "built", "live", state] if state in ("live", "good") else ["staging", "built", state]
    record = {"id": name[5:], "state": state, "states": dict.fromkeys(states, time.time() - days * DAY), **more}
    (folder / "release.json").write_text(json.dumps(record))
    manifest.write(cast(Session, None), load(folder))
    return name


def live(place: Place, name: str) -> str:
    """That one is live."""
    current = place.path / "current"
    current.unlink(missing_ok=True)
    current.symlink_to(f"releases/{name}")
    return name


def cached(place: Place, *paths: str, days: float = 2, made: bool = True) -> None:
    """What has been in the cache for so many days; eggs are those that hostout ``made``."""
    shelf = Shelf(place.cache / "eggs/v5", "")
    for name in paths:
        path = place.cache / name
        if name.startswith("downloads"):
            path.write_text("x" * 5000)
        else:
            (path / "inside").mkdir(parents=True)
        if made and name.endswith(".egg"):
            shelf.prepare(alone=True)
            metadata = path / f"{path.stem}.dist-info/METADATA"
            metadata.parent.mkdir()
            metadata.touch()
            shelf.note([(path.name, "0" * 64)], made=[path.name])
        ago(path, days)


def names(place: Place) -> list[str]:
    """Of all releases."""
    return sorted(path.name for path in (place.path / "releases").iterdir())


def everything(*tops: Path) -> dict[str, tuple[float, int, int]]:
    """Every file and folder below, with the time it was written, its size and its inode."""
    paths = [path for top in tops for path in (top, *top.rglob("*"))]
    looks = {str(path): path.lstat() for path in paths}
    return {name: (look.st_mtime_ns, look.st_size, look.st_ino) for name, look in looks.items()}
