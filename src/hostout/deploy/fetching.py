"""What a host gets from package indexes by itself, instead of being sent it: the Step, and what follows from it.

Pure, like ``plan``. What does not belong here: who is asked (``packaging``), how (the agent's ``fetch``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from hostout.deploy.plan import Upload, amount
from hostout.model import Facts, Host, Indexes, Json, Secret, Step

WORTH = 2_000_000
"""Bytes. Less is sent sooner than a third party is asked for it."""

PATIENCE = {"auto": (20.0, 300_000), "index": (60.0, 50_000)}
"""Seconds that a host may take in any case, and bytes a second that it has to get beyond that, by ``eggs-from``."""


def problems(host: Host, indexes: Indexes) -> list[str]:
    """Why nothing can be fetched where all has to be; empty where that is not so."""
    if host.eggs_from != "index" or indexes:
        return []
    return ["eggs-from: is index, but this buildout knows none that a host can ask: set index in its section buildout"]


def fetch(host: Host, lacking: Sequence[Upload], indexes: Indexes) -> Step | None:
    """What of all that the host is ``lacking`` it is to fetch; ``None`` where it is sent all of it."""
    files = [upload for upload in lacking if upload.project]
    size = sum(upload.size for upload in files)
    if not (files and indexes) or host.eggs_from == "here" or (host.eggs_from == "auto" and size <= WORTH):
        return None
    start, speed = PATIENCE[host.eggs_from]
    args = {
        "files": [{"sha256": u.sha256, "size": u.size, "name": u.name, "project": u.project} for u in files],
        "seconds": start + size / speed,
        "indexes": [index.reveal() for index in indexes.indexes],
        "links": [link.reveal() for link in indexes.links],
    }
    asked = ", ".join(dict.fromkeys(map(_host, (*indexes.indexes, *indexes.links))))
    return Step("fetch", f"let the host fetch {_files(len(files))}, {amount(size)}, from {asked}", args)


def all_of_it(step: Step) -> Json:
    """The result where nothing goes wrong, for who only wants to know what would follow."""
    return {"have": {file["name"]: file["sha256"] for file in step.args["files"]}}


def learned(facts: Facts, result: Mapping[str, Json]) -> Facts:
    """What is known of the host now: what it has need not be sent, what broke off is continued."""
    have = {**facts["have"], **result["have"]}
    return Facts({**facts.data, "have": have, "partial": result.get("partial", facts.data.get("partial", {}))})


def refused(step: Step, result: Mapping[str, Json]) -> str:
    """What to say where all has to come from an index and does not, all of it at once; else empty."""
    why = {**result.get("missing", {}), **{name: f"there it has {_content(d)}" for name, d in _changed(result)}}
    if not why:
        return ""
    known = {file["name"]: file["sha256"] for file in step.args["files"]}
    lines = [f"    {name} (sha256 {known[name]}): {reason}" for name, reason in sorted(why.items())]
    return "\n".join(["eggs-from = index, and the host does not get what was tested here:", *lines])


def remarks(result: Mapping[str, Json]) -> Iterator[str]:
    """What to say of what is sent all the same."""
    indexes = result.get("indexes", {})
    if indexes and all(indexes.values()):
        why = ", ".join(f"{name}: {reason}" for name, reason in indexes.items())
        yield f"the host reaches no index ({why}): what it lacks is sent from here"
    elif missing := result.get("missing"):
        name, reason = min(missing.items())
        yield f"{_files(len(missing))} not to be had there ({name}: {reason}): sent from here"


def warnings(result: Mapping[str, Json]) -> Iterator[str]:
    """What somebody should look into."""
    for name, digest in _changed(result):
        yield f"an index has {name} with {_content(digest)}, which is not what was tested: it is sent from here"


def _changed(result: Mapping[str, Json]) -> list[tuple[str, str]]:
    return sorted(result.get("changed", {}).items())


def _content(digest: str) -> str:
    return f"the sha256 {digest}" if digest else "more in it"


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"


def _host(address: Secret) -> str:
    """What may be shown of it."""
    return urlsplit(address.reveal()).hostname or "?"
