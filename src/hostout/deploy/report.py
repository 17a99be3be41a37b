"""What a host says of itself → lines for people: releases, status, what was cleaned, what is not well.

Pure: results of the agent's actions in (``agent/protocol.py`` has their fields), lines out; times are local. What does
not belong here: asking (``inspection``), what a deployment would change (``difference``).
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterable, Mapping, Sequence

from hostout.deploy.plan import amount
from hostout.model import Json

HEAD = ("release", "when", "by", "commit", "state", "")
LIVE = "<- live"
STAMP = "%Y-%m-%dT%H:%M:%SZ"
NOTHING = "-"
COMMIT = 10
"""Characters of a commit: enough to find it."""

CURRENT = {
    "dangling": "points to a release that is not there",
    "foreign": "is not a link of hostout's",
}
"""What can be wrong with the link that says what is live."""

SHORT = 3
"""Files that a summary names."""


# words


def when(epoch: float | None) -> str:
    """``2026-11-22 14:03`` where the developer is."""
    return NOTHING if epoch is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(epoch))


def by(client: Mapping[str, Json] | None) -> str:
    """``me@laptop``."""
    known = client or {}
    return "@".join(str(known[name]) for name in ("user", "machine") if known.get(name)) or NOTHING


def commit(scm: Mapping[str, Json] | None) -> str:
    """``1a2b3c4d5e``, with ``+`` where there were changes that nobody had committed."""
    known = scm or {}
    if not known.get("commit"):
        return NOTHING
    return str(known["commit"])[:COMMIT] + ("+" if known.get("dirty") else "")


def nothing_deployed(path: str) -> str:
    return f"nothing has been deployed to {path}"


# releases


def releases(found: Sequence[Mapping[str, Json]], path: str) -> list[str]:
    """A table, newest first; columns as wide as what is in them."""
    if not found:
        return [nothing_deployed(path)]
    rows = [HEAD, *(_row(release) for release in sorted(found, key=lambda r: r["number"], reverse=True))]
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns with two blanks between them, nothing behind the last word of a line."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(release: Mapping[str, Json]) -> tuple[str, ...]:
    return (
        release["name"],
        when(release.get("when")),
        by(release.get("client")),
        commit(release.get("scm")),
        release["state"],
        LIVE if release.get("live") else "",
    )


# status


def status(found: Mapping[str, Json], path: str) -> list[str]:
    """What is live, whether its files still are what was deployed, and what else goes on there."""
    return [*(_live(found) if found.get("live") else _not_live(found, path)), *_surroundings(found)]


def _live(found: Mapping[str, Json]) -> list[str]:
    return [
        f"live: {found['live']}",
        f"state: {found.get('state') or NOTHING}",
        f"since: {when(found.get('since'))}",
        f"by: {by(found.get('client'))}",
        f"commit: {commit(found.get('scm'))}",
        *_files(found),
    ]


def _not_live(found: Mapping[str, Json], path: str) -> list[str]:
    was = found.get("was")
    if not was:
        return [nothing_deployed(path)]
    return ["live: nothing", f"live last: {was} (rollback {was} puts it back)"]


def _files(found: Mapping[str, Json]) -> list[str]:
    lines = [*drift(found), *(_put(one) for one in found.get("put", ()))]
    if found.get("unverified"):
        lines.append("files: they cannot be compared, because nobody recorded them when they were made")
    return lines or ["files: as deployed"]


def drift(found: Mapping[str, Json]) -> list[str]:
    """Each file that is not what was deployed, with what is wrong with it."""
    kinds = {"changed": "changed", "missing": "missing", "strays": "not deployed", "eggs": "missing egg"}
    return [f"{words}: {name}" for kind, words in kinds.items() for name in found.get(kind, ())]


def _put(one: Mapping[str, Json]) -> str:
    return f"put: {one['file']} ({when(_epoch(one.get('time')))}, {by(one)})"


def _epoch(stamp: Json) -> float | None:
    """Seconds, also of ``2026-11-22T14:03:07Z``, as the ledger has times."""
    return calendar.timegm(time.strptime(stamp, STAMP)) if isinstance(stamp, str) else stamp


def _surroundings(found: Mapping[str, Json]) -> list[str]:
    lines = [f"current: {CURRENT[found['current']]}"] if found.get("current") in CURRENT else []
    if job := found.get("job"):
        lines.append(f"building: {job['release']} (since {when(job.get('since'))}, {by(job)})")
    if found.get("switching"):
        lines.append("unfinished: a switch that nobody brought to its end; the next deploy or rollback does")
    return lines


def troubles(found: Mapping[str, Json], path: str) -> list[str]:
    """What of a status is not as it should be, in a few words each; empty where all is well or nothing was deployed."""
    changed = f"the files of release {found.get('live')} are not what was deployed"
    return [*unclear(found, path), *([changed] if drift(found) else [])]


def unclear(found: Mapping[str, Json], path: str) -> list[str]:
    """What is wrong with what is live, besides its files."""
    told = [f"{path}/current {CURRENT[found['current']]}"] if found.get("current") in CURRENT else []
    if found.get("switching"):
        told.append("a switch is unfinished")
    if found.get("was") and not found.get("live"):
        told.append(f"nothing is live in {path}")
    if found.get("state") in ("bad", "broken"):
        told.append(f"release {found['live']} is {found['state']}")
    return told


# check


def verdict(what: str, wrong: Iterable[str]) -> str:
    """``files: ok``, or ``files: not ok: bin/app is missing``."""
    told = "; ".join(wrong)
    return f"{what}: not ok: {told}" if told else f"{what}: ok"


def summary(lines: Sequence[str]) -> list[str]:
    """The first of many, and how many more there are."""
    more = len(lines) - SHORT
    return [*lines[:SHORT], f"and {more} more (status names them)"] if more > 0 else list(lines)


def not_good(found: Mapping[str, Json], path: str) -> list[str]:
    """Why what is live is not known to be well, its files aside."""
    if not found.get("live"):
        return unclear(found, path) or [nothing_deployed(path)]
    told = unclear(found, path)
    return [*told, f"release {found['live']} is not known to be good"] if found.get("state") == "live" else told


# clean


def cleaned(found: Mapping[str, Json], *, dry_run: bool = False, verbose: bool = False) -> list[str]:
    """What was removed, how much room that gave, what was kept and why."""
    removed, would = ("would remove", "would be") if dry_run else ("removed", "are")
    lines = [f"{removed} release {name}" for name in found.get("releases", ())]
    lines += [f"kept release {kept['name']}: {kept['why']}" for kept in found.get("kept", ())]
    lines += _from_cache(found, removed, verbose)
    if found.get("cache"):
        lines.append(f"the cache is left as it is: {found['cache']}")
    if not any(found.get(kind) for kind in ("releases", *_CACHED)):
        return [*lines, "nothing to remove"]
    return [*lines, f"{amount(found.get('bytes', 0))} {would} free again"]


_CACHED = {"eggs": "egg", "downloads": "download", "environments": "environment"}


def _from_cache(found: Mapping[str, Json], removed: str, verbose: bool) -> list[str]:
    kinds = {word: list(found.get(kind, ())) for kind, word in _CACHED.items() if found.get(kind)}
    if verbose:
        return [f"{removed} {word} {name}" for word, names in kinds.items() for name in names]
    counted = [f"{len(names)} {word}{'' if len(names) == 1 else 's'}" for word, names in kinds.items()]
    return [f"{removed} from the cache: {', '.join(counted)}"] if counted else []
