"""The recipe in a real zc.buildout."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

from buildouts import PROJECT, BuildoutEnvironment
from hostout import config
from hostout.model import LocalBuildout

pytestmark = pytest.mark.buildout


class Site:
    """A buildout in a folder of its own."""

    def __init__(self, folder: Path, env: BuildoutEnvironment) -> None:
        self.folder = folder
        self.env = env
        self.records = folder / "parts" / "hostout"

    def configure(self, text: str, name: str = "buildout.cfg") -> None:
        self.write(name, text)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))

    def package(self, name: str, setup: str, **modules: str) -> None:
        """A develop package with ``setup.py`` in ``src/<name>``."""
        arguments = indent(dedent(setup), "    ")
        self.write(f"src/{name}/setup.py", f"from setuptools import setup\nsetup(\n    name='{name}',\n{arguments})\n")
        for module, text in modules.items():
            self.write(f"src/{name}/{module}.py", text)

    def build(self, *args: str, home: Path | None = None) -> str:
        return self.env.build(self.folder, *args, home=home)

    def fails(self, *args: str) -> str:
        """The last line of a run that ends with an error."""
        done = self.env.run(self.folder, "-N", *args)
        assert done.returncode == 1, done.stdout
        assert "Traceback" not in done.stdout
        return done.stdout.strip().splitlines()[-1]

    def hostout(self, *args: str) -> str:
        done = self.env.script(self.folder, self.folder / "bin" / "hostout", *args)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def record(self, name: str) -> Any:
        return json.loads((self.records / f"{name}.json").read_text())

    def values(self, host: str) -> dict[str, str]:
        return {name: option["value"] for name, option in self.record(host)["options"].items()}

    def place(self, host: str, option: str) -> tuple[str, int, str]:
        found = self.record(host)["options"][option]
        return Path(found["file"]).name, found["line"], found["part"]

    @property
    def local(self) -> LocalBuildout:
        return config.load(self.records).local

    def members(self) -> dict[str, str]:
        return {member.name: member.version for member in self.local.working_set}

    def snapshot(self) -> dict[str, tuple[int, bytes]]:
        files = [self.folder / "bin" / "hostout", *self.records.rglob("*")]
        return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in files if file.is_file()}


@pytest.fixture
def site(tmp_path: Path, buildout_env: BuildoutEnvironment) -> Iterator[Site]:
    # as an administrator may have it: what is secret must not depend on it
    before = os.umask(0o022)
    yield Site(tmp_path / "site", buildout_env)
    os.umask(before)


PLUGIN = """\
    version='1.0',
    py_modules=['hostouttest_plugin'],
    entry_points={
        'zc.buildout': ['default = hostouttest_plugin:Recipe', 'fails = hostouttest_plugin:Fails',
                        'broken = hostouttest_broken:Recipe'],
        'fabric': ['one = hostouttest_plugin', 'two = hostouttest_plugin.two'],
    },
"""
RECIPE = """\
    class Recipe:
        hostout_options = {"token": {"help": "lets it in", "secret": True}}

        def __init__(self, buildout, name, options):
            options.setdefault("supervisor", "supervisor-of-" + name)
            options.setdefault("start_cmd", "start " + options["supervisor"])
            options.get("init.d")

    class Fails:
        def __init__(self, buildout, name, options):
            raise KeyError(name)
