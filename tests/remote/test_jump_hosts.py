"""Hosts behind other hosts and behind commands, each of them with its own key checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hostout.errors import ConfigurationError, ConnectionFailed
from hostout.remote.credentials import PasswordCache
from hostout.testing import EmbeddedHost
from listening import LogIn, Person


@pytest.fixture
def jump(tmp_path: Path, home: Path) -> Iterator[EmbeddedHost]:
    with EmbeddedHost(tmp_path / "jump", password="right") as host:
        host.write_known_hosts(home / ".ssh" / "known_hosts")
        yield host


def configure(home: Path, server: EmbeddedHost, line: str, more: str = "") -> None:
    (home / ".ssh" / "config").write_text(
        f"Host web\n HostName 127.0.0.1\n Port {server.port}\n User {server.user}\n {line}\n{more}"
    )


def test_a_host_behind_a_jump_host(server: EmbeddedHost, jump: EmbeddedHost, log_in: LogIn, home: Path) -> None:
    configure(home, server, f"ProxyJump {jump.user}@127.0.0.1:{jump.port}")
    person = Person(["right"])
    connection = log_in(address="web", password=None, person=person)
    assert connection.run("echo hi", hide=True).stdout == "hi\n"
    assert (jump.logins, server.logins) == ([jump.user], [server.user])
    assert len(person.asked) == 1, "both share a user, so they share the password"
    connection.close()


def test_the_password_of_the_environment_is_not_told_to_another_users_jump_host(
    server: EmbeddedHost, log_in: LogIn, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedHost(tmp_path / "jump", user="guest", password="of the guest") as jump:
        jump.write_known_hosts(home / ".ssh" / "known_hosts")
        configure(home, server, f"ProxyJump guest@127.0.0.1:{jump.port}")
        monkeypatch.setenv("HOSTOUT_PASSWORD", "right")
        person = Person(["of the guest"])
        log_in(address="web", password=None, person=person).close()
        assert [prompt.partition(" at ")[0] for prompt in person.asked] == ["Password for guest"]
        assert jump.attempts.count("password") == server.attempts.count("password") == 1


def test_a_chain_of_jump_hosts(
    server: EmbeddedHost, jump: EmbeddedHost, log_in: LogIn, home: Path, tmp_path: Path
) -> None:
    with EmbeddedHost(tmp_path / "second", password="right") as second:
        second.write_known_hosts(home / ".ssh" / "known_hosts")
        configure(
            home,
            server,
            f"ProxyJump first,{second.user}@127.0.0.1:{second.port}",
            f"Host first\n HostName 127.0.0.1\n Port {jump.port}\n User {jump.user}\n",
        )
        connection = log_in(address="web", password=None, person=Person(["right"]))
        assert connection.run("echo hi", hide=True).stdout == "hi\n"
        assert jump.logins
        assert second.logins
        connection.close()


def test_the_key_of_a_jump_host_is_checked_too(
    server: EmbeddedHost, jump: EmbeddedHost, log_in: LogIn, home: Path
) -> None:
    configure(home, server, f"ProxyJump {jump.user}@127.0.0.1:{jump.port}")
    jump.change_host_key()
    with pytest.raises(ConnectionFailed, match="has changed"):
        log_in(address="web")
    server.write_known_hosts(home / ".ssh" / "new")
    (home / ".ssh" / "new").replace(home / ".ssh" / "known_hosts")
    with pytest.raises(ConnectionFailed, match=f"127.0.0.1, port {jump.port}: its host key .* is not known"):
        log_in(address="web", host_key=server.fingerprint)
    assert not jump.attempts


def test_a_host_that_the_jump_host_cannot_reach(
    server: EmbeddedHost, jump: EmbeddedHost, log_in: LogIn, home: Path
) -> None:
    configure(home, server, f"ProxyJump {jump.user}@127.0.0.1:{jump.port}")
    server.stop()
    with pytest.raises(ConnectionFailed, match=f"127.0.0.1, port {server.port}"):
        log_in(address="web", password=None, person=Person(["right"]))


def test_a_jump_host_for_everything_is_reached_directly(
    server: EmbeddedHost, jump: EmbeddedHost, log_in: LogIn, home: Path
) -> None:
    jumper = f"Host *\n ProxyJump gate\nHost gate\n HostName 127.0.0.1\n Port {jump.port}\n User {jump.user}\n"
    configure(home, server, "", jumper)
    cache = PasswordCache()
    cache.worked(jump.user, cache.learn("right"))
    assert log_in(address="web", cache=cache).run("echo hi", hide=True).stdout == "hi\n"
    assert len(jump.logins) == 1


def test_a_loop_of_jump_hosts_is_an_error(log_in: LogIn, home: Path) -> None:
    (home / ".ssh" / "config").write_text("Host a\n ProxyJump b\nHost b\n ProxyJump c\nHost c\n ProxyJump b\n")
    with pytest.raises(ConfigurationError, match="loop"):
        log_in(address="a")


def test_a_host_behind_another_port_of_its_jump_host(
    server: EmbeddedHost, jump: EmbeddedHost, log_in: LogIn, home: Path
) -> None:
    (home / ".ssh" / "config").write_text(f"Host 127.0.0.1\n ProxyJump 127.0.0.1:{jump.port}\n")
    connection = log_in(server, password=None, person=Person(["right"]))
    assert connection.run("echo hi", hide=True).stdout == "hi\n"
    assert (jump.logins, server.logins) == ([jump.user], [server.user])


RELAY = """\
import os, select, socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
while True:
    for r in select.select([0, s], [], [])[0]:
        data = os.read(r if r == 0 else s.fileno(), 65536)
        if not data: sys.exit()
        s.sendall(data) if r == 0 else os.write(1, data)
"""


@pytest.fixture
def relay(home: Path) -> Path:
    """A program that connects its standard input and output to the host and port it is given."""
    (home / "relay.py").write_text(RELAY)
    return home / "relay.py"


def test_a_proxy_command_is_the_way(server: EmbeddedHost, log_in: LogIn, home: Path, relay: Path) -> None:
    configure(home, server, f"ProxyCommand python3 {relay} %h %p")
    assert log_in(address="web").run("echo hi", hide=True).stdout == "hi\n"


def test_ctrl_c_leaves_the_way_to_the_host_open(server: EmbeddedHost, log_in: LogIn, home: Path, relay: Path) -> None:
    """The host has to be told of it: a build there is to end, and what was stopped to be started."""
    configure(home, server, f"ProxyCommand sh -c 'kill -INT $$; exec python3 {relay} %h %p'")
    assert log_in(address="web").run("echo hi", hide=True).stdout == "hi\n"


def test_a_proxy_command_that_fails_is_one_line(server: EmbeddedHost, log_in: LogIn, home: Path) -> None:
    configure(home, server, "ProxyCommand exit 1")
    with pytest.raises(ConnectionFailed, match="ended the connection before the login"):
        log_in(address="web")
