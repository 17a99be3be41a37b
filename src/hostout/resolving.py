"""What the files of every host need, found out when ``bin/buildout`` has run: a deployment then knows it already, and
finds what zc.buildout itself consists of packed.

A program of its own for the recipe, which gives it the folder of the records and gets JSON on standard output: by host
``{"members": [[name, version, location], ...], "files": {...}}`` (see ``Rehearsal``), or ``{"problem": text}``. A host
whose options are wrong is left out: whoever asks for it hears that. What does not belong here: anything that knows
hosts from nearer.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence

from hostout import config, packaging
from hostout.config import Configuration
from hostout.errors import HostoutError, PackagingError
from hostout.model import Event, Host, Json, LocalBuildout
from hostout.packaging import wheels
from hostout.packaging.places import on_disk


def main(arguments: Sequence[str]) -> int:
    """``arguments``: the folder of the records, and ``from-cache`` where nothing may be fetched from elsewhere."""
    folder, *words = arguments
    configuration = config.load(folder)
    try:
        found = {host.name: _resolved(host, configuration, "from-cache" in words) for host in _hosts(configuration)}
        _pack(configuration.local, found.values())
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


def _pack(local: LocalBuildout, found: Iterable[Json]) -> None:
    """What every host needs that has no file; whether there is room for it is the deployment's to say."""
    if any("problem" not in one for one in found):
        with contextlib.suppress(PackagingError), on_disk(local):
            wheels.pack_environment(local)


def _unheard(event: Event) -> None:
    """What a deployment says while it prepares a release."""
