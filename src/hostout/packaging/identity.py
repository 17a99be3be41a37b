"""The id of a release: a hash of everything that makes it what it is, the same on any machine.

What does not belong here: how any of it was found.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable

from hostout.model import BundleFile, Host, Json, LocalBuildout, Release

CONNECTION = frozenset({"address", "port", "user", "password_command", "identity_file", "host_key"})

FILES = frozenset({"buildout", "parts", "include", "versions", "eggs_from", "hash_ignore", "fabfiles", "plugins"})

NOT_DEPLOYED = CONNECTION | FILES | {"name", "keep_releases", "options", "origins", "secrets"}
"""Fields of Host that say how to connect, where files come from (they count by their content), or what is kept."""

OLD_NAMES = frozenset({"extra-config", "recipe", "extends", "host", "password"})

LOCAL_OPTIONS = frozenset(name.replace("_", "-") for name in NOT_DEPLOYED | OLD_NAMES)
"""The same for options by name; all others, of plugins and of nobody, count as they are written."""


def release_id(
    release: Release, host: Host, local: LocalBuildout, digests: Callable[[tuple[str, str]], Iterable[str]]
) -> str:
    """8 hex digits; ``digests`` are the hashes of what a distribution (name, version) consists of.

    The version of a develop package says its content; a build backend need not make the same file of it twice.
    """
    settings = dataclasses.asdict(release.settings)
    develop = {(d.name, d.version) for d in release.develop}

    def exact(pins: Iterable[tuple[str, str]]) -> list[Json]:
        return [[*pin, *(() if pin in develop else digests(pin))] for pin in sorted(pins)]

    content = {
        "requirements": exact(release.requirements),
        "environment": exact(release.environment),
        "python": release.python,
        "config": release.config,
        "settings": {name: value for name, value in settings.items() if name != "pins"},
        "pins": sorted(release.settings.pins),
        "files": sorted(_file(f) for f in release.files),
        "host": {name: getattr(host, name) for name in _fields() - NOT_DEPLOYED},
        "options": counted_options(host, local),
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def _file(file: BundleFile) -> list[Json]:
    return [file.name, file.mode, file.sha256, file.target]


def _fields() -> frozenset[str]:
    return frozenset(field.name for field in dataclasses.fields(Host))


def counted_options(host: Host, local: LocalBuildout) -> dict[str, str]:
    """The options that count, by name, as written; where they name our folder they mean the host's."""
    counted = {n: v for n, v in host.options.items() if n.replace("_", "-") not in LOCAL_OPTIONS}
    return {name: value.replace(local.directory, host.path) for name, value in counted.items()}
