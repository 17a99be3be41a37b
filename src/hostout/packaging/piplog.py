"""What pip has to say, read out of its output: whom it found nothing for, what came changed, who did not answer.

The words are those of pip 23 to 26. What does not belong here: calling pip.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from packaging.utils import canonicalize_name

_MISSING = re.compile(r"No matching distribution found for ([A-Za-z0-9._-]+)")
_CHANGED = re.compile(
    r"^ +([A-Za-z0-9._-]+)==\S+(?: from (\S+))?.*:\n"
    r"(?: +(?:Expected \w+|or) +[0-9a-f]+\n)+ +Got +([0-9a-f]+)",
    re.MULTILINE,
)
_DAMAGED = re.compile(r"Wheel '([A-Za-z0-9._-]+)' located at \S+ is invalid")
_YANKED = re.compile(r"yanked version: '([A-Za-z0-9._-]+)' candidate .*\nReason for being yanked: (.*)")
_BROKEN = re.compile(
    r"after connection broken by .*?\(?host='(?P<host>[^']+)', port=(?P<port>\d+)"
    r"|after connection broken by .*?(?P<broken>\w+Error)"
    r"|Unable to fetch \w+://(?:[^/@\s]*@)?(?P<file>[^/\s]+)"
    r"|repository located at (?P<insecure>\S+) is not a trusted"
)
_TIMED_OUT = re.compile(r"after connection broken by '\w*Timeout")
_NO_ROOM = re.compile(r"\[Errno (?:13|27|28|30|122)\] [^\n]*")


@dataclass(frozen=True)
class Said:
    """Names are normalised. ``missing``: the index has nothing for them; ``changed``: the file that came instead of
    the right one; ``yanked``: the reason; ``silent``: hosts that did not answer; ``no_room``: the system's own words.
    """

    missing: frozenset[str]
    changed: dict[str, str]
    yanked: dict[str, str]
    silent: tuple[str, ...]
    no_room: str


def read(text: str) -> Said:
    """What one call of pip said."""
    changed = {canonicalize_name(m[1]): _came(m[2] or "", m[3]) for m in _CHANGED.finditer(text)}
    damaged = {canonicalize_name(m[1]): "what the index has of it is no wheel" for m in _DAMAGED.finditer(text)}
    room = _NO_ROOM.search(text)
    return Said(
        frozenset(str(canonicalize_name(m[1])) for m in _MISSING.finditer(text)),
        {str(name): said for name, said in {**damaged, **changed}.items()},
        {str(canonicalize_name(m[1])): m[2].strip() for m in _YANKED.finditer(text)},
        tuple(dict.fromkeys(_host(match) for match in _BROKEN.finditer(text))),
        room[0] if room else "",
    )


def is_hopeless(text: str) -> bool:
    """Whether somebody was waited for in vain more than once: so it would go on, for each distribution anew."""
    return len(_TIMED_OUT.findall(text)) > 1


def _came(url: str, sha256: str) -> str:
    file = url.partition("#")[0].rpartition("/")[2] or "a file of the index"
    return f"{file} came with the sha256 {sha256}"


def _host(match: re.Match[str]) -> str:
    if match["host"]:
        return f"{match['host']}:{match['port']}"
    return match["file"] or match["insecure"] or f"the index ({match['broken']})"
