"""The options of a host part: one table, from which validation, defaults and the reference page are made.

What does not belong here: where an option was set, checks that need more than its own text, files.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from hostout.model import Json

CONNECTION = "Connection"
CONTENT = "What is deployed"
LIVE = "How it goes live"

WEB = ("http://", "https://")

RESERVED = frozenset({"recipe", "<", "<part-dependencies>"})
"""Names in a host part that are buildout's own."""


@dataclass(frozen=True)
class Option:
    """One option.

    ``kind`` is the key of ``KINDS`` that reads its text. ``default`` is text as a user would write it, ``otherwise``
    says in words what holds without it. ``multiline`` options are concatenated over ``extends``. ``on_host`` options
    are commands and paths of the host: the local buildout directory in them is replaced by ``path``.
    """

    name: str
    kind: str
    group: str
    help: str
    default: str = ""
    otherwise: str = ""
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    secret: bool = False
    multiline: bool = False
    on_host: bool = False


OPTIONS: tuple[Option, ...] = (
    Option(
        "host",
        "address",
        CONNECTION,
        "address or name, `host:port` or `[ipv6]:port`; may be an alias of the ssh configuration",
        otherwise="required to connect",
    ),
    Option("user", "name", CONNECTION, "login user", otherwise="ssh configuration, else the local user name"),
    Option(
        "password",
        "text",
        CONNECTION,
        "password of the login user, also for `sudo`",
        otherwise="`HOSTOUT_PASSWORD`, else asked for when needed",
        secret=True,
    ),
    Option("password-command", "text", CONNECTION, "local command that prints the password of the login user"),
    Option(
        "identity-file",
        "local-path",
        CONNECTION,
        "private key; a `.pub` means the private key beside it",
        otherwise="ssh configuration, agent, default keys",
        aliases=("identity_file",),
    ),
    Option(
        "host-key",
        "host-key",
        CONNECTION,
        "what to do about the key of an unknown host: `ask`, `accept-new`, or the fingerprint that it must have",
        default="ask",
    ),
    Option(
        "path",
        "path",
        CONTENT,
        "where the buildout lives on the host",
        otherwise="`/var/lib/plone/<part>`",
        aliases=("remote_path",),
    ),
    Option(
        "buildout",
        "words",
        CONTENT,
        "configuration files to build there; need not be the one that the part stands in, but the versions come from "
        "the buildout that the part stands in",
        default="buildout.cfg",
    ),
    Option(
        "parts", "words", CONTENT, "builds just these parts there", otherwise="as configured, without hostout parts"
    ),
    Option(
        "include",
        "lines",
        CONTENT,
        "further files and folders that the buildout needs, a line each; they have the same place in each release; "
        "nothing outside the buildout, nor below `var` or `shared`",
        aliases=("extra_config",),
        multiline=True,
    ),
    Option("versions", "name", CONTENT, "the name of the section with pins", otherwise="as the buildout has it"),
    Option(
        "eggs-from",
        "choice",
        CONTENT,
        "how distributions get to the host: `here` sends them, `index` has the host fetch all but what is made here, "
        "`auto` has it fetch what it can, where that is worth it, and sends the rest",
        default="auto",
        choices=("auto", "here", "index"),
    ),
    Option(
        "hash-ignore", "words", CONTENT, "further patterns of files that do not count as content of a develop package"
    ),
    Option("fabfiles", "lines", CONTENT, "Python files with commands of your own, a line each", multiline=True),
    Option("extends", "words", CONTENT, "parts or recipes to take defaults and commands from"),
    Option(
        "effective-user",
        "name",
        LIVE,
        "owns the buildout and runs it and the application",
        otherwise="the login user",
    ),
    Option(
        "buildout-user",
        "name",
        LIVE,
        "owns code and cache where that is not the effective user",
        otherwise="`effective-user`",
    ),
    Option("buildout-group", "name", LIVE, "group of code and cache", otherwise="the group of `buildout-user`"),
    Option(
        "buildout-cache",
        "path",
        LIVE,
        "eggs and downloads on the host, shared by its buildouts",
        otherwise="`<dirname of path>/buildout-cache`, `…/<buildout-user>` below it when owners differ",
        on_host=True,
    ),
    Option(
        "shared",
        "relative",
        LIVE,
        "files and folders that live through releases, besides `var`; relative to the buildout",
        multiline=True,
    ),
    Option("build-commands", "lines", LIVE, "as root, before a release is built, always", multiline=True, on_host=True),
    Option(
        "pre-commands",
        "lines",
        LIVE,
        "as root, right before the new release goes live (with `downtime = deploy`: before anything is built); "
        "a failure is reported and ignored",
        aliases=("stop_cmd",),
        multiline=True,
        on_host=True,
    ),
    Option(
        "migrate-commands",
        "lines",
        LIVE,
        "as `effective-user`, in the new release, after the stop and before the start; a failure makes the release bad",
        multiline=True,
        on_host=True,
    ),
    Option(
        "post-commands",
        "lines",
        LIVE,
        "as root, after it went live and the start hooks ran; a failure is reported and ignored unless "
        "`post-failure = rollback`",
        aliases=("start_cmd",),
        multiline=True,
        on_host=True,
    ),
    Option(
        "post-failure",
        "choice",
        LIVE,
        "what a failing line of `post-commands` does",
        default="ignore",
        choices=("ignore", "rollback"),
    ),
    Option(
        "downtime",
        "choice",
        LIVE,
        "`switch`: the old release runs while the new one is built; `deploy`: stop first, then build",
        default="switch",
        choices=("switch", "deploy"),
    ),
    Option(
        "compile",
        "choice",
        LIVE,
        "bytecode of eggs: `background` compiles it from when they are there, while the host has nothing better to do "
        "and nobody waits for it; `before-switch` before the release goes live, `no` leaves that to the application",
        default="background",
        choices=("background", "before-switch", "no"),
    ),
    Option(
        "health-check",
        "health-check",
        LIVE,
        "a URL as seen from the host, or a shell command, that must succeed",
        otherwise="none",
        on_host=True,
    ),
    Option("health-timeout", "seconds", LIVE, "seconds until `health-check` must have succeeded", default="60"),
    Option("health-interval", "seconds", LIVE, "seconds between two tries of `health-check`", default="1"),
    Option("keep-releases", "count", LIVE, "good releases that `clean` keeps", default="5"),
    Option(
        "no-sudo",
        "boolean",
        LIVE,
        "never become root: the commands above run as the login user, what cannot be done without root is refused",
        default="false",
    ),
    Option(
        "live-parts", "words", LIVE, "parts with effects outside the buildout: built after the switch, as the owner"
    ),
    Option("sudo-parts", "words", LIVE, "the same, built as root"),
)

