"""Bytecode of what a release consists of: when it is compiled, by whom, and whom that disturbs (nobody)."""

from __future__ import annotations

import importlib.util
import itertools
import marshal
import os
import py_compile
import random
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agentclient import Client, Place, sha256, stage_doing, until
from hostout.agent import bytecode, compiling
from hostout.agent.shelf import Shelf
from hostout.agent.syncing import sync
from onhost import ago, everything, live, released
from smalldisk import failing

DIST = {"name": "a", "version": "1.0", "filename": "a-1.0-py3-none-any.whl", "sha256": "0" * 64, "develop": False}
TAG = "py{}.{}-{}".format(*sys.version_info[:2], sysconfig.get_platform())
FUNCTIONS = "\n".join(f"def f{number}(a, b):\n    return [a + {number} for c in b if c]" for number in range(500))
MANY = 200
PATIENT = 300.0
"""Seconds for what runs only when nobody else wants the machine, on a machine that many want."""


@pytest.fixture
def here(place: Place) -> Iterator[Place]:
    """A place with an egg, and an environment as far as running Python goes."""
    agent = place.agent()
    assert agent.request("layout").result["facts"]["path"]["kind"] == "hostout"
    agent.end()
    python = place.cache / "buildout/env/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    module(place, "a", "ONE = 1\n")
    module(place, "sub/b", "TWO = 2\n")
    source(packages(place) / "tool.py", "THREE = 3\n")
    yield place
    for pid in working(place):
        # it may have ended by itself meanwhile
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def source(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def egg(place: Place) -> Path:
    return place.cache / f"eggs/v5/a-1.0-{TAG}.egg"


def packages(place: Place) -> Path:
    return place.cache / "buildout/env/lib/python{}.{}/site-packages".format(*sys.version_info)


def module(place: Place, name: str, text: str) -> Path:
    return source(egg(place) / f"{name}.py", text)


def much(place: Place) -> list[Path]:
    """More than can be compiled while a test runs."""
    return [module(place, f"z/m{number}", FUNCTIONS) for number in range(MANY)]


def compiled(path: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(path)))


def ready(place: Place, number: int = 1, **more: Any) -> str:
    """A release of that egg that can go live."""
    return released(place, number, "built", environment="env", dists=[DIST], **more)


