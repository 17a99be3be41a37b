"""The secret key of an installation: made once, then read from a file that only its owner can read."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path


def kept(file: Path) -> str:
    """The key in ``file``; whoever comes first writes it, whole, and everybody else reads the same one."""
    if not file.exists():
        new = file.with_name(f".{file.name}.{os.getpid()}")
        new.touch(mode=0o600)
        new.write_text(secrets.token_urlsafe(50))
        with suppress(FileExistsError):
            os.link(new, file)
        new.unlink()
    return file.read_text()
