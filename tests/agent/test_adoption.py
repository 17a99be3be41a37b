"""A buildout that stands in ``path`` becomes release 0: nothing of it changes, and nothing is missing meanwhile."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest

from agentclient import LIMIT, Client, Place, built, step, until, with_hook
from smalldisk import attached, copy_of_one_moment, image

NAME = "0000-adopted"
NOBODY = 65534
MOVED = {"bin", "parts", "develop-eggs", ".installed.cfg", ".mr.developer.cfg", "buildout.cfg", "pinned.cfg"}
KEPT = {"var", "eggs", "src", "blobs", "hello.ini", "profiles", "pyvenv.cfg", "local.cfg"}
OURS = {"releases", "current", ".hostout"}

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can make files of other users, or mount")

SCRIPT = """\
#!/bin/sh
# as zc.buildout makes them with relative-paths = true
base=$(dirname "$(dirname "$(readlink -f "$0")")")
cat "$base/parts/app/conf" "$base/eggs/one.egg" "$base/src/app.py" {path}/parts/app/conf {path}/.installed.cfg
"""

HOOK = """\
import os, sys
# killed right before the n-th of these, by the names that Python itself has for them
left = [{number}]
def hook(event, args):
    if event in {events} and (event != "open" or (args[2] or 0) & os.O_CREAT):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), 9)
