"""Who holds the lock is heard of also while it acts as the owner of the cache, who may not touch root's file."""

from __future__ import annotations

import os
from pathlib import Path

from hostout.agent import people
from hostout.agent.lock import Lock, said


def test_sign_of_life_is_seen_while_files_are_received_as_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / ".hostout" / "lock"
    path.parent.mkdir()
    lock = Lock(path)
    lock.acquire({"user": "joe", "machine": "laptop", "what": "deploy"})
    try:
        os.utime(path, (0, 0))
        with people.acting_as(people.with_id(65534 if people.is_root() else os.geteuid())):
            lock.hear()
        assert path.stat().st_mtime > 0
        assert str(said(path)).startswith("joe on laptop is at work here")
    finally:
        lock.release()
