"""The program that travels to a host: the agent's package as a zip made in memory, the shell line that starts it.

Pure but for reading the package's files; the same files give the same bytes. What does not belong here: talking to
what was started (``agent``).
"""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hostout.model import Json

INSIDE = "hostout_agent"
OLDEST = (3, 9)
PYTHONS = ("python3", *(f"python3.{minor}" for minor in range(14, OLDEST[1] - 1, -1)))

LONGEST_COMMAND = 100_000
"""Characters of a command line that every host takes (Linux: 128 KiB for one argument); more goes by standard input."""

LATER: Mapping[str, tuple[str, ...]] = {"fetch": ("web.py", "fetch.py")}
"""Files of the package that travel with the requests that need them, in the order in which they import each other."""

DOCSTRING = re.compile(r'^( *)"""(.*?)"""$', re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"^ *# .*$", re.MULTILINE)

MAIN = (
    "import sys\n"
    f"from {INSIDE}.serve import main\n"
    "with open(sys.argv[1]) as question:\n"
    "    text = question.read()\n"
    "sys.exit(main(text))\n"
)

SEND = "hostout: send"
"""What the loader says when it wants the program by standard input."""

LOADER = (
    "import base64,os,sys,zlib\n"
    "d,n=sys.argv[1],int(sys.argv[2])\n"
    "if len(d)<n and len(sys.argv)>3:\n"
    " try:\n"
    "  d=open(sys.argv[3]).read(n)\n"
    " except OSError:\n"
    "  pass\n"
    "if len(d)<n:\n"
    f" os.write(1,b'{SEND}\\n')\n"
    " d=sys.stdin.read(n)\n"
    "d=zlib.decompress(base64.b64decode(d))\n"
    "k=int.from_bytes(d[:4],'big')\n"
    "z=os.memfd_create('hostout',0)\n"
    "q=os.memfd_create('question',0)\n"
    "os.write(z,d[4:4+k])\n"
    "os.write(q,d[4+k:])\n"
    "p='/proc/self/fd/%d'\n"
    "os.execv(sys.executable,[sys.executable,'-I','-S','-B',p%z,p%q])"
)
"""Puts program and question into memory files and becomes that program, so that the process list shows neither.

Both are its first argument, or in the file that its third one names, or come by standard input when it asks.
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
    payload = _payload(zipped(package), json.dumps(question, separators=(",", ":")).encode())
    start = ("sh", "-c", START, "hostout", LOADER)
    if len(payload) + len(LOADER) + len(START) > LONGEST_COMMAND:
        return Program((*start, "", str(len(payload))), later=payload.encode())
    if through_sudo:
        return Program((*start, "", str(len(payload))), payload, payload.encode())
    return Program((*start, payload, "0"))


def _payload(archive: bytes, question: bytes) -> str:
    # not compressed in the zip but as one: smaller to send and quicker to import
    asked = base64.b64encode(question)
    return base64.b64encode(zlib.compress(len(archive).to_bytes(4, "big") + archive + asked, 9)).decode()


def zipped(package: Path) -> bytes:
    """A zip of the package's Python files but those for ``later``, the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_entry("__main__.py"), MAIN)
        for name, content in _files(package):
            archive.writestr(_entry(f"{INSIDE}/{name}"), bare(content))
    return buffer.getvalue()


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
    left_out = {name for names in LATER.values() for name in names}
    for path in sorted(package.rglob("*.py")):
        if (name := path.relative_to(package).as_posix()) not in left_out:
            yield name, path.read_text(encoding="utf-8")


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o644 << 16
    return entry
