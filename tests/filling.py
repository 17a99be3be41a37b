"""The agent filling a cache with eggs, as a process of its own: what a build does before buildout runs.

What does not belong here: what is tested.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentclient import Place, sha256
from hostout.agent.protocol import question_argument
from wheelsamples import Wheel

NOBODY = 65534
NAME = "0001-aaaaaaaa"
# what a build does before buildout runs, by the agent as it travels
_FILL = """\
import json, os, sys
os.umask(0o022)
sys.path.insert(0, sys.argv[1])
from hostout_agent import eggs, people, release, sharing
from hostout_agent.failure import Failed
from hostout_agent.lock import Lock
from hostout_agent.protocol import Wire, question_of
from hostout_agent.session import Session
from hostout_agent.site import Site
from pathlib import Path
question = question_of(sys.argv[2])
site = Site(Path(question["path"]), Path(question["cache"]))
session = Session(question, Wire(0, 1), site, Lock(site.lock))
sharing.hold(session)
record = json.loads(sys.argv[4])
try:
    getattr(eggs, sys.argv[3])(session, release.Release(site.release(record.pop("name")), record, 0))
except Failed as failure:
    sys.exit(failure.message)
"""


@dataclass
class Filler:
    """A cache, and the agent filling it for a release of these wheels."""

    place: Place
    user: int | None = None

    @property
    def folder(self) -> Path:
        return self.place.cache / "eggs" / "v5"

    @property
    def tag(self) -> str:
        say = "import sys, sysconfig as s; print('py%d.%d-' % sys.version_info[:2] + s.get_platform())"
        return subprocess.check_output([self.place.python, "-c", say], text=True, timeout=60).strip()

    def send(self, *wheels: Wheel) -> list[dict[str, Any]]:
        """Put them where uploads go; gives them as a record has them."""
        paths = [wheel.make(self.place.dist) for wheel in wheels]
        return [record(path) for path in paths]

    def start(self, dists: Iterable[Mapping[str, Any]], action: str = "fill", **more: str) -> subprocess.Popen[str]:
        question = self.place.question(cache=str(self.place.cache))
        question["effective_user"] = "nobody" if self.user == NOBODY and os.getuid() == 0 else None
        argv = [self.place.python, "-I", "-S", "-B", "-c", _FILL, str(self.place.archive)]
        argv += [question_argument(question), action, json.dumps({"name": NAME, "dists": list(dists), **more})]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def fill(self, dists: Iterable[Mapping[str, Any]], action: str = "fill", **more: str) -> list[str]:
        """What it says while it succeeds."""
        process = self.start(dists, action, **more)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return [json.loads(line)["text"] for line in out.splitlines()]

    def refused(self, dists: Iterable[Mapping[str, Any]]) -> str:
        """Why it does not."""
        process = self.start(dists)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1, err
        assert err.count("\n") == 1, err
        return err.strip()

    def egg(self, wheel: Wheel) -> Path:
        return self.folder / wheel.egg_name(self.tag)

    def there(self) -> list[str]:
        """All names in the folder of eggs."""
        return sorted(path.name for path in self.folder.iterdir())


def record(path: Path, **more: Any) -> dict[str, Any]:
    return {"filename": path.name, "sha256": sha256(path.read_bytes()), "develop": False, **more}
