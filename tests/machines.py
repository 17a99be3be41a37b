"""Whole Debian machines with systemd to deploy to: containers with an address of their own and no network but us.

    def test_something(machine):                         # fresh: nothing of an earlier test is on it
        machine.add_user("deploy", "s3cret", sudo="password")
        machine.write("/etc/sudoers.d/x", "…", mode=0o440)
        assert machine.run(["id", "-u"], user="deploy").stdout == "1000\\n"
        … log in with machine.address, machine.key, machine.root_password, machine.known_hosts(path) …
        assert "hello" in machine.http("/", 8080)

Each machine is an overlay over a base of ``machine_base.py``, started by systemd-nspawn in a network namespace on a
bridge. It boots in about a second. Needs root; where something is missing the tests that want one are skipped with
a line that says what, or fail where ``HOSTOUT_REQUIRE_MACHINES`` is set. Everything is gone when the run ends, also
after Ctrl-C; what a killed run left behind, the next one removes.

What does not belong here: anything of hostout; ``Machine.run`` enters the namespaces and uses no SSH.
"""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

import machine_base
from machine_base import ENVIRONMENT, Base, Unavailable, checked

PREFIX = "hostout-machines-"
NETWORKS = ipaddress.ip_network("10.213.0.0/16")
PROGRAMS = ("systemd-nspawn", "ip", "nsenter", "mount", "umount", "chroot", "ssh-keygen", "debootstrap")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENTER_CGROUPS = 'set -e; while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; shift; exec "$@"'
T = TypeVar("T")
Errors = type[Exception] | tuple[type[Exception], ...]
SUDO = {"none": "", "password": "{} ALL=(ALL:ALL) ALL\n", "nopasswd": "{} ALL=(ALL:ALL) NOPASSWD: ALL\n"}


