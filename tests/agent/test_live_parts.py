"""Parts with effects outside: built after the switch, in ``path``, updated by the next release, taken back with it."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentclient import WHEELS, Client, Place, Reply, built, environment, send_files, step
from filling import record
from onhost import ago
from smalldisk import attached, copy_of_one_moment, image

pytestmark = pytest.mark.buildout

ONE, TWO, THREE = "0001-aaaaaaaa", "0002-bbbbbbbb", "0003-cccccccc"
OLDER = ("zc.buildout==5.2.0", "setuptools<80", "wheel", "pip", "packaging", "platformdirs")

RECIPE = '''\
"""A table like a crontab, which many parts write to; and a part with a folder."""
import os


class Entry:
    def __init__(self, buildout, name, options):
        self.options, self.script = options, os.path.join(buildout["buildout"]["bin-directory"], name)
        options["text"] = f"{name} {options['line']}"

    def install(self):
        if "fails" in self.options:
            raise SystemExit("this part cannot be built")
        with open(self.options["table"], "a") as table:
            table.write(self.options["text"] + "\\n")
        if "script" not in self.options:
            return ()
        with open(self.script, "w") as script:
            script.write("#!/bin/sh\\n")
        return self.script

    def update(self):
        """What is there is right."""


def remove(name, options):
    with open(options["table"]) as table:
        lines = table.read().splitlines()
    lines.remove(options["text"])
    with open(options["table"], "w") as table:
        table.writelines(line + "\\n" for line in lines)


class Folder:
    def __init__(self, buildout, name, options):
        self.options = options
        options["location"] = os.path.join(buildout["buildout"]["parts-directory"], name)

    def install(self):
        os.makedirs(self.options["location"])
        with open(os.path.join(self.options["location"], "made"), "w") as made:
            made.write("made")
        return self.options["location"]

    def update(self):
        """Nothing."""
'''
ENTRY_POINTS = """\
[zc.buildout]
default = {name}:Entry
folder = {name}:Folder
[zc.buildout.uninstall]
default = {name}:remove
"""
CONFIG = """\
[buildout]
extends = buildout.cfg
parts = {parts}
[versions]
{pins}
"""
INSTANCE = "[instance]\nrecipe = hostouttesttable:folder\n"


def recipe_wheel(folder: Path, name: str) -> tuple[bytes, str]:
    path, info = folder / f"{name}-1.0-py3-none-any.whl", f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", RECIPE)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/entry_points.txt", ENTRY_POINTS.format(name=name))
        archive.writestr(f"{info}/RECORD", "")
    return path.read_bytes(), path.name


def older_wheels() -> list[Path]:
    """What an environment with zc.buildout 5.2.0 consists of, fetched once."""
    folder = WHEELS / "older-{}.{}".format(*sys.version_info)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if len(list(folder.glob("*.whl"))) < len(OLDER):
            argv = [sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:", "--dest", str(folder)]
            subprocess.run([*argv, *OLDER], check=True, timeout=300)
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def older(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with that environment."""
    place = Place(tmp_path_factory.mktemp("older"), archive)
    agent = place.agent()
    assert agent.request("layout").result["facts"]["path"]["kind"] == "hostout"
    wheels = older_wheels()
    send_files(agent, [(wheel.read_bytes(), wheel.name) for wheel in wheels], "dist")
    assert agent.request("environment", environment("env", wheels)).result
    agent.end()
    return place.cache


