"""The server that users have: OpenSSH's sshd on loopback, as whoever runs the tests."""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentclient import until
from hostout.errors import ConnectionFailed, RemoteError
from hostout.remote import shipping
from hostout.remote.agent import PACKAGE, Agent
from hostout.remote.quoting import in_folder, sh
from listening import Heard, LogIn
from ports import free_port
from smalldisk import mounted

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(SSHD is None, reason="OpenSSH's sshd is not here (package openssh-server)")

CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/ed25519
HostKey {folder}/ecdsa
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin yes
MaxStartups 1000
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class Server:
    """A running sshd."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes]


def keygen(path: Path, kind: str) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True, timeout=30)


def start(folder: Path, public_key: str) -> Server:
    folder.mkdir()
    for kind in ("ed25519", "ecdsa"):
        keygen(folder / kind, kind)
    (folder / "authorized_keys").write_text(public_key)
    port = free_port()
    (folder / "config").write_text(CONFIG.format(port=port, folder=folder))
    assert SSHD is not None
    process = subprocess.Popen([SSHD, "-D", "-E", folder / "log", "-f", folder / "config"])
    try:
        for _ in until("sshd listens"):
            assert process.poll() is None, (folder / "log").read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
    except AssertionError:
        process.kill()
        raise
    return Server(port, folder, process)


@pytest.fixture
def servers(tmp_path: Path, home: Path) -> Iterator[tuple[Server, Server]]:
    """Two servers that take the default key of the user, whom the user does not know yet."""
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    keygen(home / ".ssh" / "id_ed25519", "ed25519")
    public = (home / ".ssh" / "id_ed25519.pub").read_text()
    both = (start(tmp_path / "one", public), start(tmp_path / "two", public))
    yield both
    for server in both:
        server.process.terminate()
        server.process.wait(60)


def know(home: Path, server: Server, kind: str, *, hashed: bool = False) -> None:
    file = home / ".ssh" / "known_hosts"
    with file.open("a") as known:
        known.write(f"[127.0.0.1]:{server.port} " + (server.folder / f"{kind}.pub").read_text())
    if hashed:
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True, timeout=20)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_any_of_the_keys_of_a_host_may_be_pinned(servers: tuple[Server, Server], log_in: LogIn, kind: str) -> None:
    said = subprocess.check_output(["ssh-keygen", "-lf", servers[0].folder / f"{kind}.pub"], text=True, timeout=20)
    there = {"address": "127.0.0.1", "port": servers[0].port, "user": getpass.getuser(), "password": None}
    log_in(**there, host_key=said.split()[1])
    with pytest.raises(ConnectionFailed, match=r"it shows the host key ssh-ed25519 SHA256:.*, the option host-key has"):
        log_in(**there, host_key=f"{said.split()[1]}x")


def test_a_key_login_a_command_and_files(
    servers: tuple[Server, Server], log_in: LogIn, home: Path, tmp_path: Path, heard: Heard
) -> None:
    know(home, servers[0], "ed25519", hashed=True)
    connection = log_in(address="127.0.0.1", port=servers[0].port, password=None)
    connection.run(sh(in_folder(str(tmp_path), "pwd && echo $((1+1)) '$HOME'")))
    assert heard.lines("out") == [str(tmp_path), "2 $HOME"]
    content = os.urandom(1 << 20) * 20
    (tmp_path / "big").write_bytes(content)
    connection.put(str(tmp_path / "big"), f"{tmp_path}/copy")
    connection.put(str(tmp_path / "big"), f"{tmp_path}/copy")
    connection.get(f"{tmp_path}/copy", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content


@pytest.mark.parametrize("size", [20_000_000, 2_100_000, 500_000])
def test_a_disk_that_is_full_is_one_line_and_what_was_there_stays(
    servers: tuple[Server, Server], log_in: LogIn, home: Path, tmp_path: Path, small_disk: Path, size: int
) -> None:
    know(home, servers[0], "ed25519")
    (tmp_path / "big").write_bytes(bytes(size))
    (small_disk / "copy").write_bytes(b"before" * 300_000)
    connection = log_in(address="127.0.0.1", port=servers[0].port, password=None)
    with pytest.raises(RemoteError, match=f"^put: {small_disk}/copy: it cannot be written: is the disk full?"):
        connection.put(str(tmp_path / "big"), f"{small_disk}/copy")
    assert [path.name for path in small_disk.iterdir()] == ["copy"]
    assert (small_disk / "copy").read_bytes() == b"before" * 300_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "small", megabytes=2) as folder:
        yield folder


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_the_type_of_key_that_is_known_is_asked_for(
    servers: tuple[Server, Server], log_in: LogIn, home: Path, kind: str
) -> None:
    know(home, servers[0], kind)
    assert log_in(address="127.0.0.1", port=servers[0].port, password=None).run("true", hide=True).ok


def test_an_unknown_server_is_refused(servers: tuple[Server, Server], log_in: LogIn, home: Path) -> None:
    know(home, servers[0], "ed25519")
    with pytest.raises(ConnectionFailed, match="is not known"):
        log_in(address="127.0.0.1", port=servers[1].port, password=None)


def test_a_jump_from_one_server_to_the_other(servers: tuple[Server, Server], log_in: LogIn, home: Path) -> None:
    jump, server = servers
    for each in servers:
        know(home, each, "ed25519")
    (home / ".ssh" / "config").write_text(
        f"Host web\n HostName 127.0.0.1\n Port {server.port}\n ProxyJump {getpass.getuser()}@127.0.0.1:{jump.port}\n"
    )
    connection = log_in(address="web", password=None)
    before = connection.run("echo $SSH_CONNECTION", hide=True).stdout.split()
    assert before[3] == str(server.port)
    jump.process.terminate()
    connection.close()


def test_a_large_program_for_the_agent_passes(
    servers: tuple[Server, Server], log_in: LogIn, home: Path, tmp_path: Path, heard: Heard
) -> None:
    package = tmp_path / "package"
    package.mkdir()
    shutil.copy(PACKAGE / shipping.FIRST, package)
    (package / "__init__.py").write_text("")
    (package / "serve.py").write_text(
        "import hashlib, json\n"
        "def main(question):\n"
        "    sum = hashlib.sha256(question.encode()).hexdigest()\n"
        "    print(json.dumps({'event': 'ready', 'facts': {'sum': sum}}), flush=True)\n"
    )
    know(home, servers[0], "ed25519")
    connection = log_in(address="127.0.0.1", port=servers[0].port, password=None)
    # the longest but one is nearly the longest that goes without asking
    for size in (10, 40_000, 70_000, 152_000, 200_000):
        question = {"x": os.urandom(size // 2).hex()}
        text = f'{{"x":"{question["x"]}"}}'.encode()
        assert bool(shipping.program(package, question).later) == (size == 200_000)
        agent = Agent.start(connection, question, become=False, emit=heard, package=package)
        assert agent.facts["sum"] == hashlib.sha256(text).hexdigest()
        agent.close()
