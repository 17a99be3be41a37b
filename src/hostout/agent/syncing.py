"""Waiting until what was written is on the disk, and hearing of it where it is not.

Imports nothing of ours: who compiles bytecode does so without the agent. What does not belong here: writing.
"""

from __future__ import annotations

import errno
import os
from importlib import import_module
from pathlib import Path
from typing import Any


def sync(*paths: Path | int) -> None:
    """Wait until all is on disk that was written on the file systems of these files or folders; raises OSError.

    Those of others, as a share whose server is gone, are not waited for (syncfs(2)), and what the disk did not take is
    an error: to whom gives a descriptor since that was opened, to whom gives a path unless somebody else heard of it.
    Where Python has no ctypes they are, and it is none.
    """
    synced: set[int] = set()
    for path in paths:
        descriptor = os.dup(path) if isinstance(path, int) else os.open(path, os.O_RDONLY)
        try:
            device = os.fstat(descriptor).st_dev
            if device not in synced:
                _syncfs(descriptor)
                synced.add(device)
        finally:
            os.close(descriptor)


def _syncfs(descriptor: int) -> None:
    try:
        ctypes: Any = import_module("ctypes")
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (ImportError, OSError, AttributeError):
        # made without libffi, linked without a library to load, or a library of old
        os.sync()
        return
    if syncfs(descriptor):
        code = ctypes.get_errno()
        if code != errno.ENOSYS:
            raise OSError(code, os.strerror(code))
        os.sync()
