"""An error of somebody's code in one line: where, and what.

What does not belong here: catching it.
"""

from __future__ import annotations


def failed_at(path: str, error: BaseException) -> int:
    """The line of this file that an error comes from, 0 where none is known."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno or 0
    line, trace = 0, error.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == path else line
        trace = trace.tb_next
    return line


def described(error: BaseException) -> str:
    """An error in one line: its type and the first line of what it says."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    first = (text.strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
