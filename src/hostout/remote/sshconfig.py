"""What OpenSSH's configuration says about a host: ``~/.ssh/config`` first, then ``/etc/ssh/ssh_config``.

``ssh_config(5)`` is the source; paramiko parses, ``Include`` is followed here. Options of the host part come before
everything in those files. What does not belong here: connecting.
"""

from __future__ import annotations

import getpass
import glob
import io
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import paramiko
from paramiko.ssh_exception import ConfigParseError, SSHException

from hostout.errors import ConfigurationError

SYSTEM = Path("/etc/ssh/ssh_config")
DEEPEST_INCLUDE = 16

KEYWORD = re.compile(r"\s*(\w+)(?:\s*=\s*|\s+)(.*)")
WORD = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\S)+""")
COMMANDS = ("proxycommand", "localcommand", "remotecommand", "knownhostscommand")
"""What takes the rest of its line as it stands; of all others a word that begins with ``#`` begins a comment."""

CRITERIA = ("all", "canonical", "final", "exec", "host", "originalhost", "user", "localuser")
"""What a ``Match`` may ask that we have an answer to."""

NEVER = ("originalhost", "!*")
"""What holds for nobody."""

_Criteria = tuple[tuple[str, ...], ...]
"""Each a name and what is compared with it."""

TIME = re.compile(r"(\d+)([smhdw]?)")
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

USER_KNOWN_HOSTS = "~/.ssh/known_hosts ~/.ssh/known_hosts2"
GLOBAL_KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"


@dataclass(frozen=True)
class Target:
    """Where and as whom to connect. ``alias`` is what the user wrote, ``hostname`` what to resolve."""

    alias: str
    hostname: str
    port: int
    user: str
    identity_files: tuple[str, ...] = ()
    identities_only: bool = False
    proxy_jump: tuple[str, ...] = ()
    proxy_command: str | None = None
    host_key_alias: str | None = None
    user_known_hosts: tuple[str, ...] = ()
    global_known_hosts: tuple[str, ...] = ()
    strict: bool = False
    hash_known_hosts: bool = False
    connect_timeout: float | None = None

    @property
    def place(self) -> str:
        """``name, port 22`` for messages, with the address that the alias stands for."""
        return f"{self.hostname}, port {self.port}"

    @property
    def known_as(self) -> str:
        """The name in ``known_hosts`` files."""
        if self.host_key_alias:
            return self.host_key_alias.lower()
        name = self.hostname.lower()
        return name if self.port == 22 else f"[{name}]:{self.port}"


def load(address: str, port: int | None = None, user: str | None = None) -> paramiko.SSHConfig:
    """The configuration as it holds for one host, whose port and user may be given. Raises ConfigurationError."""
    given = [f"Host {address}"]
    given += [f"Port {port}"] if port else []
    given += [f"User {user}"] if user else []
    config = _Config()
    config.parse(io.StringIO("\n".join(given)))
    for file, base in ((_home() / ".ssh" / "config", _home() / ".ssh"), (SYSTEM, SYSTEM.parent)):
        _parse(config, file, base)
    return config


class _Config(paramiko.SSHConfig):
    """paramiko runs the commands of ``Match exec`` with our standard input, and each of them four times."""

    def _does_match(self, match_list: Any, target_hostname: Any, canonical: Any, final: Any, options: Any) -> bool:
        whole: Any = super()  # its types do not know these
        for criterion in match_list:
            if criterion["type"] == "exec":
                command = whole._tokenize(options, target_hostname, "match-exec", criterion["param"])
                if _succeeds(command) == criterion["negate"]:
                    return False
            elif not whole._does_match([criterion], target_hostname, canonical, final, options):
                return False
        return bool(match_list)