"""


def test_the_first_run_writes_the_script_and_the_second_rewrites_nothing(site: Site) -> None:
    site.configure(
        """\
        [buildout]
        parts = host1

        [host1]
        recipe = collective.hostout
        host = 127.0.0.1:10022
        user = root
        path = /usr/local/plone/host1
        option1 = blah
        """
    )
    output = site.build()
    assert "Installing host1." in output
    assert f"Generated script '{site.folder}/bin/hostout'." in output
    assert "unused options" not in output
    assert site.hostout().splitlines()[-1] == "Valid hosts are: host1"
    assert site.place("host1", "path") == ("buildout.cfg", 8, "host1")
    before = site.snapshot()
    output = site.build()
    assert "Updating host1." in output
    assert "Generated" not in output
    assert site.snapshot() == before


def test_a_touched_configuration_is_no_news_once_buildout_has_run(site: Site) -> None:
    site.configure("[buildout]\nparts = host1\n[host1]\nrecipe = collective.hostout\n")
    site.build()
    later = (site.records / "buildout.json").stat().st_mtime_ns + 10**6
    os.utime(site.folder / "buildout.cfg", ns=(later, later))
    assert config.load(site.records).stale()
    site.build()
    assert config.load(site.records).stale() is None


def test_the_working_set_is_whole_whatever_the_order_of_parts(site: Site) -> None:
    site.package(
        "collective.foo",
        "version='0.1', packages=['collective', 'collective.foo'], namespace_packages=['collective'],\n"
        "install_requires=['waitress'],",
        **{"collective/foo/__init__": ""},
    )
    site.write("src/collective.foo/collective/__init__.py", "__import__('pkg_resources').declare_namespace(__name__)\n")
    site.package(
        "hostouttest.once",
        "version='1', py_modules=['hostouttest_once'], install_requires=['six'],\n"
        "entry_points={'zc.buildout': ['default = hostouttest_once:Recipe']},",
        hostouttest_once="""\
            from zc.buildout.easy_install import install

            class Recipe:
                def __init__(self, buildout, name, options):
                    self.options = buildout["buildout"]

                def install(self):
                    install(["iniconfig"], self.options["eggs-directory"])
                    return ()

                def update(self):
                    return ()
            """,
    )
    text = f"""\
[buildout]
parts = host1 once app
develop = src/collective.foo src/hostouttest.once

[host1]
recipe = collective.hostout

[once]
recipe = hostouttest.once

[app]
recipe = zc.recipe.egg
eggs = collective.foo

