"""The records below ``parts/hostout`` → hosts. Every mistake is collected before anything stops.

A listing reads names and options only, and works where an option is wrong; a host is checked when it is asked for.
What does not belong here: the buildout configuration (it is never read again), checks that need a release or a host.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

from hostout import options as table
from hostout.errors import ConfigurationError
from hostout.model import Host, Json, LocalBuildout, Member, Origin, Plugin, Secret

FORMAT = 1
AGAIN = "run bin/buildout"


def load(records: str | Path) -> Configuration:
    """The configuration as ``bin/buildout`` recorded it. Raises ConfigurationError without usable records."""
    directory = Path(records)
    return Configuration(directory, _read(directory / "buildout.json"))


class Configuration:
    """All hosts of a buildout; parts are read when they are asked for."""

    def __init__(self, directory: Path, data: Mapping[str, Json]) -> None:
        self.directory = directory
        self._data = data
        self._parts: dict[str, _Part] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The host parts in the order of ``[buildout] parts``."""
        return tuple(self._data["hostout_parts"])

    @cached_property
    def local(self) -> LocalBuildout:
        """The buildout that the hosts stand in."""
        known = {field.name for field in fields(LocalBuildout)}
        values = {name: _tupled(value) for name, value in self._data.items() if name in known}
        for name in ("working_set", "environment"):
            values[name] = tuple(Member(**member) for member in self._data[name])
        return LocalBuildout(**values)

    def options(self, name: str) -> dict[str, str]:
        """The options of a host as text, unchecked: what is set, under old names where they were used, and defaults."""
        return self._part(name).texts()

    def command_sources(self, name: str) -> tuple[tuple[str, ...], tuple[Plugin, ...]]:
        """The fabfiles and the plugins that a host has its commands from."""
        part = self._part(name)
        return tuple(entry.text for entry in part.files("fabfiles")), part.plugins()

    def missing_fabfiles(self, name: str) -> tuple[str, ...]:
        """A line for each fabfile of a host that is not there; also one of ``problems`` of the host."""
        return tuple(self._part(name).missing_fabfiles())

    def host(self, name: str) -> Host:
        """A host, checked. Raises ConfigurationError with everything that is wrong with it."""
        problems = self._part(name).problems
        if problems:
            raise ConfigurationError(problems, host=name)
        return self._part(name).host

    def check(self, names: Iterable[str], connect: bool = True) -> None:
        """Raises ConfigurationError with all that is wrong with hosts; for ``connect`` also a missing ``host``."""
        if problems := self.problems(names, connect):
            raise ConfigurationError(problems)

    def problems(self, names: Iterable[str], connect: bool = True) -> list[str]:
        """All that is wrong with hosts, a line each; for ``connect`` also a missing ``host``."""
        parts = [self._part(name) for name in names]
        return [line for part in parts for line in (*part.problems, *(part.missing_host() if connect else ()))]

    def not_as(self, name: str, login: str) -> list[str]:
        """What is wrong with a host where only the ssh configuration says who logs in, a line each."""
        return list(self._part(name).not_as(login))

    @cached_property
    def warnings(self) -> list[str]:
        """A line for each option that is probably misspelt."""
        return list(dict.fromkeys(line for name in self.names for line in self._part(name).misspelt()))

    def stale(self) -> str | None:
        """A line where a configuration file that took part is newer than the records."""
        recorded = (self.directory / "buildout.json").stat().st_mtime_ns
        newer = [path for path in self._data["configs"] if _modified(path) > recorded]
        shown = ", ".join(_relative(path, self._data["directory"]) for path in newer)
        verb = "have" if len(newer) > 1 else "has"
        return f"{shown} {verb} changed since bin/buildout ran: {AGAIN} to use the changes" if newer else None

    def notices(self) -> list[str]:
        """What the script says before anything else: warnings, and whether the records are out of date."""
        stale = self.stale()
        return [*([stale] if stale else []), *self.warnings]

    def _part(self, name: str) -> _Part:
        if name not in self._parts:
            if name not in self.names:
                raise ConfigurationError(f"there is no host {name!r}")
            record = _read(self.directory / f"{name}.json")
            self._parts[name] = _Part(name, record, self._data["directory"], self.directory / "secrets.json")
        return self._parts[name]


@dataclass(frozen=True)
class _Entry:
    """One line of an option of several, and where it was set."""

    text: str
    origin: Origin


