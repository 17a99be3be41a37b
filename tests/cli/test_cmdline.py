"""Words of the command line as hosts, commands and arguments."""

from __future__ import annotations

import pytest

from hostout import cmdline
from hostout.errors import ConfigurationError
from hostout.model import RunOptions

HOSTS = ("host1", "host2", "server1", "server2")
REQUIRED = {"deploy": 0, "predeploy": 0, "buildout": 0, "run": 1, "echo": 1, "supervisorctl": 1, "put": 1}

Read = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


def understood(*words: str) -> Read:
    hosts, rest = cmdline.select_hosts(words, HOSTS)
    commands, arguments = cmdline.select_commands(rest, REQUIRED.__contains__, REQUIRED.__getitem__)
    return hosts, commands, arguments


SENTENCES: list[tuple[str, Read]] = [
    ("", ((), (), ())),
    ("host1", (("host1",), (), ())),
    ("host2 host1", (("host2", "host1"), (), ())),
    ("host1 host1 deploy", (("host1",), ("deploy",), ())),
    ("all", (HOSTS, (), ())),
    ("host2 all", (("host2", "host1", "server1", "server2"), (), ())),
    ("host1 deploy", (("host1",), ("deploy",), ())),
    ("host1 predeploy buildout -v", (("host1",), ("predeploy", "buildout"), ("-v",))),
    ("all run ls -al", (HOSTS, ("run",), ("ls", "-al"))),
    (
        "server1 server2 supervisorctl restart instance1",
        (("server1", "server2"), ("supervisorctl",), ("restart", "instance1")),
    ),
    ("host1 run deploy", (("host1",), ("run",), ("deploy",))),
    ("host1 deploy run deploy run", (("host1",), ("deploy", "run"), ("deploy", "run"))),
    ("host1 buildout host2", (("host1",), ("buildout",), ("host2",))),
    ("host1 buildout all", (("host1",), ("buildout",), ("all",))),
    ("host1 buildout -- deploy", (("host1",), ("buildout",), ("deploy",))),
    ("host1 -- deploy", (("host1",), ("deploy",), ())),
    ("host1 -- deploy -- deploy", (("host1",), ("deploy",), ("deploy",))),
    ("host1 run -- ls", (("host1",), ("run",), ("ls",))),
    ("host1 run -- -- ls", (("host1",), ("run",), ("--", "ls"))),
    ("host1 run ls -- -l", (("host1",), ("run",), ("ls", "--", "-l"))),
    ("host1 deploy unheard", (("host1",), ("deploy",), ("unheard",))),
]


@pytest.mark.parametrize(("sentence", "expected"), SENTENCES, ids=[sentence or "nothing" for sentence, _ in SENTENCES])
def test_words_mean_what_they_say(sentence: str, expected: Read) -> None:
    assert understood(*sentence.split()) == expected


def test_a_host_called_like_a_command_is_told_apart_by_two_dashes() -> None:
    hosts, rest = cmdline.select_hosts(["host1", "--", "run", "ls"], (*HOSTS, "run"))
    assert hosts == ("host1",)
    assert cmdline.select_commands(rest, REQUIRED.__contains__, REQUIRED.__getitem__) == (("run",), ("ls",))


@pytest.mark.parametrize("words", [["deploy"], ["hsot1", "deploy"], ["deploy", "host1"]])
def test_a_first_word_that_is_no_host_is_an_unknown_host(words: list[str]) -> None:
    with pytest.raises(cmdline.UnknownWord) as caught:
        cmdline.select_hosts(words, HOSTS)
    assert caught.value.kind == "host"
    assert words[0] in caught.value.message
    assert tuple(caught.value.valid) == HOSTS


def test_an_unknown_word_comes_with_the_nearest_valid_ones() -> None:
    assert cmdline.did_you_mean("deplyo", REQUIRED) == " (did you mean 'deploy' or 'predeploy'?)"
    assert cmdline.did_you_mean("xyzzy", REQUIRED) == ""


OPTIONS = [
    ([], RunOptions(), ()),
    (["host1", "-n"], RunOptions(), ("host1", "-n")),
    (["-n", "host1"], RunOptions(dry_run=True), ("host1",)),
    (["--dry-run", "--yes", "host1"], RunOptions(dry_run=True, yes=True), ("host1",)),
    (["-nyfkvq", "host1"], RunOptions(True, True, True, True, True, True), ("host1",)),
    (["--json", "--lock-wait", "5", "host1"], RunOptions(json=True, lock_wait=5.0), ("host1",)),
    (["--lock-wait=2.5", "host1"], RunOptions(lock_wait=2.5), ("host1",)),
    (["-y", "--", "-host"], RunOptions(yes=True), ("-host",)),
]


@pytest.mark.parametrize(("argv", "options", "words"), OPTIONS, ids=[" ".join(argv) for argv, _, _ in OPTIONS])
def test_options_come_before_the_first_host_only(argv: list[str], options: RunOptions, words: tuple[str, ...]) -> None:
    call = cmdline.read(argv)
    assert (call.options, call.words) == (options, words)


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["--forse", "host1"], "unknown option --forse (did you mean '--force' or '--verbose'?)"),
        (["-z"], "unknown option -z"),
        (["--yes=no"], "option --yes takes no value"),
        (["-n=3"], "option -n takes no value"),
        (["-z=3"], "unknown option -z"),
        (["-="], "unknown option -="),
        (["--lock-wait"], "option --lock-wait takes a number of seconds, not ''"),
        (["--lock-wait", "soon"], "option --lock-wait takes a number of seconds, not 'soon'"),
        (["--lock-wait", "-1"], "option --lock-wait takes a number of seconds, not '-1'"),
        (["--lock-wait=inf"], "option --lock-wait takes a number of seconds, not 'inf'"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_it(argv: list[str], why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        cmdline.read(argv)
    assert caught.value.message.startswith(why)


@pytest.mark.parametrize(
    ("argv", "shows"), [(["--help"], "help"), (["-h", "host1"], "help"), (["--version"], "version")]
)
def test_help_and_version_are_asked_for(argv: list[str], shows: str) -> None:
    assert cmdline.read(argv).shows == shows


def test_help_names_every_option() -> None:
    for flag in cmdline.FLAGS:
        assert flag.long in cmdline.help_text()
