"""What a host says of its Python, for tests that choose files: one like ours on Linux, but for what a test changes.

What does not belong here: the other facts of a host.
"""

from __future__ import annotations

import sys

from hostout.model import Facts, Json

PYTHON = "{}.{}".format(*sys.version_info)


def facts(have: dict[str, str] | None = None, **more: Json) -> Facts:
    """``have`` are the files that the host has, by name; ``more`` goes before the rest of what is said of Python."""
    python = {
        "version": f"{PYTHON}.2",
        "implementation": "cpython",
        "platform": "linux-x86_64",
        "libc": ["glibc", "2.36"],
        "soabi": f"cpython-{PYTHON.replace('.', '')}-x86_64-linux-gnu",
    }
    return Facts({"python": {**python, **more}, "have": have or {}})