@pytest.fixture(params=["newest", "5.2.0"])
def able(
    place: Place, stocked: Callable[[str], Path], older: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> Place:
    """A place with the recipe (and the same one by another name), for each zc.buildout."""
    place.extra["cache"] = str(older if request.param == "5.2.0" else stocked(place.python))
    agent = place.agent()
    agent.request("layout")
    send_files(agent, [recipe_wheel(tmp_path, name) for name in ("hostouttesttable", "hostouttestother")], "dist")
    agent.end()
    return place


@pytest.fixture
def agent(able: Place) -> Client:
    return able.agent()


def entry(place: Place, name: str, line: str, more: str = "", recipe: str = "hostouttesttable") -> str:
    return f"[{name}]\nrecipe = {recipe}\ntable = {place.root}/table\nline = {line}\n{more}\n"


def make(place: Place, agent: Client, name: str, config: str = "", parts: str = "", **record: Any) -> None:
    """A release with that configuration, built; ``record`` has ``live_parts`` or ``sudo_parts``."""
    pins = "".join(f"{each} = 1.0\n" for each in ("hostouttesttable", "hostouttestother") if each in config)
    text = CONFIG.format(parts=parts, pins=pins) + config
    built(place, agent, name, {"live.cfg": text.encode()}, config="live.cfg", **record)


def golive(agent: Client, name: str, **args: Any) -> Reply:
    return agent.request("golive", {"name": name, **args})


def table(place: Place) -> list[str]:
    path = place.root / "table"
    return path.read_text().splitlines() if path.exists() else []


def live(place: Place, agent: Client, name: str, line: str, **more: Any) -> Reply:
    """A release with the live part ``cron``, which is live then."""
    make(place, agent, name, entry(place, "cron", line), live_parts=["cron"])
    return golive(agent, name, **more)


def test_one_entry_that_names_path_however_many_releases(able: Place, agent: Client) -> None:
    line = "${buildout:bin-directory}/backup in ${buildout:directory}"
    first = live(able, agent, ONE, line)
    assert first.result["state"] == "good"
    assert "Installing cron." in first.lines()
    second = live(able, agent, TWO, line)
    assert second.result["state"] == "good"
    assert "Updating cron." in second.lines()
    assert table(able) == [f"cron {able.path}/bin/backup in {able.path}"]


def test_entry_changes_with_its_release_and_is_taken_back_with_it(able: Place, agent: Client) -> None:
    live(able, agent, ONE, "one")
    assert live(able, agent, TWO, "two").result["state"] == "good"
    assert table(able) == ["cron two"]
    message = live(able, agent, THREE, "three", health=[step("false")]).message
    assert message.endswith(f"release {THREE} is bad, {TWO} is live again")
    assert table(able) == ["cron two"]
    assert agent.request("rollback", {}).result["name"] == ONE
    assert table(able) == ["cron one"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_what_live_parts_made_outlives_a_power_failure(
    place: Place, stocked: Callable[[str], Path], tmp_path: Path
) -> None:
    place.extra["cache"] = str(stocked(place.python))
    disk, srv, snapshot = image(place.root / "disk"), place.root / "srv", place.root / "snapshot"
    srv.mkdir()
    with attached(["-o", "loop", str(disk), str(srv)], srv):
        agent = place.agent()
        agent.request("layout")
        send_files(agent, [recipe_wheel(tmp_path, "hostouttesttable")], "dist")
        make(place, agent, ONE, entry(place, "cron", "one", "script = yes"), live_parts=["cron"])
        done = golive(agent, ONE)
        copy_of_one_moment(disk, snapshot)
        place.end()
        assert done.result["state"] == "good"
    with attached(["-o", "loop", str(snapshot), str(srv)], srv):
        assert (place.path / "bin/cron").read_text() == "#!/bin/sh\n"
        assert "[cron]" in (place.path / ".hostout/live/installed.cfg").read_text()


def test_release_without_live_parts_takes_them_away(able: Place, agent: Client) -> None:
    live(able, agent, ONE, "one")
    make(able, agent, TWO)
    reply = golive(agent, TWO)
    assert reply.result["state"] == "good"
    assert "Uninstalling cron." in reply.lines()
    assert table(able) == []
    make(able, agent, THREE)
    assert "Uninstalling" not in " ".join(golive(agent, THREE).lines())


def test_first_release_that_turns_bad_leaves_no_entry(able: Place, agent: Client) -> None:
    assert live(able, agent, ONE, "one", health=[step("false")]).message.endswith("nothing is live")
    assert table(able) == []
    assert sorted(each.name for each in able.path.iterdir()) == [".hostout", "releases", "var"]


def test_part_by_the_same_name_may_have_another_recipe(able: Place, agent: Client) -> None:
    live(able, agent, ONE, "one")
    config = entry(able, "cron", "two", recipe="hostouttestother")
    make(able, agent, TWO, config, live_parts=["cron"])
    assert golive(agent, TWO).result["state"] == "good"
    assert table(able) == ["cron two"]


def test_part_that_a_live_part_refers_to_is_the_one_of_the_release(able: Place, agent: Client) -> None:
    config = INSTANCE + entry(able, "cron", "${instance:location}/run")
    make(able, agent, ONE, config, "instance", live_parts=["cron"])
    assert golive(agent, ONE).result["state"] == "good"
    assert table(able) == [f"cron {able.path}/parts/instance/run"]
    assert (able.path / "parts/instance/made").exists()
    assert list((able.path / ".hostout/live/parts").iterdir()) == []
    make(able, agent, TWO, config, "instance", live_parts=["cron"])
    assert "Updating cron." in golive(agent, TWO).lines()
    assert table(able) == [f"cron {able.path}/parts/instance/run"]


def test_part_that_nobody_else_builds_is_built_with_the_live_part(able: Place, agent: Client) -> None:
    make(able, agent, ONE, INSTANCE + entry(able, "cron", "${instance:location}/run"), live_parts=["cron"])
    assert golive(agent, ONE).result["state"] == "good"
    assert table(able) == [f"cron {able.path}/.hostout/live/parts/instance/run"]
    assert (able.path / ".hostout/live/parts/instance/made").exists()


def test_live_part_that_refers_to_a_sudo_part_is_refused(able: Place, agent: Client) -> None:
    config = entry(able, "init", "boot") + entry(able, "cron", "${init:text}")
    make(able, agent, ONE, config, live_parts=["cron"], sudo_parts=["init"])
    reply = golive(agent, ONE)
    assert reply.message.endswith("nothing is live")
    assert any("Referenced option does not exist: init text" in line for line in reply.lines())
    assert table(able) == []


def test_live_part_that_cannot_be_built_takes_the_release_back(able: Place, agent: Client) -> None:
    live(able, agent, ONE, "one")
    make(able, agent, TWO, entry(able, "cron", "two", "fails = yes"), live_parts=["cron"])
    reply = golive(agent, TWO)
    config = able.path / ".hostout/live/buildout.cfg"
    assert reply.message.startswith(f"bin/buildout -U -N -c {config} failed (status 1)")
    assert reply.message.endswith(f"{ONE} is live again")
    assert reply.last["tail"][-1] == "this part cannot be built"
    assert table(able) == ["cron one"]
    assert (able.path / "current").readlink() == Path("releases", ONE)


def test_sudo_parts_have_a_folder_of_their_own(able: Place, agent: Client) -> None:
    config = entry(able, "cron", "c") + entry(able, "init", "i")
    make(able, agent, ONE, config, live_parts=["cron"], sudo_parts=["init"])
    assert golive(agent, ONE).result["state"] == "good"
    assert table(able) == ["cron c", "init i"]
    kept = [(able.path / ".hostout" / name / "installed.cfg").read_text() for name in ("live", "sudo")]
    assert ["[cron]" in kept[0], "[init]" in kept[0], "[cron]" in kept[1], "[init]" in kept[1]] == [1, 0, 0, 1]
    make(able, agent, TWO, config, live_parts=["cron"])
    golive(agent, TWO)
    assert table(able) == ["cron c"]


def test_script_of_a_live_part_is_in_path_and_is_no_data(able: Place, agent: Client) -> None:
    for name in (ONE, TWO):
        make(able, agent, name, entry(able, "cron", "c", "script = yes"), live_parts=["cron"])
        assert golive(agent, name, strays=[]).result["state"] == "good"
        assert (able.path / "bin/cron").is_file()
    assert table(able) == ["cron c"]
    make(able, agent, THREE)
    assert golive(agent, THREE, strays=[]).result["state"] == "good"
    assert not os.path.lexists(able.path / "bin/cron")


def test_script_that_the_release_builds_itself_now_stays(able: Place, agent: Client) -> None:
    config = entry(able, "cron", "c", "script = yes")
    make(able, agent, ONE, config, live_parts=["cron"])
    golive(agent, ONE)
    make(able, agent, TWO, config, "cron")
    assert table(able) == ["cron c", "cron c"]
    assert "Uninstalling cron." in golive(agent, TWO).lines()
    assert table(able) == ["cron c"]
    assert (able.path / "bin/cron").is_file()


def test_configuration_of_live_parts_is_nobodys_to_read(able: Place, agent: Client) -> None:
    live(able, agent, ONE, "one")
    assert (able.path / ".hostout/live/buildout.cfg").stat().st_mode & 0o777 == 0o600


def test_record_that_root_did_not_write_makes_nothing_as_root(able: Place, agent: Client) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can refuse to be root")
    make(able, agent, ONE, entry(able, "cron", "c") + entry(able, "init", "i"), live_parts=["cron"])
    path = able.path / "releases" / ONE / "release.json"
    path.write_text(json.dumps({**able.record(ONE), "sudo_parts": ["init"]}))
    os.chown(path, 65534, 65534)
    assert golive(agent, ONE).result["state"] == "good"
    assert table(able) == ["cron c"]
    assert not (able.path / ".hostout/sudo").exists()


def test_folder_that_its_owner_laid_there_is_not_built_in(able: Place, agent: Client) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can be led astray")
    make(able, agent, ONE, entry(able, "init", "i"), sudo_parts=["init"])
    (able.path / ".hostout/sudo").symlink_to(able.root)
    message = golive(agent, ONE).message
    assert message.startswith(f"{able.path}/.hostout/sudo: ")
    assert message.endswith("nothing is live")
    assert table(able) == []
    assert not (able.root / "buildout.cfg").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root builds as one user and runs as another")
def test_recipes_of_live_parts_outlive_a_clean_up_so_that_one_can_go_back(
    place: Place, wheels: list[Path], tmp_path: Path
) -> None:
    if not Path("/usr/bin/python3").exists():
        pytest.skip("needs a Python that others can run")
    place.python = "/usr/bin/python3"
    agent = place.agent(effective_user="nobody", buildout_user="daemon")
    agent.request("layout")
    recipe = recipe_wheel(tmp_path, "hostouttesttable")
    send_files(agent, [*((wheel.read_bytes(), wheel.name) for wheel in wheels), recipe], "dist")
    assert agent.request("environment", environment("env", wheels)).result
    (place.root / "table").touch()
    (place.root / "table").chmod(0o666)
    for name in (ONE, TWO):
        dists = [record(place.dist / recipe[1])]
        make(place, agent, name, entry(place, "cron", name), live_parts=["cron"], dists=dists)
        assert golive(agent, name).result["state"] == "good"
    (egg,) = (place.cache / "eggs/v5").glob("hostouttesttable-*.egg")
    ago(egg, 3)
    assert agent.request("clean", {"keep": 5}).result["eggs"] == []
    # nobody could not make it anew
    assert agent.request("rollback", {}).result["name"] == ONE
    assert table(place) == [f"cron {ONE}"]
