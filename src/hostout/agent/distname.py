"""What the name of a distribution's file, or of its egg, says: name and version, whoever spelt them how.

What does not belong here: which of them are here (``store.py``).
"""

from __future__ import annotations

import re

from . import wheel

_SDIST = re.compile(r"\.(tar\.gz|zip|tgz|tar\.bz2)$")

Key = tuple[str, str]
"""Name and version of a distribution, each in one of its spellings."""


def canonical(name: str) -> str:
    """A distribution's name by PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def loose(version: str) -> str:
    """A version so that spellings of the same one meet (``1.0beta2``, ``1.0b2``); others may meet as well."""
    dotted = re.sub(r"[-_]", ".", wheel.version(version).lower())
    return re.sub(r"(\.0)+(?=\+|$)", "", re.sub(r"(?<![0-9a-z])0+(?=[0-9])", "", dotted))


def key(filename: str) -> Key | None:
    """Name and version out of a file name; None where it is no distribution."""
    if filename.endswith(".whl"):
        return egg_key(filename)
    stem, found = _SDIST.subn("", filename)
    parts = stem.split("-")
    # a version of old has a dash in it, maybe (``1.0-beta2``): the shortest end that is one
    ends = (at for at in range(len(parts) - 1, 0, -1) if wheel.is_version("-".join(parts[at:])))
    at = next(ends, len(parts) - 1)
    name, version = "-".join(parts[:at]), "-".join(parts[at:])
    return (canonical(name), loose(version)) if found and name else None


def egg_key(name: str) -> Key:
    """The same out of the name of an egg, which begins as that of a wheel does."""
    project, _, rest = name.partition("-")
    return canonical(project), loose(rest.partition("-")[0])
