"""Where distributions are looked for: the index and the links of the local buildout, then the user's settings for pip.

What does not belong here: calling pip, and asking an index.
"""

from __future__ import annotations

import configparser
import fnmatch
import ipaddress
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from hostout.model import Indexes, LocalBuildout, Secret

CONFIGURATION = ("/etc/xdg/pip/pip.conf", "/Library/Application Support/pip/pip.conf", "/etc/pip.conf")
"""Files of pip, the later ones win; then come those of the user, of its environment, and of ``PIP_CONFIG_FILE``."""

OF_USER = ("~/.pip/pip.conf", "~/Library/Application Support/pip/pip.conf", "~/.config/pip/pip.conf")


def index_environment(local: LocalBuildout, command: str = "download") -> dict[str, str]:
    """``PIP_*`` variables that add to what the user has set for this command of pip, in variables or files: a variable
    takes the place of what files say. An address with a password never becomes an argument."""
    pips = _pips_settings(local, os.environ, command)
    more = {
        "extra-index-url": [_address(local.index, local)] if local.index else [],
        "find-links": [_address(link, local) for link in local.find_links],
    }
    return {
        f"PIP_{name.replace('-', '_').upper()}": " ".join([*pips.get(name, "").split(), *words])
        for name, words in more.items()
        if words
    }


def own_index_environment(local: LocalBuildout, command: str = "download") -> dict[str, str]:
    """The same with the index of the buildout, which has one, in the place of all of pip's.

    What stands there under a name is what was tested, and not what a public index has under the same name. An empty
    variable is none for pip, which would ask the further indexes of its files.
    """
    own = _address(local.index or "", local)
    return {**index_environment(local, command), "PIP_INDEX_URL": own, "PIP_EXTRA_INDEX_URL": own}


def for_hosts(local: LocalBuildout, environment: Mapping[str, str] = os.environ) -> Indexes:
    """Those that somebody else can ask as well: not what lies in our folders, or is served on this machine alone.

    The index of the buildout, or pip's, or the one that is asked where nobody names one; then pip's further ones.
    """
    pips = _pips_settings(local, environment)
    first = [local.index] if local.index else (pips.get("index-url") or local.default_index).split()
    indexes = (*first, *pips.get("extra-index-url", "").split())
    links = (*local.find_links, *pips.get("find-links", "").split())
    return Indexes(tuple(_elsewhere(indexes, local)), tuple(_elsewhere(links, local)))


def _elsewhere(addresses: Iterable[str], local: LocalBuildout) -> Iterator[Secret]:
    for address in dict.fromkeys(addresses):
        parts = urlsplit(address)
        name = parts.hostname or ""
        allowed = not local.allow_hosts or any(fnmatch.fnmatch(name, pattern) for pattern in local.allow_hosts)
        if parts.scheme in ("http", "https") and name and allowed and not _is_ours(name):
            yield Secret(address)


def _is_ours(name: str) -> bool:
    """Whether a host's name means another machine there than here."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _pips_settings(local: LocalBuildout, environment: Mapping[str, str], command: str = "download") -> dict[str, str]:
    """Options of pip as it would read them for this command; what is empty is as if it were not there."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read([file for file in _files(local, environment) if file.is_file()], encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        # pip itself says so, where it is needed
        parser.clear()
    found = [item for part in ("global", command) if parser.has_section(part) for item in parser[part].items()]
    found += [(name[4:].lower(), value) for name, value in environment.items() if name.startswith("PIP_")]
    return {name.replace("_", "-"): value for name, value in found if value}


def _files(local: LocalBuildout, environment: Mapping[str, str]) -> list[Path]:
    """Those of the user are not read where a variable names one that is there, and none at all where it is no file."""
    named = environment.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return []
    home = environment.get("XDG_CONFIG_HOME")
    users = (*OF_USER, *([f"{home}/pip/pip.conf"] if home else []))
    own = Path(local.executable).parent.parent / "pip.conf"
    chosen = (*CONFIGURATION, *(() if named and Path(named).exists() else users), str(own), named)
    return [Path(name).expanduser() for name in chosen]


def link_folders(local: LocalBuildout) -> list[Path]:
    """The folders among ``find-links``."""
    places = [Path(local.directory) / link.removeprefix("file://") for link in local.find_links]
    return [place for place in places if place.is_dir()]


def _address(word: str, local: LocalBuildout) -> str:
    """zc.buildout takes a folder for an index and reads relative paths from its own folder; pip wants an URL."""
    folder = Path(local.directory) / word
    return folder.resolve().as_uri() if "://" not in word and folder.is_dir() else word
