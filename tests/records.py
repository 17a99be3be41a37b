"""Records as the recipe writes them, by hand: a buildout with host parts in which no buildout has run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hostout.model import LocalBuildout

SOURCE = Path(__file__).parents[1] / "src"

SCRIPT = """\
import sys

import hostout.cli

if __name__ == "__main__":
    sys.exit(hostout.cli.main({records!r}))
"""


class Records:
    """A buildout folder with ``bin/hostout`` and its records; ``home`` is the home of whoever calls it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.directory = folder / "parts" / "hostout"
        self.home = folder / "home"
        self.script = folder / "bin" / "hostout"
        self.names: list[str] = []
        self.secrets: dict[str, dict[str, str]] = {}
        for made in (self.directory, self.home / ".ssh", self.script.parent):
            made.mkdir(parents=True, exist_ok=True)
        (folder / "buildout.cfg").write_text("[buildout]\n")
        self.script.write_text(SCRIPT.format(records=str(self.directory)))

    def part(
        self, name: str, plugins: tuple[str, ...] = (), secrets: Mapping[str, str] | None = None, /, **options: str
    ) -> None:
        """Adds a host part; ``_`` in option names is ``-``. ``plugins`` are modules."""
        recorded = {
            option.replace("_", "-"): _setting(value, number, option.replace("_", "-"), name)
            for number, (option, value) in enumerate(options.items(), 2)
        }
        words = [{"word": f"egg:{module}", "modules": [module]} for module in plugins]
        self.secrets[name] = dict(secrets or {})
        self.names.append(name)
        self._write(f"{name}.json", {
            "format": 1, "part": name, "options": recorded, "secrets": sorted(self.secrets[name]), "plugins": words,
            "plugin_options": {}, "problems": [],
        })  # fmt: skip
        self._write("secrets.json", self.secrets)
        (self.directory / "secrets.json").chmod(0o600)
        self._write("buildout.json", {"format": 1, **asdict(self._local())})

    def fabfile(self, name: str, text: str) -> str:
        """Writes a fabfile beside the configuration; returns its path."""
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def _local(self) -> LocalBuildout:
        here = str(self.folder)
        return LocalBuildout(
            directory=here,
            config=f"{here}/buildout.cfg",
            parts_directory=f"{here}/parts",
            bin_directory=f"{here}/bin",
            eggs_directory=f"{here}/eggs",
            develop_eggs_directory=f"{here}/develop-eggs",
            download_cache=None,
            executable=sys.executable,
            python=".".join(map(str, sys.version_info[:3])),
            hostout_parts=tuple(self.names),
            configs=(f"{here}/buildout.cfg",),
        )

    def _write(self, name: str, data: Any) -> None:
        (self.directory / name).write_text(json.dumps(data, sort_keys=True, indent=1))

    # calling it

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOSTOUT_", "SSH_"))}
        path = os.pathsep.join(filter(None, [str(SOURCE), kept.get("PYTHONPATH", "")]))
        return {**kept, "HOME": str(self.home), "PYTHONPATH": path, **more}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, str(self.script), *words]

    def call(self, *words: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """``bin/hostout words…``, without a terminal."""
        return subprocess.run(
            self.command(*words), input=stdin, capture_output=True, text=True, timeout=300, check=False,
            env=self.environment(**environment), cwd=self.folder,
        )  # fmt: skip


def _setting(value: str, line: int, name: str, part: str) -> dict[str, Any]:
    return {"value": value, "written": name, "file": "buildout.cfg", "line": line, "part": part}
