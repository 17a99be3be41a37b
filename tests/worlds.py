"""A host object without a host behind it, for tests of what needs no connection."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any, NoReturn

from hostout.commands.host import HostoutHost, Services
from hostout.commands.registry import Registry
from hostout.model import Event, Extent, Host, LocalBuildout, RunOptions


class World:
    """One host with fabfiles; ``events`` and ``lines`` are what was said."""

    def __init__(self, folder: Path, *fabfiles: str, run_options: RunOptions | None = None, **fields: Any) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self.prepared: list[Extent] = []
        self.answers: list[str] = []
        paths = [self._write(number, text) for number, text in enumerate(fabfiles)]
        part = Host(**{"name": "host1", "address": "10.0.0.1", "path": "/srv/host1", **fields})
        services = self._services(run_options or RunOptions())
        self.host = HostoutHost(part, Registry().for_host("host1", paths, ()), services)

    def _write(self, number: int, text: str) -> str:
        file = self.folder / f"fab{number}.py"
        file.write_text(dedent(text))
        return str(file)

    def _services(self, options: RunOptions) -> Services:
        here = str(self.folder)
        local = LocalBuildout(here, here, here, here, here, here, None, "python", "3.11")
        return Services(
            local=local, options=options, emit=self.events.append, connect=unreachable, login=lambda host: ("joe", 22),
            deploy=unreachable, prepare=lambda host, extent: self.prepared.append(extent),
            ask=lambda question: self.answers.pop(0), others=self._others,
        )  # fmt: skip

    def _others(self, name: str) -> Mapping[str, HostoutHost]:
        return {}

    @property
    def lines(self) -> list[str]:
        """What was said, with file names for paths."""
        return [event.text.replace(f"{self.folder}/", "") for event in self.events]


def unreachable(*args: object) -> NoReturn:
    raise AssertionError("this test needs no host")
