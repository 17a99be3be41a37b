"""Where pip looks for distributions: the index and the links of the local buildout, then the user's own settings.

What does not belong here: calling pip.
"""

from __future__ import annotations

import os
from pathlib import Path

from hostout.model import LocalBuildout


def index_environment(local: LocalBuildout) -> dict[str, str]:
    """``PIP_*`` variables that add to those the user has set; an address with a password never becomes an argument."""
    more = {
        "PIP_EXTRA_INDEX_URL": [_address(local.index, local)] if local.index else [],
        "PIP_FIND_LINKS": [_address(link, local) for link in local.find_links],
    }
    return {name: " ".join([os.environ.get(name, ""), *words]).strip() for name, words in more.items() if words}


def own_index_environment(local: LocalBuildout) -> dict[str, str]:
    """The same with the index of the buildout, which has one, in the place of pip's.

    What stands there under a name is what was tested, and not what a public index has under the same name.
    """
    added = index_environment(local)
    return {**added, "PIP_INDEX_URL": _address(local.index or "", local), "PIP_EXTRA_INDEX_URL": ""}


def link_folders(local: LocalBuildout) -> list[Path]:
    """The folders among ``find-links``."""
    places = [Path(local.directory) / link.removeprefix("file://") for link in local.find_links]
    return [place for place in places if place.is_dir()]


def _address(word: str, local: LocalBuildout) -> str:
    """zc.buildout takes a folder for an index and reads relative paths from its own folder; pip wants an URL."""
    folder = Path(local.directory) / word
    return folder.resolve().as_uri() if "://" not in word and folder.is_dir() else word
