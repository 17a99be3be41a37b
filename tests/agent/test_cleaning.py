"""Tidying up: what goes, what never does, and what a clean-up that fails leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentclient import Client, Place, built
from filling import Filler
from onhost import ago, cached, everything, live, names, released
from wheelsamples import plain

EGG, OTHER = "a-1.0-py3.11.egg", "b.c-2.0+h1a2b-py3.11.egg"


@pytest.fixture
def agent(place: Place) -> Client:
    agent = place.agent()
    agent.request("layout")
    # from now on what is in the cache is ours
    assert agent.request("owners").result == {}
    return agent


def clean(agent: Client, keep: int = 1) -> dict[str, Any]:
    return agent.request("clean", {"keep": keep}).result


def kept(result: dict[str, Any]) -> dict[str, str]:
    """Why which release stays."""
    return {each["name"]: each["why"] for each in result["kept"]}


@contextmanager
def using(*argv: str, cwd: Path = Path("/"), **popen: Any) -> Iterator[None]:
    """A process that has to do with a folder in one of the ways there are."""
    process = subprocess.Popen([*argv], cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **popen)
    try:
        assert process.stdout is not None
        process.stdout.read(1)
        yield
    finally:
        process.communicate(timeout=30)


def waiting(code: str = "") -> tuple[str, str, str]:
    """A program that does something and waits until it is told to end."""
    return sys.executable, "-c", f"import sys\n{code}\nprint('x', flush=True)\nsys.stdin.read()"


def test_good_releases_beyond_those_to_keep_go_and_bad_ones_with_them(place: Place, agent: Client) -> None:
    states = ["good", "live", "bad", "staging", "built", "good", "good", "good"]
    every = [released(place, number, state) for number, state in enumerate(states, 1)]
    live(place, every[-1])
    result = clean(agent, keep=2)
    assert result["releases"] == every[:6]
    assert names(place) == every[6:]
    assert result["kept"] == []
    assert result["bytes"] > 0
    assert clean(agent, keep=2)["releases"] == []


def test_live_release_stays_also_where_newer_ones_are_good(place: Place, agent: Client) -> None:
    every = [released(place, number) for number in range(1, 6)]
    live(place, every[1])
    assert clean(agent, keep=2)["releases"] == [every[0], every[2]]
    assert names(place) == [every[1], every[3], every[4]]


def test_what_is_newer_than_the_live_one_waits_a_day(place: Place, agent: Client) -> None:
    live(place, released(place, 1))
    waits = [released(place, 2, "built", 30), released(place, 3, "staging", 0.5), released(place, 4, "bad", 0.9)]
    old = [released(place, 5, "staging", days=2), released(place, 6, "bad", days=2)]
    result = clean(agent)
    assert result["releases"] == old
    assert kept(result) == dict.fromkeys(waits, "it is newer than the live one")


def test_release_with_files_that_nobody_deployed_stays_and_they_are_named(place: Place, agent: Client) -> None:
    one, two, three = (released(place, number) for number in (1, 2, 3))
    live(place, released(place, 4))
    folder = place.path / "releases"
    (folder / one / "media").mkdir()
    (folder / one / "media/photo").write_text("precious")
    (folder / two / "var").unlink()
    (folder / two / "var").mkdir()
    (folder / three / "parts/app/__pycache__").mkdir()
    result = clean(agent)
    assert result["releases"] == [three]
    assert kept(result) == {
        one: "in it is media/, made by neither hostout nor buildout",
        two: "in it is var, made by neither hostout nor buildout",
    }
    assert (folder / one / "media/photo").read_text() == "precious"


def test_release_in_which_files_were_changed_stays_and_they_are_named(place: Place, agent: Client) -> None:
    one, two = (released(place, number) for number in (1, 2))
    live(place, released(place, 3))
    folder = place.path / "releases"
    (folder / one / "parts/app/made.txt").write_text("written by the application")
    (folder / two / "parts/app/made.txt").unlink()
    result = clean(agent)
    assert result["releases"] == [two]
    assert kept(result) == {one: "parts/app/made.txt was changed in it since it was built"}
    assert (folder / one / "parts/app/made.txt").read_text() == "written by the application"


def test_release_of_which_nobody_knows_what_belongs_to_it_stays(place: Place, agent: Client) -> None:
    one, two, three = (released(place, number, state) for number, state in enumerate(("good", "bad", "good"), 1))
    live(place, released(place, 4))
    folder = place.path / "releases"
    for name in (one, two, three):
        (folder / name / ".manifest.json").unlink()
    for path in (folder / three / "release.json", folder / three / "parts/app/made.txt"):
        path.unlink()
    result = clean(agent)
    # a bad one never had an application's data, and the last one is empty
    assert result["releases"] == [two, three]
    assert kept(result) == {one: "nobody wrote down what belongs to it: remove it by hand"}


def test_adopted_release_and_foreign_folders_are_never_removed(place: Place, agent: Client) -> None:
    live(place, released(place, 1))
    for name in ("0000-adopted", "backup of bob", ".snapshot"):
        (place.path / "releases" / name).mkdir()
        ago(place.path / "releases" / name, 99)
    result = clean(agent)
    assert (result["releases"], result["kept"]) == ([], [])
    assert names(place) == [".snapshot", "0000-adopted", "0001-00000001", "backup of bob"]


def test_nothing_is_removed_where_nothing_is_live(place: Place, agent: Client) -> None:
    every = [released(place, number) for number in (1, 2, 3)]
    result = clean(agent)
    assert kept(result) == dict.fromkeys(every, "nothing is live")
    assert names(place) == every


@pytest.mark.parametrize("keep", [0, -1])
def test_at_least_one_good_release_is_kept(place: Place, agent: Client, keep: int) -> None:
    assert agent.request("clean", {"keep": keep}).message == f"at least one good release is kept, not {keep}"


@pytest.mark.parametrize("how", ["cwd", "program", "argument", "file"])
def test_release_that_a_process_uses_stays(place: Place, agent: Client, how: str) -> None:
    old = place.path / "releases" / released(place, 1)
    live(place, released(place, 2))
    (old / "parts/app/program").symlink_to(sys.executable)
    ways = {
        "cwd": using(*waiting(), cwd=old / "parts"),
        "program": using(*waiting(), executable=old / "parts/app/program"),
        "argument": using(*waiting(), f"-c{old}/parts/supervisor.conf"),
        "file": using(*waiting(f"kept = open('{old}/parts/app/made.txt')")),
    }
    if how == "program":
        (old / "parts/app/program").unlink()
        subprocess.run(["cp", os.path.realpath(sys.executable), str(old / "parts/app/program")], check=True)
        (old / ".manifest.json").unlink()
    with ways[how]:
        assert kept(clean(agent)) == {old.name: "a process uses it"}
        assert (old / "parts/app/made.txt").exists()


def test_release_goes_when_its_last_process_has_ended(place: Place, agent: Client) -> None:
    old = released(place, 1)
    live(place, released(place, 2))
    with using(*waiting(), cwd=place.path / "releases" / old):
        assert clean(agent)["releases"] == []
    assert clean(agent)["releases"] == [old]


def test_other_file_system_in_a_release_is_not_emptied(place: Place, agent: Client) -> None:
    old = place.path / "releases" / released(place, 1)
    live(place, released(place, 2))
    (old / "parts/my files").mkdir()
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(old / "parts/my files")]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting needs root")
    try:
        assert kept(clean(agent)) == {old.name: "another file system is mounted in it"}
    finally:
        subprocess.run(["umount", str(old / "parts/my files")], check=True)


def test_folders_that_their_owner_may_not_write_go_as_well(place: Place, agent: Client) -> None:
    old = place.path / "releases" / released(place, 1)
    live(place, released(place, 2))
    (old / "parts/app").chmod(0o555)
    assert clean(agent)["releases"] == [old.name]
    assert names(place) == ["0002-00000002"]


def test_clean_up_that_fails_leaves_no_half_release_and_is_finished_the_next_time(place: Place, agent: Client) -> None:
    old = place.path / "releases" / released(place, 1)
    live(place, released(place, 2))
    if subprocess.run(["chattr", "+i", str(old / "parts/app/made.txt")], check=False).returncode:
        pytest.skip("a file that cannot be removed needs root, and a file system that has such")
    try:
        reply = agent.request("clean", {"keep": 1})
    finally:
        (stuck,) = place.path.glob("releases/*0001*/parts/app/made.txt")
        subprocess.run(["chattr", "-i", str(stuck)], check=True)
    assert reply.result["releases"] == [old.name]
    assert "could not be removed" in reply.lines("warning")[0]
    assert [each["name"] for each in agent.request("releases").result["releases"]] == ["0002-00000002"]
    assert len(names(place)) == 2
    assert clean(agent)["releases"] == []
    assert names(place) == ["0002-00000002"]


def test_leftovers_of_interrupted_deployments_go_after_a_day(place: Place, agent: Client) -> None:
    live(place, released(place, 1))
    digest = "0" * 63
    incoming, releases = place.path / ".hostout/incoming", place.path / "releases"
    for folder in (incoming / ".partial", place.cache / "downloads/.partial"):
        folder.mkdir()
    old = [
        incoming / f"{digest}1",
        incoming / ".partial" / f"{digest}2",
        place.cache / "downloads/.partial" / f"{digest}3",
        releases / ".0002-bbbbbbbb.0123abcd",
        place.cache / "eggs/v5/.fill-0123",
        place.cache / "buildout/.key.0123abcd",
    ]
    young = [path.with_name(path.name[:-1] + "9") for path in old]
    for path in old + young:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch() if "0000" in path.name and "-" not in path.name else path.mkdir()
        ago(path, 2 if path in old else 0.9)
    (place.path / ".current.0123abcd").symlink_to("releases/0007-77777777")
    ago(place.path / ".current.0123abcd", 2)
    clean(agent)
    assert [path for path in old if path.exists()] == []
    assert [path for path in young if not path.exists()] == []
    assert not (place.path / ".current.0123abcd").is_symlink()


def test_logs_of_removed_releases_go_but_for_the_newest(place: Place, agent: Client) -> None:
    live(place, released(place, 99))
    jobs = place.path / ".hostout/jobs"
    for number in range(1, 31):
        for kind in ("log", "json"):
            (jobs / f"{number:04d}-{number:08x}.{kind}").touch()
            ago(jobs / f"{number:04d}-{number:08x}.{kind}", 100 - number)
    for name in ("0099-00000063.log", "commands.log"):
        (jobs / name).touch()
        ago(jobs / name, 200)
    clean(agent)
    left = {path.name for path in jobs.iterdir()}
    assert left == {
        "0099-00000063.log",
        "commands.log",
        *(f"{number:04d}-{number:08x}.{kind}" for number in range(11, 31) for kind in ("log", "json")),
    }


def test_what_no_release_refers_to_goes_from_the_cache(place: Place, agent: Client) -> None:
    script = f"sys.path[0:0] = ['{place.cache}/eggs/v5/{EGG}']"
    dists, tools = [{"filename": "a-1.0.whl"}], [{"filename": "pip-1.whl"}]
    live(place, released(place, 1, made={"bin/app": script}, dists=dists, environment_dists=tools, environment="k1"))
    stay = [f"eggs/v5/{EGG}", "downloads/dist/a-1.0.whl", "downloads/dist/pip-1.whl", "buildout/k1"]
    go = [f"eggs/v5/{OTHER}", "downloads/dist/a-0.9.whl", "buildout/k0"]
    cached(place, *stay, *go)
    result = clean(agent)
    assert (result["eggs"], result["downloads"], result["environments"]) == ([OTHER], ["a-0.9.whl"], ["k0"])
    assert result["cache"] is None
    assert result["bytes"] >= 5000
    assert [name for name in stay if not (place.cache / name).exists()] == []
    assert [name for name in go if (place.cache / name).exists()] == []


def test_egg_that_somebody_else_made_stays_as_nobody_knows_who_needs_it(place: Place, agent: Client) -> None:
    live(place, released(place, 1))
    filler, ours, found = Filler(place), plain(), plain(2)
    dists = filler.send(ours, found)
    filler.fill(dists)
    (filler.folder.parent / ".hostout/v5" / f"{filler.egg(found).name}.json").unlink()
    # it is taken where it is equal
    filler.fill(dists)
    cached(place, f"eggs/v5/{EGG}", "eggs/v5/.snapshot", made=False)
    for egg in (ours, found):
        ago(filler.egg(egg), 2)
    assert clean(agent)["eggs"] == [filler.egg(ours).name]
    assert filler.there() == [".snapshot", EGG, filler.egg(found).name]


def test_what_would_be_removed_is_told_without_touching_anything(place: Place, agent: Client) -> None:
    released(place, 1, made={"bin/app": EGG})
    live(place, released(place, 2))
    cached(place, f"eggs/v5/{EGG}", "downloads/dist/a-1.0.whl", "buildout/k1")
    agent.end()
    before = everything(place.path, place.cache)
    looking = place.agent()
    told = looking.request("would_clean", {"keep": 1}).result
    assert everything(place.path, place.cache) == before
    assert (told["releases"], told["eggs"], told["downloads"]) == (["0001-00000001"], [EGG], ["a-1.0.whl"])
    assert clean(looking) == told


def test_what_is_younger_than_a_day_stays_in_the_cache(place: Place, agent: Client) -> None:
    live(place, released(place, 1))
    cached(place, f"eggs/v5/{EGG}", "downloads/dist/a-1.0.whl", "buildout/k1", days=0.9)
    result = clean(agent)
    assert (result["eggs"], result["downloads"], result["environments"], result["cache"]) == ([], [], [], None)


@pytest.mark.parametrize("where", ["bin/app", "parts/app/site.py", "develop-eggs/a.egg-link", ".installed.cfg"])
def test_egg_that_a_text_alone_names_stays(place: Place, agent: Client, where: str) -> None:
    texts = [f"x\nb = join(base, 'eggs/v5/{OTHER}')\n", f"eggs = /elsewhere/{EGG}\n"]
    live(place, released(place, 1, made={where: texts[0]}))
    # and what buildout wrote into path itself
    (place.path / where).parent.mkdir(parents=True, exist_ok=True)
    (place.path / where).write_text(texts[1])
    cached(place, f"eggs/v5/{EGG}", f"eggs/v5/{OTHER}", "eggs/v5/c-1-py3.11.egg")
    assert clean(agent)["eggs"] == ["c-1-py3.11.egg"]


@pytest.mark.parametrize("where", ["parts/omelette/a", "bin/tool"])
def test_egg_that_only_a_link_leads_to_stays(place: Place, agent: Client, where: str) -> None:
    name = live(place, released(place, 1))
    link = place.path / "releases" / name / where
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(place.cache / "eggs/v5" / EGG / "a")
    cached(place, f"eggs/v5/{EGG}", f"eggs/v5/{OTHER}")
    assert clean(agent)["eggs"] == [OTHER]


@pytest.mark.parametrize("where", ["live/installed.cfg", "live/parts/cron/run", "sudo/installed.cfg"])
def test_egg_of_a_part_that_is_built_outside_of_releases_stays(place: Place, agent: Client, where: str) -> None:
    live(place, released(place, 1))
    text = place.path / ".hostout" / where
    text.parent.mkdir(parents=True)
    text.write_text(f"__buildout_signature__ = {EGG}\n")
    cached(place, f"eggs/v5/{EGG}", f"eggs/v5/{OTHER}")
    assert clean(agent)["eggs"] == [OTHER]


def test_egg_that_a_kept_release_was_made_from_stays_also_where_no_text_names_it(place: Place, agent: Client) -> None:
    of_old, of_live, of_none = EGG, "hostouttest_b-2.0.1-py3.11-linux-x86_64.egg", "hostouttest_c-1.0-py3.11.egg"
    released(place, 1, dists=[{"filename": "hostouttest-c-1.0.tar.gz"}])
    released(place, 2, dists=[{"filename": "A-1.0.0.tar.gz"}])
    live(place, released(place, 3, dists=[{"filename": "Hostouttest.b-2.00.1-py3-none-any.whl"}, "damaged"]))
    cached(place, *(f"eggs/v5/{egg}" for egg in (of_old, of_live, of_none)))
    result = clean(agent, keep=2)
    assert (result["releases"], result["eggs"]) == (["0001-00000001"], [of_none])


def test_egg_that_a_process_uses_stays(place: Place, agent: Client) -> None:
    live(place, released(place, 1))
    cached(place, f"eggs/v5/{EGG}")
    with using(*waiting(), cwd=place.cache / f"eggs/v5/{EGG}"):
        assert clean(agent)["eggs"] == []


@pytest.mark.buildout
def test_deployments_tidy_up_after_themselves_and_rolling_back_still_works(ready: Place) -> None:
    agent = ready.agent()
    agent.request("layout")
    every = [f"{number:04d}-{number:08x}" for number in (1, 2, 3)]
    for name in every:
        built(ready, agent, name, {"a.cfg": name.encode()})
        assert agent.request("golive", {"name": name, "keep": 2}).result["state"] == "good"
    assert names(ready) == every[1:]
    assert agent.request("rollback", {"to": None, "force": False}).result["name"] == every[1]
    assert (ready.path / "current/a.cfg").read_text() == every[1]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be led astray")
def test_folder_of_peoples_in_path_stays_whatever_its_name_looks_like(place: Place, agent: Client) -> None:
    live(place, released(place, 1))
    backup = place.path / ".backup.20261122"
    backup.mkdir()
    (backup / "Data.fs").write_text("data")
    ago(backup, 9)
    clean(agent)
    assert (backup / "Data.fs").read_text() == "data"


def test_links_of_the_owner_lead_no_clean_up_astray(place: Place, root: Path) -> None:
    agent = place.agent(effective_user="nobody")
    agent.request("layout")
    secret = root / "secret"
    for name in ("incoming", "0001-00000001", "v5/old.egg"):
        (secret / name).mkdir(parents=True)
        (secret / name / "key").write_text("mine")
        ago(secret / name, 9)
    ago(secret / "incoming/key", 9).rename(secret / "incoming" / ("0" * 64))
    ago(secret / "incoming" / ("0" * 64), 9)
    live(place, released(place, 2))
    (place.path / "releases/0001-00000001").symlink_to(secret / "0001-00000001")
    (place.path / ".hostout/incoming").rename(place.path / "away")
    (place.path / ".hostout/incoming").symlink_to(secret / "incoming")
    (place.cache / "eggs/v5").symlink_to(secret / "v5")
    result = clean(agent)
    # the link itself goes, by no means what it leads to
    assert result["releases"] == ["0001-00000001"]
    assert sorted(str(path.relative_to(secret)) for path in secret.rglob("*")) == [
        "0001-00000001",
        "0001-00000001/key",
        "incoming",
        f"incoming/{'0' * 64}",
        "v5",
        "v5/old.egg",
        "v5/old.egg/key",
    ]
