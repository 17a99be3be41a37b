"""(Host, Release, Facts) → Steps: every decision of a deployment, without a connection.

What ``--dry-run`` shows is made of it, so nothing in this file may read a clock, a file or a host. What does not
belong here: why a host cannot take it (``preflight``), how Steps are shown (``preview``).
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hostout.model import BundleFile, Distribution, Facts, Host, Json, Release, Stamp, Step, shell

NOT_FOUND = re.compile(r"no such file|not found|does not exist|doesn't exist|cannot find|can't open", re.IGNORECASE)
"""What programs say of a file that is not there."""

QUOTES = "'\"`:,;()[]<>"
SMALL = 1_000_000
"""Bytes that nobody has to see on their way."""

MADE_THERE = ("bin", "parts", "develop-eggs", "eggs", "var", "releases", "current")
"""What a buildout or hostout makes on the host itself."""


@dataclass(frozen=True)
class Hooks:
    """The Steps that plugins give for one host, already in the order they run in."""

    stop: tuple[Step, ...] = ()
    start: tuple[Step, ...] = ()
    health: tuple[Step, ...] = ()

    def all(self) -> tuple[Step, ...]:
        return self.stop + self.start + self.health


@dataclass(frozen=True)
class Client:
    """Who deploys, for the lock and the ledger."""

    user: str
    machine: str

    def as_json(self) -> Json:
        return {"user": self.user, "machine": self.machine}


@dataclass(frozen=True)
class Contents:
    """What serves a Release on one host: wheels for its Python, the bundle, the configuration for its cache.

    ``files`` are uploaded where the host lacks them; what is ``generated`` goes with the step that writes it.
    """

    parts: tuple[Distribution, ...]
    environment: tuple[Distribution, ...]
    files: tuple[BundleFile, ...]
    generated: BundleFile


@dataclass(frozen=True)
class Upload:
    """One file to send: its bytes are ``content``, or the file ``path`` here; ``to`` is ``dist`` or ``file``.

    ``project`` is what an index has it under, empty where none can have it; ``stamp`` that of a file that may change.
    ``packed``: so many bytes are sent, compressed, where that is known to be worth it.
    """

    sha256: str
    size: int
    name: str
    to: str
    path: str = ""
    content: bytes = field(default=b"", repr=False)
    project: str = ""
    stamp: Stamp | None = None
    packed: int = 0

    def announced(self, offset: int) -> Json:
        blob = {"sha256": self.sha256, "size": self.size, "name": self.name, "to": self.to, "offset": offset}
        return {**blob, "packed": self.packed} if self.packed and not offset else blob


def question(host: Host, release: Release | None, client: Client, lock_wait: float) -> Json:
    """What the agent is asked when it starts (fields as in ``agent/protocol.py``); ``lock_wait`` in seconds."""
    return {
        "part": host.name,
        "path": host.path,
        "cache": host.buildout_cache,
        "effective_user": host.effective_user,
        "buildout_user": host.buildout_user,
        "buildout_group": host.buildout_group,
        "client": client.as_json(),
        "lock_wait": lock_wait,
        "shared": list(host.shared),
        **_wanted(release),
    }


def _wanted(release: Release | None) -> Mapping[str, Json]:
    if release is None:
        return {"release": None, "want": [], "files": [], "environment": None}
    return {
        "release": release.id,
        "want": [list(pair) for pair in sorted({*release.requirements, *release.environment})],
        "files": sorted({f.sha256 for f in release.files if not f.target}),
        "environment": environment_key(release, release.python),
    }


def environment_key(release: Release, python: str) -> str:
    """Names the virtual environment that builds this release: what is in it, for which Python (``3.11``)."""
    content = json.dumps([python, sorted(map(list, release.environment)), release.environment_files])
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def host_python(facts: Facts) -> str:
    """``3.11`` of ``3.11.2``."""
    version: str = facts["python"]["version"]
    return ".".join(version.split(".")[:2])


def other_python(release: Release, facts: Facts) -> str:
    """A warning where what was tested here runs with another Python there, else empty."""
    there = host_python(facts)
    return "" if there == release.python else f"Python {there} on the host, what was tested here is {release.python}"


def wants_root(host: Host, hooks: Hooks, login: str) -> bool:
    """Whether anything in this deployment needs root, so that the agent is started through sudo.

    With ``no-sudo`` nothing ever does. A login user who is the effective user and has no commands for root
    deploys without being asked for a password.
    """
    if host.no_sudo or login == "root":
        return False
    commands = host.build_commands + host.pre_commands + host.post_commands + host.sudo_parts
    others = {host.effective_user, host.buildout_user} - {None, login}
    return bool(commands or others or any(step.args.get("user") == "root" for step in hooks.all()))


def may_do_without_root(host: Host, login: str) -> bool:
    """Where no way to root exists, commands for root run as the login user, if that is who owns everything.

    Not so ``sudo-parts``: what they do outside of the buildout, nobody else may do.
    """
    return not host.sudo_parts and {host.effective_user, host.buildout_user} <= {None, login}


@dataclass(frozen=True)
class Underway:
    """A release of the very content that is deployed, which a job builds (``said`` who, since when) or has built."""

    name: str
    said: str = ""


def underway(release: Release, facts: Facts) -> Underway | None:
    """The build of ``release`` that need not be done again; ``None`` where there is none."""
    job = facts.data.get("job") or {}
    if job.get("what") == "build" and _id_of(job["release"]) == release.id:
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(float(job["since"])))
        return Underway(job["release"], f"since {since} by {job['user']} on {job['machine']}")
    built = facts.data.get("built")
    return Underway(built) if built else None


def _id_of(name: str) -> str:
    return name.partition("-")[2]


def state(facts: Facts, name: str) -> str:
    """The state of a release by its name, ``""`` where there is no such release."""
    return next((r["state"] for r in facts["releases"] if r["name"] == name), "")


def is_live(release: Release, facts: Facts) -> bool:
    """The very content of ``release`` is live, good, and its files on the host are as they were deployed."""
    live = _live(facts)
    return bool(live and live["id"] == release.id and live["state"] == "good" and facts["unchanged"])


def live_name(facts: Facts) -> str:
    """The name of the live release, ``""`` where there is none."""
    return facts["live"] or ""


def something_runs(facts: Facts) -> bool:
    """Whether there is, or will be once it is adopted, a release that can be stopped."""
    return bool(facts["live"] or facts.data.get("adopt"))


def _live(facts: Facts) -> Mapping[str, Json] | None:
    return next((r for r in facts["releases"] if r["name"] == facts["live"]), None)


def newest(facts: Facts, state: str) -> str:
    """The release in ``state`` with the highest number, ``""`` where there is none that is newer than the live one.

    What an earlier deployment left behind is not what somebody means who built something else since then.
    """
    live = _live(facts)
    after = live["number"] if live else 0
    found = [r for r in facts["releases"] if r["state"] == state and r["number"] > after]
    name: str = max(found, key=lambda r: r["number"])["name"] if found else ""
    return name


def next_name(release: Release, facts: Facts, *, anew: bool) -> str:
    """What the new release is called: as an attempt that did not get to its end, unless all is made ``anew``."""
    staged: str = facts.data.get("staged") or ""
    return staged if staged and not anew else release_name(facts["next"], release.id)


def release_name(number: int, release_id: str) -> str:
    return f"{number:04d}-{release_id}"


def runs_as_root(facts: Facts) -> bool:
    effective = facts["owners"]["effective"]
    return bool(effective and effective["uid"] == 0)


def uploads(contents: Contents, facts: Facts) -> list[Upload]:
    """What the host lacks, smallest first so that a broken connection leaves the fewest files to repeat."""
    wheels = [_wheel(d) for d in (*contents.environment, *contents.parts) if _lacks(d, facts)]
    present = set(facts["blobs"])
    files = [_file(f) for f in contents.files if not f.target and f.sha256 not in present]
    unique = {(u.to, u.sha256, u.name if u.to == "dist" else ""): u for u in wheels + files}
    return sorted(unique.values(), key=lambda u: (u.size, u.name))


def _lacks(dist: Distribution, facts: Facts) -> bool:
    """A develop package of a version that the host has is not sent again: its backend need not be reproducible."""
    there = facts["have"].get(dist.filename)
    return not (there if dist.develop else there == dist.sha256)


def _wheel(dist: Distribution) -> Upload:
    project = "" if dist.develop or dist.made else dist.name
    return Upload(dist.sha256, dist.size, dist.filename, "dist", path=dist.path, project=project)


def _file(file: BundleFile) -> Upload:
    return Upload(file.sha256, file.size, file.name, "file", file.path, file.content, stamp=file.stamp)


def amount(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1_000_000:.1f} MB" if size >= 1_000_000 else f"{size / 1000:.1f} kB"


def receive(sent: Sequence[Upload], facts: Facts, *, whole: bool = False) -> Step:
    """What is ``sent``, ``whole`` or from where an earlier upload was cut."""
    partial = {} if whole else facts.data.get("partial", {})
    announced = [u.announced(min(partial.get(u.sha256, 0), u.size)) for u in sent]
    files = "1 file" if len(sent) == 1 else f"{len(sent)} files"
    text = f"upload {files}, {amount(sum(u.size for u in sent))}"
    return Step("receive", text, {"blobs": announced})


def is_small(received: Step) -> bool:
    """Whether the files of a ``receive`` take no longer than a round trip, and nothing of them is there already."""
    blobs = received.args["blobs"]
    return sum(blob["size"] for blob in blobs) <= SMALL and not any(blob["offset"] for blob in blobs)


def ask_again() -> Step:
    return Step("facts", "ask the host again")


def layout(commands: Json = None) -> Step:
    """``commands`` as of ``takes_over``."""
    args = {"commands": commands} if commands else {}
    return Step("layout", "make the folders of the buildout and of the cache", args)


def takes_over(host: Host, hooks: Hooks, facts: Facts) -> Json:
    """What stops and starts the buildout that becomes release 0, as far as it is known; ``None`` without one."""
    if facts["path"]["kind"] != "buildout":
        return None
    known = {"pre": list(host.pre_commands), "post": list(host.post_commands)}
    return {**known, "stop": _args(hooks.stop), "start": _args(hooks.start)}


def environment(release: Release, contents: Contents, facts: Facts) -> list[Step]:
    """The virtual environment with zc.buildout, where the host has not got it."""
    key = environment_key(release, host_python(facts))
    if facts["environment"] and host_python(facts) == release.python:
        return []
    # a develop package of that version may have been built into other bytes before
    wheels = [{"filename": d.filename, "sha256": None if d.develop else d.sha256} for d in contents.environment]
    return [Step("environment", "make the environment of zc.buildout", {"key": key, "wheels": wheels})]


def stage(name: str, host: Host, release: Release, contents: Contents, facts: Facts, client: Client) -> Step:
    """The release folder with its configuration; ``name`` as ``release_name`` makes it."""
    record = {
        "id": release.id,
        "part": host.name,
        "config": release.config,
        "requirements": [list(r) for r in release.requirements],
        "environment": environment_key(release, host_python(facts)),
        "files": [_recorded(f) for f in (*contents.files, contents.generated)],
        "dists": [_recorded_dist(d) for d in contents.parts],
        "environment_dists": [{"filename": d.filename, "sha256": d.sha256} for d in contents.environment],
        "shared": list(host.shared),
        "live_parts": list(host.live_parts),
        "sudo_parts": list(host.sudo_parts),
        "options": dict(release.options),
        "scm": dict(release.scm),
        "client": client.as_json(),
    }
    written = {contents.generated.name: contents.generated.content.decode()}
    return Step("stage", f"stage release {name}", {"name": name, "record": record, "written": written})


def _recorded(file: BundleFile) -> Json:
    return {"name": file.name, "mode": file.mode, "sha256": file.sha256, "target": file.target}


def _recorded_dist(dist: Distribution) -> Json:
    return {
        "name": dist.name,
        "version": dist.version,
        "filename": dist.filename,
        "sha256": dist.sha256,
        "develop": dist.develop,
    }


def stage_again(name: str, live: str, client: Client) -> Step:
    """The content of the release ``live`` as a new one: the host has all of it."""
    return Step("stage", f"stage {live} again as {name}", {"name": name, "again": live, "client": client.as_json()})


def build(name: str, host: Host, arguments: Sequence[str]) -> Step:
    args = {"name": name, "arguments": list(arguments), "commands": list(host.build_commands)}
    if host.compile != "no":
        args["compile"] = host.compile
    return Step("build", f"build release {name}", args)


def follow(name: str) -> Step:
    return Step("follow", f"follow the build of release {name}", {"name": name})


def missed(lines: Iterable[str], path: str, name: str, has_here: Callable[[str], bool]) -> list[str]:
    """The files that a failed build of release ``name`` did not find by what it said last, and that lie here.

    ``has_here`` knows the folder of the buildout here. What a release gets by other ways than ``include`` is left out.
    """
    complaints = [line for line in lines if NOT_FOUND.search(line)]
    words = [word.strip(QUOTES).removeprefix("./").rstrip(".") for line in complaints for word in line.split()]
    inside = [_inside(word, (f"{path}/releases/{name}/", f"{path}/current/", f"{path}/")) for word in words]
    return list(dict.fromkeys(word for word in inside if _may_be_included(word) and has_here(word)))


def _inside(word: str, folders: Iterable[str]) -> str:
    """A path relative to the first of these folders that it is in."""
    return next((word.removeprefix(folder) for folder in folders if word.startswith(folder)), word)


def _may_be_included(word: str) -> bool:
    parts = word.split("/")
    return bool(parts[0]) and ".." not in parts and parts[0] not in (".", *MADE_THERE)


def left_out(name: str) -> str:
    """What to do about a file that a release should have and has not."""
    return f"{name} is in the buildout here but not in the release: name it in the option include"


def stop(host: Host, hooks: Hooks) -> Step:
    """``downtime = deploy``: the application goes down before anything is built."""
    return Step("stop", "stop the application", {"commands": list(host.pre_commands), "hooks": _args(hooks.stop)})


def restart(hooks: Hooks) -> Step:
    return Step("restart", "start the application again", {"start": _args(hooks.start)})


def recover() -> Step:
    return Step("recover", "bring to its end what somebody who died began")


def golive(name: str, host: Host, hooks: Hooks, *, stopped: bool, strays: Sequence[str] = ()) -> Step:
    """Switch, or back: the host brings this to its end by itself.

    What is ``stopped`` is not stopped again; the lines travel all the same, because a bad release is stopped by them.
    ``strays`` are the names that may be left in the release before.
    """
    args = {
        "name": name,
        "stopped": stopped,
        "strays": sorted(strays),
        "keep": host.keep_releases,
        "pre": list(host.pre_commands),
        "stop": _args(hooks.stop),
        "migrate": list(host.migrate_commands),
        "start": _args(hooks.start),
        "post": list(host.post_commands),
        "post_failure": host.post_failure,
        "health": _args(hooks.health),
        "health_check": health_check(host),
        "compile": host.compile,
    }
    return Step("golive", f"make release {name} live", args)


def rollback(target: str, force: bool, host: Host, hooks: Hooks) -> Step:
    """Back to the release ``target`` (a name, a number, an id, ``-2``; empty: the last good one before the live one).

    What stops and starts releases is recorded with them; what travels serves where nothing is.
    """
    args = {
        "to": target or None,
        "force": force,
        "pre": list(host.pre_commands),
        "stop": _args(hooks.stop),
        "start": _args(hooks.start),
        "post": list(host.post_commands),
        "post_failure": host.post_failure,
        "health": _args(hooks.health),
        "health_check": health_check(host),
    }
    return Step("rollback", f"go back to {target or 'the last good release'}", args)


def health_check(host: Host) -> Json:
    if not host.health_check:
        return None
    return {"check": host.health_check, "timeout": host.health_timeout, "interval": host.health_interval}


def _args(steps: Iterable[Step]) -> list[Json]:
    return [said(step).args for step in steps]


def said(step: Step) -> Step:
    """A command that takes its text along: a script of many lines is shown by what it is there for."""
    return replace(step, args={"text": step.text, **step.args})


def put(name: str, file: str) -> Step:
    return Step("put", f"note down that {file} was put into release {name}", {"name": name, "file": file})


def put_where(host: Host, target: str) -> str:
    """A shell line that says where ``target`` really lies, and which folder the live release is."""
    # the readlink of busybox takes one name
    return shell("readlink -f -- {}; readlink -f -- {}", target, f"{host.path}/current")


def put_into(host: Host, said: str) -> tuple[str, str] | None:
    """The live release and the file in it, from what that line said; ``None`` for a file anywhere else.

    What a login shell prints stands before.
    """
    lines = said.splitlines()[-2:]
    if len(lines) != 2 or not lines[0].startswith(f"{lines[1]}/"):
        return None
    folder, name = lines[1].rsplit("/", 1)
    return (name, lines[0].removeprefix(f"{lines[1]}/")) if folder.endswith("/releases") else None


def owners() -> Step:
    return Step("owners", "put owners and modes right")
