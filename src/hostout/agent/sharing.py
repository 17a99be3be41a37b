"""Several buildouts and one cache: who shares it, and that nobody cleans it while somebody builds from it.

Below the cache: ``.hostout/sites/<sha256 of path>.json`` for each ``path``, ``.hostout/lock`` (shared while anybody
holds the lock of a ``path``, exclusive for cleaning) and ``.hostout/before.json`` (what was there before us).
What does not belong here: the lock on ``path`` (``lock.py``), what is cleaned (``cache.py``).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from . import durable, people
from .failure import Failed, storage
from .session import Session
from .site import Site

PATIENCE = 60.0
"""Seconds to wait for somebody who cleans the cache."""

_CLEANER_WAITS = 3.0
_LOOK = 0.2


def hold(session: Session) -> int | None:
    """Register ``path`` with the cache and keep it from being cleaned as long as the descriptor is open.

    None where there is no cache yet, or none that can be written to (said). Raises Failed where it is being cleaned.
    """
    site = session.site
    if not site.cache.is_dir():
        return None
    with people.acting_as_owner_of(site.cache):
        try:
            _register(site)
            descriptor = _open(site)
        except OSError as error:
            session.warn(f"the cache may be cleaned meanwhile: {storage(error, _own(site)).message}")
            return None
    if not locked(descriptor, fcntl.LOCK_SH, PATIENCE):
        os.close(descriptor)
        raise Failed(f"{site.cache} is being cleaned by another hostout; try again")
    return descriptor


@contextmanager
def alone(site: Site, held: Sequence[int]) -> Iterator[None]:
    """Nobody else builds from the cache within; ``held`` are the locks that we have. Raises Failed."""
    with _shared(site, held) as descriptor:
        try:
            # what is locked already is unlocked first, also where this fails
            if not locked(descriptor, fcntl.LOCK_EX, _CLEANER_WAITS):
                raise Failed(f"another deployment uses {site.cache} just now")
            yield
        finally:
            locked(descriptor, fcntl.LOCK_SH, PATIENCE)


def paths(site: Site) -> list[Path]:
    """Every ``path`` that shares the cache, ours too. Raises Failed where one is registered unreadably."""
    found = {site.path}
    with people.acting_as_owner_of(site.cache):
        for file in sorted(_sites(site).glob("*.json")):
            try:
                found.add(Path(str(durable.read_json(file)["path"])))
            except (OSError, ValueError, KeyError) as error:
                raise Failed(f"{file} does not say who shares the cache: {error}") from error
    return sorted(found)


def registration(site: Site, path: Path) -> Path:
    """The file that says that ``path`` shares the cache."""
    return _sites(site) / f"{hashlib.sha256(os.fsencode(path)).hexdigest()}.json"


def before(site: Site) -> set[str]:
    """What was in the cache before anything of ours, as ``eggs/v5/name``. Raises Failed."""
    file = _before(site)
    try:
        with people.acting_as_owner_of(site.cache):
            return set(map(str, durable.read_json(file)["names"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failed(f"{file} does not say what was in the cache before: {error}") from error


def _register(site: Site) -> None:
    """Written once; a cache that is new to us is looked through first."""
    if not _before(site).exists():
        _own(site).mkdir(mode=0o755, exist_ok=True)
        durable.write_json(_before(site), {"names": list(_contents(site))})
    file = registration(site, site.path)
    if not file.exists():
        file.parent.mkdir(mode=0o755, exist_ok=True)
        durable.write_json(file, {"path": str(site.path)})


def _contents(site: Site) -> Iterator[str]:
    for folder in site.cached.values():
        with suppress(OSError):
            yield from sorted(str(path.relative_to(site.cache)) for path in folder.iterdir())


def _open(site: Site) -> int:
    return os.open(_own(site) / "lock", os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)


@contextmanager
def _shared(site: Site, held: Sequence[int]) -> Iterator[int]:
    """The descriptor with which the cache is held already, else a new one."""
    with people.acting_as_owner_of(site.cache):
        own = _open(site)
    try:
        yield next((one for one in held if os.path.sameopenfile(one, own)), own)
    finally:
        os.close(own)


def locked(descriptor: int, how: int, patience: float) -> bool:
    """Whether that lock of an open file or folder could be had within so many seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK)
        else:
            return True


def _own(site: Site) -> Path:
    return site.cache / ".hostout"


def _sites(site: Site) -> Path:
    return _own(site) / "sites"


def _before(site: Site) -> Path:
    return _own(site) / "before.json"
