"""What runs when a command is called, and what ends it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

import hostout
from hostout.commands import chain
from hostout.commands.environment import shell_cd
from hostout.errors import Aborted, ConfigurationError, HostoutError
from hostout.model import RunOptions, Secret
from worlds import World


def test_each_function_is_announced_with_its_file_and_runs_in_order(tmp_path: Path) -> None:
    world = World(tmp_path, "log = []\ndef go(): log.append('a')", "def go(): pass")
    world.host.call("go")
    assert world.lines == ["Running command 'go' from 'fab0.py'", "Running command 'go' from 'fab1.py'"]


def test_arguments_arrive_as_typed(tmp_path: Path) -> None:
    world = World(tmp_path, "got = []\ndef go(*words): got.extend(words)\ndef got_all(): return abort(repr(got))")
    words = ["a b", "it's", '"', "$HOME", "*", "line\nline", ""]
    world.host.go(*words)
    with pytest.raises(Aborted, match="a b") as caught:
        world.host.call("got_all")
    assert caught.value.message == repr(words)


@pytest.mark.parametrize("value", ["None", "True"])
def test_none_and_true_go_on(tmp_path: Path, value: str) -> None:
    world = World(tmp_path, f"def go(): return {value}", "def go(): pass")
    world.host.go()
    assert len(world.lines) == 2


@pytest.mark.parametrize("value", ["False", "'no'", "0", "1", "[]"])
def test_any_other_return_value_aborts_before_the_next_function(tmp_path: Path, value: str) -> None:
    world = World(tmp_path, f"def go(): return {value}", "def go(): pass")
    with pytest.raises(Aborted) as caught:
        world.host.go()
    assert caught.value.host == "host1"
    assert world.lines == ["Running command 'go' from 'fab0.py'"]


@pytest.mark.parametrize(
    "how", ["abort('why')", "import sys; sys.exit('why')", "import sys; sys.exit(ValueError('why'))"]
)
def test_abort_says_why(tmp_path: Path, how: str) -> None:
    world = World(tmp_path, f"def go():\n    {how}")
    with pytest.raises(Aborted, match=r"^why$"):
        world.host.go()


@pytest.mark.parametrize(
    ("why", "said"), [("OSError('full')", "full"), ("3", "3"), ("None", ""), ("get('token')", "Secret(…)")]
)
def test_what_abort_is_given_need_not_be_text(tmp_path: Path, why: str, said: str) -> None:
    world = World(tmp_path, f"def go(): abort({why})", secrets={"token": Secret("s3cret")})
    with pytest.raises(Aborted) as caught:
        world.host.go()
    assert caught.value.message == said


def test_a_function_that_replaces_ends_the_chain(tmp_path: Path) -> None:
    world = World(tmp_path, "from hostout import replaces\n@replaces\ndef go(): pass", "def go(): abort('never')")
    world.host.go()
    assert world.lines == ["Running command 'go' from 'fab0.py'"]


def test_a_file_beside_ours_of_a_name_like_ours_is_somebody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "OURS", tmp_path / "fab")
    with pytest.raises(HostoutError, match=r"fab0\.py', line 1: ZeroDivisionError"):
        World(tmp_path, "def go(): 1 / 0").host.go()


SUPERFUN = [
    "import hostout\n@hostout.replaces\ndef go(word): return hostout.superfun(word + '!')",
    "from hostout import replaces, superfun\n@replaces\ndef go(word): return superfun(word + '!')",
    "from hostout import replaces\n@replaces\ndef go(word): return get('superfun')(word + '!')",
    "from hostout import replaces\n@replaces\ndef go(word): return get('hostout').superfun(word + '!')",
    # hostout 1 knew no @replaces: a function that called superfun had called what follows
    "def go(word): return get('superfun')(word + '!')",
]


@pytest.mark.parametrize("first", SUPERFUN)
def test_superfun_runs_what_follows_once_with_its_arguments(tmp_path: Path, first: str) -> None:
    log = tmp_path / "log"
    world = World(tmp_path, first, f"def go(word):\n    with open({str(log)!r}, 'a') as f:\n        f.write(word)\n")
    world.host.go("hello")
    assert log.read_text() == "hello!"
    assert world.lines == ["Running command 'go' from 'fab0.py'", "Running command 'go' from 'fab1.py'"]


def test_superfun_after_the_last_function_does_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, "from hostout import superfun\ndef go(): return superfun()")
    world.host.go()


def test_a_command_called_by_a_command_runs_its_whole_chain(tmp_path: Path) -> None:
    world = World(tmp_path, "def outer():\n    get('hostout').inner('x')\ndef inner(w): pass", "def inner(w): pass")
    world.host.outer()
    assert world.lines == [
        "Running command 'outer' from 'fab0.py'",
        "Running command 'inner' from 'fab0.py'",
        "Running command 'inner' from 'fab1.py'",
    ]


def test_an_error_in_a_fabfile_is_one_line_with_its_place(tmp_path: Path) -> None:
    world = World(tmp_path, "def go():\n    deeper()\n\n\ndef deeper():\n    return {}['key']\n")
    with pytest.raises(HostoutError) as caught:
        world.host.go()
    assert caught.value.message == f"command 'go' from '{tmp_path}/fab0.py', line 6: KeyError: 'key'"
    assert (caught.value.host, caught.value.status) == ("host1", 1)


def test_get_looks_names_up_and_never_copies_files(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        """
        def look():
            hostout = get('hostout')
            assert hostout.name == 'host1'
            assert get('host') == '10.0.0.1'
            assert get('user') == 'joe'
            assert get('port') == 22
            assert get('option1') == hostout.options['option1'] == 'one'
            assert get('nothing', 'else') == 'else'
            assert get('nothing', None) is None
            assert str(get('password')) == 'Secret(…)'
            assert 's3cret' not in repr(hostout.options)
            get('nothing')
        """,
        options={"option1": "one"},
        secrets={"password": Secret("s3cret")},
    )
    with pytest.raises(HostoutError) as caught:
        world.host.look()
    assert caught.value.message == (
        "get('nothing'): host1 has no option 'nothing' (to copy a file from the host: download)"
    )


def test_options_that_are_not_set_have_the_defaults_that_hang_on_others(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        """
        def look():
            for options in (get('hostout').options, {name: get(name) for name in NAMES}):
                assert [options[name] for name in NAMES] == ['joe', 'joe', 'joe', '/srv/buildout-cache']
        NAMES = ('user', 'effective-user', 'buildout-user', 'buildout-cache')
        """,
        options={"effective-user": ""},
    )
    world.host.look()
    named = World(tmp_path, effective_user="app", options={"effective-user": "app"}).host
    assert (named.options["effective-user"], named.options["buildout-user"]) == ("app", "app")


def test_the_host_object_has_what_hostout_1_had(tmp_path: Path) -> None:
    host = World(tmp_path, pre_commands=("stop",), post_commands=("start",), parts=("app",), effective_user="app").host
    assert host.getRemoteBuildoutPath() == host.path == "/srv/host1"
    assert host.getLocalBuildoutPath() == str(tmp_path)
    assert host.buildout_cache == "/srv/buildout-cache"
    assert host.getDownloadCache() == "/srv/buildout-cache/downloads"
    assert host.getEggCache() == "/srv/buildout-cache/eggs"
    assert (host.getPreCommands(), host.getPostCommands(), host.getParts()) == (["stop"], ["start"], ["app"])
    assert (host.user, host.port, host.effective_user) == ("joe", 22, "app")
    assert World(tmp_path).host.effective_user == "joe"


def test_the_host_decides_where_the_cache_is(tmp_path: Path) -> None:
    host = World(tmp_path, buildout_user="plone", effective_user="zope").host
    assert host.buildout_cache == "/srv/buildout-cache"
    host.__dict__["deployment"] = SimpleNamespace(cache="/srv/buildout-cache/plone")
    assert host.buildout_cache == "/srv/buildout-cache/plone"
    assert host.getEggCache() == "/srv/buildout-cache/plone/eggs"


def test_an_attribute_that_is_no_command_is_an_attribute_error(tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match="no command or attribute 'nothing'"):
        World(tmp_path).host.nothing()


def test_local_runs_here_and_a_failure_stops(tmp_path: Path) -> None:
    world = World(tmp_path, "def go():\n    assert local('echo hi', capture=True) == 'hi'\n    local('exit 3')\n")
    with pytest.raises(HostoutError, match=r"^local command failed with status 3: exit 3$"):
        world.host.go()
    assert "[localhost] local: echo hi" in world.lines


def test_prompt_asks_and_takes_the_default(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        "def go():\n    assert prompt('Which?') == 'that'\n    assert prompt('Which?', default='this') == 'this'\n",
    )
    world.answers = ["that", ""]
    world.host.go()


def test_dry_run_skips_what_cannot_be_previewed_and_says_so(tmp_path: Path) -> None:
    world = World(tmp_path, "def go(): abort('never')", run_options=RunOptions(dry_run=True))
    world.host.go()
    assert world.lines == ["Command 'go' from 'fab0.py' cannot be previewed and is not run"]


def test_dry_run_runs_what_only_looks(tmp_path: Path) -> None:
    looking = "from hostout.commands.marks import looks\n@looks\ndef go(): pass"
    world = World(tmp_path, looking, run_options=RunOptions(dry_run=True))
    world.host.go()
    assert world.lines == ["Running command 'go' from 'fab0.py'"]


def test_nothing_of_a_host_is_there_outside_of_a_command() -> None:
    with pytest.raises(HostoutError, match="no command is running"):
        hostout.run("true")
    with pytest.raises(HostoutError, match="no command is running"):
        hostout.superfun()


HOOKS = """
from hostout import command_step, get, hook

