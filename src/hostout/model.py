"""The values that travel through the rooms: frozen, without behaviour that reaches outside.

What does not belong here: reading files, talking to hosts, printing.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

Json = Any
"""What ``json`` reads and writes: the wire and the records consist of it."""


class Secret:
    """A value that does not print, pickle or compare by accident; ``reveal()`` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself: for standard input of a host or an authentication, nothing else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not written anywhere")


@dataclass(frozen=True)
class Origin:
    """Where an option was set: a file as the user wrote it, a line counted from 1 (0: not in a file)."""

    file: str = ""
    line: int = 0
    part: str = ""

    def __str__(self) -> str:
        if not self.file:
            return "default"
        return f"{self.file}, line {self.line}" if self.line else self.file


@dataclass(frozen=True)
class Plugin:
    """A recipe named in ``extends``: ``word`` as written there, the modules with its commands."""

    word: str
    modules: tuple[str, ...]


@dataclass(frozen=True)
class Host:
    """One host part, checked. Every path option has the local buildout directory replaced by ``path``.

    ``None`` means that only the connection can tell (the login user, for one). ``options`` has all
    options by name as text, the unknown ones too, without the secret ones, which are in ``secrets``.
    """

    name: str
    address: str = ""
    port: int | None = None
    user: str | None = None
    password_command: str | None = None
    identity_file: str | None = None
    host_key: str = "ask"
    path: str = ""
    buildout: tuple[str, ...] = ("buildout.cfg",)
    parts: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    versions: str | None = None
    eggs_from: str = "auto"
    hash_ignore: tuple[str, ...] = ()
    fabfiles: tuple[str, ...] = ()
    effective_user: str | None = None
    buildout_user: str | None = None
    buildout_group: str | None = None
    buildout_cache: str | None = None
    shared: tuple[str, ...] = ()
    build_commands: tuple[str, ...] = ()
    pre_commands: tuple[str, ...] = ()
    migrate_commands: tuple[str, ...] = ()
    post_commands: tuple[str, ...] = ()
    post_failure: str = "ignore"
    downtime: str = "switch"
    compile: str = "background"
    health_check: str | None = None
    health_timeout: float = 60.0
    health_interval: float = 1.0
    keep_releases: int = 5
    no_sudo: bool = False
    live_parts: tuple[str, ...] = ()
    sudo_parts: tuple[str, ...] = ()
    plugins: tuple[Plugin, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)


@dataclass(frozen=True)
class Member:
    """A distribution of a working set here: ``location`` is the path that made it importable.

    ``source`` is the project folder of a develop package (where its ``setup.py`` or ``pyproject.toml`` is). Of any
    other, ``filename`` and ``sha256`` are the file that it was installed from, where that is known, and ``found`` the
    place where that is: ``download-cache``, or ``eggs`` or ``environment``, where it lies unpacked.
    """

    name: str
    version: str
    location: str
    develop: bool = False
    source: str = ""
    filename: str = ""
    sha256: str = ""
    found: str = ""


@dataclass(frozen=True)
class LocalBuildout:
    """The buildout that the host parts stand in, as it was when ``bin/buildout`` ran last (all paths absolute).

    ``configs`` are the configuration files that took part; ``working_set`` every distribution of every part,
    recipe and extension; ``environment`` those of the environment that zc.buildout itself runs in
    (zc.buildout, setuptools, packaging, wheel, pip, platformdirs), with ``environment_path`` the ``sys.path``
    entries that make them importable. ``hostout_parts`` are the hosts, ``hostout_sections`` also the sections they
    extend. ``secret_options`` are the places, (section, option), where the value of a secret stands. ``lock`` is the
    file with the hashes of what was tested (``lockfile``), ``default_index`` the index that zc.buildout takes where
    ``index`` names none.
    """

    directory: str
    config: str
    parts_directory: str
    bin_directory: str
    eggs_directory: str
    develop_eggs_directory: str
    download_cache: str | None
    executable: str
    python: str
    hostout_parts: tuple[str, ...] = ()
    hostout_sections: tuple[str, ...] = ()
    secret_options: tuple[tuple[str, str], ...] = ()
    versions_section: str = "versions"
    index: str | None = None
    find_links: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    develop: tuple[str, ...] = ()
    pins: Mapping[str, str] = field(default_factory=dict)
    working_set: tuple[Member, ...] = ()
    environment: tuple[Member, ...] = ()
    environment_path: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    lock: str = ""
    default_index: str = ""


@dataclass(frozen=True)
class Distribution:
    """One exact distribution of a release: ``path`` is a local wheel or sdist, ``filename`` its name on the host.

    ``made`` here, like those of ``develop`` packages: built or packed again, so that no index has these very bytes.
    """

    name: str
    version: str
    filename: str
    sha256: str
    size: int
    path: str
    develop: bool = False
    made: bool = False


@dataclass(frozen=True)
class Indexes:
    """Whom a host may ask for distributions: package ``indexes``, pages of ``links``. Secret for their passwords."""

    indexes: tuple[Secret, ...] = ()
    links: tuple[Secret, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.indexes or self.links)


