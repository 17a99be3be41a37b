"""Asking whoever runs the script: prompts go to standard error, answers come from the terminal on standard input.

What does not belong here: what is asked, and what an answer means.
"""

from __future__ import annotations

import getpass
import sys
import warnings


class Terminal:
    """A person at a terminal. Where standard input is none, every answer is ``None``, and nothing is waited for."""

    def secret(self, prompt: str) -> str | None:
        """What is typed unseen; ``None`` also for the end of the input (Ctrl-D)."""
        if not self._there():
            return None
        try:
            with warnings.catch_warnings():
                # an echo that cannot be turned off must not put a password on the screen
                warnings.simplefilter("error", getpass.GetPassWarning)
                return getpass.getpass(prompt, sys.stderr)
        except (EOFError, getpass.GetPassWarning):
            return None
        except KeyboardInterrupt:
            _new_line()
            raise

    def line(self, prompt: str) -> str | None:
        """A line as it was typed, without its end."""
        if not self._there():
            return None
        sys.stderr.write(prompt)
        sys.stderr.flush()
        try:
            answer = sys.stdin.readline()
        except KeyboardInterrupt:
            _new_line()
            raise
        return answer.rstrip("\n") if answer else None

    def confirm(self, question: str) -> bool | None:
        """Yes or no; no is what somebody says who just presses Return."""
        answer = self.line(f"{question} [y/N] ")
        return None if answer is None else answer.strip().lower() in ("y", "yes")

    def _there(self) -> bool:
        return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


def _new_line() -> None:
    """What is said next does not stand behind the prompt."""
    sys.stderr.write("\n")
