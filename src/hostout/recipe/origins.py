"""Where the options of a section were set: the file from buildout's annotations, the line from the file.

What does not belong here: what the options are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hostout import cfgfile
from hostout.model import Origin

_SOURCES = {
    "COMMAND_LINE_VALUE": "the command line",
    "DEFAULT_VALUE": "",
    "COMPUTED_VALUE": "",
    "IMPLICIT_VALUE": "",
}


def origin(buildout: Any, section: str, option: str) -> Origin:
    """Where ``option`` of ``section`` comes from: the last file that set it or added to it, macros (``<=``) too."""
    data = buildout._annotated.get(section, {})
    for key in (option, f"{option} +", f"{option} -", f"{option}+", f"{option}-"):
        if key in data:
            return _origin(data[key].source, section, option)
    return _of_macros(buildout, section, option)


def set_in_file(buildout: Any, section: str, option: str) -> bool:
    """Whether a user set it (in a file or on the command line), and not buildout itself."""
    data = buildout._annotated.get(section, {})
    return option in data and _SOURCES.get(data[option].source) != ""


def macros(buildout: Any, section: str) -> list[str]:
    """The sections named in ``<=``, the one that wins first."""
    data = buildout._annotated.get(section, {})
    names = data["<"].value.split("\n") if "<" in data else []
    return [name.strip() for name in reversed(names) if name.strip()]


def shown(place: Origin, directory: str) -> str:
    """The origin for a message, its file relative to the buildout directory where it is in there."""
    path = Path(place.file)
    if path.is_absolute() and path.is_relative_to(directory):
        return str(Origin(str(path.relative_to(directory)), place.line))
    return str(place)


def _of_macros(buildout: Any, section: str, option: str) -> Origin:
    found = (origin(buildout, name, option) for name in macros(buildout, section))
    return next((place for place in found if place.part), Origin())


def _origin(source: str, section: str, option: str) -> Origin:
    if source in _SOURCES:
        return Origin(_SOURCES[source], 0, section)
    return Origin(source, _line(source, section, option), section)


def _line(source: str, section: str, option: str) -> int:
    path = Path(source)
    if not path.is_file():
        return 0
    return cfgfile.option_line(path.read_text(errors="replace"), section, option)