class _Part:
    """The record of one part, read as options: ``problems`` are lines, ``host`` is valid where there are none."""

    def __init__(self, name: str, record: Mapping[str, Json], directory: str, secrets: Path) -> None:
        self.name = name
        self.directory = directory
        self._record = record
        self._set: Mapping[str, Json] = record["options"]
        self._secrets = secrets
        self._misread: list[str] = []

    @cached_property
    def problems(self) -> tuple[str, ...]:
        self.host  # noqa: B018 - reading the values is what finds the mistakes in them
        checks = (self.missing_fabfiles(), self._key_exists(), self._includes_travel(), self._without_root())
        return (*self._misread, *(line for check in checks for line in check), *self._record.get("problems", ()))

    @cached_property
    def host(self) -> Host:
        values = {option.name: self._value(option) for option in table.OPTIONS if not option.secret}
        address, port = values.pop("host") or ("", None)
        values.pop("extends")
        known = {name.replace("-", "_"): value for name, value in values.items()}
        known.update(
            address=address,
            port=port,
            path=known["path"] or self._path,
            include=tuple(self._inside(entry) for entry in self.files("include")),
            fabfiles=tuple(entry.text for entry in self.files("fabfiles")),
            identity_file=self._identity_file(),
        )
        origins = {name: self._origin(name) for name in self._set}
        return Host(
            self.name, **known, plugins=self.plugins(), options=self.texts(), origins=origins, secrets=self._revealed()
        )

    def texts(self) -> dict[str, str]:
        texts = {option.name: option.default for option in table.OPTIONS if option.default}
        texts["path"] = self._path
        for name, entry in self._set.items():
            # an option that was emptied is one that was not set
            texts[name] = texts[entry["written"]] = self._text(name) if entry["value"].strip() else texts.get(name, "")
        return texts

    def plugins(self) -> tuple[Plugin, ...]:
        return tuple(Plugin(plugin["word"], tuple(plugin["modules"])) for plugin in self._record["plugins"])

    def files(self, name: str) -> list[_Entry]:
        """The local paths of an option, absolute: one a line, or several words where only those are files."""
        return [
            _Entry(str(self._local(word)), entry.origin)
            for entry in self._entries(name)
            for word in self._names(entry.text)
        ]

    def misspelt(self) -> Iterator[str]:
        known = self._record.get("plugin_options", {})
        for name, entry in self._set.items():
            meant = table.misspelt(name, known)
            if meant and entry["part"]:
                yield f"[{entry['part']}] {name}: unknown option, did you mean {meant}? ({self._origin(name)})"

    def missing_host(self) -> Iterator[str]:
        if not self.host.address and not self._set.get("host", {}).get("value"):
            place = self._record.get("place", {})
            shown = Origin(_relative(place.get("file", ""), self.directory), place.get("line", 0))
            yield f"[{self.name}] host: is not set, and nothing can connect without it ({shown})"

    # the text of options

    @property
    def _path(self) -> str:
        return str(self._set.get("path", {}).get("value") or f"/var/lib/plone/{self.name}").rstrip("/")

    def _text(self, name: str) -> str:
        text: str = self._set[name]["value"]
        option = table.BY_NAME.get(name)
        return replaced(text, self.directory, self._path) if option and option.on_host else text

    def _value(self, option: table.Option) -> Json:
        """The value of an option; its default, after noting the problem, where it cannot be read."""
        text = self._text(option.name).strip() if option.name in self._set else ""
        if option.kind == "relative":
            text = " ".join(_relative(word, self.directory) for word in text.split())
        try:
            return table.read(option, text or option.default) if text or option.default or _many(option) else None
        except ValueError as error:
            self._misread.append(self._problem(option.name, str(error)))
            return table.read(option, option.default) if option.default or _many(option) else None

    def _entries(self, name: str) -> list[_Entry]:
        entry = self._set.get(name, {"value": ""})
        lines = [line.strip() for line in entry["value"].splitlines() if line.strip()]
        places = [self._shown(*place) for place in entry.get("lines", ())] or [self._origin(name)] * len(lines)
        return [_Entry(line, place) for line, place in zip(lines, places, strict=True)]

    def _origin(self, name: str) -> Origin:
        entry = self._set.get(name)
        return self._shown(entry["file"], entry["line"], entry["part"]) if entry else Origin()

    def _shown(self, file: str, line: int, part: str) -> Origin:
        return Origin(_relative(file, self.directory), line, part)

    def _problem(self, name: str, text: str, place: Origin | None = None) -> str:
        written = self._set[name]["written"] if name in self._set else name
        return f"[{self.name}] {written}: {text} ({place or self._origin(name)})"

    def _revealed(self) -> dict[str, Secret]:
        if not self._record["secrets"]:
            return {}
        try:
            values = json.loads(self._secrets.read_text()).get(self.name, {})
        except (OSError, ValueError) as error:
            self._misread.append(f"[{self.name}] {', '.join(self._record['secrets'])}: cannot be read: {error}")
            return {}
        return {name: Secret(value) for name, value in values.items()}

    # local files

    def _local(self, word: str) -> Path:
        return Path(os.path.normpath(Path(self.directory) / Path(word).expanduser()))

    def _names(self, line: str) -> list[str]:
        """A path with blanks is one where it exists; else they part words, as buildout has it everywhere."""
        return [line] if self._local(line).exists() else line.split()

    def _inside(self, entry: _Entry) -> str:
        return _relative(entry.text, self.directory)

    def _identity_file(self) -> str | None:
        value = self._set.get("identity-file", {}).get("value", "").strip()
        return str(self._local(value)).removesuffix(".pub") if value else None

    # checks that need more than the text of one option

    def missing_fabfiles(self) -> Iterator[str]:
        for entry in self.files("fabfiles"):
            if not Path(entry.text).is_file():
                shown = _relative(entry.text, self.directory)
                yield self._problem("fabfiles", f"there is no file {shown!r}", entry.origin)

    def _key_exists(self) -> Iterator[str]:
        path = self.host.identity_file
        # the private half may be in the agent only
        if path and not Path(path).is_file() and not Path(f"{path}.pub").is_file():
            yield self._problem("identity-file", f"there is no file {path!r}")

    def _includes_travel(self) -> Iterator[str]:
        persistent = ("var", *self.host.shared)
        for entry in self.files("include"):
            name = self._inside(entry)
            kept = next((folder for folder in persistent if f"{name}/".startswith(f"{folder}/")), None)
            if name == "." or posixpath.isabs(name):
                yield self._problem("include", f"must be inside the buildout, is {name!r}", entry.origin)
            elif kept:
                yield self._problem(
                    "include", f"must not be in {kept}, which is the host's own, is {name!r}", entry.origin
                )

    def not_as(self, login: str) -> Iterator[str]:
        """What ``no-sudo`` makes impossible for who logs in."""
        host = self.host
        for name, user in (("effective-user", host.effective_user), ("buildout-user", host.buildout_user)):
            if host.no_sudo and user not in (None, login) and login != "root":
                yield self._problem(name, f"cannot be {user!r} with no-sudo, as {login!r} logs in")

    def _without_root(self) -> Iterator[str]:
        host = self.host
        if host.user:
            yield from self.not_as(host.user)
        if host.no_sudo and host.sudo_parts and host.user != "root":
            yield self._problem("sudo-parts", "are built as root, and no-sudo says that nobody becomes root")


def replaced(text: str, directory: str, path: str) -> str:
    """``text`` with the local buildout directory, where it stands as a whole path or the start of one, as ``path``.

    >>> replaced("/home/me/app/bin/run -c /home/me/app.old", "/home/me/app", "/srv/app")
    '/srv/app/bin/run -c /home/me/app.old'
    """
    whole = rf"(?<![\w.~)}}*?+-]){re.escape(directory)}(?![\w.~*?+@%-])"
    return re.sub(whole, lambda _: path, text)


def _many(option: table.Option) -> bool:
    return option.kind in ("lines", "words", "relative")


def _tupled(value: Json) -> Json:
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value


def _modified(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0


def _relative(file: str, directory: str) -> str:
    """A path for people: relative to the buildout directory where it is in there, else as it stands."""
    return file.removeprefix(f"{directory}/") if file != directory else "."


def _read(path: Path) -> dict[str, Json]:
    try:
        data: dict[str, Json] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"there is no record {path}: {AGAIN}") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the record {path} cannot be read ({error}): {AGAIN}") from error
    if data.get("format") != FORMAT:
        raise ConfigurationError(f"the record {path} is of another version of hostout: {AGAIN}")
    return data
