"""How quick the command line is, as ratios to what cannot be avoided: what ``make bench`` runs.

A project of one host part is built in a temporary folder; then each program is started in turn, again and again, and
the medians are compared. What does not belong here: assertions, and the speed of deployments.
"""

from __future__ import annotations

import argparse
import getpass
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import paramiko

from hostout.testing import EmbeddedHost

SECONDS = 60
SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")

PROJECT = """\
[buildout]
parts = host1
newest = false

[host1]
recipe = collective.hostout
host = 127.0.0.1:{port}
user = {user}
identity-file = {key}
host-key = accept-new
path = {path}
"""

FABRIC = """\
from fabric import Connection

with Connection("127.0.0.1", user="{user}", port={port}, connect_kwargs={{"key_filename": "{key}"}}) as connection:
    connection.run("true")
"""

SSHD_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
MaxStartups 1000
"""


@dataclass(frozen=True)
class Program:
    """Something to start: ``against`` is the name of what it is compared with, ``goal`` the ratio to stay below."""

    name: str
    argv: Sequence[str]
    against: str = ""
    goal: float = 0.0


def main() -> int:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="how often each program is started (default 20)")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="hostout-bench-") as name:
        folder = Path(name)
        new_key(folder / "key")
        with server(folder) as (port, kind):
            programs = prepare(folder, port)
            say(f"{rounds} rounds, {sys.executable} ({sys.version.split()[0]}), {kind}\n\n")
            report(programs, measure(programs, folder, rounds))
    return 0


def prepare(folder: Path, port: int) -> list[Program]:
    """Builds the project; gives what is measured."""
    facts = {"port": port, "user": getpass.getuser(), "key": folder / "key", "path": folder / "there"}
    (folder / "there").mkdir()
    (folder / "buildout.cfg").write_text(PROJECT.format(**facts))
    (folder / "script.py").write_text(FABRIC.format(**facts))
    started([str(Path(sys.executable).with_name("buildout"))], folder)
    return [
        Program("python -c pass", [sys.executable, "-c", "pass"]),
        Program("bin/hostout", ["bin/hostout"], "python -c pass", 8),
        Program("bin/hostout host1", ["bin/hostout", "host1"], "python -c pass", 8),
        Program("Fabric script", [sys.executable, "script.py"]),
        Program("bin/hostout host1 run true", ["bin/hostout", "host1", "run", "true"], "Fabric script", 1.2),
    ]


def measure(programs: Sequence[Program], folder: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of each start, by name; one round before them fills the caches."""
    taken: dict[str, list[float]] = {program.name: [] for program in programs}
    for number in range(rounds + 1):
        for program in programs:
            began = time.perf_counter()
            started(program.argv, folder)
            if number:
                taken[program.name].append(time.perf_counter() - began)
    return taken


def report(programs: Sequence[Program], taken: dict[str, list[float]]) -> None:
    """A line for each: median and the middle half in milliseconds, the ratio of medians, the goal."""
    say(f"{'':28}{'median':>10}{'middle half':>18}{'ratio':>10}{'goal':>10}\n")
    for program in programs:
        low, median, high = (1000 * each for each in statistics.quantiles(taken[program.name], n=4))
        line = f"{program.name:28}{median:7.0f} ms{f'{low:.0f} to {high:.0f} ms':>18}"
        if program.against:
            ratio = statistics.median(taken[program.name]) / statistics.median(taken[program.against])
            line += f"{ratio:10.2f}{program.goal:10g}"
        say(f"{line}\n")


def started(argv: Sequence[str], folder: Path) -> None:
    """Runs a program to its end, in a home of its own; says what it said if it failed."""
    environment = {**os.environ, "HOME": str(folder)}
    ran = subprocess.run(
        argv,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if ran.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with status {ran.returncode}\n{ran.stdout}{ran.stderr}")


# ----- what is logged into ------------------------------------------------------------------------------------------


@contextmanager
def server(folder: Path) -> Iterator[tuple[int, str]]:
    """A server on loopback that lets our key in; gives its port and what it is."""
    if SSHD and (os.geteuid() or Path("/run/sshd").is_dir()):
        with openssh(folder) as port:
            yield port, "OpenSSH's sshd on loopback"
    else:
        with EmbeddedHost(folder / "host", authorized_keys=[folder / "key.pub"]) as host:
            yield host.port, "the server of hostout.testing (sshd or its folder /run/sshd is missing)"


@contextmanager
def openssh(folder: Path) -> Iterator[int]:
    """``sshd`` as whoever we are, on a free port; ended by its process."""
    host_key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host_key")]
    subprocess.run(host_key, check=True, timeout=SECONDS)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    (folder / "sshd_config").write_text(SSHD_CONFIG.format(folder=folder, port=port))
    sshd = subprocess.Popen([str(SSHD), "-D", "-e", "-f", str(folder / "sshd_config")], stderr=subprocess.DEVNULL)
    try:
        listening(port)
        yield port
    finally:
        sshd.terminate()
        sshd.wait(SECONDS)


def listening(port: int) -> None:
    """Waits until somebody listens there."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


def new_key(file: Path) -> None:
    """A key pair to log in with."""
    key = paramiko.ECDSAKey.generate()
    key.write_private_key_file(str(file))
    file.with_suffix(".pub").write_text(f"{key.get_name()} {key.get_base64()}\n")


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
