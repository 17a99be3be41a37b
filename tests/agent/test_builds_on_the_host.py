"""A real buildout builds a release in its folder, with what was sent and nothing else."""

from __future__ import annotations

import fcntl
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from agentclient import (
    Place,
    built,
    environment,
    fetched,
    recipe_wheel,
    send_files,
    sha256,
    stage,
    stage_doing,
    step,
    until,
)
from filling import record
from hostout.agent.tree import opened
from wheelsamples import plain

pytestmark = pytest.mark.buildout

NAME = "0001-aaaaaaaa"


def test_environment_is_made_from_wheels_without_pip(place: Place, python: str) -> None:
    place.python, wheels = python, fetched(python)
    agent = place.agent(environment="key")
    agent.request("layout")
    send_files(agent, [(wheel.read_bytes(), wheel.name) for wheel in wheels], "dist")
    args = environment("key", wheels)
    found = agent.request("environment", args).result["python"]
    assert found == str(place.cache / "buildout/key/bin/python")
    say = "import sys, zc.buildout as z, pip; print(sys.prefix, sys.executable, z.__file__, pip.__file__, sep='\\n')"
    said = subprocess.run([found, "-I", "-c", say], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[:2] == [str(place.cache / "buildout/key"), found]
    assert all(path.startswith(f"{place.cache}/buildout/key/lib/python") for path in said[2:])
    assert agent.request("facts").result["facts"]["environment"]
    assert agent.request("environment", args).result["python"] == found
    assert [path.name for path in (place.cache / "buildout").iterdir()] == ["key"]


def test_environment_that_somebody_else_has_just_mended_is_left_alone(place: Place, wheels: list[Path]) -> None:
    agent = place.agent()
    agent.request("layout")
    send_files(agent, [(wheel.read_bytes(), wheel.name) for wheel in wheels], "dist")
    environments = place.cache / "buildout"
    target = environments / "key"
    # its Python is gone
    (target / "bin").mkdir(parents=True)
    with opened(environments) as folder:
        fcntl.flock(folder, fcntl.LOCK_EX)
        agent.send("environment", environment("key", wheels))
        for _ in until("it is about to replace it"):
            if waits(environments):
                break
        (target / "bin/python").symlink_to(sys.executable)
        there = target.stat().st_ino
    assert agent.reply().result["python"] == str(target / "bin/python")
    assert target.stat().st_ino == there
    assert [path.name for path in environments.iterdir()] == ["key"]


def waits(folder: Path) -> bool:
    """Whether somebody else has the folder open, whose lock we hold."""
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if path.parts[2] != str(os.getpid()) and path.readlink() == folder:
                return True
        except OSError:
            # gone meanwhile, or nobody's business
            continue
    return False


def test_environment_needs_its_wheels(place: Place) -> None:
    agent = place.agent(environment="key")
    agent.request("layout")
    args = {"key": "key", "wheels": [{"filename": "x-1.whl", "sha256": sha256(b"no zip")}]}
    assert agent.request("environment", args).message == f"{place.dist / 'x-1.whl'} is not there"
    send_files(agent, [(b"no zip", "x-1.whl")], "dist")
    assert "x-1.whl is no wheel" in agent.request("environment", args).message
    assert list((place.cache / "buildout").iterdir()) == []
    assert not agent.request("facts").result["facts"]["environment"]


def test_environment_is_made_of_the_wheels_that_are_meant_and_no_others(place: Place, tmp_path: Path) -> None:
    agent = place.agent()
    agent.request("layout")
    tested, other = plain().make(tmp_path), plain(text="x = 2\n").make(place.dist)
    message = agent.request("environment", environment("key", [tested])).message
    digests = [sha256(path.read_bytes()) for path in (other, tested)]
    assert message == "{} is damaged on the host: its sha256 is {}, not {}".format(tested.name, *digests)
    assert list((place.cache / "buildout").iterdir()) == []
    send_files(agent, [(tested.read_bytes(), tested.name)], "dist")
    assert agent.request("environment", environment("key", [tested])).result


def test_python_that_the_owner_of_the_cache_cannot_read_is_named(place: Place, tmp_path: Path) -> None:
    readable = "import os; os.setuid(65534); open(os.__file__)"
    if os.getuid() != 0 or subprocess.run([sys.executable, "-c", readable], check=False).returncode == 0:
        pytest.skip("needs root, and a Python of root's own")
    agent = place.agent(effective_user="nobody")
    agent.request("layout")
    wheel = plain().make(tmp_path)
    send_files(agent, [(wheel.read_bytes(), wheel.name)], "dist")
    said = f"user nobody cannot read {Path(os.__file__).parent}, the Python that runs hostout on this host: "
    assert agent.request("environment", environment("key", [wheel])).message.startswith(said)


def test_wheel_that_would_write_elsewhere_is_refused(place: Place) -> None:
    agent = place.agent()
    agent.request("layout")
    path = place.root / "x-1.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../../escaped", "")
    send_files(agent, [(path.read_bytes(), path.name)], "dist")
    said = agent.request("environment", environment("key", [path])).message
    assert "has a member that is outside of it" in said
    assert list(place.cache.rglob("escaped")) == []


