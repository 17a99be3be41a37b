"""A host, a release and facts for the tests of plans, which need no host.

What does not belong here: what a host really says (the tests of the agent).
"""

from __future__ import annotations

from typing import Any

from hostout.deploy import plan
from hostout.model import BundleFile, Distribution, Facts, Host, Release

CLIENT = plan.Client("dev", "laptop")
HOST = Host(name="host1", address="h", path="/srv/host1", effective_user="app")
RELEASE = Release(
    id="3f9a1c2b",
    part="host1",
    config="hostout-host1.cfg",
    python="3.11",
    requirements=(("hello", "1.0+h1a2b3c4d5e"), ("waitress", "3.0.2")),
    environment=(("zc.buildout", "6.0.1"),),
    develop=(),
    files=(),
)
WAITRESS = Distribution("waitress", "3.0.2", "waitress-3.0.2-py3-none-any.whl", "aa", 1000, "/here/w.whl")
HELLO = Distribution("hello", "1.0+h1", "hello-1.0+h1-py3-none-any.whl", "bb", 500, "/here/h.whl", develop=True)
BUILDOUT = Distribution("zc.buildout", "6.0.1", "zc_buildout-6.0.1-py3-none-any.whl", "cc", 2000, "/here/z.whl")
CONFIG = BundleFile("buildout.cfg", 0o644, "dd", b"[buildout]")
GENERATED = BundleFile("hostout-host1.cfg", 0o644, "ee", b"[buildout]\nextends = buildout.cfg\n")
CONTENTS = plan.Contents((HELLO, WAITRESS), (BUILDOUT,), (CONFIG,), GENERATED)
GB = 1_000_000_000


def facts(**changes: Any) -> Facts:
    data: dict[str, Any] = {
        "user": "root",
        "uid": 0,
        "python": {"version": "3.11.2"},
        "owners": {"effective": {"name": "app", "uid": 1000}, "buildout": {"name": "app", "uid": 1000}},
        "missing_users": [],
        "missing_groups": [],
        "path": {"kind": "hostout", "writable": True, "free": GB, "inodes": 1_000_000, "device": 1},
        "cache": {"directory": "/srv/buildout-cache", "writable": True, "free": GB, "inodes": 1_000_000, "device": 1},
        "releases": [],
        "live": None,
        "unchanged": False,
        "next": 1,
        "have": {},
        "blobs": [],
        "partial": {},
        "environment": False,
    }
    return Facts({**data, **changes})


def release_fact(number: int, state: str, release_id: str = "3f9a1c2b") -> dict[str, Any]:
    return {"name": plan.release_name(number, release_id), "id": release_id, "number": number, "state": state}


LIVE = {"releases": [release_fact(7, "good")], "live": "0007-3f9a1c2b", "unchanged": True}
