"""Which wheels fit a host: compatibility tags from the facts about its Python (PEP 425, 600, 656).

Pure. What does not belong here: files, and the Python that we run in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from packaging.tags import Tag, compatible_tags, cpython_tags, generic_tags

from hostout.model import Json

LEGACY = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}
"""Older names of platform tags, by the glibc that they stand for."""

OLDEST = {"x86_64": 5, "i686": 5}
"""The first minor version of glibc 2 with wheels for an architecture; 17 for all others."""


@dataclass(frozen=True)
class Target:
    """The Python of a host: ``version`` (3, 11), ``full`` 3.11.2 without what stands behind (rc1),
    ``platform`` as sysconfig has it, ``libc`` (name, major, minor)."""

    version: tuple[int, int]
    full: str
    implementation: str
    platform: str
    libc: tuple[str, int, int]
    abi: str

    @classmethod
    def of(cls, python: Mapping[str, Json]) -> Target:
        """From ``facts["python"]``."""
        major, minor = (int(n) for n in python["version"].split(".")[:2])
        name, number = [*(python["libc"] or ()), "", ""][:2]
        numbers = [int(n) for n in number.split(".")[:2] if n.isdigit()] + [0, 0]
        abi = _abi(python.get("soabi") or "", major, minor)
        platform = python["platform"].replace("-", "_").replace(".", "_")
        libc = (name, numbers[0], numbers[1])
        return cls((major, minor), _plain(python["version"]), python["implementation"], platform, libc, abi)

    def __str__(self) -> str:
        libc = f", {self.libc[0]} {self.libc[1]}.{self.libc[2]}" if self.libc[0] else ""
        return f"{self.implementation} {self.version[0]}.{self.version[1]} on {self.platform}{libc}"

    @cached_property
    def platforms(self) -> tuple[str, ...]:
        """Platform tags, the best first."""
        return tuple(_platforms(self.platform, self.libc))

    @cached_property
    def ranks(self) -> Mapping[Tag, int]:
        """Every tag that fits; the lower the better."""
        return {tag: rank for rank, tag in reversed(list(enumerate(self._tags())))}

    def rank(self, tags: frozenset[Tag]) -> int | None:
        """How well a wheel with these tags fits; ``None``: not at all."""
        return min((self.ranks[tag] for tag in tags if tag in self.ranks), default=None)

    def _tags(self) -> Iterator[Tag]:
        interpreter = f"cp{self.version[0]}{self.version[1]}"
        if self.implementation == "cpython":
            yield from cpython_tags(self.version, [self.abi], self.platforms)
        else:
            interpreter = f"pp{self.version[0]}{self.version[1]}"
            yield from generic_tags(interpreter, [self.abi], self.platforms)
        yield from compatible_tags(self.version, interpreter, self.platforms)


def fits_python(tags: Iterable[Tag], version: tuple[int, int]) -> bool:
    """Whether a wheel is for this Python, whatever the platform."""
    return any(_is_for(tag, *version) for tag in tags)


def _is_for(tag: Tag, major: int, minor: int) -> bool:
    implementation, number = tag.interpreter[:2], tag.interpreter[2:]
    of = (int(number[:1] or 0), int(number[1:])) if number[1:].isdigit() else (int(number or 0), 0)
    if implementation == "py" or tag.abi == "abi3":
        return of[0] == major and of[1] <= minor
    return of == (major, minor)


def _plain(version: str) -> str:
    found = re.match(r"\d+(\.\d+)*", version)
    return found[0] if found else ""


def _abi(soabi: str, major: int, minor: int) -> str:
    """``cp313t`` of ``cpython-313t-x86_64-linux-gnu``."""
    words = soabi.split("-")
    if words[0] == "cpython" and len(words) > 1:
        return f"cp{words[1]}"
    return "_".join(words[:2]) if words[0] else f"cp{major}{minor}"


def _platforms(platform: str, libc: tuple[str, int, int]) -> Iterator[str]:
    system, _, machine = platform.partition("_")
    name, major, minor = libc
    if system == "linux" and name == "glibc":
        yield from _manylinux(machine, major, minor)
    if system == "linux" and name == "musl":
        yield from (f"musllinux_{major}_{n}_{machine}" for n in range(minor, -1, -1))
    yield platform


def _manylinux(machine: str, major: int, minor: int) -> Iterator[str]:
    for number in range(minor, OLDEST.get(machine, 17) - 1, -1):
        yield f"manylinux_{major}_{number}_{machine}"
        if (major, number) in LEGACY:
            yield f"{LEGACY[major, number]}_{machine}"
