"""The page: a text of this package, a text of a configuration file, and a number that is kept in ``var``."""

from __future__ import annotations

import configparser
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import Any

TEXT = "This is the first version of the package."

PAGE = """\
<!doctype html>
<title>hello</title>
<h1>{greeting}</h1>
<p>{text}</p>
<p>Visit {visit}.</p>
"""


def application(ini: Path, var: Path) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """The WSGI application; ``ini`` has the greeting, ``var`` is where the visits are counted."""
    settings = configparser.ConfigParser()
    settings.read_string(ini.read_text())
    greeting = settings["hello"]["greeting"]

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        if environ["PATH_INFO"] == "/health":
            return [b"well\n"]
        page = PAGE.format(greeting=escape(greeting), text=escape(TEXT), visit=count(var / "visits"))
        return [page.encode()]

    return answer


def count(file: Path) -> int:
    """One more visit; gives how many there were. The file has a byte for each."""
    with file.open("ab") as visits:
        visits.write(b".")
        return visits.tell()
