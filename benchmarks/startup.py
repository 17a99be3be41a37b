"""How quick the command line is, as ratios to what cannot be avoided.

A project of one host part is built in a temporary folder; then each program is started in turn, again and again. Half
a minute. What does not belong here: the speed of deployments, and hosts that are machines of their own.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import paramiko

from hostout.testing import EmbeddedHost
from measure import Case, Ran, Report, arguments, program, side_by_side

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


def main() -> int:
    """Measures and prints the table."""
    rounds = arguments(__doc__, rounds=20).parse_args().rounds
    report = Report("startup", "How quick the command line is")
    with tempfile.TemporaryDirectory(prefix="hostout-bench-") as name:
        folder = Path(name)
        new_key(folder / "key")
        with server(folder) as (port, kind):
            prepare(folder, port)
            report.fact("interpreter", sys.version.split()[0])
            report.fact("logged into", kind)
            cases = programs(folder)
            report.table("start", cases, side_by_side(cases, rounds))
    report.close()
    return 0


def prepare(folder: Path, port: int) -> None:
    """Builds the project that is measured."""
    facts = {"port": port, "user": getpass.getuser(), "key": folder / "key", "path": folder / "there"}
    (folder / "there").mkdir()
    (folder / "buildout.cfg").write_text(PROJECT.format(**facts))
    (folder / "script.py").write_text(FABRIC.format(**facts))
    started(folder, str(Path(sys.executable).with_name("buildout")))


def programs(folder: Path) -> list[Case]:
    """What is measured."""
    return [
        case(folder, "python -c pass", [sys.executable, "-c", "pass"]),
        case(folder, "bin/hostout", ["bin/hostout"], "python -c pass", 8),
        case(folder, "bin/hostout host1", ["bin/hostout", "host1"], "python -c pass", 8),
        case(folder, "Fabric script", [sys.executable, "script.py"]),
        case(folder, "bin/hostout host1 run true", ["bin/hostout", "host1", "run", "true"], "Fabric script", 1.2),
    ]


def case(folder: Path, name: str, argv: Sequence[str], against: str = "", goal: float = 0.0) -> Case:
    """The start of one program."""
    return Case(name, lambda: started(folder, *argv).figures(), against, goal)


def started(folder: Path, *argv: str) -> Ran:
    """Runs a program to its end, in a home of its own."""
    return program(argv, folder, {"HOME": str(folder)}, limit=SECONDS)


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


if __name__ == "__main__":
    sys.exit(main())
