"""A host object with plugins and options; the Steps of its hooks are run here as the agent does: ``sh -c`` in ``path``.

What does not belong here: anything of one plugin.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hostout.commands.host import HostoutHost
from hostout.commands.registry import Registry
from hostout.model import Event, Host, LocalBuildout, Plugin, RunOptions, Secret


def local_buildout(directory: Path) -> LocalBuildout:
    """A buildout in ``directory`` of which nothing else is known."""
    paths = {name: str(directory / name) for name in ("parts", "bin", "eggs", "develop-eggs")}
    return LocalBuildout(
        directory=str(directory),
        config=str(directory / "buildout.cfg"),
        parts_directory=paths["parts"],
        bin_directory=paths["bin"],
        eggs_directory=paths["eggs"],
        develop_eggs_directory=paths["develop-eggs"],
        download_cache=None,
        executable="python3",
        python="3.11",
    )


def plugged(
    path: Path,
    *modules: str,
    options: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    emit: Callable[[Event], None] = lambda event: None,
    connection: Any = None,
    **fields: Any,
) -> HostoutHost:
    """The host ``host1`` whose buildout here and there is ``path``, with the plugins of these modules.

    Further ``fields`` are those of ``Host``.
    """
    host = Host(
        name="host1",
        path=str(path),
        user=fields.pop("user", "app"),
        plugins=tuple(Plugin(module, (module,)) for module in modules),
        options=dict(options or {}),
        secrets={name: Secret(value) for name, value in (secrets or {}).items()},
        **fields,
    )
    services: Any = SimpleNamespace(
        local=local_buildout(path),
        options=RunOptions(),
        emit=emit,
        connect=lambda host: connection,
        login=lambda host: ("app", 22),
    )
    return HostoutHost(host, Registry().for_host(host.name, (), host.plugins), services)


def perform(host: HostoutHost, kind: str) -> str:
    """Runs the Steps of a kind of hooks and returns what they wrote; raises ``CalledProcessError`` where one fails."""
    said = []
    for step in host.steps(kind):
        done = subprocess.run(
            ["sh", "-c", step.args["line"]],
            cwd=host.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=step.args["timeout"],
            check=False,
        )
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, step.text, done.stdout)
        said.append(done.stdout)
    return "".join(said)


def init_script(host: HostoutHost) -> str:
    """What the supervisor plugin installs where there is no systemd, ``@owner@`` for the user."""
    install = host.steps("start")[1].args["line"]
    printed = install.split("set -e\n")[0] + 'printf %s "$script"'
    return subprocess.run(["sh", "-c", printed], capture_output=True, text=True, check=True).stdout
