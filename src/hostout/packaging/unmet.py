"""What distributions need on the host and not here: another Python, requirements whose marker speaks of Python or the
platform.

What is needed here as well is there, for buildout resolved it. What extras ask for is not looked at: which of them are
used is known to buildout alone. What does not belong here: which files there are (``wheels``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from email.message import Message
from email.parser import HeaderParser
from functools import cache
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from hostout.errors import PackagingError
from hostout.model import Distribution, Json
from hostout.packaging import wheelfile
from hostout.packaging.tags import Target

Markers = Mapping[str, str]
"""What markers are compared with, by the names of PEP 508."""

_END_OF_HEADERS = re.compile(r"\r?\n\r?\n")
_SYSTEMS = {"linux": "Linux", "macosx": "Darwin"}


def check(tested: Markers, distributions: Iterable[Distribution], python: Mapping[str, Json]) -> None:
    """Raise PackagingError, one line, if a wheel needs what is not among the distributions, on a host and not here.

    ``tested`` are the markers that hold here. Wheels that the host has already, and what is no wheel, are not looked
    into.
    """
    environment = markers(python)
    if environment == tested:
        return
    every = tuple(distributions)
    there = {canonicalize_name(one.name) for one in every}
    lines = [
        f"{one.name} {one.version} needs {needed.name}{needed.specifier}"
        for one in every
        if one.path.endswith(".whl")
        for needed in requirements(Path(one.path))
        if holds(needed, environment) and not holds(needed, tested) and canonicalize_name(needed.name) not in there
    ]
    if lines:
        raise PackagingError(
            f"not in this buildout, but needed on the host ({Target.of(python)}): {'; '.join(lines)}; add it to the "
            "eggs of a part and run bin/buildout, or deploy from a machine of that kind"
        )


def check_python(here: str, distributions: Iterable[Distribution], python: Mapping[str, Json]) -> None:
    """Raise PackagingError, one line, if wheels say that they do not run with the very Python of a host.

    ``here`` is the Python that they were tested with, whole (``3.11.7``); wheels that the host has are not looked into.
    """
    version = str(python["version"])
    if version == here:
        return
    lines = [
        f"{one.name} {one.version} needs Python {wanted}"
        for one in distributions
        if one.path.endswith(".whl") and (wanted := requires_python(Path(one.path))) and version not in wanted
    ]
    if lines:
        raise PackagingError(
            f"not for the host's Python {version}: {'; '.join(lines)}; pin versions that run with it "
            "and run bin/buildout"
        )


def requires_python(wheel: Path) -> SpecifierSet | None:
    """What a wheel says of the Pythons that it runs with; nothing where nobody can read that, as pip has it."""
    try:
        wanted = _headers(wheel).get("Requires-Python")
        return SpecifierSet(wanted, prereleases=True) if wanted else None
    except InvalidSpecifier:
        return None


def markers_here(version: str) -> Markers:
    """Of the Python that all was tested with here, of this whole ``version``."""
    ours = {key: str(value) for key, value in default_environment().items()}
    short = ".".join(version.split(".")[:2])
    versions = {"python_version": short, "python_full_version": version, "implementation_version": version}
    return {**ours, **versions, "extra": ""}


def markers(python: Mapping[str, Json]) -> Markers:
    """Of the Python of a host, from ``facts["python"]``."""
    system, _, machine = str(python["platform"]).partition("-")
    version, name = str(python["version"]), str(python["implementation"])
    return {
        **{key: str(value) for key, value in default_environment().items()},
        "python_version": ".".join(version.split(".")[:2]),
        "python_full_version": version,
        "implementation_name": name,
        "implementation_version": version,
        "platform_python_implementation": {"cpython": "CPython", "pypy": "PyPy"}.get(name, name),
        "platform_machine": machine.rpartition("-")[2],
        "platform_system": _SYSTEMS.get(system, system),
        "sys_platform": {"macosx": "darwin"}.get(system, system),
        "os_name": os.name,
        "extra": "",
    }


def requirements(wheel: Path) -> Iterator[Requirement]:
    """What a wheel needs somewhere; what nobody can read aside."""
    for line in _headers(wheel).get_all("Requires-Dist", []):
        try:
            yield Requirement(line)
        except InvalidRequirement:
            continue


def holds(needed: Requirement, environment: Markers) -> bool:
    """Whether it is needed where these markers hold."""
    return needed.marker is None or needed.marker.evaluate(dict(environment))


@cache
def _headers(wheel: Path) -> Message:
    """Kept, as both checks ask. Without the description, which may be long, and is read line by line all the same."""
    return HeaderParser().parsestr(_END_OF_HEADERS.split(wheelfile.metadata(wheel), maxsplit=1)[0])
