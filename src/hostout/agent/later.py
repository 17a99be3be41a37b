"""Modules of the agent that travel with the request that needs them: few do, and the agent is sent with each command.

What does not belong here: which ones (``shipping.py`` on the other side).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType


def load(sources: Mapping[str, str]) -> None:
    """From now on these can be imported like those that came with the agent; one imports only those before it."""
    for name, source in sources.items():
        module = ModuleType(f"{__package__}.{name}")
        module.__package__ = __package__
        sys.modules[module.__name__] = module
        exec(compile(source, f"{name}.py", "exec"), module.__dict__)
        setattr(sys.modules[str(__package__)], name, module)
