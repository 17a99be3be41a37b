"""The recipe ``collective.hostout``: runs inside buildout, makes ``bin/hostout`` and the records that it reads.

A section with this recipe is a host where ``[buildout] parts`` lists it, else only something for others to extend.
What does not belong here: anything that talks to a host. Fabric is never imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hostout.recipe import records
from hostout.recipe.run import run_of, under_way


class Recipe:
    """One part. Its options are read and checked for what only buildout can tell when it is instantiated."""

    def __init__(self, buildout: Any, name: str, options: Any) -> None:
        self.run = run_of(buildout)
        self.run.add(name, options)

    def install(self) -> tuple[str, ...]:
        """Writes the script; the records follow when the run ends. Nothing is handed to buildout to remove: if a part
        changes, buildout removes its files before the run, and a run that fails would leave a host without records."""
        self.run.write_script()
        return ()

    update = install


def uninstall(name: str, options: Mapping[str, str]) -> None:
    """Removes the record of a part that is no more, and with the last one the script (``zc.buildout.uninstall``).

    A run in which we have parts does that itself, when it has come to its end.
    """
    if "_records" not in options:
        return  # installed by a hostout that kept its records elsewhere
    directory = Path(options["_records"])
    if str(directory) in under_way:
        return
    left = [host for host in records.read(directory / records.BUILDOUT).get("hostout_parts", []) if host != name]
    records.forget(directory, [name])
    if not any((directory / f"{host}.json").exists() for host in left):
        records.forget_all(directory, Path(options["_script"]))
