"""An unfinished switch is written down, so that whoever comes next can take it back.

What does not belong here: taking it back (``golive.py``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from . import durable, protocol
from .failure import storage
from .site import Site

_NAME = "switching.json"


def read(site: Site) -> Mapping[str, Any] | None:
    """What was begun here and not ended; None also where somebody else than the agent wrote it."""
    try:
        descriptor = durable.open_own(site.own / _NAME, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file, suppress(OSError, ValueError):
        if os.fstat(descriptor).st_uid == os.geteuid():
            return protocol.decode(file.read())
    return None


def write(site: Site, begun: Mapping[str, Any]) -> None:
    """Note down what is begun; it lasts when this returns. Raises Failed."""
    try:
        with durable.own_folder(site.own) as folder:
            durable.write_in(folder, _NAME, durable.as_json(begun), 0o600)
    except OSError as error:
        raise storage(error, site.own / _NAME) from error


def end(site: Site) -> None:
    """It came to its end, forwards or backwards. Raises Failed."""
    try:
        with durable.own_folder(site.own) as folder, suppress(FileNotFoundError):
            os.unlink(_NAME, dir_fd=folder)
            os.fsync(folder)
    except OSError as error:
        raise storage(error, site.own / _NAME) from error