def test_buildout_builds_a_release(place: Place, stocked: Callable[[str], Path], python: str) -> None:
    place.python = python
    place.extra["cache"] = str(stocked(python))
    agent = place.agent()
    agent.request("layout")
    assert stage(place, agent, NAME, {}).result
    reply = agent.request("build", {"name": NAME, "commands": ["echo as root; pwd"], "arguments": ["-v"]})
    log = place.path / ".hostout/jobs" / f"{NAME}.log"
    assert reply.result == {"state": "built", "log": str(log)}
    assert reply.lines("run")[-1] == "bin/buildout -U -N -c buildout.cfg -v"
    assert reply.lines()[:2] == ["as root", str(place.path)]
    assert log.read_text().startswith(f"$ echo as root; pwd\nas root\n{place.path}\n$ bin/buildout -U")
    assert place.state(NAME) == "built"
    assert (place.path / "releases" / NAME / "develop-eggs").is_dir()
    by_hand = subprocess.run(["bin/buildout", "-c", "buildout.cfg"], cwd=place.path / "releases" / NAME, check=False)
    assert by_hand.returncode == 0
    assert agent.request("golive", {"name": NAME, "start": [step("true")]}).result["state"] == "good"


def test_script_works_where_the_path_is_too_long_for_the_kernel(ready: Place, wheels: list[Path]) -> None:
    del ready.extra["cache"]
    ready.root = ready.root / ("long name " * 14)
    agent = ready.agent()
    agent.request("layout")
    send_files(agent, [(wheel.read_bytes(), wheel.name) for wheel in wheels], "dist")
    agent.request("environment", environment("env", wheels))
    assert stage(ready, agent, NAME, {}).result
    script = ready.path / "releases" / NAME / "bin/buildout"
    said = subprocess.run([script, "--version"], capture_output=True, text=True, check=False)
    assert said.stdout.startswith("buildout version"), said


def test_buildout_runs_with_recipes_from_the_cache(able: Place) -> None:
    agent = able.agent()
    code = "pathlib.Path('var/made').write_text(repr(sorted(os.environ)))"
    stage_doing(able, agent, code)
    assert agent.request("build", {"name": NAME}).result["state"] == "built"
    seen = (able.path / "var/made").read_text()
    assert "PIP_NO_INDEX" in seen and "SSH" not in seen
    assert list((able.cache / "eggs/v5").glob("doing-1.0-*.egg"))


