"""The near end of a process that waits for our death: what it is told, and when it may go.

What does not belong here: starting it (``detached.py``), what it does then (``watch.py``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Guardian:
    """A process that acts when nobody is left who could write to its pipe, and nobody has."""

    pid: int
    pipe: int

    def tell(self) -> None:
        """Nothing is left to be done."""
        try:
            os.write(self.pipe, b".")
        except BrokenPipeError:
            # it was killed, or knows already
            return

    def forget(self) -> None:
        """This process does not count: others have to live on, or tell."""
        os.close(self.pipe)

    def dismiss(self) -> None:
        """Nothing is left to be done, and it has gone."""
        self.tell()
        self.forget()
        os.waitpid(self.pid, 0)
