"""What the files of every host need, found out when ``bin/buildout`` has run: a deployment then knows it already.

A program of its own for the recipe, which gives it the folder of the records and gets JSON on standard output: by host
``{"members": [[name, version, location], ...], "files": {...}}`` (see ``Rehearsal``), or ``{"problem": text}``. A host
whose options are wrong is left out: whoever asks for it hears that. What does not belong here: anything that knows
hosts from nearer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence

from hostout import config, packaging
from hostout.config import Configuration
from hostout.errors import HostoutError
from hostout.model import Event, Host, Json


def main(arguments: Sequence[str]) -> int:
    """``arguments``: the folder of the records, and ``from-cache`` where nothing may be fetched from elsewhere."""
    folder, *words = arguments
    configuration = config.load(folder)
    try:
        found = {host.name: _resolved(host, configuration, "from-cache" in words) for host in _hosts(configuration)}
    except KeyboardInterrupt:  # buildout has got it as well, and says it
        return HostoutError.status
    json.dump(found, sys.stdout)
    return 0


def _hosts(configuration: Configuration) -> Iterator[Host]:
    for name in configuration.names:
        if not configuration.problems([name], connect=False):
            yield configuration.host(name)


def _resolved(host: Host, configuration: Configuration, from_cache: bool) -> Json:
    try:
        found = packaging.resolve(host, configuration.local, _unheard, from_cache=from_cache)
    except HostoutError as error:
        return {"problem": error.message}
    members = [[m.name, m.version, m.location] for m in found.members if not m.develop]
    return {"members": members, "files": found.files}


def _unheard(event: Event) -> None:
    """What a deployment says while it prepares a release."""
