"""The Debian systems that the machines of the tests start from: made once, then shared by all runs and workers.

They lie outside the repository, in ``$HOSTOUT_MACHINES`` (else ``hostout-machines`` in the user's cache folder), in
a folder named by a hash of what went in. What does not belong here: starting them (``machines.py``).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FORMAT = 1
"""Goes into the name of a base: count it up when the way one is made changes."""

PACKAGES = ("openssh-server", "sudo", "python3", "ca-certificates", "iproute2", "systemd", "systemd-sysv", "dbus")
UNATTENDED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer")
SSHD = "PermitRootLogin yes\nPasswordAuthentication yes\nMaxStartups 1000\nMaxSessions 100\n"
OFFLINE = "srv/packages"
"""Where a cold machine finds the packages of its Python: it has no network, but ``apt-get install`` works."""

SESSIONS = ("libpam-systemd", "dbus-user-session")
STRICT = "[Login]\nKillUserProcesses=yes\nKillExcludeUsers=nobody\n"
IMPATIENT = "[Manager]\nDefaultTimeoutStopSec=5s\n"
"""A host that keeps track of who is logged in, and ends what a user leaves running (root too, as it is not named)."""

MINUTES = 60.0
ENVIRONMENT = dict(os.environ)
"""As it was when the tests began: each test has a home of its own later."""


class Unavailable(Exception):
    """This machine cannot run machines; the text says what is missing."""


@dataclass(frozen=True)
class Base:
    """A system to start machines from: ``layers`` are folders for an overlay, the uppermost first."""

    layers: tuple[Path, ...]


def cache() -> Path:
    """The folder of all bases."""
    named = ENVIRONMENT.get("HOSTOUT_MACHINES")
    if named:
        return Path(named).resolve()
    caches = ENVIRONMENT.get("XDG_CACHE_HOME") or str(Path(ENVIRONMENT.get("HOME", "/root"), ".cache"))
    return Path(caches, "hostout-machines")


def base(suite: str = "bookworm", *, python: bool = True, logind: bool = False) -> Base:
    """The system of a Debian suite, made if it is not there yet; without ``python`` a host that never saw one.

    ``logind``: one that ends what users leave running. Raises Unavailable where it cannot be made.
    """
    folder = cache() / f"{suite}-{key(suite)}"
    system = folder / "base"
    with locked(cache() / f"{suite}.lock"):
        made(system, lambda new: debootstrap(suite, new))
        if not python:
            made(folder / "cold", lambda new: layer(system, new, lambda root: offer(root, purged(root))))
            return Base((folder / "cold", system))
        if logind:
            # named by what went in: not every base has to be made anew when that changes
            extra = folder / f"logind-{digest([SESSIONS, STRICT, IMPATIENT])}"
            made(extra, lambda new: layer(system, new, keep_sessions))
            return Base((extra, system))
    return Base((system,))


def key(suite: str) -> str:
    """Names what goes into a base."""
    what = [FORMAT, suite, platform.machine(), PACKAGES, UNATTENDED, SSHD, ENVIRONMENT.get("HOSTOUT_MACHINES_MIRROR")]
    return digest(what)


def digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:12]


@contextmanager
def locked(path: Path, seconds: float = 15 * MINUTES) -> Iterator[None]:
    """Holds a lock that all processes of this machine respect; another one may be making the base just now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + seconds
    with path.open("a") as lock:
        while not _try(lock.fileno()):
            if time.monotonic() > end:
                raise Unavailable(f"{path} is held by another process for {seconds:.0f} s")
            time.sleep(0.1)
        yield


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def made(folder: Path, make: Callable[[Path], None]) -> None:
    """Makes a folder whole or not at all; what a killed run left behind is removed (the lock is ours)."""
    if folder.exists():
        return
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    make(new)
    os.sync()
    new.rename(folder)


