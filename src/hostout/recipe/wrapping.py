"""Functions of zc.buildout in other clothes while a run lasts, so that hostout can look on.

What does not belong here: which functions, and what is seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Wrapping:
    """What was wrapped, to be put back by ``undo``."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, Any]] = []

    def wrap(self, owner: Any, name: str, wrapper: Callable[[Any], Any]) -> None:
        """``owner.name`` becomes what ``wrapper`` makes of it."""
        original = getattr(owner, name)
        self._undo.append((owner, name, original))
        setattr(owner, name, wrapper(original))

    def undo(self) -> None:
        """Puts everything back, the last first."""
        while self._undo:
            owner, name, original = self._undo.pop()
            setattr(owner, name, original)
