"""Shell lines from words: every builder is pure and returns text, none runs anything.

A line goes through two shells: the login shell of the user (any shell), and the ``sh`` that we start in it. What is
quoted here reaches that ``sh`` as it is.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

SPECIAL_IN_DOUBLE_QUOTES = re.compile(r'([\\"$`])')
SEQUENCE = re.compile(r";|\n|\|\||(?<!&)&(?!&)")
"""A line in which a command runs although the one before failed."""


def join(words: Iterable[str]) -> str:
    """The words as one shell line, each quoted."""
    return " ".join(shlex.quote(word) for word in words)


def as_typed(line: str) -> bytes:
    """The bytes of a line, also those of its arguments here that are no UTF-8."""
    return line.encode("utf-8", "surrogateescape")


def double_quoted(text: str) -> str:
    """The text between double quotes, such that a shell takes it literally."""
    return '"' + SPECIAL_IN_DOUBLE_QUOTES.sub(r"\\\1", text) + '"'


def sh(line: str) -> str:
    """``sh -c "line"``: the login shell passes the line on, one expansion happens, by that ``sh``.

    >>> sh("cd /srv && pwd")
    'sh -c "cd /srv && pwd"'
    >>> sh("cd /srv && echo $HOME")
    "sh -c 'cd /srv && echo $HOME'"
    """
    # between double quotes csh and fish expand these whatever stands before; between single ones fish takes two
    # backslashes for one
    expanded = any(sign in line for sign in "$`") and "\\" not in line
    return " ".join(("sh", "-c", shlex.quote(line) if expanded else double_quoted(line)))


def in_folder(path: str, line: str) -> str:
    """The line, run in ``path``; nothing of it runs where that folder cannot be entered.

    >>> in_folder("/srv", "pwd")
    'cd /srv && pwd'
    >>> in_folder("/srv", "pwd; ls")
    'cd /srv || exit; pwd; ls'
    """
    enter = join(("cd", path))
    return " || exit; ".join((enter, line)) if SEQUENCE.search(line) else " && ".join((enter, line))


def call(script: str, *arguments: str) -> str:
    """``sh -c 'script' hostout arguments…``: a fixed script of ours; what varies is in its positional parameters."""
    return join(("sh", "-c", script, "hostout", *arguments))