def debootstrap(suite: str, folder: Path) -> None:
    """A Debian with systemd, sshd, sudo and Python, that does nothing unattended and knows no name server."""
    mirror = ENVIRONMENT.get("HOSTOUT_MACHINES_MIRROR")
    wanted = "--include=" + ",".join(PACKAGES)
    checked(["debootstrap", "--variant=minbase", wanted, suite, str(folder), *([mirror] if mirror else [])])
    for timer in UNATTENDED:
        (folder / "etc/systemd/system" / timer).symlink_to("/dev/null")
    (folder / "etc/ssh/sshd_config.d/hostout.conf").write_text(SSHD)
    (folder / "etc/resolv.conf").write_text("")
    for host_key in (folder / "etc/ssh").glob("ssh_host_*"):
        host_key.unlink()


def layer(below: Path, folder: Path, change: Callable[[Path], object]) -> None:
    """A layer over a base: what ``change`` makes of it."""
    root, work = folder.with_name(f"{folder.name}.root"), folder.with_name(f"{folder.name}.work")
    for each in (root, work):
        each.mkdir(exist_ok=True)
    options = f"lowerdir={below},upperdir={folder},workdir={work}"
    checked(["mount", "-t", "overlay", "overlay", "-o", options, str(root)])
    try:
        change(root)
    finally:
        checked(["umount", str(root)])
        root.rmdir()
        shutil.rmtree(work)


def keep_sessions(root: Path) -> None:
    """Installs what logind needs to know its users, from where the base came from."""
    resolver = root / "etc/resolv.conf"
    shutil.copy("/etc/resolv.conf", resolver)
    checked(["chroot", str(root), "apt-get", "-qq", "update"])
    checked(["chroot", str(root), "apt-get", "-qq", "install", "--no-install-recommends", "-y", *SESSIONS])
    resolver.write_text("")
    shutil.rmtree(root / "var/lib/apt/lists")
    (root / "var/lib/apt/lists/partial").mkdir(parents=True)
    for name, text in (("logind", STRICT), ("system", IMPATIENT)):
        folder = root / f"etc/systemd/{name}.conf.d"
        folder.mkdir(parents=True)
        (folder / "hostout.conf").write_text(text)


def purged(root: Path) -> list[str]:
    """Purges every package of Python; gives their names."""
    names = checked(["chroot", str(root), "dpkg-query", "-W", "-f", "${Package}\n", "*python3*"]).split()
    installed = checked(["chroot", str(root), "dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n", *names])
    found = [line.split()[1] for line in installed.splitlines() if line.startswith("ii")]
    checked(["chroot", str(root), "dpkg", "--purge", *found])
    return found


def offer(root: Path, packages: list[str]) -> None:
    """Makes a package source of the files that debootstrap left, the only source that apt knows afterwards."""
    shelf = root / OFFLINE
    shelf.mkdir()
    for package in packages:
        for file in (root / "var/cache/apt/archives").glob(f"{package}_*.deb"):
            shutil.copy(file, shelf)
    (shelf / "Packages").write_text("\n".join(entry(file) for file in sorted(shelf.glob("*.deb"))))
    (root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:/{OFFLINE} ./\n")
    shutil.rmtree(root / "var/lib/apt/lists")
    (root / "var/lib/apt/lists/partial").mkdir(parents=True)


def entry(file: Path) -> str:
    """What apt's index says of one package file."""
    control = checked(["dpkg-deb", "-f", str(file)])
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return f"{control.rstrip()}\nFilename: ./{file.name}\nSize: {len(content)}\nSHA256: {digest}\n"


def checked(argv: list[str], seconds: float = 10 * MINUTES) -> str:
    """Runs a program of this machine; gives what it said, raises Unavailable with its last lines."""
    paths = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    environment = {**ENVIRONMENT, "PATH": paths, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        ran = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    except FileNotFoundError:
        raise Unavailable(f"the program {argv[0]} is missing") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{argv[0]} did not end within {seconds:.0f} s") from None
    if ran.returncode:
        said = "\n".join((ran.stdout + ran.stderr).strip().splitlines()[-20:])
        raise Unavailable(f"{' '.join(argv)} failed ({ran.returncode}): {said}")
    return ran.stdout