BY_NAME = {name: option for option in OPTIONS for name in (option.name, *option.aliases)}
"""Every option by its name and by its old names."""


def canonical(name: str) -> str:
    """The name of an option today; a name that nobody knows is its own."""
    option = BY_NAME.get(name)
    return option.name if option else name


def read(option: Option, text: str) -> Json:
    """The value of an option as its kind has it; ValueError ends the sentence ``<option>: must be …, is '…'``."""
    return KINDS[option.kind](option, text.strip())


def misspelt(name: str, known: Iterable[str] = ()) -> str | None:
    """The known option that ``name`` probably means: one or two letters away, and not itself known."""
    names = [*BY_NAME, *known]
    return None if name in (*names, *RESERVED) else nearest(name, names)


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The first of the words that are closest to ``word``, at most two letters away."""
    distances = [(distance(word, other), other) for other in words if abs(len(word) - len(other)) <= 2]
    closest = min((near for near, _ in distances), default=3)
    return next((other for near, other in distances if near == closest), None) if closest <= 2 else None


def distance(a: str, b: str) -> int:
    """Letters added, left out, changed or swapped with their neighbour to get from one word to the other."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        earlier, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            costs = [before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y)]
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                costs.append(earlier[j - 2] + 1)
            row.append(min(costs))
    return row[-1]


def reference() -> str:
    """The reference page of all options, in Markdown (``docs/options.md``)."""
    groups = dict.fromkeys(option.group for option in OPTIONS)
    return "\n".join([_HEAD, *(_group(group) for group in groups)])


_HEAD = """\
# Options of a host part

<!-- made from the option table by `python -m hostout.options`; change it there -->

A host part is a section of the buildout whose recipe is `collective.hostout`:

    [host1]
    recipe = collective.hostout
    host = www.example.org
    user = admin
    path = /var/lib/plone/host1

An option that is in no table below is kept, and commands find it in `hostout.options`. In options marked *host* the
directory of the local buildout is replaced by `path`, so `${buildout:directory}/bin/supervisord` means the one on the
host. Options marked *lines* add up over `extends`, the lines of the extended part first; of all others the part's own
value wins.
"""


def _group(group: str) -> str:
    rows = [_row(option) for option in OPTIONS if option.group == group]
    return "\n".join([f"## {group}\n", "| option | meaning | default | |", "| --- | --- | --- | --- |", *rows, ""])


def _row(option: Option) -> str:
    old = f" (old name: {', '.join(f'`{alias}`' for alias in option.aliases)})" if option.aliases else ""
    default = f"`{option.default}`" if option.default else option.otherwise
    marks = {"lines": option.multiline, "host": option.on_host, "secret": option.secret}
    shown = ", ".join(mark for mark, holds in marks.items() if holds)
    return f"| `{option.name}` | {option.help}{old} | {default} | {shown} |"


