"""The door of the script ``bin/hostout``: an interruption is one line from the first import on.

What does not belong here: everything that the script does (``script``).
"""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main(records: str, argv: list[str] | None = None) -> int:
    """Runs the script on the records that the recipe wrote; returns the exit status."""
    try:
        from hostout import script

        return script.main(records, argv)
    except KeyboardInterrupt:
        sys.stderr.write("Hostout: interrupted\n")
        return INTERRUPTED
