"""What happened to ``path``: one JSON object a line, only ever appended.

What does not belong here: the state of a release; that is in its ``release.json``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import durable


def append(path: Path, entry: Mapping[str, Any]) -> None:
    """Add a line with the time of now; raises OSError."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    durable.append(path, json.dumps({"time": stamp, **entry}, sort_keys=True).encode("ascii"))
