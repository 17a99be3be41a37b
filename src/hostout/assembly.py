"""Puts a Deployment together: the rooms that it needs, handed to it.

Packaging comes first, and loads no Fabric. What does not belong here: anything that a deployment does.
"""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hostout import packaging
from hostout.commands.host import HostoutHost
from hostout.deploy.plan import Client, Contents, Hooks
from hostout.deploy.surroundings import Surroundings
from hostout.model import Emit, Facts, Host, Indexes, LocalBuildout, Release, RunOptions
from hostout.packaging import indexes, process, unmet, wheels
from hostout.packaging.places import on_disk

if TYPE_CHECKING:
    from hostout.deploy.engine import Deployment


@dataclass(frozen=True)
class Packaging:
    """The room ``packaging`` for one host; ``meanwhile`` is called whenever it waits for another program."""

    host: Host
    local: LocalBuildout
    emit: Emit
    meanwhile: Callable[[], None]
    _released: list[Release] = field(default_factory=list)
    _chosen: dict[str, Contents] = field(default_factory=dict)

    def prepare(self) -> Release:
        """The release, its develop packages built; made once."""
        if not self._released:
            with process.meanwhile(self.meanwhile):
                self._released.append(packaging.prepare(self.host, self.local, self.emit))
        return self._released[0]

    def contents(self, release: Release, facts: Facts) -> Contents:
        """The files that serve the release on a host with these facts; the same question is answered once."""
        asked = json.dumps([release.id, facts["python"], facts["have"], facts["cache"]["directory"]], sort_keys=True)
        if asked not in self._chosen:
            with on_disk(self.local):
                self._chosen[asked] = self._contents(release, facts)
        return self._chosen[asked]

    def _contents(self, release: Release, facts: Facts) -> Contents:
        parts, environment = wheels.choose(release, self.local, facts, self.emit)
        unmet.check_python(self.local.python, (*parts, *environment), facts["python"])
        unmet.check(unmet.markers_here(self.local.python), (*parts, *environment), facts["python"])
        generated = packaging.configuration_file(release, facts["cache"]["directory"])
        return Contents(parts, environment, release.files, generated)

    def indexes(self) -> Indexes:
        """Whom a host may ask."""
        return indexes.for_hosts(self.local)

    def has_here(self, name: str) -> bool:
        """Whether the folder of the buildout has this file or folder."""
        return Path(self.local.directory, name).exists()


def deployment(
    host: HostoutHost,
    label: str,
    packed: Packaging,
    emit: Emit,
    options: RunOptions,
    confirm: Callable[[str], bool | None],
) -> Deployment:
    """The deployment of a host, in which nothing has happened yet."""
    from hostout.deploy.engine import Deployment  # noqa: PLC0415 - loads Fabric

    surroundings = Surroundings(
        packaging=packed,
        connection=lambda: host.connection,
        hooks=lambda: Hooks(host.steps("stop"), host.steps("start"), host.steps("health")),
        confirm=confirm,
        emit=emit,
        client=Client(getpass.getuser(), socket.gethostname()),
        options=options,
        label=label,
    )
    return Deployment(host.host_part, surroundings)
