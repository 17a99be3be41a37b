"""Events as lines."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hostout.errors import Aborted, ConfigurationError, HostoutError, RemoteError
from hostout.model import Event, RunOptions, Secret, shell
from hostout.output import Printer, Scrubber, explained, plain, tolerant
from hostout.remote.quoting import sh

LINES = [
    (
        Event("hostout", "Running command 'run' from 'fabfile.py'", host="10.0.0.1"),
        ["Hostout: Running command 'run' from 'fabfile.py'"],
    ),
    (
        Event("login", data={"user": "root", "hosts": ["127.0.0.1", "10.0.0.2"]}),
        ["Logging into the following hosts as root:", "    127.0.0.1", "    10.0.0.2"],
    ),
    (Event("run", "pwd", "127.0.0.1"), ["[127.0.0.1] run: pwd"]),
    (Event("sudo", "id", "127.0.0.1"), ["[127.0.0.1] sudo: id"]),
    (Event("out", "/srv", "127.0.0.1"), ["[127.0.0.1] out: /srv"]),
    (Event("err", "no", "host1"), ["[host1] err: no"]),
    (Event("run", "echo 'a\nb'", "host1"), ["[host1] run: echo 'a", "[host1] run: b'"]),
    (Event("line", "\texample = 1.0"), ["\texample = 1.0"]),
    (Event("listing", "0001\n0002"), ["0001", "0002"]),
    (Event("listing", "0001\n0002", "host1"), ["[host1] 0001", "[host1] 0002"]),
    (Event("warning", "old", "host1"), ["Hostout: warning: [host1] old"]),
    (Event("warning", "[host1] old", "host1"), ["Hostout: warning: [host1] old"]),
    (Event("error", "not run on: host2"), ["Hostout: not run on: host2"]),
    (Event("error", "broken\nbecause", "host1"), ["Hostout: [host1] broken", "    because"]),
    (Event("aborted", host="host1"), ["Hostout aborted"]),
    (Event("done"), ["Done."]),
]


@pytest.mark.parametrize(("event", "lines"), LINES, ids=[event.kind for event, _ in LINES])
def test_each_event_has_its_lines(event: Event, lines: list[str]) -> None:
    assert plain(event) == lines


def printed(*events: Event, options: RunOptions | None = None, secret: str = "") -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    printer = Printer(out, err, Scrubber())
    printer.show(options or RunOptions())
    printer.scrub.register(Secret(secret))
    for event in events:
        printer(event)
    return out.getvalue(), err.getvalue()


@pytest.mark.parametrize("secret", ["s3cret", "it's", 'a"b$c', "back\\slash`", "it's $5"])
@pytest.mark.parametrize("line", [shlex.quote, sh, lambda text: sh(shell("x -p{}", text)), lambda text: sh(sh(text))])
def test_a_secret_is_not_shown_in_a_line_that_is_quoted(secret: str, line: Callable[[str], str]) -> None:
    shown, _ = printed(Event("run", line(secret), "h"), secret=secret)
    assert "***" in shown
    assert not set(re.findall(r"\w\w+", secret)) & set(re.findall(r"\w+", shown))


ALL = [Event("hostout", "begin"), Event("out", "text", "h"), Event("warning", "w"), Event("error", "e"), Event("done")]


def test_errors_and_warnings_go_to_standard_error() -> None:
    assert printed(*ALL) == ("Hostout: begin\n[h] out: text\nDone.\n", "Hostout: warning: w\nHostout: e\n")


def test_quiet_leaves_what_hosts_say_and_errors() -> None:
    assert printed(*ALL, options=RunOptions(quiet=True)) == ("[h] out: text\n", "Hostout: e\n")


def test_json_has_one_object_in_each_line_of_standard_output() -> None:
    out, err = printed(*ALL, options=RunOptions(json=True))
    assert [json.loads(line) for line in out.splitlines()] == [
        {"event": "hostout", "text": "begin"},
        {"event": "out", "text": "text", "host": "h"},
        {"event": "warning", "text": "w"},
        {"event": "error", "text": "e"},
        {"event": "done"},
    ]
    assert err == "Hostout: warning: w\nHostout: e\n"


@pytest.mark.parametrize("json_lines", [False, True])
@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("s3cret pass", "mysql -p's3cret pass' x"),
        ("it's me", "echo 'it'\"'\"'s me'"),
        ('quo"te\\d', 'say quo"te\\d'),
        ("first line\nsecond line", "second line"),
        ("pässwörd", "pässwörd"),
    ],
)
def test_a_known_secret_is_never_printed(secret: str, text: str, json_lines: bool) -> None:
    out, _ = printed(Event("run", text, "h"), options=RunOptions(json=json_lines), secret=secret)
    shown = json.loads(out)["text"] if json_lines else out
    assert "***" in shown
    for part in secret.splitlines():
        assert part not in shown


def test_every_mistake_of_a_configuration_is_a_line_of_its_own() -> None:
    events = explained(ConfigurationError(["path: relative", "host: missing"], host="host1"))
    assert [line for event in events for line in plain(event)] == [
        "Hostout: [host1] path: relative",
        "Hostout: [host1] host: missing",
    ]


def test_a_failed_command_shows_itself_its_last_lines_and_its_log() -> None:
    error = RemoteError("the build failed", host="host1", command="bin/buildout", tail=["a", "b"], log="/srv/x.log")
    (event,) = explained(error)
    assert plain(event) == [
        "Hostout: [host1] the build failed",
        "    command: bin/buildout",
        "    a",
        "    b",
        "    the whole log on the host: /srv/x.log",
    ]


def test_no_from_a_plugin_says_why_and_ends_with_hostout_aborted() -> None:
    events = explained(Aborted("dirty checkout", host="host1"))
    assert [line for event in events for line in plain(event)] == ["Hostout: [host1] dirty checkout", "Hostout aborted"]


def test_an_error_without_a_host_names_none() -> None:
    assert [plain(event) for event in explained(HostoutError("no"))] == [["Hostout: no"]]


def test_a_terminal_that_is_not_utf8_gets_escapes_not_an_error() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    tolerant(stream)
    Printer(stream, stream, Scrubber())(Event("out", "grün \udcff", "h"))
    assert raw.getvalue() == b"[h] out: gr\\xfcn \\udcff\n"


FLOOD = """
import sys, threading
from hostout.output import Printer, Scrubber
from hostout.model import Event
printer = Printer(sys.stdout, sys.stderr, Scrubber())
def flood():
    for number in range(100000):
        printer(Event("out", str(number), "h"))
try:
    if sys.argv[1] == "thread":
        thread = threading.Thread(target=flood, daemon=True)
        thread.start()
        thread.join(60)
    else:
        flood()
except KeyboardInterrupt:
    sys.exit(0 if printer.unread else 1)
sys.exit(2)
"""


@pytest.mark.parametrize("where", ["main", "thread"])
def test_when_nobody_reads_any_more_the_run_ends_without_a_traceback(where: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    child = subprocess.Popen(
        [sys.executable, "-c", FLOOD, where], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.readline() == b"[h] out: 0\n"
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait(60) == 0
