"""The program that travels to a host: the agent's package as one file made in memory, the shell line that starts it.

Pure but for reading the package's files; the same files give the same bytes. What does not belong here: talking to
what was started (``agent``).
"""

from __future__ import annotations

import base64
import re
import threading
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hostout.agent import protocol
from hostout.model import Json

INSIDE = "hostout_agent"
FIRST = "carried.py"
"""The file of the package that imports the others where they arrive."""

OLDEST = (3, 9)
PYTHONS = ("python3", *(f"python3.{minor}" for minor in range(14, OLDEST[1] - 1, -1)))

LONGEST_COMMAND = 120_000
"""Characters of a command line that every host takes (Linux: 128 KiB for one argument, which it is for the login shell,
quotes and sudo included); more goes by standard input, which takes a round trip."""

LATER: Mapping[str, tuple[str, ...]] = {"fetch": ("web.py", "fetch.py")}
"""Files of the package that travel with the requests that need them, in the order in which they import each other."""

DOCSTRING = re.compile(r'^( *)"""(.*?)"""$', re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"^ *# .*$", re.MULTILINE)

SEND = "hostout: send"
"""What the loader says when it wants the program by standard input."""

_LOADER = (
    "import binascii,os,sys,zlib\n"
    "d,n=sys.argv[1],int(sys.argv[2])\n"
    "if len(d)<n and len(sys.argv)>3:\n"
    " try:\n"
    "  d=open(sys.argv[3]).read(n)\n"
    " except OSError:\n"
    "  pass\n"
    "if len(d)<n:\n"
    f" os.write(1,b'{SEND}\\n')\n"
    " d=sys.stdin.read(n)\n"
    "z,q=os.memfd_create('hostout',0),os.memfd_create('question',0)\n"
    "for f,t in zip((z,q),d.split('.')):\n"
    " os.write(f,zlib.decompress(binascii.a2b_base64(t)))\n"
    "p='/proc/self/fd/%d'\n"
    "os.execv(sys.executable,[sys.executable,'-X','utf8','-I','-S','-B',p%z,p%q])"
)
LOADER = f"import base64;exec(base64.b64decode('{base64.b64encode(_LOADER.encode()).decode()}'))"
"""Puts program and question into memory files and becomes that program, so that the process list shows neither.

Both are its first argument, or in the file that its third one names, or come by standard input when it asks. Names of
files are UTF-8 to it, as they are to what it runs, whatever the locale of the host is. It is one line: csh, which may
be the login shell, takes no newline between quotes.
"""

START = (
    "echo; l=$1; shift; f=; for p in " + " ".join(PYTHONS) + "; do "
    'command -v "$p" >/dev/null 2>&1 || continue; '
    'v=$("$p" -I -S -c "import sys; print(\'%d.%d.%d\' % sys.version_info[:3]); '
    f'sys.exit(sys.version_info < {OLDEST})" 2>/dev/null) && exec "$p" -I -S -c "$l" "$@"; '
    "f=${f:-$v}; done; "
    'if [ -n "$f" ]; then r=old-python; else r=no-python; fi; '
    """printf '{"event":"unfit","reason":"%s","found":"%s"}\\n' "$r" "$f\""""
)
"""Finds a Python that is new enough and runs the loader ``$1`` in it; says so in one JSON line where there is none.

The empty line before all ends whatever a login shell has said.
"""


@dataclass(frozen=True)
class Program:
    """What is sent: ``argv`` starts it.

    ``beside`` is to be in the file that a further argument names. ``later`` follows on standard input when it asks.
    """

    argv: tuple[str, ...]
    beside: str = ""
    later: bytes = b""


def program(package: Path, question: Mapping[str, Json], *, through_sudo: bool = False) -> Program:
    """The agent in ``package`` with its question.

    ``through_sudo`` keeps both out of the command line that sudo gets: it writes that to the log of the host.
    """
    payload = f"{packed(package)}.{_pack(protocol.question_argument(question).encode())}"
    start = ("sh", "-c", START, "hostout", LOADER)
    if len(payload) + len(LOADER) + len(START) > LONGEST_COMMAND:
        return Program((*start, "", str(len(payload))), later=payload.encode())
    if through_sudo:
        return Program((*start, "", str(len(payload))), payload, payload.encode())
    return Program((*start, payload, "0"))


def pack_meanwhile(package: Path) -> None:
    """Begins to do what ``program`` will need, for somebody who has to wait for a host anyway."""
    threading.Thread(target=packed, args=(package,), daemon=True, name="hostout-packing").start()


def packed(package: Path) -> str:
    """The agent without a question; made once, whoever asks."""
    with _PACKING:
        return _packed(package)


_PACKING = threading.Lock()


@cache
def _packed(package: Path) -> str:
    return _pack(carrying(package).encode())


def _pack(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 9)).decode()


def carrying(package: Path) -> str:
    """The program: a file of Python that has all of the package in it but what travels ``later``."""
    sources = {name: bare(content) for name, content in _files(package)}
    return f"{sources.pop(FIRST)}\nstart({INSIDE!r}, {sources!r})\n"


def later(package: Path, action: str) -> dict[str, Json]:
    """Arguments of a request for this action: the sources of the modules that did not travel with the agent."""
    names = LATER.get(action, ())
    sources = {name.removesuffix(".py"): bare((package / name).read_text(encoding="utf-8")) for name in names}
    return {"modules": sources} if sources else {}


def bare(source: str) -> str:
    """The same program without docstrings and comments, a third of what would travel; lines keep their number.

    Knows how this package is written and nothing else: a line that begins with three quotes begins a docstring.
    """
    return COMMENT.sub("", DOCSTRING.sub(_blank, source))


def _blank(docstring: re.Match[str]) -> str:
    return docstring[1] + '""' + "\n" * docstring[2].count("\n")


def _files(package: Path) -> Iterator[tuple[str, str]]:
    left_out = {"__main__.py", *(name for names in LATER.values() for name in names)}
    for path in sorted(package.glob("*.py")):
        if path.name not in left_out:
            yield path.name, path.read_text(encoding="utf-8")
