"""The records below ``parts/hostout``: written only where they change, and whole; secrets for their owner only.

What does not belong here: what is in them.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from hostout.model import Json

BUILDOUT = "buildout.json"
SECRETS = "secrets.json"
FILES = ".files.json"
"""What is known of files from the run before; no host has a name with a dot in front."""
RESOLVED = ".resolved.json"
"""The distributions that only deployed files need."""
PRIVATE = 0o600
SHARED = 0o666  # less what the umask takes


def read(path: Path) -> dict[str, Json]:
    """A record, empty where there is none or where it cannot be used: it is written anew."""
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) and data.get("format") == 1 else {}


def write(path: Path, data: Mapping[str, Json], mode: int = SHARED) -> bool:
    """Writes a record where it differs from what is there; says whether it did."""
    text = json.dumps(data, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    private = mode == PRIVATE
    if _is(path, text) and (not private or path.stat().st_mode & 0o077 == 0):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    # with its mode from the first moment on: a file that is narrowed later was readable in between
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return True


def touch_if_older(path: Path, others: Iterable[str]) -> None:
    """Makes a record that is still right as new as the configuration it was made from."""
    if any(Path(other).stat().st_mtime_ns > path.stat().st_mtime_ns for other in others):
        os.utime(path)


def forget(directory: Path, hosts: Iterable[str]) -> None:
    """Removes what is recorded and generated for hosts that are no more."""
    for host in hosts:
        for name in (f"{host}.json", f"{host}.cfg", f"{host}.rehearsal.json", f"logs/{host}.rehearsal.log"):
            (directory / name).unlink(missing_ok=True)


def forget_all(directory: Path, script: Path) -> None:
    """Removes the records and the script of a buildout without hosts; what else is in the folder stays."""
    for path in (directory / BUILDOUT, directory / SECRETS, directory / FILES, directory / RESOLVED, script):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # of what else was done there
        (directory / "logs").rmdir()


def _is(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        return False
