"""Records become hosts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hostout import config
from hostout.errors import ConfigurationError
from hostout.model import Member, Origin, Plugin

LOCAL = {
    "format": 1,
    "parts_directory": "parts",
    "bin_directory": "bin",
    "eggs_directory": "eggs/v5",
    "develop_eggs_directory": "develop-eggs",
    "download_cache": None,
    "executable": "python",
    "python": "3.11.2",
    "find_links": [],
    "working_set": [{"name": "a", "version": "1", "location": "/eggs/a", "develop": False, "source": ""}],
    "environment": [],
    "needs": {"app": {}},
}


class Written:
    """A buildout folder with records, written as the recipe does it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records = folder / "parts" / "hostout"
        self.records.mkdir(parents=True)
        self.cfg = folder / "buildout.cfg"
        self.cfg.write_text("[buildout]\n")
        self.names: list[str] = []

    def host(self, name: str, secrets: tuple[str, ...] = (), plugin_options: Any = None, **options: str) -> None:
        """Options are given with ``_`` for ``-``; they stand in the file from line 10 on."""
        self.names.append(name)
        record = {
            "format": 1,
            "part": name,
            "place": {"file": str(self.cfg), "line": 3},
            "options": {
                key.replace("_", "-"): self._option(name, key.replace("_", "-"), value, line)
                for line, (key, value) in enumerate(options.items(), 10)
            },
            "secrets": list(secrets),
            "plugins": [{"word": "my.plugin", "modules": ["my.plugin.commands"]}],
            "plugin_options": plugin_options or {},
            "problems": [],
        }
        (self.records / f"{name}.json").write_text(json.dumps(record))
        data = {
            **LOCAL,
            "directory": str(self.folder),
            "config": str(self.cfg),
            "configs": [str(self.cfg)],
            "hostout_parts": self.names,
        }
        (self.records / "buildout.json").write_text(json.dumps(data))

    def load(self) -> config.Configuration:
        return config.load(self.records)

    def problems(self, **options: str) -> list[str]:
        options.setdefault("host", "a")
        self.host("host1", (), None, **{name: options[name] for name in ("host", *options)})
        with pytest.raises(ConfigurationError) as raised:
            self.load().check(["host1"])
        assert raised.value.status == 2
        return list(raised.value.problems)

    def _option(self, part: str, name: str, value: str, line: int) -> dict[str, Any]:
        return {"value": value, "written": name, "file": str(self.cfg), "line": line, "part": part}


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)


def test_hosts_keep_the_order_of_the_parts(written: Written) -> None:
    for name in ("b", "a", "c"):
        written.host(name)
    assert written.load().names == ("b", "a", "c")


def test_defaults(written: Written) -> None:
    written.host("host1")
    host = written.load().host("host1")
    assert (host.path, host.buildout, host.port, host.user) == ("/var/lib/plone/host1", ("buildout.cfg",), None, None)
    assert (host.downtime, host.keep_releases, host.health_timeout, host.no_sudo) == ("switch", 5, 60.0, False)
    assert (host.parts, host.include, host.post_commands, host.versions) == ((), (), (), None)
    assert host.options["path"] == "/var/lib/plone/host1"
    assert "effective-user" not in host.options


def test_an_option_without_a_value_has_its_default_for_commands_too(written: Written) -> None:
    written.host("host1", path="", health_timeout=" ", effective_user="", announce="")
    host = written.load().host("host1")
    assert host.options["path"] == host.path == "/var/lib/plone/host1"
    assert (host.options["health-timeout"], host.health_timeout) == ("60", 60.0)
    assert (host.options["effective-user"], host.options["announce"]) == ("", "")


def test_a_key_may_be_in_the_agent_only(written: Written) -> None:
    (written.folder / "id.pub").touch()
    written.host("host1", host="a", identity_file="id.pub")
    assert written.load().host("host1").identity_file == str(written.folder / "id")


def test_a_whole_host(written: Written) -> None:
    (written.folder / "fabfile.py").touch()
    (written.folder / "id").touch()
    written.host(
        "host1",
        host="[::1]:10022",
        user="root",
        path="/srv/one",
        fabfiles="fabfile.py",
        include=f"conf\n{written.folder}/templates",
        shared=f"{written.folder}/blobs",
        identity_file="id.pub",
        option1="blah",
    )
    host = written.load().host("host1")
    assert (host.address, host.port, host.user, host.path) == ("::1", 10022, "root", "/srv/one")
    assert host.fabfiles == (str(written.folder / "fabfile.py"),)
    assert (host.include, host.shared) == (("conf", "templates"), ("blobs",))
    assert host.identity_file == str(written.folder / "id")
    assert host.plugins == (Plugin("my.plugin", ("my.plugin.commands",)),)
    assert host.options["option1"] == "blah"
    assert host.origins["user"] == Origin("buildout.cfg", 11, "host1")