sys.addaudithook(hook)
"""

STEPS = ("open", "os.mkdir", "os.symlink", "os.rename", "os.remove", "os.rmdir", "os.chown", "ctypes.dlsym")

NO_EXCHANGE = """\
import ctypes, struct
# a kernel that does not know renameat2: seccomp answers ENOSYS
code = [(0x20, 0, 0, 0), (0x15, 0, 1, {number}), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7FFF0000)]
filter = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in code))
program = struct.pack("@HP", len(code), ctypes.addressof(filter))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program, 0, 0) == 0
"""


def kill(number: int, *events: str) -> str:
    return HOOK.format(number=number, events=events or STEPS)


def old(place: Place) -> Path:
    """What an older hostout left: modes and times as nothing makes them by itself."""
    path = place.path
    files = {
        "bin/app": SCRIPT.format(path=path),
        "bin/buildout": "#!/bin/sh\n",
        "parts/app/conf": "port = 8080\n",
        "develop-eggs/app.egg-link": f"{path}/src\n../",
        ".installed.cfg": f"[buildout]\nparts = app\n[app]\n__buildout_installed__ = {path}/bin/app\n",
        ".mr.developer.cfg": "[buildout]\n",
        "buildout.cfg": "[buildout]\nextends = profiles/base.cfg pinned.cfg\n",
        "pinned.cfg": "[buildout]\ndevelop=\n[versions]\n",
        "var/filestorage/Data.fs": "years of work",
        "eggs/one.egg": "an egg",
        "src/app.py": "print('hello')\n",
        "blobs/.layout": "bushy",
        "hello.ini": "[hello]\n",
        "profiles/base.cfg": "[buildout]\n",
        "pyvenv.cfg": "home = /usr/bin\n",
    }
    for number, (name, text) in enumerate(files.items()):
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755 if name.startswith("bin/") else 0o640 if number % 2 else 0o600)
        os.utime(file, (1_000_000_000 + number, 1_000_000_000 + number))
    (path / "local.cfg").symlink_to("profiles/base.cfg")
    (path / "parts/app/source").symlink_to("../../src")
    (path / "parts/app/absolute").symlink_to(path / "src")
    for folder in ("parts", "bin", "var", "parts/app"):
        os.utime(path / folder, (1_100_000_000, 1_100_000_000))
    return path


def look(path: Path, name: str) -> dict[str, tuple[object, ...]]:
    """Everything of an entry of ``path``, as one finds it there: content, mode, owner, time of each file."""
    top = path / name
    top = top.resolve() if top.is_symlink() and str(top.readlink()).startswith("current/") else top
    return {str(each.relative_to(top)): _look(each) for each in [top, *sorted(top.rglob("*"))]}


def _look(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    content: object = None
    if path.is_symlink():
        content = str(path.readlink())
    elif path.is_file():
        content = path.read_bytes()
    # the time of a link is nobody's work, and cannot be set everywhere
    when = 0 if path.is_symlink() else status.st_mtime_ns
    return status.st_mode, status.st_uid, status.st_gid, when, status.st_ino, content


def everything(path: Path) -> dict[str, dict[str, tuple[object, ...]]]:
    return {entry.name: look(path, entry.name) for entry in path.iterdir() if entry.name not in OURS}


def works(path: Path) -> bool:
    """A script of the buildout finds what belongs to it, by absolute names and relative to itself."""
    ran = subprocess.run([path / "bin" / "app"], capture_output=True, text=True, check=False, timeout=LIMIT)
    return ran.returncode == 0 and ran.stdout.count("port = 8080") == 2 and "an egg" in ran.stdout


def adopted(place: Place) -> None:
    assert {entry.name for entry in place.path.iterdir()} == MOVED | KEPT | OURS
    assert str((place.path / "current").readlink()) == f"releases/{NAME}"
    release = place.path / "releases" / NAME
    assert {name for name in MOVED if (release / name).is_symlink()} == set()
    assert {str((place.path / name).readlink()) for name in MOVED} == {f"current/{name}" for name in MOVED}
    assert {entry.name for entry in release.iterdir() if entry.is_symlink()} == KEPT
    assert [entry.name for entry in (place.path / "releases").iterdir()] == [NAME]
    assert not (place.path / ".hostout" / "adoption.json").exists()
    record = place.record(NAME)
    assert (record["id"], record["state"], record["adopted"]) == ("adopted", "good", True)
    assert set(record["entries"]) == MOVED
    assert list(record["states"]) == ["good", "live"]


def cut_short(place: Place, *lines: str) -> bool:
    """One client whose agent has these lines; whether it was killed."""
    client = Client(place.python, with_hook(place, *lines), place.question())
    client.send("layout", {})
    # what it says does not matter
    assert client.process.stdout is not None
    os.set_blocking(client.process.stdout.fileno(), True)
    client.process.stdin.close() if client.process.stdin else None
    client.process.stdout.read()
    client.process.stdout.close()
    return client.process.wait(LIMIT) == -9


def test_old_buildout_becomes_release_0_and_nothing_of_it_changes(place: Place, python: str) -> None:
    place.python = python
    path = old(place)
    before = everything(path)
    agent = place.agent()
    assert agent.facts["path"]["kind"] == "buildout"
    assert set(agent.facts.get("adopt", MOVED)) == MOVED
    reply = agent.request("layout")
    assert reply.result["facts"]["path"]["kind"] == "hostout"
    assert [line for line in reply.lines("note") if "moved" in line] == [
        f"{path} is release {NAME} now: {', '.join(sorted(MOVED))} moved"
    ]
    adopted(place)
    assert everything(path) == before
    assert works(path)
    facts = agent.request("facts").result["facts"]
    assert (facts["path"]["kind"], facts["live"], facts["next"]) == ("hostout", NAME, 1)
    assert facts["releases"] == [{"name": NAME, "id": "adopted", "number": 0, "state": "good"}]


def test_second_deployment_adopts_nothing(place: Place) -> None:
    path = old(place)
    place.agent().request("layout")
    place.end()
    (path / "own.cfg").write_text("")
    before = {name: (path / name).lstat().st_ctime_ns for name in MOVED | KEPT}
    agent = place.agent()
    assert (agent.facts["path"]["kind"], agent.facts.get("adopt", [])) == ("hostout", [])
    assert agent.request("layout").lines("note") == []
    assert {name: (path / name).lstat().st_ctime_ns for name in MOVED | KEPT} == before
    assert not (path / "own.cfg").is_symlink()


@pytest.mark.parametrize("made", ["bin/buildout", "buildout.cfg", ".installed.cfg", "parts/x", "develop-eggs/x"])
def test_little_of_a_buildout_is_one(place: Place, made: str) -> None:
    file = place.path / made
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    assert place.agent().request("layout").result["facts"]["path"]["kind"] == "hostout"
    assert file.read_text() == "mine"
    assert place.record(NAME)["entries"] == [made.split("/")[0]]


@pytest.mark.parametrize("made", ["bin/backup.sh", "setup.cfg", "eggs/x", "notes.txt"])
def test_files_that_no_buildout_made_are_none(place: Place, made: str) -> None:
    file = place.path / made
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    agent = place.agent()
    assert agent.facts["path"]["kind"] == "other"
    agent.request("layout")
    assert not (place.path / "releases" / NAME).exists()
    assert file.read_text() == "mine" and not (place.path / made.split("/")[0]).is_symlink()


def test_what_hostout_1_left_is_adopted(place: Place) -> None:
    """Its configuration by release, with eggs and downloads beside ``path`` and nothing for others to read."""
    path = place.path
    cache = place.path.parent / "buildout-cache"
    generated = f"[buildout]\nextends = buildout.cfg pinned.cfg\neggs-directory = {cache}/eggs\n"
    for name in ("host1-2b1f9c0d.cfg", "host1-77ffa102.cfg", "buildout.cfg", "pinned.cfg", "versions.cfg"):
        path.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(generated)
    for name in ("bin/buildout", "bin/instance", "parts/instance/etc/zope.conf", "develop-eggs/x", "var/log/i.log"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("old")
    (path / ".installed.cfg").write_text("[buildout]\n")
    (cache / "eggs/Zope2-2.13.22-py2.7.egg").mkdir(parents=True)
    (cache / "downloads/dist").mkdir(parents=True)
    (cache / "downloads/dist/deploy_77ffa102.tgz").write_text("")
    path.chmod(0o750)
    before, cached = everything(path), look(path.parent, "buildout-cache")
    assert place.agent().request("layout").result["facts"]["path"]["kind"] == "hostout"
    assert everything(path) == before
    assert cached.items() <= look(path.parent, "buildout-cache").items() | {(".", cached["."])}
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    assert not (path / "var").is_symlink()
    assert "host1-2b1f9c0d.cfg" in place.record(NAME)["entries"]


def test_adoption_killed_before_any_of_its_steps_is_finished_by_the_next(place: Place) -> None:
    place.python = sys.executable
    tried = 0
    for number in count(1):
        shutil.rmtree(place.path.parent, ignore_errors=True)
        path = old(place)
        before = everything(path)
        killed = cut_short(place, kill(number))
        assert everything(path) == before, f"after a kill before step {number}"
        assert works(path), f"after a kill before step {number}"
        again = place.agent()
        assert again.request("layout").result["facts"]["path"]["kind"] == "hostout"
        again.end()
        adopted(place)
        assert everything(path) == before, f"after the next adoption, {number}"
        assert works(path)
        if not killed:
            break
        tried += 1
    assert tried > 40


def test_adoption_killed_at_any_moment_is_finished_by_the_next(place: Place) -> None:
    seconds = _time_of_an_adoption(place)
    moments = [seconds * number / 25 for number in range(25)]
    for moment in moments:
        shutil.rmtree(place.path.parent, ignore_errors=True)
        path = old(place)
        before = everything(path)
        client = place.agent()
        client.send("layout", {})
        time.sleep(moment)
        client.process.kill()
        client.end()
        assert everything(path) == before
        assert works(path)
        assert place.agent().request("layout").result["facts"]["path"]["kind"] == "hostout"
        place.end()
        adopted(place)
        assert everything(path) == before


def _time_of_an_adoption(place: Place) -> float:
    old(place)
    agent = place.agent()
    began = time.monotonic()
    agent.request("layout")
    return time.monotonic() - began


def test_process_of_the_old_buildout_goes_on_and_misses_nothing(place: Place) -> None:
    watch = (
        "import os, sys, time\n"
        "os.chdir(sys.argv[1]); log = open(sys.argv[2], 'w', buffering=1)\n"
        "kept = open('parts/app/conf', 'a'); names = sys.argv[3:]; rounds = 0\n"
        "while True:\n"
        "    for name in names:\n"
        "        try: open(name).read()\n"
        "        except OSError as error: log.write(f'{error}\\n')\n"
        "    rounds += 1\n"
        "    if rounds % 100 == 0: log.write('.\\n')\n"
    )
    for _ in range(5):
        shutil.rmtree(place.path.parent, ignore_errors=True)
        path = old(place)
        files = [path / "parts/app/conf", path / "bin/app", path / ".installed.cfg", path / "buildout.cfg"]
        files += [path / "parts/app/source/app.py", Path("develop-eggs/app.egg-link"), Path("parts/app/conf")]
        log = place.root / "log"
        argv = [sys.executable, "-c", watch, str(path), str(log), *map(str, files)]
        with subprocess.Popen(argv) as process:
            try:
                _heard(log, 3)
                assert place.agent().request("layout").result["facts"]["path"]["kind"] == "hostout"
                place.end()
                _heard(log, 3)
                assert process.poll() is None
                assert Path(f"/proc/{process.pid}/cwd").resolve() == path
            finally:
                process.kill()
        assert set(log.read_text().splitlines()) == {"."}


def _heard(log: Path, more: int) -> None:
    size = log.stat().st_size if log.exists() else 0
    for _ in until("the process goes on"):
        if log.exists() and log.stat().st_size >= size + more:
            return


def without_exchange() -> str:
    number = {"x86_64": 316, "aarch64": 276}.get(platform.machine())
    if number is None:
        pytest.skip("the number of renameat2 on this machine is not known to this test")
    return NO_EXCHANGE.format(number=number)


def test_where_two_names_cannot_be_exchanged_the_gap_is_said(place: Place) -> None:
    path = old(place)
    before = everything(path)
    client = Client(place.python, with_hook(place, without_exchange()), place.question())
    place.clients.append(client)
    reply = client.request("layout")
    assert reply.result["facts"]["path"]["kind"] == "hostout"
    gaps = [line for line in reply.lines("note") if "two names cannot be exchanged here" in line]
    assert {line.split(" was missing for ")[0] for line in gaps} == {str(path / name) for name in MOVED}
    adopted(place)
    assert everything(path) == before


def test_even_then_the_next_adoption_closes_every_gap(place: Place) -> None:
    hook = without_exchange()
    for number in count(1):
        shutil.rmtree(place.path.parent, ignore_errors=True)
        path = old(place)
        before = everything(path)
        killed = cut_short(place, hook, kill(number))
        missing = set(before) - set(everything(path))
        assert len(missing) <= 1
        again = place.agent()
        assert again.request("layout").result["facts"]["path"]["kind"] == "hostout"
        again.end()
        adopted(place)
        assert everything(path) == before
        if not killed:
            break


@needs_root
@pytest.mark.parametrize("name", ["parts", "bin"])
def test_mount_point_is_refused_and_everything_is_as_before(place: Place, name: str) -> None:
    path = old(place)
    source = place.root / "elsewhere"
    shutil.copytree(path / name, source, symlinks=True)
    with attached(["--bind", str(source), str(path / name)], path / name):
        before = everything(path)
        message = place.agent().request("layout").message
        assert message.startswith(f"{path / name} is a mount point: it cannot move into a release")
        assert everything(path) == before
        assert not (path / "current").is_symlink()
        assert list((path / "releases").iterdir()) == []
        assert works(path)
        place.end()
    assert place.agent().request("layout").result["facts"]["path"]["kind"] == "hostout"
    adopted(place)


@needs_root
def test_another_file_system_is_refused_before_anything_is_made(place: Place) -> None:
    path = old(place)
    with attached(["-t", "tmpfs", "tmpfs", str(path / "parts")], path / "parts"):
        before = everything(path)
        message = place.agent().request("layout").message
        assert message == f"{path}/parts is a mount point: it cannot move into a release, nothing was changed"
        assert everything(path) == before
        assert not (path / ".hostout").exists()


@needs_root
def test_full_disk_leaves_everything_as_it_was(place: Place, small_disk: Path) -> None:
    place.extra["path"] = str(small_disk / "host1")
    place.extra["cache"] = str(place.root / "cache")
    subprocess.run(["mount", "-o", "remount,nr_inodes=200", str(small_disk)], check=True)
    path = Path(shutil.move(old(place), small_disk / "host1"))
    before = everything(path)
    free = os.statvfs(path).f_favail
    for left in (12, 16, 20):
        made = [small_disk / f"filler-{left}-{number}" for number in range(free - left)]
        for file in made:
            file.touch()
        message = place.agent().request("layout").message
        place.end()
        assert "no inodes left" in message or "no space left" in message
        assert {name: look for name, look in everything(path).items() if name in before} == before
        for file in made:
            file.unlink()
    assert place.agent().request("layout").result["facts"]["path"]["kind"] == "hostout"
    place.end()
    assert everything(path) == before


def test_link_that_would_lead_elsewhere_is_named_and_nothing_is_touched(place: Place) -> None:
    path = old(place)
    (path.parent / "media").mkdir()
    (path / "parts/app/media").symlink_to("../../../media")
    before = everything(path)
    message = place.agent().request("layout").message
    assert message.startswith(f"{path}/parts/app/media is a link to ../../../media and would lead elsewhere")
    assert everything(path) == before
    assert not (path / ".hostout").exists()


@pytest.mark.parametrize("target", ["tools/bin", "{path}/tools/bin"])
def test_bin_that_is_a_link_moves_as_the_link_it_is(place: Place, target: str) -> None:
    path = old(place)
    (path / "tools").mkdir()
    (path / "bin").rename(path / "tools/bin")
    (path / "bin").symlink_to(target.format(path=path))
    assert place.agent().request("layout").result["facts"]["path"]["kind"] == "hostout"
    moved = path / "releases" / NAME / "bin"
    assert str(moved.readlink()) == target.format(path=path)
    assert (path / "bin/buildout").is_file() and (moved / "buildout").is_file()


@pytest.mark.parametrize("made", ["releases", "current"])
def test_buildout_of_another_deployment_tool_is_refused_and_not_touched(place: Place, made: str) -> None:
    path = old(place)
    (path / made / "20260101").mkdir(parents=True)
    before = everything(path)
    message = place.agent().request("layout").message
    assert message.startswith(f"{path / made} is there and was not made by hostout")
    assert everything(path) == before
    assert not (path / ".hostout").exists()


def test_a_release_goes_live_after_it_and_rolling_back_runs_the_old_one(ready: Place) -> None:
    path = old(ready)
    (path / ".installed.cfg").write_text("[buildout]\ninstalled_develop_eggs = \nparts = app\n")
    before = everything(path)
    agent = ready.agent()
    said = {"pre": ["cat old 2>/dev/null"], "stop": [step("echo stop of 0")], "start": [step("echo start of 0")]}
    reply = agent.request("layout", {"commands": {**said, "post": ["echo post of 0; test -e pinned.cfg"]}})
    assert reply.result["facts"]["path"]["kind"] == "hostout"
    new = built(ready, agent, "0001-aaaaaaaa", {"hello.txt": b"new"})
    reply = agent.request("golive", {"name": new, "stop": [step("echo stop")], "start": [step("echo start of 1")]})
    assert reply.result["before"] == NAME
    assert [line for line in reply.lines() if " of " in line] == ["stop of 0", "start of 1"]
    assert (path / "hello.txt").read_text() == "new"
    records = {".mr.developer.cfg", ".installed.cfg", "pinned.cfg"}
    assert [name for name in records if os.path.lexists(path / name)] == [], "those of another release"
    after = everything(path)
    assert {name: after[name] for name in KEPT} == {name: before[name] for name in KEPT}
    agent.end()
    back = ready.agent().request("rollback", {})
    assert (back.result["name"], back.result["before"]) == (NAME, new)
    assert back.lines()[-2:] == ["start of 0", "post of 0"]
    assert everything(path) == before
    assert works(path)
    assert {entry.name for entry in path.iterdir()} == MOVED | KEPT | OURS
    assert ready.state(NAME) == "good"


def test_first_release_that_fails_brings_the_old_one_back(ready: Place) -> None:
    path = old(ready)
    before = everything(path)
    agent = ready.agent()
    commands = {"pre": [], "stop": [], "start": [], "post": ["bin/app > var/started"]}
    agent.request("layout", {"commands": commands})
    new = built(ready, agent, "0001-aaaaaaaa", {})
    message = agent.request("golive", {"name": new, "start": [step("false")]}).message
    assert message.endswith(f"release {new} is bad, {NAME} is live again")
    assert (path / "var/started").read_text().count("port = 8080") == 2
    (path / "var/started").unlink()
    assert {name: look for name, look in everything(path).items() if name != "var"} == {
        name: look for name, look in before.items() if name != "var"
    }


def test_commands_without_layout_finish_an_adoption_first(ready: Place) -> None:
    path = old(ready)
    before = everything(path)
    # the exchange asks for its function in the C library
    assert cut_short(ready, kill(4, "ctypes.dlsym"))
    assert 0 < sum((path / name).is_symlink() for name in MOVED) < len(MOVED)
    assert ready.agent().request("owners").result == {}
    adopted(ready)
    assert everything(path) == before


def test_release_0_is_not_built_again(ready: Place) -> None:
    old(ready)
    agent = ready.agent()
    agent.request("layout")
    message = agent.request("stage", {"name": "0001-adopted", "again": NAME}).message
    assert message == f"release {NAME} was not made by hostout: it cannot be built again, deploy instead"


@needs_root
def test_owners_stay_and_links_belong_to_who_owns_the_folder(place: Place) -> None:
    path = old(place)
    for each in [path, *path.rglob("*")]:
        os.chown(each, 1, 1, follow_symlinks=False)
    os.chown(path / "var", 2, 2)
    before = everything(path)
    reply = place.agent(effective_user="nobody", buildout_user="daemon").request("layout")
    assert reply.result["facts"]["path"]["kind"] == "hostout"
    assert everything(path) == before
    assert path.stat().st_uid == 1
    links = [path / "current", *(path / name for name in MOVED), *(path / "releases" / NAME / name for name in KEPT)]
    assert {link.lstat().st_uid for link in links} == {1}
    assert (path / "releases" / NAME).stat().st_uid == 1
    assert (path / "releases" / NAME / "release.json").stat().st_uid == 0
    assert reply.lines("warning") == [
        f"{path}/var belongs to user id 2 and not to nobody, who runs the application: "
        "the command resetpermissions hands it over"
    ]


@needs_root
def test_owners_stay_also_where_it_was_killed_before_its_last_word(place: Place) -> None:
    path = old(place)
    before = everything(path)
    place.extra["effective_user"] = "nobody"
    at_the_record = "event == 'open' and '.release.json.' in str(args[0]) and os.kill(os.getpid(), 9)"
    assert cut_short(place, f"import os, sys\nsys.addaudithook(lambda event, args: {at_the_record})\n")
    assert place.agent().request("layout").result["facts"]["path"]["kind"] == "hostout"
    adopted(place)
    assert everything(path) == before
    assert path.stat().st_uid == 0


@needs_root
def test_resetpermissions_leaves_release_0_alone(place: Place) -> None:
    path = old(place)
    agent = place.agent(effective_user="nobody")
    agent.request("layout")
    before = everything(path)
    assert agent.request("owners").result == {}
    after = everything(path)
    assert {name for name in before if before[name] != after[name]} == {"var"}
    assert (path / "var").stat().st_uid == NOBODY


@needs_root
def test_path_that_the_new_user_cannot_enter_is_refused_before_anything_is_made(place: Place) -> None:
    path = old(place)
    path.chmod(0o750)
    message = place.agent(effective_user="nobody").request("layout").message
    assert message == f"{path} cannot be entered by user nobody: nothing was changed"
    assert not (path / ".hostout").exists()


@needs_root
def test_root_moves_nothing_through_links_that_the_owner_laid(place: Place, root: Path) -> None:
    secret = root / "secret"
    secret.mkdir(mode=0o700)
    (secret / "key").write_text("mine")
    path = old(place)
    for each in [path, *path.rglob("*")]:
        os.chown(each, NOBODY, NOBODY, follow_symlinks=False)
    place.extra["effective_user"] = "nobody"
    assert cut_short(place, kill(30))
    for bent in ("releases", f"releases/{NAME}"):
        place.end()
        aside = path / f"{bent}-aside"
        (path / bent).rename(aside)
        (path / bent).symlink_to(secret)
        os.chown(path / bent, NOBODY, NOBODY, follow_symlinks=False)
        assert place.agent().request("layout").last["event"] == "failed"
        assert [entry.name for entry in secret.iterdir()] == ["key"]
        assert secret.stat().st_uid == 0
        (path / bent).unlink()
        aside.rename(path / bent)
        place.end()
    assert place.agent().request("layout").result["facts"]["path"]["kind"] == "hostout"


@needs_root
def test_folder_that_somebody_else_laid_in_the_way_is_refused(place: Place) -> None:
    path = old(place)
    (path / ".hostout").mkdir()
    (path / "releases" / NAME).mkdir(parents=True)
    (path / "releases" / NAME / "mine").write_text("")
    message = place.agent().request("layout").message
    assert message == f"{path}/releases/{NAME} is there and was not made by hostout: move it away"
    assert (path / "releases" / NAME / "mine").exists()
    assert works(path)


@needs_root
def test_power_failure_leaves_a_buildout_that_is_whole(place: Place) -> None:
    """The disk as it is at some moment, mounted by a machine that starts again."""
    disk = image(place.root / "disk")
    mounted = place.root / "srv"
    mounted.mkdir()
    for moment in (0.0, 0.01, 0.02, 0.03, 0.05, 0.08):
        with attached(["-o", "loop", str(disk), str(mounted)], mounted):
            shutil.rmtree(place.path, ignore_errors=True)
            path = old(place)
            before = everything(path)
            os.sync()
            agent = place.agent()
            agent.send("layout", {})
            time.sleep(moment)
            # a copy takes longer than a power failure: nothing may be written meanwhile
            agent.process.send_signal(signal.SIGSTOP)
            snapshot = place.root / "snapshot"
            copy_of_one_moment(disk, snapshot)
            agent.process.send_signal(signal.SIGCONT)
            agent.reply()
            place.end()
        with attached(["-o", "loop", str(snapshot), str(mounted)], mounted):
            assert everything(place.path) == before
            assert works(place.path)
            assert place.agent().request("layout").result["facts"]["path"]["kind"] == "hostout"
            place.end()
            adopted(place)
            assert everything(place.path) == before