[versions]
waitress = 3.0.0
six = 1.16.0
iniconfig = 2.0.0
{site.env.pins}
"""
    site.configure(text)
    site.build()
    whole = {
        "collective.foo": "0.1",
        "hostouttest.once": "1",
        "waitress": "3.0.0",
        "six": "1.16.0",
        "iniconfig": "2.0.0",
    }
    assert whole.items() <= site.members().items()
    assert "zc.recipe.egg" in site.members()
    # what only hostout needs is no part of it, nor what zc.buildout itself runs with
    assert not {"fabric", "paramiko", "collective.hostout", "zc.buildout", "pip"} & set(site.members())
    assert {"zc.buildout", "setuptools", "packaging", "pip"} <= {found.name for found in site.local.environment}
    sources = {found.name: found.source for found in site.local.working_set if found.develop}
    assert sources == {name: str(site.folder / "src" / name) for name in ("collective.foo", "hostouttest.once")}
    # the recipe of "once" shows nothing when it is updated
    before = site.members()
    assert "Updating once." in site.build()
    assert site.members() == before
    assert "once." not in site.build("install", "host1")
    assert site.members() == before
    site.configure(text.replace("once app", "app"))
    site.build()
    assert set(before) - set(site.members()) == {"hostouttest.once", "six", "iniconfig"}


def test_pins_keep_their_spelling_and_what_buildout_adds_is_none(site: Site) -> None:
    site.write(
        "home/.buildout/default.cfg",
        "[buildout]\nfind-links = https://example.org/eggs\nindex = https://me:pw@example.org/simple\n",
    )
    site.write(
        "base.cfg", "[buildout]\nallow-hosts = example.org\n    *.example.org\n[versions]\nZope.Interface = 8.0\n"
    )
    site.configure(
        """\
        [buildout]
        extends = base.cfg
        parts = host1
        find-links += links
        [versions]
        zc-recipe-egg = 2.0.7
        other =
        [host1]
        recipe = collective.hostout
        """
    )
    site.build("-o", home=site.folder / "home")
    local = site.local
    assert local.pins == {"Zope.Interface": "8.0", "zc-recipe-egg": "2.0.7"}
    assert local.index == "https://me:pw@example.org/simple"
    assert local.find_links == ("https://example.org/eggs", str(site.folder / "links"))
    assert local.allow_hosts == ("example.org", "*.example.org")
    assert [Path(path).name for path in local.configs] == ["buildout.cfg", "base.cfg", "default.cfg"]
    assert local.config == str(site.folder / "buildout.cfg")
    # the index has a password in it
    assert stat.S_IMODE((site.records / "buildout.json").stat().st_mode) == 0o600


def test_a_configuration_of_another_name_is_the_one_recorded(site: Site) -> None:
    site.configure("[buildout]\nparts = host1\n[host1]\nrecipe = collective.hostout\n", "site.cfg")
    site.build("-c", "site.cfg")
    assert site.local.config == str(site.folder / "site.cfg")


def test_secrets_are_only_in_their_own_file(site: Site) -> None:
    site.package("hostouttest.plugin", PLUGIN, hostouttest_plugin=RECIPE)
    site.configure(
        """\
        [buildout]
        parts = host1 host2 host3
        develop = src/hostouttest.plugin

        [secrets]
        pw = s3cret-a

        [common]
        password = s3cret-b
        user = me

        [base]
        recipe = collective.hostout
        token = s3cret-c

        [host1]
        recipe = collective.hostout
        extends = base hostouttest.plugin
        password = ${secrets:pw}

        [host2]
        <= common
        recipe = collective.hostout

        [host3]
        <= host2
        """
    )
    output = site.build("-vv")
    secrets = json.loads((site.records / "secrets.json").read_text())
    assert secrets == {
        "host1": {"password": "s3cret-a", "token": "s3cret-c"},
        "host2": {"password": "s3cret-b"},
        "host3": {"password": "s3cret-b"},
    }
    assert stat.S_IMODE((site.records / "secrets.json").stat().st_mode) == 0o600
    written = [file for file in site.records.rglob("*") if file.is_file()]
    readable = [site.folder / ".installed.cfg", *written, *(site.folder / "bin").iterdir()]
    assert [file.name for file in readable if b"s3cret" in file.read_bytes()] == ["secrets.json"]
    parts = output.partition("Configuration data:")[2]
    assert "s3cret-c" not in parts
    assert site.record("host1")["secrets"] == ["password", "token"]
    assert set(site.local.secret_options) == {
        ("secrets", "pw"), ("common", "password"), ("base", "token"), ("host1", "password"),
    }  # fmt: skip
    assert config.load(site.records).host("host3").secrets["password"].reveal() == "s3cret-b"
    before = site.snapshot()
    site.build()
    assert site.snapshot() == before


@pytest.mark.parametrize("quoted", ["${host1:password}", "${:password}", "${settings:pw}"])
def test_a_secret_in_another_option_is_refused_before_anything_is_written(site: Site, quoted: str) -> None:
    site.configure(
        f"""\
        [buildout]
        parts = host1
        [settings]
        pw = s3cret
        [hostout]
        recipe = collective.hostout
        [host1]
        recipe = collective.hostout
        extends = hostout
        password = ${{settings:pw}}
        post-commands =
            echo {quoted}
        """
    )
    line = site.fails()
    assert line.startswith("Error: [host1] post-commands: everybody could read the secret ")
    assert line.endswith("(buildout.cfg, line 11)")
    assert [path.name for path in site.folder.rglob("*") if path.is_file() and "s3cret" in path.read_text()] == [
        "buildout.cfg"
    ]


def test_a_changed_password_reaches_the_record(site: Site) -> None:
    text = "[buildout]\nparts = host1\n[host1]\nrecipe = collective.hostout\npassword = one\n"
    site.configure(text)
    site.build()
    site.configure(text.replace("one", "two"))
    assert "Updating host1." in site.build()
    assert json.loads((site.records / "secrets.json").read_text()) == {"host1": {"password": "two"}}
    site.configure(text.replace("password = one", ""))
    site.build()
    assert not (site.records / "secrets.json").exists()


def test_extended_parts_and_recipes_give_defaults_to_one_host_only(site: Site) -> None:
    site.package("hostouttest.plugin", PLUGIN, hostouttest_plugin=RECIPE)
    site.write("base.cfg", "[hostout]\nrecipe = collective.hostout\nuser = root\npost-commands = base\n")
    site.configure(
        """\
        [buildout]
        extends = base.cfg
        parts = host1 host2
        develop = src/hostouttest.plugin

        [hostout]
        extends = defaults
        fabfiles = ${buildout:directory}/base.py
        post-commands += base too

        [defaults]
        recipe = collective.hostout
        keep-releases = 3
        user = nobody

        [host1]
        recipe = collective.hostout
        extends = hostout hostouttest.plugin
        host = one
        fabfiles = own.py
        supervisor = mine

        [host2]
        recipe = collective.hostout
        extends = hostout
        host = two
        start_cmd = own
        """
    )
    output = site.build()
    assert "Installing hostout." in output
    assert f"Generated script '{site.folder}/bin/hostout'." in output
    assert site.hostout().splitlines()[-1] == "Valid hosts are: host1 host2"
    assert site.values("host1") == {
        "extends": "hostout hostouttest.plugin",
        "host": "one",
        "user": "root",
        "keep-releases": "3",
        "fabfiles": f"{site.folder}/base.py\nown.py",
        "post-commands": "base\nbase too",
        "supervisor": "mine",
    }
    assert site.values("host2") == {
        "extends": "hostout",
        "host": "two",
        "user": "root",
        "keep-releases": "3",
        "fabfiles": f"{site.folder}/base.py",
        "post-commands": "base\nbase too\nown",
    }
    assert site.record("host1")["plugins"] == [
        {"word": "hostouttest.plugin", "modules": ["hostouttest_plugin", "hostouttest_plugin.two"]}
    ]
    assert site.record("host2")["plugins"] == []
    assert site.record("host1")["plugin_options"]["token"] == {"help": "lets it in", "secret": True}
    assert "init.d" in site.record("host1")["plugin_options"]
    assert site.place("host1", "user") == ("base.cfg", 3, "hostout")
    assert site.place("host1", "keep-releases") == ("buildout.cfg", 13, "defaults")
    assert site.place("host2", "post-commands") == ("buildout.cfg", 27, "host2")
    assert site.local.hostout_sections == ("hostout", "defaults", "host1", "host2")
    # the plugin's egg is there for the script
    assert str(site.folder / "src" / "hostouttest.plugin") in (site.folder / "bin" / "hostout").read_text()


def test_a_plugin_comes_as_an_egg_in_its_pinned_version(site: Site) -> None:
    for version in ("1.0", "2.0"):
        site.package("hostouttest.plugin", PLUGIN.replace("1.0", version), hostouttest_plugin=RECIPE)
        wheel = ("-m", "pip", "wheel", "-q", "--no-deps", "-w", "dist", "src/hostouttest.plugin")
        assert site.env.script(site.folder, site.env.python, *wheel).returncode == 0
    site.write("index/empty", "")
    site.configure(
        f"""\
        [buildout]
        parts = host1
        index = {site.folder}/index
        find-links = {site.folder}/dist
        eggs-directory = eggs
        [versions]
        Hostouttest_Plugin = 1.0
        [host1]
        recipe = collective.hostout
        extends = hostouttest.plugin
        """
    )
    site.build()
    assert site.values("host1")["supervisor"] == "supervisor-of-host1"
    script = (site.folder / "bin" / "hostout").read_text()
    assert re.search(rf"{site.folder}/eggs/v5/hostouttest[._]plugin-1\.0-", script)
    assert site.members() == {}


def test_the_recipe_of_a_plugin_sets_defaults(site: Site) -> None:
    site.package("hostouttest.plugin", PLUGIN, hostouttest_plugin=RECIPE)
    site.configure(
        """\
        [buildout]
        parts = host1
        develop = src/hostouttest.plugin
        [host1]
        recipe = collective.hostout
        extends = hostouttest.plugin
        """
    )
    site.build()
    values = site.values("host1")
    assert (values["supervisor"], values["post-commands"]) == ("supervisor-of-host1", "start supervisor-of-host1")
    assert site.record("host1")["options"]["supervisor"]["file"] == "hostouttest.plugin"


@pytest.mark.parametrize(
    ("extends", "problem"),
    [
        ("hostot", "there is no part 'hostot', did you mean 'hostout'?"),
        ("loop", "[loop] extends: goes in a circle: host1 -> loop -> host1"),
        ("nowhere.to.be.found", "'nowhere.to.be.found' is no part and no recipe: "
         "Couldn't find a distribution for 'nowhere.to.be.found'."),
        ("hostouttest.plugin:other", "'hostouttest.plugin:other' is no part and no recipe: "
         "hostouttest.plugin has no recipe 'other'"),
        ("hostouttest.plugin:fails", "the recipe 'hostouttest.plugin:fails' failed: KeyError: 'host1'"),
        ("hostouttest.plugin:broken", "the recipe 'hostouttest.plugin:broken' cannot be loaded: "
         "ModuleNotFoundError: No module named 'hostouttest_broken'"),
        ("not/a/name", "'not/a/name' is no part and no recipe: "),
    ],
)  # fmt: skip
def test_what_is_wrong_with_extends_is_one_line(site: Site, extends: str, problem: str) -> None:
    develop = ""
    if extends.startswith("hostouttest.plugin"):
        site.package("hostouttest.plugin", PLUGIN, hostouttest_plugin=RECIPE)
        develop = "src/hostouttest.plugin"
    site.write("index/empty", "")
    site.configure(
        f"""\
        [buildout]
        parts = host1
        index = {site.folder}/index
        develop = {develop}
        [hostout]
        recipe = collective.hostout
        [loop]
        recipe = collective.hostout
        extends = host1
        [host1]
        recipe = collective.hostout
        extends = {extends}
        """
    )
    line = site.fails()
    assert problem in line
    assert line.startswith("Error: [loop] extends: " if extends == "loop" else "Error: [host1] extends: ")
    assert line.endswith(f"(buildout.cfg, line {9 if extends == 'loop' else 12})")
    assert not site.records.exists()


def test_a_failed_run_leaves_the_records_as_they_were(site: Site) -> None:
    text = """\
        [buildout]
        extends = versions.cfg
        parts = host1 app
        [host1]
        recipe = collective.hostout
        user = root
        [app]
        recipe = zc.recipe.egg
        eggs = waitress
        [versions]
        waitress = 3.0.0
        """
    site.write("versions.cfg", f"[versions]\n{site.env.pins}")
    site.configure(text)
    site.build()
    before = site.snapshot()
    (site.folder / "index").mkdir()
    site.configure(text.replace("= root", "= me").replace("eggs = waitress", "eggs = nowhere.to.be.found"))
    assert "nowhere.to.be.found" in site.fails(f"buildout:index={site.folder}/index")
    assert site.snapshot() == before


def test_a_part_that_is_no_more_takes_its_record_with_it(site: Site) -> None:
    text = """\
        [buildout]
        parts = host1 host2
        [host1]
        recipe = collective.hostout
        [host2]
        recipe = collective.hostout
        password = s3cret
        """
    site.configure(text)
    site.build()
    (site.records / "host2.cfg").touch()
    site.configure(text.replace("parts = host1 host2", "parts = host1"))
    site.build()
    caches = {site.records / "dist", site.records / ".hashes.json"}
    files = [file for file in site.records.rglob("*") if file.is_file() and not caches & {file, file.parent}]
    left = {str(file.relative_to(site.records)) for file in files}
    own = {"host1.json", "host1.rehearsal.json", "logs/host1.rehearsal.log"}
    assert left == {"buildout.json", ".files.json", ".resolved.json", *own}
    assert site.hostout().splitlines()[-1] == "Valid hosts are: host1"
    site.configure("[buildout]\nparts =\n")
    site.build()
    assert set(site.records.iterdir()) <= caches
    assert not (site.folder / "bin" / "hostout").exists()


def test_installing_one_host_keeps_the_others(site: Site) -> None:
    site.configure(
        """\
        [buildout]
        parts = host1 host2
        [host1]
        recipe = collective.hostout
        [host2]
        recipe = collective.hostout
        user = me
        """
    )
    output = site.build("install", "host1")
    assert "Installing host1." in output
    assert "Installing host2." not in output
    assert site.hostout().splitlines()[-1] == "Valid hosts are: host1 host2"
    assert site.values("host2") == {"user": "me"}
    assert "Installing host2." in site.build()


def test_an_incomplete_working_set_is_said(site: Site) -> None:
    site.configure(
        """\
        [buildout]
        parts = host1 app
        [host1]
        recipe = collective.hostout
        [app]
        recipe = zc.recipe.egg
        """
    )
    assert "app: not built yet, run bin/buildout before you deploy" in site.build("install", "host1")


@pytest.mark.parametrize("name", ["all", "secrets", "a/b"])
def test_a_host_with_a_name_that_means_something_else_is_refused(site: Site, name: str) -> None:
    site.configure(f"[buildout]\nparts = {name}\n[{name}]\nrecipe = collective.hostout\n")
    assert site.fails() == f"Error: [{name}] recipe: a host cannot be called {name!r} (buildout.cfg, line 4)"


def test_a_part_of_an_older_hostout_can_be_replaced(site: Site) -> None:
    text = "[buildout]\nparts = host1\n[host1]\nrecipe = collective.hostout\n"
    site.configure(text)
    site.build()
    installed = site.folder / ".installed.cfg"
    lines = [line for line in installed.read_text().splitlines() if not line.startswith(("_records", "_script"))]
    installed.write_text("\n".join([*lines, "password = s3cret", ""]))
    assert "Installing host1." in site.build()
    assert "s3cret" not in installed.read_text()


def test_options_from_the_command_line_and_macros_know_where_they_come_from(site: Site) -> None:
    site.configure(
        """\
        [buildout]
        parts = host1
        [common]
        user = me
        pre-commands = one
        [host1]
        <= common
        recipe = collective.hostout
        path = /srv
        pre-commands += two
        """
    )
    site.build("host1:path=/other")
    assert site.place("host1", "user") == ("buildout.cfg", 4, "common")
    assert site.place("host1", "pre-commands") == ("buildout.cfg", 10, "host1")
    assert site.place("host1", "path") == ("the command line", 0, "host1")
    assert site.values("host1")["pre-commands"] == "one\ntwo"


def test_hostout_as_a_develop_egg_of_the_buildout(site: Site) -> None:
    project = site.folder / "src" / "collective.hostout"
    # a copy: building it writes into its folder, which other tests look at
    shutil.copytree(PROJECT / "src", project / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE.txt"):
        shutil.copy(PROJECT / name, project)
    site.configure(
        f"""\
        [buildout]
        parts = host1
        develop = {project}
        [host1]
        recipe = collective.hostout
        """
    )
    site.build()
    assert str(project / "src") in (site.folder / "bin" / "hostout").read_text()
    assert site.hostout().splitlines()[-1] == "Valid hosts are: host1"


def test_scripts_with_relative_paths_move_with_the_buildout(site: Site) -> None:
    site.configure("[buildout]\nparts = host1\nrelative-paths = true\n[host1]\nrecipe = collective.hostout\n")
    site.build()
    moved = site.folder.with_name("moved")
    site.folder.rename(moved)
    site.folder = moved
    assert site.hostout().splitlines()[-1] == "Valid hosts are: host1"