def test_the_local_buildout_directory_is_path_in_commands_and_paths(written: Written) -> None:
    here = written.folder
    written.host(
        "host1",
        path="/srv/one",
        post_commands=f"{here}/bin/supervisord -c '{here}'\ncat {here}.old/x x{here}",
        buildout_cache=f"{here}/cache",
        password_command=f"{here}/bin/ask",
        mine=f"{here}/x",
    )
    host = written.load().host("host1")
    assert host.post_commands == ("/srv/one/bin/supervisord -c '/srv/one'", f"cat {here}.old/x x{here}")
    assert host.buildout_cache == "/srv/one/cache"
    assert host.password_command == f"{here}/bin/ask"
    assert host.options["mine"] == f"{here}/x"
    assert host.options["post-commands"].startswith("/srv/one/bin/supervisord")


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("/a/b", "/srv"),
        ("/a/b/c", "/srv/c"),
        ("x=/a/b:/a/b/c", "x=/srv:/srv/c"),
        ('"/a/b"', '"/srv"'),
        ("file:///a/b/c", "file:///srv/c"),
        ("/a/bc", "/a/bc"),
        ("/a/b.old", "/a/b.old"),
        ("/a/b-2", "/a/b-2"),
        ("/x/a/b", "/x/a/b"),
        ("./a/b", "./a/b"),
        ("${x}/a/b", "${x}/a/b"),
    ],
)
def test_only_whole_path_components_are_replaced(text: str, result: str) -> None:
    assert config.replaced(text, "/a/b", "/srv") == result


