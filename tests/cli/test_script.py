"""``bin/hostout`` as people call it, without a terminal: hand-written records, and real SSH hosts in this process."""

from __future__ import annotations

import getpass
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

import hostout.fabfile
from hostout.testing import EmbeddedHost, make_key
from records import SOURCE, Records

BUILT_IN = hostout.fabfile.__file__
USAGE = "cmdline is: bin/hostout host1 [host2...] [all] cmd1 [cmd2...] [arg1 arg2...]\n"
USER = getpass.getuser()
BUILT_IN_COMMANDS = (
    "bootstrap", "buildout", "check", "clean", "cmd", "deploy", "diff", "get", "log", "postdeploy", "predeploy", "put",
    "releases", "resetpermissions", "rollback", "run", "setowners", "status", "sudo", "uploadbuildout", "uploadeggs",
)  # fmt: skip

Start = Callable[..., EmbeddedHost]
WAIT = 120


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "buildout")


@pytest.fixture
def start(tmp_path: Path, records: Records) -> Iterator[Start]:
    """Starts an SSH host and adds the part that goes there; the key of whoever calls the script is known there."""
    key = make_key(records.home / ".ssh" / "id_ed25519")
    with ExitStack() as stack:

        def begin(name: str = "host1", **options: str) -> EmbeddedHost:
            host = EmbeddedHost(tmp_path / f"machine-{name}", authorized_keys=[Path(f"{key}.pub")])
            stack.enter_context(host)
            host.write_known_hosts(records.home / ".ssh" / "known_hosts")
            path = host.home / "app"
            path.mkdir()
            records.part(name, host=f"127.0.0.1:{host.port}", path=str(path), **options)
            return host

        yield begin


def lines(*texts: str) -> str:
    return "".join(f"{text}\n" for text in texts)


# listings


def test_without_arguments_the_hosts_are_listed(records: Records) -> None:
    records.part("host1", host="10.0.0.1")
    records.part("host2", host="10.0.0.2")
    done = records.call()
    assert (done.stdout, done.stderr, done.returncode) == (USAGE + "Valid hosts are: host1 host2\n", "", 0)


def test_hosts_without_a_command_list_their_commands(records: Records) -> None:
    fabfile = records.fabfile("fabfile.py", 'def echo(w):\n    """Say it\n\n    loud"""\n\ndef a_long_name(): pass\n')
    records.part("host1", host="10.0.0.1", fabfiles=fabfile)
    done = records.call("host1")
    head, valid, *commands = done.stdout.splitlines()
    assert head + "\n" == USAGE
    assert valid == "Valid commands are:"
    assert commands == sorted(commands)
    assert "   a_long_name" in commands
    width = max(len(line.partition(" : ")[0]) for line in commands)
    assert f"{'   echo'.ljust(width)} : Say it" in commands
    assert all(line.index(" : ") == width for line in commands if " : " in line)
    assert {"echo", *BUILT_IN_COMMANDS} <= {line.split()[0] for line in commands}
    assert (done.stderr, done.returncode) == ("", 0)


def test_every_built_in_command_says_what_it_does(records: Records) -> None:
    records.part("host1", host="10.0.0.1")
    listed = dict(line.split(" : ") for line in records.call("host1").stdout.splitlines()[2:])
    assert {name.strip() for name in listed} == set(BUILT_IN_COMMANDS)
    assert all(listed.values())


def test_several_hosts_list_what_all_of_them_have(records: Records) -> None:
    both, one = records.fabfile("both.py", "def both(): pass\n"), records.fabfile("one.py", "def one(): pass\n")
    records.part("host1", host="10.0.0.1", fabfiles=f"{both}\n{one}")
    records.part("host2", host="10.0.0.2", fabfiles=both)
    listed = records.call("all").stdout
    assert "   both\n" in listed
    assert "   one\n" not in listed


def test_a_listing_shows_a_broken_fabfile_and_the_rest(records: Records) -> None:
    records.part("host1", host="10.0.0.1", fabfiles=records.fabfile("fabfile.py", "def good(): pass\n\ndef (:\n"))
    done = records.call("host1")
    assert "   run" in done.stdout
    assert done.stderr.startswith(f"Hostout: {records.folder}/fabfile.py, line 3: SyntaxError: ")
    assert done.stderr.count("\n") == 1
    assert done.returncode == 2