@dataclass
class Machine:
    """One machine: ``address`` answers SSH on port 22, ``key`` is a private key that root and ``add_user`` let in.

    ``root`` is its file system as seen from here (absolute links in it point into ours: prefer ``read``).
    """

    name: str
    address: str
    key: Path
    base: Base
    folder: Path
    namespace: str
    cable: str
    root_password: str = field(default_factory=lambda: secrets.token_hex(8))
    port: int = 22
    _process: subprocess.Popen[bytes] | None = None

    @property
    def root(self) -> Path:
        return self.folder / "root"

    # ----- what is on it ---------------------------------------------------------------------------------------

    def run(
        self,
        command: str | Sequence[str],
        user: str = "root",
        *,
        stdin: str = "",
        check: bool = True,
        timeout: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Runs argv or a shell line on the machine as a user, in that user's home; quick, and not by SSH."""
        argv = ["sh", "-c", command] if isinstance(command, str) else list(command)
        if user != "root":
            argv = ["runuser", "-l", user, "-c", shlex.join(argv)]
        clean = ["env", "-i", "-C", "/root", f"PATH={PATH}", "HOME=/root", "USER=root", "LOGNAME=root", "LANG=C.UTF-8"]
        enter = ["nsenter", "-t", str(self._init()), "-m", "-u", "-i", "-n", "-p", "--"]
        ran = subprocess.run(
            [*enter, *clean, *argv], input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and ran.returncode:
            raise AssertionError(f"{self.name}: {shlex.join(argv)} gave {ran.returncode}\n{ran.stdout}{ran.stderr}")
        return ran

    def write(self, path: str, text: str, mode: int = 0o644, owner: str = "root") -> None:
        """Writes a file there, with the folders above it."""
        script = 'mkdir -p "$(dirname "$1")" && cat > "$1" && chown "$3" "$1" && chmod "$2" "$1"'
        self.run(["sh", "-c", script, "sh", path, f"{mode:o}", owner], stdin=text)

    def read(self, path: str) -> str:
        """The text of a file there."""
        return self.run(["cat", path]).stdout

    def exists(self, path: str) -> bool:
        """Whether something is there, where links lead as well."""
        return not self.run(["test", "-e", path], check=False).returncode

    def add_user(self, name: str, password: str = "", sudo: str = "none") -> None:
        """A user with a home and our key; ``sudo`` is ``none``, ``password`` or ``nopasswd``."""
        self.run(["useradd", "--create-home", "--shell", "/bin/bash", name])
        if password:
            self.run(["chpasswd"], stdin=f"{name}:{password}\n")
        if SUDO[sudo]:
            self.write(f"/etc/sudoers.d/{name}", SUDO[sudo].format(name), 0o440)
        home = f"/home/{name}/.ssh"
        self.run(["install", "-d", "-o", name, "-g", name, "-m", "700", home])
        self.write(f"{home}/authorized_keys", self._public_key(), 0o600, name)

    def known_hosts(self, path: Path) -> Path:
        """Adds the machine's host key to a file in the format of OpenSSH; gives the path back."""
        with path.open("a") as file:
            file.write(f"{self.address} {self._host_key()}\n")
        return path

    def new_host_key(self) -> None:
        """From now on it shows another host key, as a machine that was set up anew (or is another one) does."""
        self._make_host_key()
        self.run(["systemctl", "restart", "ssh"])
        self.wait()

    def http(self, path: str = "/", port: int = 8080, *, within: float = 60.0) -> str:
        """The text of a page that the machine serves, fetched from here; tried again until ``within`` seconds."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def page() -> str:
            with opener.open(f"http://{self.address}:{port}{path}", timeout=5) as answer:
                return str(answer.read().decode())

        return eventually(page, within, (urllib.error.URLError, ConnectionError, TimeoutError))

    # ----- faults ------------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Pulls the network cable: packets are lost, nobody is told."""
        checked(["ip", "link", "set", self.cable, "down"])

    def mend(self) -> None:
        """Plugs it in again."""
        checked(["ip", "link", "set", self.cable, "up"])

    def restart(self, *, crash: bool = False) -> None:
        """Restarts it with what is on its disk: an orderly shutdown, or with ``crash`` in the middle of everything."""
        self._stop(signal.SIGKILL if crash else signal.SIGTERM)
        self.start()
        self.wait()

    # ----- life ---------------------------------------------------------------------------------------------------

    def reset(self, *, keep: bool = False) -> None:
        """Back to the fresh system; ``wait`` before it is used. With ``keep`` the old disk stays until the end."""
        if keep:
            self._switch_off()
            self._lay_aside()
        self.remove()
        self._mount()
        self.start()

    def start(self) -> None:
        """Switches it on; does not wait."""
        self.mend()
        with (self.folder / "console").open("ab") as console:
            self._process = subprocess.Popen(
                ["sh", "-c", ENTER_CGROUPS, "sh", *self._cgroup_files(), "--", *self._nspawn()],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )

    def wait(self, seconds: float = 60.0) -> None:
        """Until it has booted and its sshd greets; raises Unavailable with the end of its console otherwise."""
        try:
            eventually(self._greeting, seconds, (OSError, LookupError))
            eventually(self._booted, seconds, (LookupError, AssertionError))
        except (OSError, LookupError, AssertionError) as problem:
            console = (self.folder / "console").read_text(errors="replace").splitlines()[-20:]
            raise Unavailable("\n".join([f"{self.name} did not boot: {problem}", *console])) from problem

    def remove(self) -> None:
        """Switches it off and throws its disk away."""
        self._switch_off()
        for name in ("upper", "work"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _switch_off(self) -> None:
        self._stop(signal.SIGKILL)
        unmount(self.root)

    def _lay_aside(self) -> None:
        disk = self.folder / "upper"
        if disk.exists():
            disk.rename(self.folder / f"upper.{len(list(self.folder.glob('upper.*')))}")

    def _stop(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if how == signal.SIGTERM:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(30)
        self._process.kill()
        for group in self._cgroups():
            end_cgroup(group)
        self._process.wait(30)
        self._process = None

    def _mount(self) -> None:
        for name in ("upper", "work", "root"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        lower = ":".join(map(str, self.base.layers))
        options = f"lowerdir={lower},upperdir={self.folder / 'upper'},workdir={self.folder / 'work'}"
        checked(["mount", "-t", "overlay", "overlay", "-o", options, str(self.root)])
        self._furnish()

    def _furnish(self) -> None:
        """What makes this one machine of the base's many: name, host key, root's ways in."""
        (self.root / "etc/hostname").write_text(f"{self.name}\n")
        (self.root / "etc/hosts").write_text(f"127.0.0.1 localhost {self.name}\n{self.address} {self.name}\n")
        keys = self.root / "root/.ssh/authorized_keys"
        keys.parent.mkdir(mode=0o700, exist_ok=True)
        keys.write_text(self._public_key())
        self._make_host_key()
        line = f"root:{self.root_password}\n"
        subprocess.run(["chroot", str(self.root), "chpasswd"], input=line, text=True, check=True, timeout=30)

    def _make_host_key(self) -> None:
        path = self.root / "etc/ssh/ssh_host_ed25519_key"
        for old in path.parent.glob("ssh_host_*"):
            old.unlink()
        checked(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", str(path)])

    def _host_key(self) -> str:
        return (self.root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().strip()

    def _public_key(self) -> str:
        return self.key.with_suffix(".pub").read_text()

    def _nspawn(self) -> list[str]:
        fixed = ["-q", "-b", "--register=no", "--keep-unit", "--resolv-conf=off", "--timezone=off", "--link-journal=no"]
        network = f"--network-namespace-path=/run/netns/{self.namespace}"
        return ["systemd-nspawn", *fixed, network, f"--machine={self.name}", "-D", str(self.root)]

    def _cgroups(self) -> list[Path]:
        """A control group for each machine: with one for all, each systemd would manage the other's services."""
        return [group / self.namespace for group in own_cgroups()]

    def _cgroup_files(self) -> list[str]:
        for group in self._cgroups():
            group.mkdir(exist_ok=True)
        return [str(group / "cgroup.procs") for group in self._cgroups()]

    def _init(self) -> int:
        """The process here that is the machine's first; LookupError while there is none."""
        if self._process is None or self._process.poll() is not None:
            raise LookupError(f"{self.name} is not running")
        nspawn = self._process.pid
        for child in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
            if number_inside(int(child)) == 1:
                return int(child)
        raise LookupError(f"{self.name} has no first process")

    def _greeting(self) -> None:
        with socket.create_connection((self.address, self.port), timeout=2) as connection:
            if not connection.recv(64).startswith(b"SSH-2.0"):
                raise ConnectionError("something that is not sshd answers")

    def _booted(self) -> None:
        self.run('[ "$(systemctl is-system-running)" != starting ] && [ ! -e /run/nologin ]')


@dataclass
class Testbed:
    """The machines of one test run, by name, on a bridge of their own. ``close`` leaves nothing behind."""

    __test__ = False

    folder: Path
    bridge: str
    network: ipaddress.IPv4Network
    machines: dict[str, Machine] = field(default_factory=dict)

    @classmethod
    def open(cls) -> Testbed:
        """Raises Unavailable with what this machine lacks."""
        require()
        sweep()
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        checked(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")])
        bridge = f"hb{os.getpid()}"
        return cls(folder, bridge, lay(bridge))

    def machine(
        self, name: str, *, python: bool = True, suite: str = "bookworm", logind: bool = False
    ) -> Machine:
        """The machine of that name, running; a new one is fresh, one that is there already is as it was left.

        Without ``python`` it is a cold host, which can install Python from a folder with ``apt-get``; with ``logind``
        one that ends what a user leaves running.
        """
        if name not in self.machines:
            self.machines[name] = self._new(name, machine_base.base(suite, python=python, logind=logind))
            self.machines[name].reset()
        self.machines[name].wait()
        return self.machines[name]

    def _new(self, name: str, base: Base) -> Machine:
        number = len(self.machines) + 2
        address = self.network[number]
        namespace, cable = f"hm{os.getpid()}-{number}", f"hv{os.getpid()}-{number}"
        connect(namespace, cable, self.bridge, f"{address}/{self.network.prefixlen}")
        return Machine(name, str(address), self.folder / "key", base, self.folder / name, namespace, cable)

    def close(self) -> None:
        """Ends every machine and removes what they had, whatever happens on the way."""
        for machine in self.machines.values():
            machine.remove()
            checked(["ip", "netns", "del", machine.namespace])
        checked(["ip", "link", "del", self.bridge])
        shutil.rmtree(self.folder)


# ----- what a machine stands on -------------------------------------------------------------------------------------


def require() -> None:
    """Raises Unavailable with everything that is missing here."""
    missing = [] if os.geteuid() == 0 else ["root"]
    paths = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing += [program for program in PROGRAMS if not shutil.which(program, path=paths)]
    if missing:
        raise Unavailable("missing: " + ", ".join(missing))


def lay(bridge: str) -> ipaddress.IPv4Network:
    """A bridge with the first address of a network that nothing here uses yet."""
    with machine_base.locked(machine_base.cache() / "network.lock", 60):
        network = free_network()
        checked(["ip", "link", "add", bridge, "type", "bridge"])
        checked(["ip", "addr", "add", f"{network[1]}/{network.prefixlen}", "dev", bridge])
        checked(["ip", "link", "set", bridge, "up"])
    return network


def free_network() -> ipaddress.IPv4Network:
    """The first network of our range that no address and no route of this machine overlaps."""
    used = [ipaddress.IPv4Network(route["dst"]) for route in routes() if route["dst"] != "default"]
    for network in NETWORKS.subnets(new_prefix=24):
        if isinstance(network, ipaddress.IPv4Network) and not any(map(network.overlaps, used)):
            return network
    raise Unavailable(f"no free network in {NETWORKS}")


def routes() -> list[dict[str, str]]:
    """The routes of this machine as ``ip`` says them."""
    said: list[dict[str, str]] = json.loads(checked(["ip", "-4", "-j", "route"]) or "[]")
    return said


def connect(namespace: str, cable: str, bridge: str, address: str) -> None:
    """A network namespace with one interface, plugged into the bridge; no route leads anywhere else."""
    checked(["ip", "netns", "add", namespace])
    checked(["ip", "link", "add", cable, "type", "veth", "peer", "name", "host0", "netns", namespace])
    checked(["ip", "link", "set", cable, "master", bridge])
    checked(["ip", "-n", namespace, "addr", "add", address, "dev", "host0"])
    for interface in ("lo", "host0"):
        checked(["ip", "-n", namespace, "link", "set", interface, "up"])


def own_cgroups() -> list[Path]:
    """The folders of the control groups that systemd cares for, in which we are."""
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        place = {"name=systemd": "systemd", "": "unified"}.get(controllers)
        if place:
            mounted = Path("/sys/fs/cgroup", place)
            found.append((mounted if mounted.is_dir() else mounted.parent) / path.lstrip("/"))
    return found


def end_cgroup(group: Path) -> None:
    """Kills all that is in a control group and removes it; killing systemd-nspawn alone would leave its machine."""

    def gone() -> None:
        for listed in group.rglob("cgroup.procs"):
            for process in listed.read_text().split():
                kill(int(process))
        for folder in sorted((each for each in group.rglob("*") if each.is_dir()), reverse=True):
            folder.rmdir()
        group.rmdir()

    if group.exists():
        eventually(gone, 60, OSError)


def kill(process: int) -> None:
    """Kills one process of ours; it may have ended by itself meanwhile."""
    if process > 1:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def number_inside(process: int) -> int:
    """The number that a process has in its own namespace."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return int(next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1])


def unmount(folder: Path) -> None:
    """Unmounts a folder if something is mounted there."""
    if os.path.ismount(folder):
        eventually(lambda: checked(["umount", str(folder)]), 60, Unavailable)


def eventually(attempt: Callable[[], T], seconds: float, errors: Errors) -> T:
    """Tries again until it succeeds; after that many seconds the last error stands."""
    end = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except errors:
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


# ----- what a killed run left behind --------------------------------------------------------------------------------


def sweep() -> None:
    """Removes the machines of runs whose process is gone: they are named by its number."""
    # one at a time: another run that begins now finds the same
    with machine_base.locked(machine_base.cache() / "sweep.lock", 120):
        for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            owner = folder.name.removeprefix(PREFIX).split("-")[0]
            if owner.isdigit() and not Path("/proc", owner).exists():
                sweep_run(folder, owner)


def sweep_run(folder: Path, owner: str) -> None:
    """Ends what that run started, which is all in control groups of its own, and removes its mounts and links."""
    for namespace in Path("/run/netns").glob(f"hm{owner}-*"):
        for group in own_cgroups():
            end_cgroup(group / namespace.name)
        checked(["ip", "netns", "del", namespace.name])
    for root in folder.glob("*/root"):
        unmount(root)
    if Path("/sys/class/net", f"hb{owner}").exists():
        checked(["ip", "link", "del", f"hb{owner}"])
    shutil.rmtree(folder)


# ----- fixtures -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def testbed() -> Iterator[Testbed]:
    """The machines of this run; skipped, or failed where they are required, when this machine can have none."""
    try:
        opened = Testbed.open()
    except Unavailable as problem:
        refuse(problem)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def machine(testbed: Testbed) -> Iterator[Machine]:
    """A fresh machine with Python."""
    yield from fresh(testbed, "host1")


@pytest.fixture
def second_machine(testbed: Testbed) -> Iterator[Machine]:
    """Another fresh machine."""
    yield from fresh(testbed, "host2")


@pytest.fixture
def machine_pair(machine: Machine, second_machine: Machine) -> tuple[Machine, Machine]:
    """Two fresh machines with Python; they reach each other."""
    return machine, second_machine


@pytest.fixture
def cold_machine(testbed: Testbed) -> Iterator[Machine]:
    """A fresh machine that has no Python."""
    yield from fresh(testbed, "cold1", python=False)


@pytest.fixture
def logind_machine(testbed: Testbed) -> Iterator[Machine]:
    """A fresh machine with Python whose logind ends what a user leaves running (``KillUserProcesses=yes``)."""
    yield from fresh(testbed, "login1", logind=True)


@pytest.fixture
def trixie_machine(testbed: Testbed) -> Iterator[Machine]:
    """A fresh machine of the next Debian, which has Python 3.13."""
    yield from fresh(testbed, "trixie1", suite="trixie")


def fresh(
    testbed: Testbed, name: str, *, python: bool = True, suite: str = "bookworm", logind: bool = False
) -> Iterator[Machine]:
    """Lends a machine; it is reset when it is given back, and boots while others go on."""
    try:
        lent = testbed.machine(name, python=python, suite=suite, logind=logind)
    except Unavailable as problem:
        refuse(problem)
    try:
        yield lent
    finally:
        lent.reset()


def refuse(problem: Unavailable) -> NoReturn:
    """Skips with what is missing, or fails where machines are required."""
    if ENVIRONMENT.get("HOSTOUT_REQUIRE_MACHINES"):
        pytest.fail(f"no machines: {problem}")
    pytest.skip(f"no machines: {problem}")
