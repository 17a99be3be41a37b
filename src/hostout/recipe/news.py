"""What a run of buildout says of the lock at its end: what has changed, though nobody asked for that.

What does not belong here: writing it (``locking``).
"""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from hostout.lockfile import Lock
from hostout.model import LocalBuildout, Member
from hostout.recipe.files import key_of


def tell(before: Lock, local: LocalBuildout, extras: Iterable[Member], wrote: bool) -> None:
    """``before`` is the lock of the run before, somebody else's perhaps; ``wrote``: it is another one now."""
    name, logger = Path(local.lock).name, logging.getLogger("hostout")
    parts = {key_of(m.name, "")[0]: m for m in (*extras, *local.working_set)}
    own = {key: m for m in local.environment if (key := key_of(m.name, "")[0]) not in parts}
    pinned = {key_of(pin, "")[0]: version for pin, version in local.pins.items()}
    asked = {key for key, m in own.items() if pinned.get(key) == m.version}
    if found := _moved(before, parts, pinned):
        logger.warning("%s has no say in versions as long as no extends names it: %s", name, found)
    if found := _moved(before, own, asked):
        logger.warning("zc.buildout runs with other distributions here than %s says: %s", name, found)
    if not wrote:
        return
    logger.info("Wrote %s: commit it.", name)
    unknown = [m.name for _, m in sorted(parts.items()) if not (m.develop or m.sha256 or _tested(before, m))]
    if unknown:
        said = "No file is known for these eggs, so %s has no sha256 of them (in an empty eggs directory it will): %s"
        logger.info(said, name, ", ".join(unknown))


def _moved(before: Lock, here: Mapping[str, Member], asked: Container[str]) -> str:
    """Distributions of another version than in the lock, though nobody has asked for another one."""
    known = {key_of(name, "")[0]: version for name, version in before.pins}
    others = {key: m for key, m in here.items() if not m.develop and key not in asked}
    changed = [(m, known[key]) for key, m in sorted(others.items()) if known.get(key, m.version) != m.version]
    return ", ".join(f"{m.name} {m.version} (was {version})" for m, version in changed)


def _tested(lock: Lock, member: Member) -> bool:
    return bool(lock.tested_of(member.name, member.version))