def compile_all(*tops: Path) -> str:
    """By the program itself, as a build does it; gives what it says."""
    source = compiling.program([*map(str, tops)], 2, 60, False).decode()
    argv = [sys.executable, "-I", "-S", "-B", "-"]
    return subprocess.run(argv, input=source, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout


def golive(place: Place, name: str, compile: str = "background", agent: Client | None = None) -> Client:
    agent = agent or place.agent()
    assert agent.request("golive", {"name": name, "stopped": False, "compile": compile}).result["state"] == "good"
    return agent


def working(place: Place) -> list[int]:
    """The processes that compile bytecode for anybody with this environment."""
    python = os.fsencode(place.cache / "buildout/env/bin/python")
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cmdline").read_bytes().startswith(python) and (path / "exe").exists():
                found.append(int(path.name))
        except OSError:
            # gone meanwhile
            continue
    return found


def wait_for(path: Path) -> None:
    for _ in until(f"{path} is there", PATIENT):
        if path.exists():
            return


def wait_until_it_writes(place: Place) -> None:
    """Until one of many is whole, whatever name it has by now, and another one at least begun."""
    for _ in until("it has written one, and goes on", PATIENT):
        if len([*(egg(place) / "z").glob("__pycache__/*")]) > 1:
            return


def wait_for_its_end(place: Place) -> None:
    for _ in until("it has ended", PATIENT):
        if not working(place):
            return


def unmade(place: Place) -> tuple[Path, list[dict[str, Any]]]:
    """The egg of the recipe, which other tests with this cache may have made, and the distributions that it is of."""
    # so may have whoever they left at work
    wait_for_its_end(place)
    made = place.cache / f"eggs/v5/doing-1.0-{TAG}.egg"
    shutil.rmtree(made, ignore_errors=True)
    (wheel,) = (place.cache / "downloads").rglob("doing-1.0-*.whl")
    digest = sha256(wheel.read_bytes())
    return made, [{"name": "doing", "version": "1.0", "filename": wheel.name, "sha256": digest, "develop": False}]


def compile_here(folder: Path) -> None:
    """In this process, which listens afterwards as it did before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        bytecode.main([str(folder)], 1, 60, False)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def pieces(top: Path) -> list[Path]:
    """What is left under other names than those that Python looks for."""
    return [*top.rglob("__pycache__/.*")]


def test_what_a_release_consists_of_is_compiled_once_it_is_live(here: Place) -> None:
    name = ready(here, made={"develop-eggs/made-1.0.egg/made.py": "FOUR = 4\n"})
    golive(here, name)
    made = here.path / "releases" / name / "develop-eggs/made-1.0.egg/made.py"
    for path in (egg(here) / "a.py", egg(here) / "sub/b.py", packages(here) / "tool.py", made):
        wait_for(compiled(path))
        assert path.stat().st_mode & 0o777 == stat.S_IMODE(compiled(path).stat().st_mode)


def test_python_takes_that_bytecode_for_its_own(here: Place) -> None:
    assert compile_all(egg(here)) == "2\n"
    path = egg(here) / "a.py"
    ours, its = compiled(path).read_bytes(), here.root / "its.pyc"
    py_compile.compile(str(path), str(its), doraise=True)
    assert ours[:16] == its.read_bytes()[:16]
    say = "import sys; sys.path.insert(0, sys.argv[1]); import a; print(a.ONE)"
    argv = [sys.executable, "-v", "-c", say, str(egg(here))]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout == "1\n" and f"matches {path}" in said.stderr


def test_nothing_is_compiled_where_nobody_wants_that(here: Place) -> None:
    golive(here, ready(here), "no")
    assert not working(here) and not compiled(egg(here) / "a.py").exists()


def test_it_waits_for_nobody_and_nobody_for_it(here: Place) -> None:
    late = much(here)
    agent = golive(here, ready(here))
    (pid,) = working(here)
    agent.hang_up()
    other = here.agent(lock_wait=0)
    assert other.request("owners").result == {}
    assert other.request("status").result["missing"] == []
    assert other.request("clean", {"keep": 1}).result["kept"] == []
    assert other.end() == 0 and working(here) == [pid]
    os.kill(pid, signal.SIGTERM)
    wait_for_its_end(here)
    assert any(not compiled(path).exists() for path in late)


def test_it_runs_when_nobody_else_wants_the_machine(here: Place) -> None:
    much(here)
    golive(here, ready(here))
    (pid,) = working(here)
    assert os.getsid(pid) == pid
    for _ in until("it has stepped back", PATIENT):
        if "idle" in subprocess.check_output(["ionice", "-p", str(pid)], text=True, timeout=60):
            break
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    group = Path(f"/proc/{pid}/autogroup")
    assert not group.exists() or group.read_text().endswith("nice 19\n")


def test_next_build_ends_it_and_loses_nothing(here: Place) -> None:
    late = much(here)
    agent = golive(here, ready(here))
    wait_until_it_writes(here)
    released(here, 2, "staging", environment="env", config="buildout.cfg")
    # there is no buildout to be run
    assert "cannot be started" in agent.request("build", {"name": "0002-00000002"}).message
    wait_for_its_end(here)
    done = [compiled(path) for path in late if compiled(path).exists()]
    assert compiled(egg(here) / "a.py").exists() and 0 < len(done) < MANY and not pieces(egg(here))
    assert all(marshal.loads(path.read_bytes()[16:]) for path in done)


def test_end_of_a_session_loses_nothing_either(here: Place) -> None:
    """What systemd sends to what is left of one that is closed, and has been held up."""
    late = much(here)
    golive(here, ready(here))
    (pid,) = working(here)
    wait_until_it_writes(here)
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGHUP, signal.SIGCONT):
        os.kill(pid, number)
    wait_for_its_end(here)
    done = [compiled(path) for path in late if compiled(path).exists()]
    assert compiled(egg(here) / "a.py").exists() and len(done) < MANY and not pieces(egg(here))


def test_folders_may_have_any_name(tmp_path: Path) -> None:
    every = [tmp_path / "größe 'a' \"b\"", Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))]
    files = [source(folder / "a.py", "ONE = 1\n") for folder in every]
    assert compile_all(*every) == "2\n"
    assert all(compiled(file).exists() for file in files)


def test_compiled_files_are_not_compiled_again_and_changed_ones_are(here: Place) -> None:
    compile_all(egg(here), packages(here))
    before = compiled(egg(here) / "a.py").stat().st_ino
    changed = ago(egg(here) / "sub/b.py", 3)
    cut = compiled(packages(here) / "tool.py")
    cut.write_bytes(b"")
    assert compile_all(egg(here), packages(here)) == "2\n"
    assert compiled(egg(here) / "a.py").stat().st_ino == before and cut.read_bytes()
    assert compiled(changed).read_bytes()[8:12] == int(changed.stat().st_mtime).to_bytes(4, "little")


def test_what_is_no_python_keeps_nothing_else_from_being_compiled(here: Place) -> None:
    for name, text in (("0", "{{ name }} = 1"), ("1", "\0"), ("2", "print 'two'"), ("3", "x = " + "-" * 100_000 + "1")):
        module(here, name, text)
    (egg(here) / "4.py").symlink_to("a.py")
    (egg(here) / "5.py").write_bytes(b"x = '\xff'")
    (egg(here) / "6.py").mkdir()
    os.mkfifo(egg(here) / "7.py")
    assert compile_all(egg(here)) == "2\n"
    assert not pieces(egg(here)) and [*(egg(here) / "__pycache__").iterdir()] == [compiled(egg(here) / "a.py")]


def test_an_egg_is_the_same_while_and_after_it_is_compiled(here: Place, tmp_path: Path) -> None:
    source(tmp_path / "made/a.py", "ONE = 1\n")
    source(tmp_path / "made/sub/b.py", "TWO = 2\n")
    shelf = Shelf(egg(here).parent, TAG)
    source(egg(here) / "__pycache__/.hostout-1-0.pyc", "half")
    assert shelf.same(egg(here).name, tmp_path / "made")
    compile_all(egg(here))
    assert shelf.same(egg(here).name, tmp_path / "made")


def test_what_a_crash_left_is_removed_later(here: Place) -> None:
    old = ago(source(egg(here) / "__pycache__/.hostout-1-0.pyc", "half"), 2)
    new = source(egg(here) / "__pycache__/.hostout-1-1.pyc", "half")
    compile_all(egg(here))
    assert new.exists() and not old.exists()


def test_the_last_room_is_left_to_the_application(small_disk: Path) -> None:
    source(small_disk / "a.py", "ONE = 1\n")
    before = everything(small_disk)
    assert compile_all(small_disk) == "0\n" and everything(small_disk) == before


def test_bytecode_has_its_name_only_when_it_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [source(tmp_path / name, "ONE = 1\n") for name in ("a.py", "b.py")]
    seen: list[list[Path]] = []

    def watched(*disks: int) -> None:
        assert [os.fstat(disk).st_dev for disk in disks] == [tmp_path.stat().st_dev]
        seen.append([path for path in files if compiled(path).exists()])
        assert [path.stat().st_size > 16 for path in pieces(tmp_path)] == [True, True]
        sync(*disks)

    monkeypatch.setattr(bytecode, "sync", watched)
    compile_here(tmp_path)
    assert seen == [[]] and all(compiled(path).exists() for path in files)


def test_what_the_disk_lost_gets_no_name(tmp_path: Path) -> None:
    """The kernel had taken all of it, and heard of the error when it wrote that to the disk."""
    with failing(tmp_path, megabytes=200) as disk:
        for number in range(2):
            source(disk / f"m{number}.py", f"TEXT = {random.randbytes(2_090_000).hex()!r}\n")
        sync(disk)
        assert compile_all(disk) == "0\n"
        assert not [*disk.rglob("__pycache__/m*")]


def test_that_it_cannot_be_done_is_said_and_the_release_is_live(here: Place) -> None:
    (here.cache / "buildout/env/bin/python").unlink()
    agent = here.agent()
    reply = agent.request("golive", {"name": ready(here), "stopped": False, "compile": "background"})
    assert reply.result["state"] == "good"
    (warning,) = reply.lines("warning")
    assert warning.startswith("bytecode is not compiled in the background: ") and "env/bin/python" in warning


def test_a_release_that_is_live_already_is_not_compiled(here: Place) -> None:
    live(here, released(here, 1, "good", environment="env", dists=[DIST]))
    golive(here, "0001-00000001")
    assert not working(here)


def test_it_is_done_by_who_owns_the_cache(here: Place) -> None:
    if os.geteuid() != 0 or not Path("/usr/bin/python3").exists():
        pytest.skip("acting as somebody else needs root, and a Python that everybody can run")
    python = here.cache / "buildout/env/bin/python"
    python.unlink()
    python.symlink_to("/usr/bin/python3")
    for path in (here.cache, *here.cache.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    agent = here.agent(effective_user="nobody")
    assert agent.request("owners").result == {}
    theirs = module(here, "closed/c", "FIVE = 5\n")
    golive(here, ready(here), agent=agent)
    wait_for(egg(here) / "sub/__pycache__")
    wait_for_its_end(here)
    assert {path.stat().st_uid for path in egg(here).glob("**/*.pyc")} == {egg(here).stat().st_uid} == {65534}
    # root would have followed whatever the owner laid there
    assert not (theirs.parent / "__pycache__").exists()


@pytest.mark.buildout
def test_it_is_part_of_the_build_where_that_is_wanted(able: Place) -> None:
    agent = able.agent()
    stage_doing(able, agent, "pass")
    reply = agent.request("build", {"name": "0001-aaaaaaaa", "compile": "before-switch"})
    assert reply.result["state"] == "built"
    (note,) = (line for line in reply.lines("note") if line.startswith("compiled "))
    assert int(note.split()[1]) > 100
    (pip,) = (able.cache / "buildout/env").glob("lib/python*/site-packages/pip/_internal/commands/install.py")
    assert compiled(pip).exists()


@pytest.mark.buildout
def test_what_is_new_is_compiled_beside_buildout(able: Place) -> None:
    made, dists = unmade(able)
    # buildout itself never imports that one
    unused = compiled(made / "unused.py")
    agent, wait = able.agent(), "[__import__('time').sleep(0.05) for _ in range(1000) if not os.path.exists({!r})]"
    stage_doing(able, agent, wait.format(str(unused)), dists=dists)
    assert agent.request("build", {"name": "0001-aaaaaaaa", "compile": "background"}).result["state"] == "built"
    assert unused.exists()


@pytest.mark.buildout
def test_what_buildout_needs_to_start_is_compiled_while_wheels_are_unpacked(able: Place) -> None:
    (imported,) = (able.cache / "buildout/env").glob("lib/python*/site-packages/zc/buildout/easy_install.py")
    shutil.rmtree(imported.parent / "__pycache__", ignore_errors=True)
    agent, told = able.agent(), able.root / "told"
    code = f"pathlib.Path({str(told)!r}).write_text(open('/proc/self/stat').read())"
    stage_doing(able, agent, code, dists=unmade(able)[1])
    assert agent.request("build", {"name": "0001-aaaaaaaa", "compile": "no"}).result["state"] == "built"
    ticks = int(told.read_text().rpartition(")")[2].split()[19])
    begun = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
    assert compiled(imported).stat().st_mtime < begun


@pytest.mark.buildout
def test_where_nothing_is_new_nothing_is_compiled_before_the_switch(able: Place) -> None:
    agent, (made, dists) = able.agent(), unmade(able)
    for name, wanted in (("0001-aaaaaaaa", "no"), ("0002-bbbbbbbb", "background")):
        stage_doing(able, agent, "pass", name, dists=dists)
        assert agent.request("build", {"name": name, "compile": wanted}).result["state"] == "built"
        assert (made / "unused.py").exists()
    assert not working(able) and not compiled(made / "unused.py").exists()


def test_what_is_found_first_is_compiled_before_all_is_found(tmp_path: Path) -> None:
    first = source(tmp_path / "a/x.py", "ONE = 1\n")
    found = bytecode._ordered([str(tmp_path / "a"), str(tmp_path / "b")])
    assert next(found) == first
    second = source(tmp_path / "b/y.py", "TWO = 2\n")
    assert [*found] == [second]


def test_names_are_given_often_and_in_a_long_run_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(500):
        source(tmp_path / f"m{number}.py", "ONE = 1\n")
    # two looks at the clock for each file: a tenth of a second passes
    clock, turns = itertools.count(step=0.05), list[int]()
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(bytecode, "sync", lambda *disks: turns.append(len(pieces(tmp_path))))
    bytecode._compile(sorted(tmp_path.iterdir()), [str(tmp_path)], 1e6)
    assert sum(turns) == 500
    assert all(few <= 4 for few in turns[:5]) and 30 < max(turns) < 60


def test_what_tests_consist_of_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("a/tests/__init__.py", "a/test_a.py", "a/testing/b.py", "a/x.py", "a/z/y.py")
    done: list[str] = []

    def noted(files: list[Path], places: list[str], until: float) -> int:
        done.extend(path.name for path in files)
        return 0

    monkeypatch.setattr(bytecode, "_compile", noted)
    for name in names:
        source(tmp_path / name, "ONE = 1\n")
    compile_here(tmp_path)
    assert sorted(done[:2]) == ["x.py", "y.py"] and len(done) == len(names)