@cache
def _succeeds(command: str) -> bool:
    done = subprocess.run(["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    return not done.returncode


def _home() -> Path:
    return Path("~").expanduser()


def _parse(config: paramiko.SSHConfig, file: Path, base: Path) -> None:
    try:
        config.parse(io.StringIO("\n".join(_lines(file, base, (), 0))))
    except ConfigParseError as error:
        raise ConfigurationError(f"{file}: {error}") from error


def _lines(file: Path, base: Path, within: _Criteria, depth: int) -> Iterator[str]:
    """The lines of a file with those it includes.

    All of an included file counts where the block that includes it does, its own blocks too; after it that block
    goes on.
    """
    if depth > DEEPEST_INCLUDE or not file.is_file():
        return
    block = within
    for line in _text(file).splitlines():
        word, value = _keyword(line)
        if word == "include":
            for included in _included(value, base):
                yield from _lines(included, base, block, depth + 1)
                yield _header(block)
        elif word in ("host", "match"):
            block = (*within, *_criteria(word, value))
            yield _header(block)
        else:
            yield _as_paramiko_reads(word, value)


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except PermissionError as error:
        raise ConfigurationError(f"{file}: {error.strerror}") from error


def _keyword(line: str) -> tuple[str, str]:
    """The keyword in small letters and its value without a comment; empty where the line has neither."""
    match = KEYWORD.fullmatch(line.rstrip())
    if match is None:
        return line.strip(), ""
    word = match[1].lower()
    return word, match[2] if word in COMMANDS else _uncommented(match[2])


def _uncommented(value: str) -> str:
    for word in WORD.finditer(value):
        if word[0].startswith("#"):
            return value[: word.start()].rstrip()
    return value


def _as_paramiko_reads(word: str, value: str) -> str:
    """The line in words that mean the same to paramiko: it takes off the outer quotes of several files in quotes."""
    if word in ("userknownhostsfile", "globalknownhostsfile"):
        value = shlex.join(_split(value))
    return f"{word} {value}".rstrip()


def _criteria(word: str, value: str) -> _Criteria:
    """What a ``Host`` or ``Match`` asks. paramiko would take what it does not know for true: here it never is."""
    if word == "host":
        return (("originalhost", ",".join(_split(value))),)
    words = iter(_split(value))
    criteria = [(word.lower(), *(() if _alone(word) else (next(words, ""),))) for word in words]
    if any(name.removeprefix("!") not in CRITERIA for name, *_ in criteria):
        return (NEVER,)
    return tuple(criterion for criterion in criteria if criterion != ("all",))


def _header(criteria: _Criteria) -> str:
    """Of a block for which all of them have to hold."""
    return f"Match {shlex.join(word for criterion in criteria for word in criterion)}" if criteria else "Match all"


def _alone(criterion: str) -> bool:
    """Whether nothing is compared with it."""
    return criterion.lower().removeprefix("!") in ("all", "canonical", "final")


def _split(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError as error:
        raise ConfigurationError(f"ssh configuration: {value}: {error}") from error


def _included(value: str, base: Path) -> Iterator[Path]:
    for pattern in _split(value):
        full = base / Path(pattern).expanduser()
        yield from (Path(found) for found in sorted(glob.glob(str(full))))  # noqa: PTH207 - an absolute pattern


def target(config: paramiko.SSHConfig, address: str) -> Target:
    """What the configuration says about ``address``. Raises ConfigurationError for a value that makes no sense."""
    try:
        found = config.lookup(address)
        port = int(found.get("port", 22))
        connect_timeout = _seconds(found.get("connecttimeout", "none"))
    except (ValueError, SSHException) as error:
        raise ConfigurationError(f"ssh configuration of {address}: {error}") from error
    jump, command = _way(found)
    hostname, user = found.get("hostname", address), found.get("user") or getpass.getuser()
    tokens = {"d": str(_home()), "h": hostname, "i": str(os.getuid()), "k": found.get("hostkeyalias", address)}
    tokens |= {"n": address, "p": str(port), "r": user, "u": getpass.getuser()}
    return Target(
        alias=address,
        hostname=hostname,
        port=port,
        user=user,
        identity_files=tuple(str(Path(f).expanduser()) for f in found.get("identityfile", []) if f != "none"),
        identities_only=_yes(found.get("identitiesonly")),
        proxy_jump=jump,
        proxy_command=command,
        host_key_alias=found.get("hostkeyalias"),
        user_known_hosts=tuple(
            _expanded(file, tokens) for file in _files(found.get("userknownhostsfile", USER_KNOWN_HOSTS))
        ),
        global_known_hosts=_files(found.get("globalknownhostsfile", GLOBAL_KNOWN_HOSTS)),
        strict=_yes(found.get("stricthostkeychecking")),
        hash_known_hosts=_yes(found.get("hashknownhosts")),
        connect_timeout=connect_timeout,
    )


def _way(found: Mapping[str, str | None]) -> tuple[tuple[str, ...], str | None]:
    """The jump hosts or the command, whichever was set first; ``ProxyJump none`` only says that there are none."""
    for name, value in found.items():
        if name == "proxycommand":
            return (), value
        if name == "proxyjump" and value and value.lower() != "none":
            return tuple(hop.strip() for hop in value.split(",")), None
    return (), None


def _yes(value: str | None) -> bool:
    return (value or "no").lower() in ("yes", "true")


def _seconds(value: str) -> float | None:
    """A time as OpenSSH writes it: ``90``, ``90s``, ``1m30``; ``None`` for ``none``. Raises ValueError."""
    if value.lower() == "none":
        return None
    found = TIME.findall(value.lower())
    if not found or "".join(map("".join, found)) != value.lower():
        raise ValueError(f"ConnectTimeout is no time: {value}")
    return float(sum(int(number) * UNITS[unit] for number, unit in found))


def _expanded(file: str, tokens: Mapping[str, str]) -> str:
    """``%k`` and its like, and ``${VARIABLE}``, in the name of a file."""
    file = re.sub(r"%(.)", lambda token: {**tokens, "%": "%"}.get(token[1], token[0]), file)
    return re.sub(r"\$\{(\w+)\}", lambda name: os.environ.get(name[1], ""), file)


def _files(value: str) -> tuple[str, ...]:
    return tuple(str(Path(word).expanduser()) for word in _split(value) if word.lower() != "none")