def address(text: str) -> tuple[str, int | None]:
    """Address and port of ``host``, ``host:port``, ``[ipv6]``, ``[ipv6]:port`` or a bare IPv6 address."""
    if text.startswith("["):
        name, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ValueError(f"must be [ipv6]:port, is {text!r}")
        return name, _port(rest[1:], text) if rest else None
    if text.count(":") == 1:
        name, _, port = text.partition(":")
        return name, _port(port, text)
    return text, None


def _port(port: str, text: str) -> int:
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"must have a port between 1 and 65535, is {text!r}")
    return int(port)


def _address(option: Option, text: str) -> tuple[str, int | None]:
    if "@" in text:
        raise ValueError(f"must be an address without a user (that is the option user), is {text!r}")
    name, port = address(_name(option, text))
    if not name:
        raise ValueError(f"must be an address, is {text!r}")
    return name, port


def _text(option: Option, text: str) -> str:
    return text


def _name(option: Option, text: str) -> str:
    if len(text.split()) != 1 or text.startswith("-"):
        raise ValueError(f"must be one word, is {text!r}")
    return text


def _words(option: Option, text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _lines(option: Option, text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _path(option: Option, text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f"must be absolute, is {text!r}")
    path = "/" + posixpath.normpath(text).lstrip("/")
    if path == "/" or len(text.splitlines()) > 1:
        raise ValueError(f"must be a folder of its own, is {text!r}")
    return path


def _local_path(option: Option, text: str) -> str:
    if len(text.splitlines()) > 1:
        raise ValueError(f"must be one file, is {text!r}")
    return text


def _relative(option: Option, text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(_inside(word) for word in text.split()))
    for name in names:
        outer = next((other for other in names if name.startswith(f"{other}/")), None)
        if outer:
            raise ValueError(f"must be named once: {outer} is shared with all that is in it, {name!r} too")
    return names


def _inside(word: str) -> str:
    path = posixpath.normpath(word)
    top = path.split("/")[0]
    if posixpath.isabs(path) or top in ("..", "."):
        raise ValueError(f"must be inside the buildout, is {word!r}")
    if top in NOT_SHARED:
        raise ValueError(f"must not be {NOT_SHARED[top]}, is {word!r}")
    return path


NOT_SHARED = {
    "var": "in var, which lives through releases anyway",
    **dict.fromkeys(("releases", "current", ".hostout", "release.json", ".manifest.json"), "hostout's own"),
    **dict.fromkeys(("bin", "parts", "develop-eggs", ".installed.cfg"), "what buildout makes anew for each release"),
}
"""What cannot be shared by releases, by the first word of its path, and why."""


def _choice(option: Option, text: str) -> str:
    if text not in option.choices:
        raise ValueError(f"must be {' or '.join(option.choices)}, is {text!r}")
    return text


def _host_key(option: Option, text: str) -> str:
    if text in ("ask", "accept-new") or (text.startswith(("SHA256:", "MD5:")) and len(text.split()) == 1):
        return text
    raise ValueError(f"must be ask, accept-new or a fingerprint (SHA256:…), is {text!r}")


def _health_check(option: Option, text: str) -> str:
    meant = _url(text)
    if meant and meant != text:
        advice = f" (write {meant})" if meant.startswith("http") else ""
        raise ValueError(f"must be a URL that begins with http:// or https://, or a shell command{advice}, is {text!r}")
    return text


def _url(text: str) -> str:
    """What somebody means who wrote what looks like a URL; empty for a command."""
    if len(text.split()) != 1:
        return "one word" if text.startswith(WEB) else ""
    scheme, colon, rest = text.partition("://")
    if colon and scheme.isalnum():
        host = re.fullmatch(r"([^/?#]*@)?(\[[0-9A-Fa-f:.]+\]|[^][/?#:@]+)(:\d+)?([/?#].*)?", rest)
        return text if host and text.startswith(WEB) else "another"
    if text.startswith("//"):
        return f"http:{text}"
    if re.match(r"https?:", text):
        return "another"
    return f"http://{text}" if re.match(r"(\[[0-9A-Fa-f:]+\]|[\w.-]+):\d+(/|$)", text) else ""


def _boolean(option: Option, text: str) -> bool:
    value = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if text.lower() not in value:
        raise ValueError(f"must be true or false, is {text!r}")
    return value[text.lower()]


def _count(option: Option, text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError(f"must be a whole number of at least 1, is {text!r}")
    return int(text)


def _seconds(option: Option, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e6:
        raise ValueError(f"must be a number of seconds, is {text!r}")
    return value


KINDS = {
    "address": _address,
    "boolean": _boolean,
    "choice": _choice,
    "count": _count,
    "health-check": _health_check,
    "host-key": _host_key,
    "lines": _lines,
    "local-path": _local_path,
    "name": _name,
    "path": _path,
    "relative": _relative,
    "seconds": _seconds,
    "text": _text,
    "words": _words,
}
"""What reads the text of an option, by its kind."""


if __name__ == "__main__":
    import sys

    sys.stdout.write(reference())