@dataclass(frozen=True)
class Stamp:
    """What changes with the content of a file: its size, and its times in nanoseconds."""

    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """Whatever writes into a file, or puts another one in its place, cannot set the second time."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True)
class BundleFile:
    """A configuration or included file of a release, ``name`` relative to it with ``/``; ``mode`` 0o644 or 0o755.

    Its bytes are ``content``, or those of the file ``path`` here, which had this ``stamp`` when it was hashed.
    ``target`` is set instead where it is a symbolic link.
    """

    name: str
    mode: int
    sha256: str
    content: bytes = field(repr=False, default=b"")
    target: str = ""
    path: str = field(compare=False, default="")
    stamp: Stamp | None = field(compare=False, default=None)

    @property
    def size(self) -> int:
        """In bytes."""
        return self.stamp.size if self.stamp else len(self.content)


@dataclass(frozen=True)
class Settings:
    """What the generated configuration of a release says, whatever host it goes to.

    ``extends`` are the user's files in the bundle, ``versions`` the name of the section with pins, ``pins`` every
    spelling of every pinned name. ``developer``: mr.developer is in use. ``later_parts`` (``live-parts``,
    ``sudo-parts``) are not among ``parts``. ``sections`` are options that the user's files take from hostout parts,
    which do not travel.
    """

    extends: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    later_parts: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    developer: bool = False
    versions: str = "versions"
    pins: tuple[tuple[str, str], ...] = ()
    sections: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Release:
    """What is deployed, decided here: the same input gives the same ``id`` (8 hex digits) on any machine.

    ``requirements`` are (name, version) of all distributions that the parts need, ``environment`` those of
    zc.buildout's own environment; which wheels serve them waits for the host's Python. ``develop`` are the
    distributions of develop packages, ``files`` the bundle without ``config``, whose text depends on the host's cache
    and is made of ``settings``. ``options`` are those of the host part that make this content what it is, as text, none
    of them secret. ``messages`` are the lines that ``uploadeggs`` prints: those that begin with a tab stand as they
    are, the others behind ``Hostout: ``. ``environment_files`` are hashes of what ``environment`` consists of here.
    """

    id: str
    part: str
    config: str
    python: str
    requirements: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]
    develop: tuple[Distribution, ...]
    files: tuple[BundleFile, ...]
    messages: tuple[str, ...] = ()
    scm: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    environment_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What the agent found on a host, as the protocol has it (``agent/protocol.py``)."""

    data: Mapping[str, Json]

    def __getitem__(self, name: str) -> Json:
        return self.data[name]


@dataclass(frozen=True)
class Step:
    """One thing the agent does: ``do`` names its action, ``args`` are that action's, ``text`` says it to people."""

    do: str
    text: str
    args: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """Something that happened, for whoever prints it.

    ``kind`` is ``hostout`` (``Hostout: text``), ``login`` (hosts of ``data["hosts"]``, as ``data["user"]``), ``run`` or
    ``sudo`` (a command about to run), ``out`` or ``err`` (one line of its output), ``line`` (text as it stands),
    ``listing`` (what the script was asked to list), ``warning``, ``error``, ``aborted``, ``done``. ``host`` is the
    label in brackets.
    """

    kind: str
    text: str = ""
    host: str = ""
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class RunOptions:
    """The options of the script, before the first host; ``lock_wait`` in seconds."""

    dry_run: bool = False
    yes: bool = False
    force: bool = False
    keep_going: bool = False
    verbose: bool = False
    quiet: bool = False
    json: bool = False
    lock_wait: float = 0.0


@dataclass(frozen=True)
class Extent:
    """How far commands take a host: ``packages``: a release is uploaded; ``switches``: one goes live."""

    packages: bool = False
    switches: bool = False

    def __or__(self, other: Extent) -> Extent:
        return Extent(self.packages or other.packages, self.switches or other.switches)


Emit = Callable[[Event], None]


def shell(template: str, *arguments: str) -> str:
    """A shell line from a template with ``{}`` for each argument, every argument quoted.

    >>> shell("kill -0 {}", "it's")
    'kill -0 \\'it\\'"\\'"\\'s\\''
    """
    return template.format(*(shlex.quote(a) for a in arguments))


def command_step(
    text: str,
    line: str,
    *,
    user: str = "owner",
    timeout: float = 60.0,
    retry: float = 0.0,
    interval: float = 1.0,
) -> Step:
    """A Step that runs a shell line in ``path`` (what a plugin's ``stop``, ``start`` and ``health`` hooks return).

    ``user`` is ``owner`` (the effective user) or ``root``; ``timeout`` seconds for one try; with ``retry`` seconds
    it is tried again every ``interval`` seconds until it succeeds or that time is over.
    """
    args = {"line": line, "user": user, "timeout": timeout, "retry": retry, "interval": interval}
    return Step("command", text, args)
