"""Deploy an application built with zc.buildout to the hosts where it runs, over SSH.

What plugins and fabfiles import is here: ``from hostout import get, run, replaces``. Importing ``hostout`` itself
loads nothing.
"""

from __future__ import annotations

import importlib

# what typing calls so, without the time that it takes to load
TYPE_CHECKING = False

if TYPE_CHECKING:
    from hostout.commands.environment import (
        Output,
        abort,
        cd,
        current,
        download,
        get,
        hook,
        local,
        prompt,
        put,
        replaces,
        run,
        sudo,
        superfun,
    )
    from hostout.model import Step, command_step, shell

__all__ = [
    "Output",
    "Step",
    "abort",
    "cd",
    "command_step",
    "current",
    "download",
    "get",
    "hook",
    "local",
    "prompt",
    "put",
    "replaces",
    "run",
    "shell",
    "sudo",
    "superfun",
]

_OF_MODEL = ("Step", "command_step", "shell")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'hostout' has no attribute '{name}'")
    module = "hostout.model" if name in _OF_MODEL else "hostout.commands.environment"
    return getattr(importlib.import_module(module), name)