def test_nobodys_defaults_change_what_is_built(able: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "default.cfg").write_text("[buildout]\nextensions = not.there\n")
    monkeypatch.setenv("BUILDOUT_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    agent = able.agent()
    assert built(able, agent, NAME, {})


def test_failed_build_says_what_failed_and_stays_staging(able: Place) -> None:
    agent = able.agent()
    stage_doing(able, agent, "raise ValueError('no such thing')")
    last = agent.request("build", {"name": NAME}).last
    assert last["message"] == "bin/buildout -U -N -c do.cfg failed (status 1)"
    assert last["command"] == "bin/buildout -U -N -c do.cfg"
    assert any("no such thing" in line for line in last["tail"])
    assert "no such thing" in Path(last["log"]).read_text()
    assert able.state(NAME) == "staging"
    assert able.agent().facts["live"] is None


def test_what_is_missing_is_one_error_and_no_network(able: Place) -> None:
    agent = able.agent()
    files: dict[str, bytes | tuple[bytes, int]] = {
        "more.cfg": b"[buildout]\nextends = buildout.cfg\nparts = x\n[versions]\nnot-there=1\n[x]\nrecipe = not-there\n"
    }
    assert stage(able, agent, NAME, files, config="more.cfg").result
    last = agent.request("build", {"name": NAME}).last
    assert any("not-there" in line for line in last["tail"])


def test_build_command_that_fails_ends_the_build(able: Place) -> None:
    agent = able.agent()
    stage(able, agent, NAME, {})
    assert (
        agent.request("build", {"name": NAME, "commands": ["false"]}).message
        == "build-command failed (status 1): false"
    )
    assert able.state(NAME) == "staging"


def test_only_what_is_new_is_built(able: Place) -> None:
    agent = able.agent()
    assert agent.request("build", {"name": NAME}).message == f"there is no release {NAME} in {able.path}/releases"
    built(able, agent, NAME, {})
    assert agent.request("build", {"name": NAME}).result["state"] == "built"
    agent.request("golive", {"name": NAME})
    assert agent.request("build", {"name": NAME}).message == f"release {NAME} is good: only a new one is built"


def test_build_goes_on_when_the_client_goes(able: Place) -> None:
    agent = able.agent()
    stage_doing(able, agent, "[os.system('sleep 0.1; echo working') for _ in range(15)]")
    agent.send("build", {"name": NAME})
    while agent.event().get("text") != "working":
        pass
    agent.hang_up()
    for _ in until("it is built"):
        if able.state(NAME) == "built":
            break
    assert able.agent(lock_wait=30).request("owners").result == {}
    assert [line["state"] for line in able.ledger() if line["what"] == "build"] == ["built"]


def test_lock_is_held_by_a_build_that_outlives_its_agent(able: Place) -> None:
    agent = able.agent()
    go = able.root / "go"
    # a build that outlives an aborted test run ends with its folder
    waits = f"while test -d {able.root} -a ! -e {go}; do sleep 0.05; done"
    stage_doing(able, agent, f"print('working', flush=True); os.system('{waits}')")
    agent.send("build", {"name": NAME})
    while agent.event().get("text") != "working":
        pass
    agent.process.kill()
    agent.process.wait()
    assert able.agent().request("owners").message.startswith("locked: alice on laptop")
    go.touch()
    assert able.agent(lock_wait=30).request("owners").result == {}
    assert able.state(NAME) == "built"


def test_client_can_cancel_a_build(able: Place) -> None:
    agent = able.agent()
    stage_doing(able, agent, "print('working', flush=True); os.system('sleep 300')")
    agent.send("build", {"name": NAME})
    while agent.event().get("text") != "working":
        pass
    agent.raw(b'{"do": "cancel"}\n')
    assert agent.reply().message == "bin/buildout -U -N -c do.cfg failed (cancelled)"
    assert able.state(NAME) == "staging"


def test_two_owners_share_var(place: Place, wheels: list[Path], tmp_path: Path) -> None:
    if os.getuid() != 0 or not Path("/usr/bin/python3").exists():
        pytest.skip("only root can build as another user, with a Python that others can run")
    place.python = "/usr/bin/python3"
    agent = place.agent(effective_user="nobody", buildout_user="daemon")
    agent.request("layout")
    send_files(agent, [*((wheel.read_bytes(), wheel.name) for wheel in wheels), recipe_wheel(tmp_path)], "dist")
    agent.request("environment", environment("env", wheels))
    stage_doing(place, agent, "os.makedirs('var/log'); pathlib.Path('var/log/a').write_text('x')")
    assert agent.request("build", {"name": NAME}).result["state"] == "built"
    release = place.path / "releases" / NAME
    assert (release / ".installed.cfg").stat().st_uid == 1
    assert {path.stat().st_uid for path in (place.cache / "eggs").rglob("*")} == {1}
    assert (place.path / "var/log").stat().st_uid == (place.path / "var/log/a").stat().st_uid == 65534
    assert agent.request("command", step("echo more >> log/a && touch log/b", cwd="var")).result


def test_source_distribution_is_built_where_the_cache_has_a_blank_in_its_path(place: Place, wheels: list[Path]) -> None:
    place.extra["cache"] = str(place.root / "srv" / "my cache, 50 % für uns")
    agent = place.agent()
    agent.request("layout")
    setup = b"from setuptools import setup\nsetup(name='hostouttest-sdist', version='1.0', py_modules=['one'])\n"
    about = b"Metadata-Version: 1.0\nName: hostouttest-sdist\nVersion: 1.0\n"
    contents = {"PKG-INFO": about, "setup.py": setup, "one.py": b""}
    source = place.root / "hostouttest-sdist-1.0.tar.gz"
    with tarfile.open(source, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"hostouttest-sdist-1.0/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    send_files(agent, [(path.read_bytes(), path.name) for path in (*wheels, source)], "dist")
    agent.request("environment", environment("env", wheels))
    assert stage(place, agent, NAME, {}, dists=[record(source)]).result
    assert agent.request("build", {"name": NAME}).result["state"] == "built"
    assert [path.name[:18] for path in (place.cache / "eggs/v5").glob("*.egg")] == ["hostouttest_sdist-"]
