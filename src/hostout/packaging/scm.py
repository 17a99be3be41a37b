"""Which commit of the user's own version control a release was made from: for the ledger, never for its content."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from hostout.gitvariables import without_redirections

TIMEOUT = 20.0


def describe(directory: Path) -> dict[str, str]:
    """``commit``, and ``dirty`` where tracked files have changed since; empty where git is not in use."""
    if not shutil.which("git"):
        return {}
    try:
        commit = _git(directory, "rev-parse", "HEAD")
        changed = _git(directory, "status", "--porcelain", "--untracked-files=no", "--", ".")
    except (subprocess.SubprocessError, OSError):
        # no repository, no commit yet, or one so large that it does not answer in time: known to nobody
        return {}
    return {"commit": commit, **({"dirty": "yes"} if changed else {})}


def _git(directory: Path, *words: str) -> str:
    argv, environment = ["git", "--no-optional-locks", *words], without_redirections(os.environ)
    done = subprocess.run(argv, cwd=directory, env=environment, check=True, capture_output=True, timeout=TIMEOUT)
    return done.stdout.decode("utf-8", "replace").strip()