def test_a_broken_fabfile_of_another_host_disturbs_nobody(records: Records, start: Start) -> None:
    start("host1")
    records.part("host2", host="10.0.0.2", fabfiles=records.fabfile("fabfile.py", "def (:\n"))
    assert records.call("host1", "run", "true").returncode == 0
    refused = records.call("host2", "run", "true")
    assert (refused.stdout, refused.returncode) == ("", 2)
    assert "fabfile.py, line 1: SyntaxError" in refused.stderr


@pytest.mark.parametrize(
    ("words", "first", "valid"),
    [
        (["hsot1", "run", "x"], "Hostout: unknown host 'hsot1' (did you mean 'host1'", "Valid hosts are: host1 host2"),
        (["deploy"], "Hostout: unknown host 'deploy'", "Valid hosts are: host1 host2"),
        (["host1", "rnu", "x"], "Hostout: unknown command 'rnu' (did you mean 'run'", "Valid commands are:"),
        (["host1", "-n", "run"], "Hostout: unknown command '-n'; options come before the first", "Valid commands are:"),
    ],
)
def test_an_unknown_word_names_the_nearest_and_lists_the_valid(
    records: Records, words: list[str], first: str, valid: str
) -> None:
    records.part("host1", host="10.0.0.1")
    records.part("host2", host="10.0.0.2")
    done = records.call(*words)
    said = done.stderr.splitlines()
    assert said[0].startswith(first)
    assert said[1] == valid
    assert (done.stdout, done.returncode) == ("", 2)


def test_a_command_that_one_host_lacks_runs_nowhere(records: Records) -> None:
    fabfile = records.fabfile("fabfile.py", "def only(): print('ran')\n")
    records.part("host1", host="10.0.0.1", fabfiles=fabfile)
    records.part("host2", host="10.0.0.2")
    done = records.call("all", "only")
    assert done.stderr.startswith("Hostout: unknown command of host2 'only'")
    assert (done.stdout, done.returncode) == ("", 2)


