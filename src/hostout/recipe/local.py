"""The buildout that runs, as the record has it: folders, pins, index, configuration files, working set.

What does not belong here: host parts, writing.
"""

from __future__ import annotations

import inspect
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zc.buildout.buildout
import zc.buildout.easy_install

from hostout import cfgfile, lockfile
from hostout.model import LocalBuildout, Member
from hostout.recipe import origins, workingset


def local_buildout(
    buildout: Any,
    members: tuple[Member, ...],
    hosts: tuple[str, ...],
    sections: tuple[str, ...],
    secrets: tuple[tuple[str, str], ...],
) -> LocalBuildout:
    """Everything that later runs of the script need to know of this buildout."""
    options = buildout["buildout"]
    environment = workingset.environment()
    config = main_config(buildout)
    return LocalBuildout(
        directory=options["directory"],
        config=str(config),
        parts_directory=options["parts-directory"],
        bin_directory=options["bin-directory"],
        eggs_directory=options["eggs-directory"],
        develop_eggs_directory=options["develop-eggs-directory"],
        download_cache=download_cache(buildout),
        executable=options["executable"],
        python=platform.python_version(),
        hostout_parts=hosts,
        hostout_sections=sections,
        secret_options=secrets,
        versions_section=options.get("versions") or "",
        index=options.get("index") or None,
        find_links=tuple(_link(word, options["directory"]) for word in options.get("find-links", "").split()),
        allow_hosts=tuple(options.get("allow-hosts", "").split()),
        develop=tuple(_develop(buildout)),
        pins=pins(buildout),
        working_set=members,
        environment=tuple(workingset.member(dist, buildout) for dist in environment),
        environment_path=tuple(dict.fromkeys(dist.location for dist in environment)),
        configs=tuple(str(path) for path in configs(buildout, config)),
        lock=str(lock(buildout)),
        default_index=zc.buildout.easy_install.default_index_url,
    )


def download_cache(buildout: Any) -> str | None:
    """The folder of option ``download-cache``; buildout keeps distributions in ``dist`` in it."""
    cache = buildout["buildout"].get("download-cache")
    return str(Path(buildout["buildout"]["directory"]) / cache) if cache else None


def pins(buildout: Any) -> dict[str, str]:
    """The pins that users wrote, as they spelt them: without those that buildout adds for itself."""
    section = buildout["buildout"].get("versions")
    if not section:
        return {}
    return {
        name: version
        for name, version in buildout[section].items()
        if version and not _added_by_buildout(buildout, section, name)
    }


def main_config(buildout: Any) -> Path:
    """The file that buildout was started with (``-c``), which it keeps only as a variable of its ``main``."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == zc.buildout.buildout.__name__ and "config_file" in frame.f_locals:
            return Path(buildout["buildout"]["directory"], frame.f_locals["config_file"])
        frame = frame.f_back
    return Path(buildout["buildout"]["directory"], "buildout.cfg")


def lock(buildout: Any) -> Path:
    """The lock, beside the main configuration; in the buildout directory where that comes from elsewhere."""
    main = main_config(buildout)
    return (main.parent if main.is_file() else Path(buildout["buildout"]["directory"])) / lockfile.NAME


def configs(buildout: Any, main: Path) -> list[Path]:
    """Every local configuration file that took part, the user's defaults too."""
    sources = {key.source for section in buildout._annotated.values() for key in section.values()}
    annotated = [Path(source) for source in sorted(sources) if Path(source).is_absolute()]
    # a file that only extends others sets nothing and has no annotation
    return [path for path in dict.fromkeys([*_extended(main, set()), *annotated]) if path.is_file()]


def _extended(path: Path, seen: set[Path]) -> Iterator[Path]:
    if path in seen or not path.is_file():
        return
    seen.add(path)
    yield path
    text = path.read_text(errors="replace")
    for word in [*cfgfile.extends_of(text), *cfgfile.optional_extends_of(text)]:
        yield from _extended(Path(os.path.normpath(path.parent / word)), seen)


def _added_by_buildout(buildout: Any, section: str, name: str) -> bool:
    annotated = buildout._annotated.get(section, {})
    return name in annotated and not origins.set_in_file(buildout, section, name)


def _develop(buildout: Any) -> Iterator[str]:
    """The project folders of ``develop``, as buildout finds them."""
    options = buildout["buildout"]
    for word in options.get("develop", "").split():
        pattern = _path(word, options["directory"]).lstrip("/")
        for path in sorted(Path("/").glob(pattern)):
            yield str(path if path.is_dir() else path.parent)


def _link(word: str, directory: str) -> str:
    return word if "://" in word else _path(word, directory)


def _path(word: str, directory: str) -> str:
    return os.path.normpath(Path(directory) / Path(word).expanduser())
