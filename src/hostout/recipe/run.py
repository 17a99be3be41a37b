"""One run of buildout as hostout sees it: its parts as they are instantiated, the script, the records at the end.

What does not belong here: how any of these is found out or written.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hostout import cfgfile, options
from hostout.model import Json, LocalBuildout, Member
from hostout.recipe import ahead, eggs, locking, news, parts, records, workingset
from hostout.recipe.files import Files, Watch, key_of
from hostout.recipe.local import download_cache, local_buildout, lock
from hostout.recipe.parts import HostPart, Sections
from hostout.recipe.plugins import PluginRecipe

TAKEN = ("all", "buildout", "secrets")
"""Names that mean something else on the command line or among the records."""

under_way: set[str] = set()
"""The record folders that a run of this process writes when it ends: buildout hands nothing to an uninstaller."""


def run_of(buildout: Any) -> Run:
    """The run that a buildout object is in, begun when our first part is instantiated."""
    if not hasattr(buildout, "_hostout_run"):
        buildout._hostout_run = Run(buildout)
    run: Run = buildout._hostout_run
    return run


class Run:
    """State of one run. It ends when buildout unloads its extensions: the last thing that it does."""

    def __init__(self, buildout: Any) -> None:
        self.buildout = buildout
        self.sections = Sections(buildout)
        self.observer = workingset.Observer(buildout)
        self.directory = Path(buildout["buildout"]["parts-directory"], "hostout")
        self.script = Path(buildout["buildout"]["bin-directory"], "hostout")
        self._hosts: dict[str, HostPart] = {}
        self._plugins: dict[str, PluginRecipe] = {}
        self._scripted = False
        self.lock = locking.read(lock(buildout))
        self.watch = Watch(self.lock)
        self._finished = False
        self.watch.start()
        self.observer.start()
        self._at_the_end()

    def add(self, name: str, section: Any) -> None:
        """Takes in a part that buildout instantiates; its secrets are gone from ``section`` when this returns."""
        with self.observer.during(name):
            section["_records"], section["_script"] = str(self.directory), str(self.script)
            self.sections.settings(name)
            _without(section, [option.name for option in options.OPTIONS if option.secret])
            if name in self.sections.hosts():
                self._add_host(name)

    def write_script(self) -> None:
        """``bin/hostout`` for all hosts, once a run."""
        if self._scripted:
            return
        self._scripted = True
        requirements = [plugin.requirement for host in self.hosts() for plugin in host.plugins]
        working_set = eggs.for_script(self.buildout, dict.fromkeys(["collective.hostout", *requirements]))
        eggs.write_script(self.buildout, working_set, self.script.name, "hostout.cli", self._argument())

    def hosts(self) -> tuple[HostPart, ...]:
        """All hosts of the buildout, also those that this run was not asked to install."""
        names = self.sections.hosts()
        for name in names:
            self.buildout[name]  # instantiates it, which adds it here
        return tuple(self._hosts[name] for name in names)

    def finish(self) -> None:
        """Writes the records of all hosts and removes those of hosts that are gone."""
        self.observer.stop()
        self.watch.stop()
        hosts = self.hosts()
        before = records.read(self.directory / records.BUILDOUT)
        working_set = self._working_set(before)
        missing = self._missing(working_set, before)
        if hosts:
            self._write(hosts, working_set, whole=not missing)
        names = {host.name for host in hosts}
        records.forget(self.directory, [name for name in before.get("hostout_parts", []) if name not in names])
        if not hosts:
            records.forget_all(self.directory, self.script)
        under_way.discard(str(self.directory))
        self._finished = True

    def _add_host(self, name: str) -> None:
        if name in TAKEN or "/" in name or name.startswith(("-", ".")):
            self.sections.fail(name, "recipe", f"a host cannot be called {name!r}")
        host = parts.host_part(self.sections, name, self._plugins)
        self._hosts[name] = host
        self._refuse_quoted_secrets(host)
        for section in host.sections:
            if self.sections.is_hostout(section):
                _without(self.buildout[section], host.secrets)

    def _at_the_end(self) -> None:
        unload = self.buildout._unload_extensions

        def unload_and_finish() -> None:
            unload()
            self.finish()

        self.buildout._unload_extensions = unload_and_finish
        under_way.add(str(self.directory))
        atexit.register(self._rescue)

    def _rescue(self) -> None:
        """A run that fails has installed eggs all the same: the next one does not see of which files."""
        if self._finished:
            return
        try:
            self._files().rescue([*self.watch.installed.values(), *eggs.imported()])
        except OSError as error:
            logging.getLogger("hostout").warning("cannot note which files eggs are made of: %s", error)

    def _files(self) -> Files:
        return Files(self.directory, download_cache(self.buildout), self.watch.fetched)

    def _argument(self) -> str:
        base = eggs.relative_to(self.buildout)
        return f"join(base, {os.path.relpath(self.directory, base)!r})" if base else repr(str(self.directory))

    def _working_set(self, before: dict[str, Json]) -> workingset.WorkingSet:
        own = self.sections.all_hostout()
        return workingset.working_set(self.buildout, self.observer, workingset.recorded(before), own)

    def _missing(self, found: workingset.WorkingSet, before: dict[str, Json]) -> list[str]:
        """The parts of which nobody knows yet what they need, which is said."""
        known = before.get("needs", {})
        unseen = [part for part in found.needs if part not in self.buildout._data and part not in known]
        if unseen:
            logging.getLogger("hostout").warning(
                "%s: not built yet, run bin/buildout before you deploy", ", ".join(unseen)
            )
        return unseen

    def _write(self, hosts: tuple[HostPart, ...], working_set: workingset.WorkingSet, whole: bool) -> None:
        secrets = {host.name: self._secrets(host) for host in hosts}
        files = self._files()
        local = self._local(hosts, working_set, files)
        extras = self._extras(local, files)
        files.keep()
        before = locking.read(Path(local.lock))
        wrote = self._lock(local, extras, whole=False)
        self._write_secrets({name: found for name, found in secrets.items() if found})
        for host in hosts:
            records.write(self.directory / f"{host.name}.json", parts.record(host, list(secrets[host.name])))
        data = {"format": 1, **asdict(local), "needs": working_set.record()}
        records.write(self.directory / records.BUILDOUT, data, _mode(local))
        if whole:
            extras, also = self._look_ahead(local, files, len(hosts))
            wrote = wrote or also
        news.tell(before, local, extras, wrote)
        records.touch_if_older(self.directory / records.BUILDOUT, local.configs)

    def _look_ahead(self, local: LocalBuildout, files: Files, hosts: int) -> tuple[tuple[Member, ...], bool]:
        """What only deployed files need belongs to what was tested, and nothing else does any more; whether that
        changes the lock."""
        found = ahead.resolved(self.buildout, self.directory, hosts)
        ahead.keep(self.directory, found)
        files.learn(found.files)
        extras = self._extras(local, files)
        files.keep()
        return extras, self._lock(local, extras, whole=found.whole)

    def _lock(self, local: LocalBuildout, extras: tuple[Member, ...], *, whole: bool) -> bool:
        path = Path(local.lock)
        return locking.update(path, locking.read(path), (*local.working_set, *extras), local.environment, whole)

    def _extras(self, local: LocalBuildout, files: Files) -> tuple[Member, ...]:
        known = {key_of(m.name, m.version) for m in (*local.working_set, *local.environment)}
        extras = [m for m in ahead.kept(self.directory) if key_of(m.name, m.version) not in known]
        return tuple(files.described(member, environment=False) for member in extras)

    def _local(self, hosts: tuple[HostPart, ...], working_set: workingset.WorkingSet, files: Files) -> LocalBuildout:
        """This buildout, with the files that its distributions were installed from."""
        names, places = tuple(host.name for host in hosts), tuple(sorted(self._secret_places(hosts)))
        found = local_buildout(self.buildout, working_set.wanted(), names, self.sections.all_hostout(), places)
        outside = found.environment_path
        members = tuple(files.described(member, member.location in outside) for member in found.working_set)
        environment = tuple(files.described(member, True) for member in found.environment)
        return replace(found, working_set=members, environment=environment)

    def _write_secrets(self, secrets: dict[str, dict[str, str]]) -> None:
        path = self.directory / records.SECRETS
        if secrets:
            records.write(path, secrets, records.PRIVATE)
        else:
            path.unlink(missing_ok=True)

    def _secrets(self, host: HostPart) -> dict[str, str]:
        """The secret settings of a host: also those that only another host, with another plugin, declares secret."""
        everywhere = {
            (one.origin, one.written)
            for other in self._hosts.values()
            for name, one in other.settings.items()
            if name in other.secrets
        }
        return {
            name: one.value
            for name, one in host.settings.items()
            if name in host.secrets or (one.origin.part and (one.origin, one.written) in everywhere)
        }

    def _secret_places(self, hosts: tuple[HostPart, ...]) -> set[tuple[str, str]]:
        """Where the value of a secret stands in the configuration: its option, and what that refers to."""
        places: set[tuple[str, str]] = set()
        for host in hosts:
            for name in self._secrets(host):
                one = host.settings[name]
                places.update(self._referred(one.origin.part or host.name, one.written, set()))
        return places

    def _refuse_quoted_secrets(self, host: HostPart) -> None:
        """A secret that another option quotes would show in process lists, records and ``.installed.cfg``."""
        places = self._secret_places((host,))
        for section in host.sections:
            for option, value in self.buildout._raw[section].items():
                quoted = places & {(other or section, name) for other, name in cfgfile.references(value)}
                if quoted and (section, option) not in places:
                    ((other, name), *_) = sorted(quoted)
                    problem = f"everybody could read the secret ${{{other}:{name}}} in it"
                    self.sections.fail(section, option, f"{problem}; let it be read from a file on the host")

    def _referred(self, section: str, option: str, seen: set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        raw = self.buildout._raw.get(section, {})
        if section == "buildout" or option not in raw or (section, option) in seen:
            return
        seen.add((section, option))
        yield section, option
        for other, name in cfgfile.references(raw[option]):
            yield from self._referred(other or section, name, seen)


def _without(section: Any, names: Any) -> None:
    """Takes options out of a section, under their old names too, before buildout writes them to its ``.installed.cfg``.

    What the section was made of is copied first: another section that has it as a macro (``<=``) still needs them.
    """
    section._raw = dict(section._raw)
    gone = set(names)
    for key in list(section):
        if options.canonical(key) in gone:
            del section[key]


def _mode(local: LocalBuildout) -> int:
    """An index with a password in its URL is nobody else's business."""
    urls = (local.index or "", *local.find_links)
    return records.PRIVATE if any("@" in urlsplit(url).netloc for url in urls) else records.SHARED