@hook("stop")
def stop():
    return [command_step("stops {n}", "stop " + get("host"))]

@hook("start")
def start():
    return [command_step("starts {n}", "start")]

@hook("check")
def check():
    return {answer}
"""


def test_hooks_stop_in_the_reverse_order_of_their_start(tmp_path: Path) -> None:
    texts = [HOOKS.format(n=n, answer="None") for n in ("a", "b")]
    host = World(tmp_path, *texts).host
    assert [step.text for step in host.steps("start")] == ["starts a", "starts b"]
    assert [step.text for step in host.steps("stop")] == ["stops b", "stops a"]
    assert host.steps("stop")[0].args["line"] == "stop 10.0.0.1"
    assert host.steps("health") == ()
    host.run_checks()


def test_a_check_that_says_no_aborts(tmp_path: Path) -> None:
    with pytest.raises(Aborted, match="hook 'check' from"):
        World(tmp_path, HOOKS.format(n="a", answer="False")).host.run_checks()


def test_a_hook_that_returns_no_steps_is_named(tmp_path: Path) -> None:
    host = World(tmp_path, "from hostout import hook\n@hook('start')\ndef start(): return ['bin/start']\n").host
    with pytest.raises(ConfigurationError, match=r"fab0\.py: the hook 'start' must return a list of Steps"):
        host.steps("start")


@pytest.mark.parametrize(
    ("directory", "line"),
    [("/srv/it's", "cd '/srv/it'\"'\"'s'"), ("~/a b", "cd ~/'a b'"), ("~joe", "cd ~joe"), ("~/", "cd ~/"),
     ("~$(x)", "cd '~$(x)'")],
)  # fmt: skip
def test_cd_quotes_everything_but_a_home_folder(directory: str, line: str) -> None:
    assert shell_cd(directory) == line
