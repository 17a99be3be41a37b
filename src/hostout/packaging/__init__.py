"""From a Host and the local buildout to a Release: everything that is decided before a host is asked anything.

What does not belong here: connections, what is done on a host, printing (lines for people are part of a Release).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from hostout.errors import ConfigurationError
from hostout.model import BundleFile, Emit, Event, Host, LocalBuildout, Release, Settings
from hostout.packaging import bundle as bundles
from hostout.packaging import closure as closures
from hostout.packaging import configuration, develop, scm
from hostout.packaging.bundle import Bundle
from hostout.packaging.bundlefile import bundled
from hostout.packaging.closure import Closure
from hostout.packaging.develop import Released
from hostout.packaging.identity import counted_options, release_id
from hostout.packaging.memo import Memo
from hostout.packaging.places import Places, on_disk, writing
from hostout.packaging.rehearsal import Rehearsal, exact, rehearse
from hostout.packaging.wanted import Known

__all__ = ["configuration_file", "prepare", "resolve"]


def prepare(host: Host, local: LocalBuildout, emit: Emit) -> Release:
    """The Release of ``host``; writes ``parts/hostout/<part>.cfg`` and our caches, connects to nothing but an index.

    Raises ConfigurationError and PackagingError.
    """
    with on_disk(local):
        return _prepared(host, local, emit)


def _prepared(host: Host, local: LocalBuildout, emit: Emit) -> Release:
    bundle = bundles.collect(host, local, emit)
    rehearsal = _rehearsed(host, local, bundle)
    found = closures.closure(host, local, rehearsal)
    for member in closures.unknown(found.shipped, local):
        emit(Event("hostout", f"not in this buildout: {member.name} = {member.version}"))
    released = develop.releases(closures.packages(found.shipped, local), local, host.hash_ignore)
    closures.check_dependencies(released, found, local)
    release = _release(host, local, bundle, rehearsal, found, released)
    _write_configuration(release, host, local)
    return release


def resolve(host: Host, local: LocalBuildout, emit: Emit, *, from_cache: bool) -> Rehearsal:
    """What the deployed files of ``host`` need, which ``prepare`` then knows; builds nothing.

    ``from_cache``: no distribution may come from anywhere but the download cache. Raises as ``prepare`` does.
    """
    with on_disk(local):
        return _rehearsed(host, local, bundles.collect(host, local, emit), from_cache=from_cache)


def configuration_file(release: Release, cache: str) -> BundleFile:
    """The generated configuration for a host whose cache is the folder ``cache``; it goes with ``release.files``."""
    text = configuration.generated(release.settings, release.part, cache)
    return bundled(release.config, bundles.encoded(text), 0o644)


def _rehearsed(host: Host, local: LocalBuildout, bundle: Bundle, *, from_cache: bool = False) -> Rehearsal:
    name = configuration.name_of(host.name)
    if any(file.name == name for file in bundle.files):
        line = f"[{host.name}] {name} is what the generated configuration is called on the host: rename yours"
        raise ConfigurationError(line, host=host.name)
    text = configuration.rehearsed(Settings(extends=bundle.roots, sections=bundle.referenced))
    return rehearse(host, local, bundle, name, text, from_cache=from_cache)


def _release(
    host: Host,
    local: LocalBuildout,
    bundle: Bundle,
    rehearsal: Rehearsal,
    found: Closure,
    released: Sequence[Released],
) -> Release:
    distributions = tuple(r.distribution for r in released)
    built = {canonicalize_name(d.name): d.version for d in distributions}
    requirements = tuple((m.name, built.get(canonicalize_name(m.name), m.version)) for m in found.shipped)
    environment = tuple(sorted((m.name, exact(m.version)) for m in local.environment))
    release = Release(
        id="",
        part=host.name,
        config=configuration.name_of(host.name),
        python=".".join(local.python.split(".")[:2]),
        requirements=requirements,
        environment=environment,
        develop=distributions,
        files=bundle.files,
        messages=tuple(_messages(released, Places.of(local).configuration(host.name))),
        scm=scm.describe(Path(local.directory)),
        options=counted_options(host, local),
        settings=_settings(host, bundle, rehearsal, _versions(requirements, environment, found, rehearsal)),
    )
    return _identified(release, host, local)


def _identified(release: Release, host: Host, local: LocalBuildout) -> Release:
    memo = Memo.of(local)
    known = Known(local, memo)
    found = release_id(release, host, local, lambda pin: known.digests(pin, release.python))
    files = (digest for pin in release.environment for digest in known.digests(pin, release.python))
    with writing(Places.of(local).root):
        memo.save()
    return dataclasses.replace(release, id=found, environment_files=tuple(files))


def _versions(
    requirements: Iterable[tuple[str, str]],
    environment: Iterable[tuple[str, str]],
    found: Closure,
    rehearsal: Rehearsal,
) -> dict[str, str]:
    """What is pinned on a host: what is shipped, then zc.buildout's environment, then what was used here and nobody
    pins; checkouts that are not shipped have no version that could be pinned."""
    pinned = {canonicalize_name(name) for name, version in rehearsal.pinned.items() if version[:1] not in "<>"}
    used = [(m.name, m.version) for m in found.known if not m.develop and canonicalize_name(m.name) not in pinned]
    versions: dict[str, tuple[str, str]] = {}
    for name, version in (*requirements, *environment, *used):
        versions.setdefault(canonicalize_name(name), (name, version))
    return dict(versions.values())


def _settings(host: Host, bundle: Bundle, rehearsal: Rehearsal, versions: Mapping[str, str]) -> Settings:
    later = {*host.live_parts, *host.sudo_parts}
    return Settings(
        extends=bundle.roots,
        parts=tuple(part for part in rehearsal.parts if part not in later),
        later_parts=tuple(part for part in rehearsal.parts if part in later),
        extensions=rehearsal.extensions,
        developer=rehearsal.developer,
        versions=rehearsal.versions,
        pins=configuration.pins(versions, rehearsal.pinned),
        sections=bundle.referenced,
    )


def _messages(released: Sequence[Released], written: Path) -> Iterator[str]:
    yield "Preparing eggs for transport"
    for one in released:
        if one.built:
            yield f"Develop egg {one.package.folder} changed. Releasing with hash {one.hash}"
    yield "Eggs to transport:"
    for one in released:
        yield f"\t{one.distribution.name} = {one.distribution.version}"
    yield f"Wrote versions to {written}"


def _write_configuration(release: Release, host: Host, local: LocalBuildout) -> None:
    """The generated configuration for people to read here; the cache on the host is a guess until it was asked."""
    cache = host.buildout_cache or f"{host.path.rstrip('/').rpartition('/')[0]}/buildout-cache"
    target = Places.of(local).configuration(host.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(configuration_file(release, cache).content)