@pytest.mark.parametrize(
    ("words", "takes"),
    [
        (["run"], f"Hostout: command 'run' from '{BUILT_IN}' takes command [more...], not 0 arguments"),
        (["put"], f"Hostout: command 'put' from '{BUILT_IN}' takes local [remote], not 0 arguments"),
        (["put", "a", "b", "c"], f"Hostout: command 'put' from '{BUILT_IN}' takes local [remote], not 3 arguments"),
        (["first", "second", "x"], "Hostout: command 'second' from '{fabfile}' takes no arguments, not 1 argument"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_anything_runs(
    records: Records, words: list[str], takes: str
) -> None:
    fabfile = records.fabfile("fabfile.py", "def first(): print('ran')\n\ndef second(): print('ran')\n")
    records.part("host1", host="10.0.0.1", fabfiles=fabfile)
    done = records.call("host1", *words)
    assert done.stderr == takes.replace("{fabfile}", fabfile) + "\n"
    assert (done.stdout, done.returncode) == ("", 2)


def test_help_and_version_need_no_records(records: Records) -> None:
    assert "--lock-wait SECONDS" in records.call("--help").stdout
    assert records.call("--help").returncode == 0


# the transcripts


def test_run_prints_what_it_always_printed(records: Records, start: Start) -> None:
    host = start()
    done = records.call("host1", "run", "pwd")
    path = host.home / "app"
    assert done.stdout == lines(
        f"Hostout: Running command 'run' from '{BUILT_IN}'",
        f"Logging into the following hosts as {USER}:",
        "    127.0.0.1",
        f'[127.0.0.1] run: sh -c "cd {path} && pwd"',
        f"[127.0.0.1] out: {path}",
        "Done.",
    )
    assert (done.stderr, done.returncode) == ("", 0)


CLASSIC = '''
def echo(cmdline1):
    """Say something on the host"""
    hostout = get('hostout')
    bin = "%s/bin" % hostout.getRemoteBuildoutPath()
    run("echo '%s %s'" % (hostout.options['option1'], cmdline1))
'''

FABRIC_3 = """
from fabric import task

@task
def echo3(c, cmdline1):
    c.run(f"echo {c.hostout.options['option1']} {cmdline1}")
"""


def test_both_styles_of_fabfiles_work_in_one_file(records: Records, start: Start) -> None:
    fabfile = records.fabfile("fabfile.py", CLASSIC + FABRIC_3)
    start(fabfiles=fabfile, option1="hello")
    assert records.call("host1", "echo", "world").stdout == lines(
        f"Hostout: Running command 'echo' from '{fabfile}'",
        f"Logging into the following hosts as {USER}:",
        "    127.0.0.1",
        "[127.0.0.1] run: echo 'hello world'",
        "[127.0.0.1] out: hello world",
        "Done.",
    )
    assert records.call("host1", "echo3", "world").stdout == lines(
        f"Hostout: Running command 'echo3' from '{fabfile}'",
        f"Logging into the following hosts as {USER}:",
        "    127.0.0.1",
        "[127.0.0.1] run: echo hello world",
        "[127.0.0.1] out: hello world",
        "Done.",
    )


def test_a_command_that_never_connects_prints_no_login(records: Records) -> None:
    fabfile = records.fabfile("fabfile.py", "def idle(): pass\n")
    records.part("host1", host="10.255.255.1", fabfiles=fabfile)
    done = records.call("host1", "idle")
    assert done.stdout == lines(f"Hostout: Running command 'idle' from '{fabfile}'", "Done.")


def test_two_hosts_of_one_address_are_told_apart_by_name_under_one_heading(records: Records, start: Start) -> None:
    paths = [start(name).home / "app" for name in ("host1", "host2")]
    announced = f"Hostout: Running command 'cmd' from '{BUILT_IN}'"
    assert records.call("all", "cmd", "echo", "hi").stdout == lines(
        announced,
        f"Logging into the following hosts as {USER}:",
        "    host1",
        "    host2",
        f'[host1] run: sh -c "cd {paths[0]} && echo hi"',
        "[host1] out: hi",
        announced,
        f'[host2] run: sh -c "cd {paths[1]} && echo hi"',
        "[host2] out: hi",
        "Done.",
    )


def test_several_commands_run_in_order_on_each_host_before_the_next(records: Records, start: Start) -> None:
    fabfile = records.fabfile("fabfile.py", "def a(): run('echo a')\n\ndef b(word): run('echo b ' + word)\n")
    for name in ("host1", "host2"):
        start(name, fabfiles=fabfile)
    said = records.call("host2", "host1", "a", "b", "x").stdout.splitlines()
    assert [line for line in said if " out: " in line] == [
        "[host2] out: a", "[host2] out: b x", "[host1] out: a", "[host1] out: b x",
    ]  # fmt: skip


# arguments

ODD = ["two words", "it's", 'say "hi"', "$HOME", "*", "a\nb", "", "\\", "`date`", "ü", "-n", "--"]


def test_functions_get_their_arguments_exactly_as_typed(records: Records) -> None:
    fabfile = records.fabfile("fabfile.py", "import json\n\ndef show(first, *words): print(json.dumps(words))\n")
    records.part("host1", host="10.0.0.1", fabfiles=fabfile)
    said = records.call("host1", "show", "first", *ODD).stdout.splitlines()
    assert json.loads(said[1]) == ODD


def test_run_is_one_line_for_the_shell_of_the_host_expanded_once(records: Records, start: Start) -> None:
    host = start()
    path = host.home / "app"
    (path / "a file").write_text("")

    def out(*words: str) -> list[str]:
        done = records.call("host1", "run", *words)
        assert done.returncode == 0, done.stderr
        return [line.removeprefix("[127.0.0.1] out: ") for line in done.stdout.splitlines() if " out: " in line]

    assert out("echo", "$HOME") == [str(host.home)]
    assert out("echo", "'$HOME'") == ["$HOME"]
    assert out("echo", "*") == ["a file"]
    assert out("ls", '"a file"') == ["a file"]
    assert out('x="\\$HOME"; echo "$x"') == ["$HOME"]
    assert out("echo", "`echo one`", "$(echo two)") == ["one two"]
    assert out("echo", "one\necho two") == ["one", "two"]
    assert out("printf", "%s:", "a   b") == ["a:b:"]
    assert out("echo", "'it'\"'\"'s'", "100%", "{x}") == ["it's 100% {x}"]


def test_a_line_of_several_commands_never_runs_in_another_folder(records: Records, start: Start) -> None:
    host = start()
    (host.home / "app").rmdir()
    done = records.call("host1", "run", "touch here; touch there")
    assert done.returncode == 1
    assert not list(host.home.iterdir())


# failures


def test_a_failure_ends_the_run_and_says_where_it_did_not_get_to(records: Records, start: Start) -> None:
    for name in ("host1", "host2", "host3"):
        start(name)
    done = records.call("all", "run", "echo x; exit 7")
    assert "Done." not in done.stdout
    assert done.stderr.splitlines()[0].startswith("Hostout: [host1] ")
    assert "status 7" in done.stderr.splitlines()[0]
    assert done.stderr.splitlines()[-1] == "Hostout: not run on: host2 host3"
    assert done.returncode == 1


def test_the_next_host_is_logged_into_while_a_command_runs_on_the_one_before(
    records: Records, start: Start, tmp_path: Path
) -> None:
    first, second, third = (start(name) for name in ("host1", "host2", "host3"))
    go_on = tmp_path / "go-on"
    with ThreadPoolExecutor() as pool:
        run = pool.submit(records.call, "all", "run", f"while ! test -e {go_on}; do sleep 0.1; done; echo on")
        end = time.monotonic() + WAIT
        while not (first.commands and second.logins and third.logins):
            assert time.monotonic() < end
            time.sleep(0.05)
        assert (len(first.commands), second.commands, third.commands) == (1, [], [])
        go_on.touch()
        done = run.result(WAIT)
    assert done.returncode == 0
    assert [host.connections for host in (first, second, third)] == [1, 1, 1]
    assert done.stdout.count(" out: on\n") == 3


def test_a_folder_with_a_slash_behind_it_is_put_and_fetched_in_its_own_place(records: Records, start: Start) -> None:
    there = start().home / "app" / "media"
    here = records.folder / "media"
    for folder in (here, there):
        folder.mkdir()
    (here / "new").write_text("")
    assert records.call("host1", "put", "media/").returncode == 0
    (there / "more").write_text("")
    assert records.call("host1", "get", "media/").returncode == 0
    assert [sorted(entry.name for entry in folder.iterdir()) for folder in (here, there)] == [["more", "new"]] * 2


def test_a_password_command_leaves_standard_input_to_the_command_on_the_host(records: Records, tmp_path: Path) -> None:
    with EmbeddedHost(tmp_path / "machine", password="s3cret") as host:
        host.write_known_hosts(records.home / ".ssh" / "known_hosts")
        records.part("host1", host=f"127.0.0.1:{host.port}", path="/tmp", password_command="cat >&2; echo s3cret")
        done = records.call("host1", "run", "cat", stdin="for the host\n")
    assert "[127.0.0.1] out: for the host\n" in done.stdout
    assert done.stderr == ""


NAMELESS = """\
import pwd, runpy, sys
def unknown(uid): raise KeyError("getpwuid(): uid not found")
pwd.getpwuid = unknown
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_whoever_has_no_name_here_reaches_a_host(records: Records, start: Start) -> None:
    """A container of CI that runs with some number."""
    start(user=USER)
    names = ("LOGNAME", "USER", "LNAME", "USERNAME")
    environment = {name: value for name, value in records.environment().items() if name not in names}
    python, *words = records.command("host1", "run", "echo here")
    done = subprocess.run(
        [python, "-c", NAMELESS, *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=WAIT, check=False,
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
    assert "[127.0.0.1] out: here\n" in done.stdout


def test_put_leaves_its_standard_input_to_whoever_reads_it_next(records: Records, start: Start) -> None:
    start()
    loop = "while read -r name; do echo $name > $name; " + shlex.join(records.command("host1", "put")) + " $name; done"
    done = subprocess.run(
        ["/bin/sh", "-c", loop], input="one\ntwo\nthree\n", cwd=records.folder, env=records.environment(), text=True,
        capture_output=True, timeout=WAIT, check=True,
    )  # fmt: skip
    assert done.stdout.count("Done.") == 3


def test_a_host_that_cannot_be_reached_is_said_when_its_turn_comes(records: Records, start: Start) -> None:
    first = start("host1")
    records.part("host2", host="127.0.0.1:1", path="/x")
    third = start("host3")
    done = records.call("all", "run", "echo it is me")
    assert " out: it is me\n" in done.stdout
    assert done.stderr.startswith("Hostout: [host2] ")
    assert done.stderr.splitlines()[-1] == "Hostout: not run on: host3"
    assert (done.returncode, len(first.commands), third.commands) == (3, 1, [])


def test_keep_going_goes_on_with_the_other_hosts(records: Records, start: Start) -> None:
    hosts = [start(name) for name in ("host1", "host2")]
    (hosts[1].home / "app" / "here").write_text("")
    done = records.call("-k", "all", "run", "cat here")
    assert "not run on" not in done.stderr
    assert len(hosts[1].commands) == 1
    assert done.returncode == 1


def test_the_exit_status_is_the_highest_of_the_hosts(records: Records, start: Start) -> None:
    start("host1")
    records.part("host2", host="127.0.0.1:1", path="/x")
    done = records.call("-k", "all", "run", "false")
    assert done.returncode == 3
    assert "Hostout: [host1]" in done.stderr
    assert "Hostout: [host2]" in done.stderr


@pytest.mark.parametrize("body", ["return 'no'", "return False", "abort('not today')"])
def test_a_fabfile_that_says_no_aborts(records: Records, start: Start, body: str) -> None:
    fabfile = records.fabfile("fabfile.py", f"def run(*words):\n    {body}\n")
    host = start(fabfiles=fabfile)
    done = records.call("host1", "run", "touch x")
    assert done.stderr.splitlines()[-1] == "Hostout aborted"
    assert done.stdout == f"Hostout: Running command 'run' from '{fabfile}'\n"
    assert done.returncode == 4
    assert not host.connections


def test_an_error_of_a_fabfile_is_one_line_and_with_verbose_a_traceback(records: Records) -> None:
    fabfile = records.fabfile("fabfile.py", "def go():\n    return 1 / 0\n")
    records.part("host1", host="10.0.0.1", fabfiles=fabfile)
    line = f"Hostout: [host1] command 'go' from '{fabfile}', line 2: ZeroDivisionError: division by zero\n"
    done = records.call("host1", "go")
    assert (done.stderr, done.returncode) == (line, 1)
    assert "Traceback" in records.call("-v", "host1", "go").stderr


def test_our_own_bug_is_a_traceback_and_where_to_report_it(records: Records) -> None:
    fabfile = records.fabfile(
        "fabfile.py",
        "from hostout.session import Session\ndef broken(*a): raise RuntimeError('s3cret-word')\n"
        "Session._outcomes = broken\ndef go(): pass\n",
    )
    records.part("host1", (), {"password": "s3cret-word"}, host="10.0.0.1", fabfiles=fabfile)
    done = records.call("host1", "go")
    assert "Traceback" in done.stderr
    assert "please report it" in done.stderr.splitlines()[-1]
    assert "s3cret-word" not in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize("where", ["command", "function", "load"])
def test_ctrl_c_ends_with_one_line_and_130(records: Records, start: Start, tmp_path: Path, where: str) -> None:
    wait = f"open({str(tmp_path / 'mark')!r}, 'w').close(); import time; time.sleep(60)"
    text = {"command": "", "function": f"def go():\n    {wait}\n", "load": wait}[where]
    start(fabfiles=records.fabfile("fabfile.py", text + "\n"))
    words = ["run", f"touch {tmp_path}/mark; exec sleep 60"] if where == "command" else ["go"]
    child = subprocess.Popen(
        records.command("host1", *words), env=records.environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + WAIT
    while not (tmp_path / "mark").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=WAIT)
    assert err == "Hostout: interrupted\n"
    assert "Done." not in out
    assert child.returncode == 130


def test_nobody_reading_the_output_ends_the_run_silently(records: Records, start: Start) -> None:
    start()
    call = shlex.join(records.command("host1", "run", "yes"))
    done = subprocess.run(
        ["/bin/sh", "-c", f"{call} | head -n 5"], env=records.environment(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[127.0.0.1] out: y"
    assert done.stderr == ""


def test_output_that_cannot_be_written_ends_the_run_with_one_line(records: Records, start: Start) -> None:
    host = start()
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            records.command("host1", "run", "true"), env=records.environment(), stdin=subprocess.DEVNULL,
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=WAIT, check=False,
        )  # fmt: skip
    line = "Hostout: the output cannot be written, so this ends here: No space left on device\n"
    assert (done.stderr, done.returncode, host.commands) == (line, 1, [])


def test_a_pipe_that_somebody_made_fail_when_it_is_full_loses_nothing(records: Records, start: Start) -> None:
    start()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(reading) as pipe:
        child = subprocess.Popen(
            records.command("host1", "run", "seq 9999"), env=records.environment(), stdin=subprocess.DEVNULL,
            stdout=writing, stderr=subprocess.STDOUT,
        )  # fmt: skip
        os.close(writing)
        said = list[str]()
        for line in pipe:
            time.sleep(0 if said else 1)
            said.append(line)
        assert (len(said), said[-1], child.wait(WAIT)) == (9999 + 5, "Done.\n", 0)


# options


def test_dry_run_of_what_cannot_be_previewed_does_nothing(records: Records, start: Start) -> None:
    host = start()
    done = records.call("-n", "host1", "run", "touch x")
    assert done.stdout.splitlines()[0] == (
        f"Hostout: Command 'run' from '{BUILT_IN}' cannot be previewed and is not run"
    )
    assert (host.connections, done.returncode) == (0, 0)


def test_quiet_prints_what_the_host_says(records: Records, start: Start) -> None:
    start()
    assert records.call("-q", "host1", "run", "echo hi").stdout == "[127.0.0.1] out: hi\n"


def test_json_prints_an_object_for_everything_that_happens(records: Records, start: Start) -> None:
    start()
    said = [json.loads(line) for line in records.call("--json", "host1", "run", "echo hi").stdout.splitlines()]
    assert [one["event"] for one in said] == ["hostout", "login", "run", "out", "done"]
    assert said[3] == {"event": "out", "host": "127.0.0.1", "text": "hi"}
    assert said[1]["hosts"] == ["127.0.0.1"]


@pytest.mark.parametrize("options", [["--json", "--forse"], ["--forse", "--json"], ["--json", "--lock-wait=soon"]])
def test_a_mistake_in_the_options_is_json_too(records: Records, options: list[str]) -> None:
    done = records.call(*options, "host1", "run", "echo hi")
    (said,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (said["event"], done.returncode) == ("error", 2)
    assert done.stderr == f"Hostout: {said['text']}\n"


def test_no_secret_is_ever_printed(records: Records, start: Start) -> None:
    host = start(option1="plain")
    fabfile = records.fabfile(
        "fabfile.py",
        "def tell():\n    hostout = get('hostout')\n    print(hostout.options)\n"
        "    run('echo ' + hostout.options['token'].reveal())\n    raise ValueError(get('token').reveal())\n",
    )
    records.part("host2", (), {"token": "v3ry-s3cret"}, host=f"127.0.0.1:{host.port}", path="/x", fabfiles=fabfile)
    for options in ([], ["-v"], ["--json"]):
        done = records.call(*options, "host2", "tell")
        assert "v3ry-s3cret" not in done.stdout + done.stderr
        assert "***" in done.stdout


# files


def test_put_and_get_are_relative_to_path(records: Records, start: Start) -> None:
    host = start()
    path = host.home / "app"
    (records.folder / "etc").mkdir()
    (records.folder / "etc" / "script").write_text("#!/bin/sh\n")
    (records.folder / "etc" / "script").chmod(0o755)
    assert records.call("host1", "put", "etc/script", "script").returncode == 0
    assert (path / "script").stat().st_mode & 0o777 == 0o755
    assert records.call("host1", "put", "etc").returncode == 0
    assert (path / "etc" / "script").read_text() == "#!/bin/sh\n"
    (path / "log").write_text("x")
    assert records.call("host1", "get", "log", "copy").returncode == 0
    assert (records.folder / "copy").read_text() == "x"
    assert records.call("host1", "get", str(path / "log")).returncode == 0
    assert (records.folder / "log").read_text() == "x"


@pytest.mark.parametrize(
    ("given", "recorded"), [("f bin/", "bin/f"), ("f bin", "bin/f"), ("d bin", "bin/d"), ("f bin/g", "bin/g")]
)
def test_what_is_put_into_a_folder_of_the_live_release_is_recorded_with_its_name(
    records: Records, start: Start, given: str, recorded: str
) -> None:
    app = start(**{"no-sudo": "true"}).home / "app"
    assert records.call("--yes", "host1", "predeploy").returncode == 0
    (app / "releases" / "0001-3f9a1c2b" / "bin").mkdir(parents=True)
    (app / "current").symlink_to("releases/0001-3f9a1c2b")
    (app / "bin").symlink_to("current/bin")
    (records.folder / "f").touch()
    (records.folder / "d").mkdir()
    assert records.call("host1", "put", *given.split()).returncode == 0
    ledger = (app / ".hostout" / "ledger.jsonl").read_text().splitlines()
    assert json.loads(ledger[-1])["file"] == recorded


@pytest.mark.parametrize("words", [["put", ""], ["get", ""], ["get", "", "x"]])
def test_no_name_is_not_the_whole_folder(records: Records, start: Start, words: list[str]) -> None:
    host = start()
    done = records.call("host1", *words)
    assert (done.stderr, done.returncode) == (f"Hostout: [host1] {words[0]}: no file or folder is named\n", 2)
    assert not host.connections


def test_what_lies_outside_goes_under_its_name_into_the_folder(records: Records, start: Start) -> None:
    app = start().home / "app"
    (records.folder / "src" / "deep").mkdir(parents=True)
    script = [sys.executable, str(records.script), "host1"]
    for words in (["put", ".."], ["get", "../app"]):
        done = subprocess.run(
            [*script, *words], cwd=records.folder / "src" / "deep", env=records.environment(), capture_output=True
        )
        assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in app.parent.iterdir()) == ["app"]
    assert (app / "src" / "deep").is_dir()
    assert (records.folder / "src" / "deep" / "app" / "src" / "deep").is_dir()


def test_what_came_from_one_host_is_not_written_over_by_the_next(records: Records, start: Start) -> None:
    for name in ("host1", "host2"):
        (start(name).home / "app" / "log").write_text(name)
    done = records.call("all", "get", "log")
    line = "Hostout: [host2] get: log has come from host1 just now; name one host, and a place of its own for each\n"
    assert (done.stderr, done.returncode) == (line, 2)
    assert (records.folder / "log").read_text() == "host1"
    assert records.call("host2", "get", "log", "two").returncode == 0
    assert (records.folder / "two").read_text() == "host2"


def test_another_effective_user_is_refused_whoever_logs_in_without_sudo(records: Records) -> None:
    (records.home / ".ssh" / "config").write_text("Host 10.0.0.1\n  User me\n")
    records.part("host1", host="10.0.0.1", no_sudo="true", effective_user="app", buildout_user="me")
    done = records.call("host1", "deploy")
    assert done.stderr == (
        "Hostout: [host1] effective-user: cannot be 'app' with no-sudo, as 'me' logs in (buildout.cfg, line 4)\n"
    )
    assert (done.stdout, done.returncode) == ("", 2)


def test_sudo_is_refused_where_no_sudo_is_set(records: Records, start: Start) -> None:
    host = start(no_sudo="true")
    done = records.call("host1", "sudo", "id")
    assert done.stderr == "Hostout: [host1] sudo is not possible: no-sudo is set\n"
    assert (done.returncode, host.connections) == (2, 0)


CD = """
def go():
    with cd('app'):
        with cd('a b'):
            run('pwd')
        put('fabfile.py', 'there.py')
        download('there.py', 'back.py')
    with cd('~/app'):
        put('fabfile.py')
        download('fabfile.py', 'of-home.py')
    put('fabfile.py', '~/')
    run('pwd')
    out = run('echo out; echo err >&2; exit 3', warn_only=True)
    assert (out, out.failed, out.return_code) == ('out', True, 3)
    with get('hostout').connection.cd('app'):
        run('pwd')
"""


def test_cd_changes_where_run_and_put_work(records: Records, start: Start) -> None:
    host = start(fabfiles=records.fabfile("fabfile.py", CD))
    (host.home / "app" / "a b").mkdir()
    done = records.call("host1", "go")
    assert (done.stderr, done.returncode) == ("", 0)
    out = [line.partition(" out: ")[2] for line in done.stdout.splitlines() if " out: /" in line]
    assert out == [str(host.home / "app" / "a b"), str(host.home), str(host.home / "app")]
    assert (records.folder / "back.py").read_text() == (records.folder / "of-home.py").read_text() == CD
    assert (host.home / "fabfile.py").read_text() == CD


def test_an_old_hostout_command_is_called_through_the_host_object(records: Records, start: Start) -> None:
    fabfile = records.fabfile("fabfile.py", "def go():\n    get('hostout').run('pwd')\n")
    host = start(fabfiles=fabfile)
    path = host.home / "app"
    assert records.call("host1", "go").stdout == lines(
        f"Hostout: Running command 'go' from '{fabfile}'",
        f"Hostout: Running command 'run' from '{BUILT_IN}'",
        f"Logging into the following hosts as {USER}:",
        "    127.0.0.1",
        f'[127.0.0.1] run: sh -c "cd {path} && pwd"',
        f"[127.0.0.1] out: {path}",
        "Done.",
    )


def test_the_other_hosts_are_there_by_name(records: Records, start: Start) -> None:
    fabfile = records.fabfile(
        "fabfile.py", "def go():\n    others = get('hostout').hostouts\n    print(*others, others['host2'].path)\n"
    )
    start("host1", fabfiles=fabfile)
    records.part("host2", host="10.0.0.2", path="/srv/two")
    assert "host2 /srv/two\n" in records.call("host1", "go").stdout


PLUGIN = """
from hostout import get, run

def both():
    \"\"\"{doc}\"\"\"
    run("echo {name} " + get("hostout").name)
"""

REPLACING = """
from hostout import replaces, superfun

@replaces
def both():
    print("instead")
    superfun()
"""


def test_plugins_join_a_command_in_their_order_and_one_may_replace_it(records: Records, start: Start) -> None:
    for name in ("zwei", "drei"):
        records.fabfile(f"plugin_{name}.py", PLUGIN.format(name=name, doc=f"Of {name}"))
    records.fabfile("plugin_replacing.py", REPLACING)
    host = start()
    where = {"host": f"127.0.0.1:{host.port}", "path": "/x"}
    records.part("joined", ("plugin_zwei", "plugin_drei"), **where)
    records.part("replaced", ("plugin_zwei", "plugin_replacing", "plugin_drei"), **where)
    path = f"{SOURCE}:{records.folder}"
    assert "   both             : Of zwei\n" in records.call("joined", PYTHONPATH=path).stdout
    said = records.call("-q", "joined", "both", PYTHONPATH=path).stdout.splitlines()
    assert said == ["[127.0.0.1] out: zwei joined", "[127.0.0.1] out: drei joined"]
    said = records.call("-q", "replaced", "both", PYTHONPATH=path).stdout.splitlines()
    assert said == ["[127.0.0.1] out: zwei replaced", "instead", "[127.0.0.1] out: drei replaced"]


def test_a_script_that_a_plugin_has_a_host_run_is_shown_by_what_it_is_there_for(records: Records, start: Start) -> None:
    host = start()
    (host.home / "app" / "var").mkdir()
    supervised = {"host": f"127.0.0.1:{host.port}", "path": str(host.home / "app")}
    records.part("supervised", ("hostout.plugins.supervisor",), **supervised)
    as_who = "sudo" if os.getuid() == 0 else "run"
    done = records.call("supervised", "supervisorshutdown")
    assert done.stdout.splitlines()[3:] == [f"[127.0.0.1] {as_who}: stop supervisor", "Done."]
    done = records.call("supervised", "supervisorstartup")
    assert done.stderr.splitlines() == [
        "Hostout: [supervised] command failed (status 1): start supervisor",
        "    there is no bin/supervisord: the option supervisor must name the part that makes it",
    ]


def test_where_nothing_was_deployed_no_supervisor_of_the_machine_is_started(records: Records, start: Start) -> None:
    host = start()
    elsewhere = {"host": f"127.0.0.1:{host.port}", "path": str(host.home / "never")}
    # of which there is one in /bin: id
    records.part("supervised", ("hostout.plugins.supervisor",), supervisor="i", **elsewhere)
    done = records.call("supervised", "supervisorstartup")
    assert done.returncode == 1
    assert "uid=" not in done.stdout
    assert f"{host.home}/never" in done.stderr.splitlines()[-1]


def test_a_plugin_that_cannot_be_imported_stops_its_host_only(records: Records) -> None:
    records.fabfile("plugin_broken.py", "\nimport nothing_of_that_name\n")
    records.part("host1", ("plugin_broken",), host="10.0.0.1")
    done = records.call("host1", "run", "true", PYTHONPATH=f"{SOURCE}:{records.folder}")
    assert done.stderr == (
        f"Hostout: {records.folder}/plugin_broken.py, line 2: "
        "ModuleNotFoundError: No module named 'nothing_of_that_name'\n"
    )
    assert (done.stdout, done.returncode) == ("", 2)


def test_hardly_anything_is_loaded_before_ctrl_c_would_be_one_line(records: Records) -> None:
    code = "import sys; before = set(sys.modules); import hostout.cli; print(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=records.environment(), capture_output=True, text=True, check=True
    )
    loaded = {name for name in done.stdout.split() if not name.startswith("importlib")}
    assert loaded <= {"hostout", "hostout.cli", "warnings", "__future__"}
