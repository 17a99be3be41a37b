"""``known_hosts`` files, read as OpenSSH reads them (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").

Pure but for reading and appending. What does not belong here: what is done about an unknown key (``hostkeys``).
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

MARKERS = ("@revoked", "@cert-authority")


@dataclass(frozen=True)
class Entry:
    """One line of a file: for which names (patterns or a hash) it holds, and the key."""

    names: str
    kind: str
    key: bytes
    marker: str
    file: str
    line: int

    @property
    def place(self) -> str:
        return f"{self.file}, line {self.line}"

    def holds_for(self, name: str) -> bool:
        """Whether it is about the host of this name (``host`` or ``[host]:port``)."""
        if self.names.startswith("|1|"):
            return _hash_fits(self.names, name)
        patterns = self.names.lower().split(",")
        if any(_fits(name, pattern[1:]) for pattern in patterns if pattern.startswith("!")):
            return False
        return any(_fits(name, pattern) for pattern in patterns if not pattern.startswith("!"))


class Verdict(Enum):
    """What the files say of a key."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    CHANGED = "changed"
    REVOKED = "revoked"


@dataclass(frozen=True)
class Opinion:
    """A verdict, and the entry that it comes from. ``others`` are keys of other types known for that host."""

    verdict: Verdict
    entry: Entry | None = None
    others: tuple[Entry, ...] = ()


def _fits(name: str, pattern: str) -> bool:
    # only * and ? are special there: [host]:port means brackets
    return fnmatch.fnmatchcase(name, re.sub(r"\[", "[[]", pattern))


def _hash_fits(hashed: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part) for part in hashed.split("|")[2:4])
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)


def read(files: Iterable[str]) -> list[Entry]:
    """The entries of all files that can be read; lines that are none are passed over, as OpenSSH does."""
    return [entry for file in files for entry in _entries(file)]


def _entries(file: str) -> Iterator[Entry]:
    try:
        text = Path(file).read_text(errors="replace")
    except OSError:
        # a file that is missing or not ours to read knows nobody: keys are then unknown, never accepted
        return
    for number, line in enumerate(text.splitlines(), 1):
        if entry := _entry(line, file, number):
            yield entry


def _entry(line: str, file: str, number: int) -> Entry | None:
    words = line.split()
    if not words or words[0].startswith("#"):
        return None
    marker = words.pop(0) if words[0].startswith("@") else ""
    if len(words) < 3 or (marker and marker not in MARKERS):
        return None
    try:
        key = base64.b64decode(words[2], validate=True)
    except (ValueError, binascii.Error):
        return None
    return Entry(words[0], words[1], key, marker, file, number)


def about(entries: Iterable[Entry], known_as: str) -> list[Entry]:
    """The entries that hold for a host. One with another port than 22 may also stand there without its port."""
    entries = list(entries)
    found = [entry for entry in entries if entry.holds_for(known_as)]
    if not [entry for entry in found if not entry.marker] and (bare := _without_port(known_as)):
        found += [entry for entry in entries if entry.holds_for(bare) and entry not in found]
    return found


def _without_port(known_as: str) -> str:
    match = re.fullmatch(r"\[(.*)\]:\d+", known_as)
    return match[1] if match else ""


def opinion(entries: Iterable[Entry], known_as: str, kind: str, key: bytes) -> Opinion:
    """What ``entries`` say of the key that a host shows. An entry ``@cert-authority`` vouches for certificates only."""
    found = about(entries, known_as)
    for entry in found:
        if entry.marker == "@revoked" and entry.key == key:
            return Opinion(Verdict.REVOKED, entry)
    plain = [entry for entry in found if not entry.marker]
    for entry in plain:
        if entry.key == key:
            return Opinion(Verdict.KNOWN, entry)
    for entry in plain:
        # a line without the port says nothing against another server on another port
        if entry.kind == kind and entry.holds_for(known_as):
            return Opinion(Verdict.CHANGED, entry)
    return Opinion(Verdict.UNKNOWN, others=tuple(entry for entry in plain if entry.holds_for(known_as)))


def fingerprint(key: bytes) -> str:
    """``SHA256:…`` as OpenSSH prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def old_fingerprint(key: bytes) -> str:
    """``MD5:…`` as ``ssh-keygen -E md5`` prints it, and older programs did."""
    return "MD5:" + hashlib.md5(key, usedforsecurity=False).digest().hex(":")


def hashed(name: str) -> str:
    """A name as ``HashKnownHosts`` writes it."""
    salt = os.urandom(20)
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return "|".join(("", "1", base64.b64encode(salt).decode(), base64.b64encode(digest).decode()))


def append(file: str, name: str, kind: str, key: bytes) -> None:
    """Adds a line to a file, which is made (and its folder, for the user alone) where it is missing."""
    path = Path(file)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    line = " ".join((name, kind, base64.b64encode(key).decode())) + "\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, ("" if _ends_with_newline(descriptor) else "\n").encode() + line.encode())
    finally:
        os.close(descriptor)


def _ends_with_newline(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"
