"""The grammar of the command line: argv → options, hosts, commands, arguments.

Pure, without a look at any file. What does not belong here: running anything (``cli``).

    bin/hostout [options] host1 [host2...] [all] cmd1 [cmd2...] [arg1 arg2...]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

from hostout.errors import ConfigurationError
from hostout.model import RunOptions

USAGE = "cmdline is: bin/hostout host1 [host2...] [all] cmd1 [cmd2...] [arg1 arg2...]"
ALL = "all"
END = "--"


class Flag(NamedTuple):
    """An option of the script: ``field`` of RunOptions that it sets, or what it shows instead of running."""

    long: str
    short: str
    field: str
    help: str
    value: str = ""


FLAGS = (
    Flag("--help", "-h", "help", "show this and end"),
    Flag("--version", "", "version", "show the version and end"),
    Flag("--dry-run", "-n", "dry_run", "show what a deployment would do, change nothing"),
    Flag("--yes", "-y", "yes", "answer every question of ours with yes"),
    Flag("--force", "-f", "force", "deploy again what is live already"),
    Flag("--keep-going", "-k", "keep_going", "go on with the other hosts when one fails"),
    Flag("--verbose", "-v", "verbose", "show tracebacks of failing fabfiles"),
    Flag("--quiet", "-q", "quiet", "print what commands on hosts say, and errors, nothing else"),
    Flag("--json", "", "json", "print what happens as JSON, an object in each line"),
    Flag("--lock-wait", "", "lock_wait", "wait that long for another deployment to end", "SECONDS"),
)
SHOWN_INSTEAD = ("help", "version")


class Call(NamedTuple):
    """The command line, read: ``shows`` is ``help`` or ``version`` where that was asked for."""

    options: RunOptions
    words: tuple[str, ...] = ()
    shows: str = ""


class Selection(NamedTuple):
    """Which commands on which hosts; ``arguments`` go to the last command."""

    hosts: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


class UnknownWord(ConfigurationError):
    """A host or command that does not exist: ``valid`` are those that do, with their documentation.

    ``kind`` is ``host`` or ``command``.
    """

    def __init__(self, kind: str, word: str, valid: Mapping[str, str], where: str = "") -> None:
        self.kind = kind
        self.valid = valid
        hint = "; options come before the first host" if word.startswith("-") else did_you_mean(word, self.valid)
        super().__init__(f"unknown {kind}{where} '{word}'{hint}")


def did_you_mean(word: str, valid: Iterable[str]) -> str:
    """`` (did you mean 'deploy'?)`` with up to three names, empty where nothing is near."""
    import difflib  # noqa: PLC0415 - for mistakes only; start-up time is a feature

    near = difflib.get_close_matches(word, list(valid), n=3)
    return f" (did you mean {' or '.join(repr(name) for name in near)}?)" if near else ""


# options


class _Reader:
    """The words not read yet, and the values found so far."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.values: dict[str, bool | float] = {}


def read(argv: Sequence[str]) -> Call:
    """The options before the first word that is none. Raises ``ConfigurationError`` for one that does not exist."""
    reader = _Reader(list(argv))
    while reader.words and reader.words[0].startswith("-") and reader.words[0] != "-":
        word = reader.words.pop(0)
        if word == END:
            break
        _option(reader, word)
    shows = next((name for name in SHOWN_INSTEAD if reader.values.pop(name, False)), "")
    return Call(RunOptions(**reader.values), tuple(reader.words), shows)  # type: ignore[arg-type]


def wants_json(argv: Sequence[str]) -> bool:
    """Whether a mistake in the options is to be told as JSON: that stands among them, maybe behind the mistake."""
    return "--json" in takewhile(lambda word: word.startswith("-") and word not in ("-", END), argv)


def _option(reader: _Reader, word: str) -> None:
    name, given, value = word.partition("=")
    if not word.startswith("--"):
        _short(reader, word)
        return
    flag = _find(name, lambda flag: flag.long)
    if given and not flag.value:
        raise ConfigurationError(f"option {name} takes no value")
    reader.values[flag.field] = _seconds(reader, flag, value if given else None) if flag.value else True


def _short(reader: _Reader, word: str) -> None:
    """``-ny`` is ``-n -y``."""
    letters, given, _ = word[1:].partition("=")
    if letters and given:
        _find("-" + letters[-1], lambda flag: flag.short)
        raise ConfigurationError(f"option -{letters[-1]} takes no value")
    for letter in word[1:]:
        reader.values[_find("-" + letter, lambda flag: flag.short).field] = True


def _find(name: str, spelling: Callable[[Flag], str]) -> Flag:
    for flag in FLAGS:
        if spelling(flag) == name:
            return flag
    raise ConfigurationError(f"unknown option {name}{did_you_mean(name, [flag.long for flag in FLAGS])}; see --help")


def _seconds(reader: _Reader, flag: Flag, value: str | None) -> float:
    if value is None:
        value = reader.words.pop(0) if reader.words else ""
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ConfigurationError(f"option {flag.long} takes a number of seconds, not '{value}'")
    return seconds


def _spellings(flag: Flag) -> str:
    return ", ".join(filter(None, (flag.short, flag.long))) + (f" {flag.value}" if flag.value else "")


def help_text() -> str:
    """What ``--help`` prints."""
    width = max(len(_spellings(flag)) for flag in FLAGS)
    lines = (f"  {_spellings(flag).ljust(width)}  {flag.help}" for flag in FLAGS)
    return "\n".join([
        "Usage: bin/hostout [options] host1 [host2...] [all] cmd1 [cmd2...] [arg1 arg2...]",
        "",
        "Without arguments: the hosts. With hosts only: their commands. 'all' means every host, '--' ends the hosts",
        "or the commands. Arguments go to the last command; options come before the first host.",
        "",
        "Options:",
        *lines,
        "",
        "Exit status: 0 done, 1 a command failed on a host, 2 usage or configuration, 3 a host could not be reached,",
        "4 aborted, 130 interrupted; with several hosts the highest.",
    ])  # fmt: skip


# hosts, commands, arguments


def select_hosts(words: Sequence[str], valid: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The hosts, in the order given, each once; and the words behind them. Raises ``UnknownWord``."""
    hosts: list[str] = []
    rest = list(words)
    while rest and (rest[0] in valid or rest[0] == ALL):
        word = rest.pop(0)
        hosts += valid if word == ALL and ALL not in valid else [word]
    if words and not hosts:
        raise UnknownWord("host", words[0], dict.fromkeys(valid, ""))
    return tuple(dict.fromkeys(hosts)), tuple(_behind_end(rest))


def select_commands(
    words: Sequence[str], known: Callable[[str], bool], required: Callable[[str], int]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The commands and the arguments. A command that needs an argument is the last one, whatever follows it."""
    commands: list[str] = []
    rest = list(words)
    while rest and known(rest[0]):
        commands.append(rest.pop(0))
        if required(commands[-1]):
            break
    return tuple(commands), tuple(_behind_end(rest))


def _behind_end(words: list[str]) -> list[str]:
    return words[1:] if words[:1] == [END] else words