def test_an_old_name_is_found_under_both_names(written: Written) -> None:
    written.host("host1", post_commands="echo")
    path = written.records / "host1.json"
    path.write_text(path.read_text().replace('"written": "post-commands"', '"written": "start_cmd"'))
    options = written.load().options("host1")
    assert options["start_cmd"] == options["post-commands"] == "echo"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"host": ""}, "[host1] host: is not set, and nothing can connect without it (buildout.cfg, line 3)"),
        ({"path": "plone"}, "[host1] path: must be absolute, is 'plone' (buildout.cfg, line 11)"),
        ({"path": "/"}, "[host1] path: must be a folder of its own, is '/' (buildout.cfg, line 11)"),
        ({"keep_releases": "many"},
         "[host1] keep-releases: must be a whole number of at least 1, is 'many' (buildout.cfg, line 11)"),
        ({"downtime": "no"}, "[host1] downtime: must be switch or deploy, is 'no' (buildout.cfg, line 11)"),
        ({"include": "../x"}, "[host1] include: must be inside the buildout, is '{parent}/x' (buildout.cfg, line 11)"),
        ({"include": "."}, "[host1] include: must be inside the buildout, is '.' (buildout.cfg, line 11)"),
        ({"include": "var/x"},
         "[host1] include: must not be in var, which is the host's own, is 'var/x' (buildout.cfg, line 11)"),
        ({"include": "a/b/c", "shared": "a/b"},
         "[host1] include: must not be in a/b, which is the host's own, is 'a/b/c' (buildout.cfg, line 11)"),
        ({"shared": "/srv"}, "[host1] shared: must be inside the buildout, is '/srv' (buildout.cfg, line 11)"),
        ({"fabfiles": "no.py"}, "[host1] fabfiles: there is no file 'no.py' (buildout.cfg, line 11)"),
        ({"identity_file": "/no/key.pub"},
         "[host1] identity-file: there is no file '/no/key' (buildout.cfg, line 11)"),
        ({"sudo_parts": "cron", "no_sudo": "true"},
         "[host1] sudo-parts: are built as root, and no-sudo says that nobody becomes root (buildout.cfg, line 11)"),
        ({"no_sudo": "true", "user": "me", "effective_user": "app"},
         "[host1] effective-user: cannot be 'app' with no-sudo, as 'me' logs in (buildout.cfg, line 13)"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_option_file_and_line(
    written: Written, options: dict[str, str], problem: str
) -> None:
    assert written.problems(**options) == [problem.replace("{parent}", str(written.folder.parent))]


def test_where_root_logs_in_nobody_has_to_become_root(written: Written) -> None:
    written.host("host1", host="a", user="root", no_sudo="true", effective_user="app", buildout_user="plone")
    written.load().check(["host1"])


def test_all_mistakes_of_all_hosts_come_at_once(written: Written) -> None:
    written.host("host1", host="a:b", path="x")
    written.host("host2", downtime="x")
    with pytest.raises(ConfigurationError) as raised:
        written.load().check(["host1", "host2"])
    assert [line.split(":")[0] for line in raised.value.problems] == [
        "[host1] host", "[host1] path", "[host2] downtime", "[host2] host",
    ]  # fmt: skip


def test_another_hosts_mistake_harms_nobody(written: Written) -> None:
    written.host("host1", host="a")
    written.host("host2", path="x")
    written.load().check(["host1"])


def test_a_listing_works_with_a_wrong_option(written: Written) -> None:
    written.host("host1", path="x", fabfiles="no.py")
    loaded = written.load()
    assert loaded.options("host1")["path"] == "x"
    assert loaded.command_sources("host1")[0] == (str(written.folder / "no.py"),)


def test_a_name_with_blanks_is_one_file_where_it_exists(written: Written) -> None:
    (written.folder / "my conf").mkdir()
    written.host("host1", include="my conf\na.cfg b.cfg")
    assert written.load().host("host1").include == ("my conf", "a.cfg", "b.cfg")


def test_every_line_of_an_option_knows_where_it_was_set(written: Written) -> None:
    written.host("host1", host="a", fabfiles="base.py\nown.py")
    path = written.records / "host1.json"
    record = json.loads(path.read_text())
    record["options"]["fabfiles"]["lines"] = [["/etc/base.cfg", 4, "hostout"], [str(written.cfg), 9, "host1"]]
    path.write_text(json.dumps(record))
    with pytest.raises(ConfigurationError) as raised:
        written.load().host("host1")
    assert raised.value.problems == (
        "[host1] fabfiles: there is no file 'base.py' (/etc/base.cfg, line 4)",
        "[host1] fabfiles: there is no file 'own.py' (buildout.cfg, line 9)",
    )


def test_a_misspelt_option_draws_a_warning_that_names_both(written: Written) -> None:
    written.host("host1", post_comands="x", option1="y", filestorage="z", plugin_options={"filestorages": {}})
    assert written.load().warnings == [
        "[host1] post-comands: unknown option, did you mean post-commands? (buildout.cfg, line 10)",
        "[host1] filestorage: unknown option, did you mean filestorages? (buildout.cfg, line 12)",
    ]


def test_options_that_a_plugin_knows_are_no_misspellings(written: Written) -> None:
    written.host("host1", paths="x", plugin_options={"paths": {"help": "", "secret": False}})
    assert written.load().warnings == []


def test_secrets_are_secrets(written: Written) -> None:
    written.host("host1", secrets=("password",))
    (written.records / "secrets.json").write_text('{"host1": {"password": "s3cret"}}')
    host = written.load().host("host1")
    assert host.secrets["password"].reveal() == "s3cret"
    assert "s3cret" not in repr(host)


def test_secrets_that_cannot_be_read_are_a_mistake_of_their_host(written: Written) -> None:
    written.host("host1", secrets=("password",))
    written.host("host2")
    loaded = written.load()
    loaded.host("host2")
    with pytest.raises(ConfigurationError, match=r"\[host1\] password: cannot be read: .*secrets.json"):
        loaded.host("host1")


def test_a_changed_configuration_is_said_in_one_line(written: Written) -> None:
    written.host("host1")
    os.utime(written.cfg, ns=(0, 0))
    assert written.load().stale() is None
    os.utime(written.cfg, ns=(4 * 10**18, 4 * 10**18))
    line = "buildout.cfg has changed since bin/buildout ran: run bin/buildout to use the changes"
    assert written.load().stale() == line
    assert written.load().notices() == [line]


def test_without_records_one_line_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no record .*/buildout.json: run bin/buildout$"):
        config.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", '{"format": 2}'])
def test_records_that_cannot_be_used_say_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "buildout.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"run bin/buildout$"):
        config.load(tmp_path)


def test_an_unknown_host_is_named(written: Written) -> None:
    written.host("host1")
    with pytest.raises(ConfigurationError, match="there is no host 'host2'"):
        written.load().host("host2")


def test_the_local_buildout(written: Written) -> None:
    written.host("host1")
    local = written.load().local
    assert local.directory == str(written.folder)
    assert local.working_set == (Member("a", "1", "/eggs/a"),)
    assert local.hostout_parts == ("host1",)
