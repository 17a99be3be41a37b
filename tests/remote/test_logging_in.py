"""Keys, passphrases and passwords: what is tried, what is asked, what is said when nothing fits."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from paramiko.common import AUTH_FAILED, AUTH_PARTIALLY_SUCCESSFUL
from paramiko.server import InteractiveQuery

from hostout import testing
from hostout.errors import ConfigurationError, ConnectionFailed
from hostout.model import Secret
from hostout.remote.connection import Connection
from hostout.remote.credentials import PasswordCache
from hostout.remote.early import Early, InTurn
from hostout.testing import EmbeddedHost, make_key
from listening import PATIENT, LogIn, Person


@pytest.fixture
def key_server(tmp_path: Path, home: Path) -> Iterator[EmbeddedHost]:
    """A host that takes one key, which is in no place where keys are looked for."""
    make_key(tmp_path / "keys" / "mine")
    with EmbeddedHost(tmp_path / "server", authorized_keys=[tmp_path / "keys" / "mine.pub"]) as host:
        host.write_known_hosts(home / ".ssh" / "known_hosts")
        yield host


def refused(log_in: LogIn, *arguments: object, **options: object) -> str:
    with pytest.raises(ConnectionFailed) as caught:
        log_in(*arguments, **options)
    assert caught.value.status == 3
    assert caught.value.host == "host1"
    assert "\n" not in caught.value.message
    return caught.value.message


def test_no_small_packet_waits_for_another_one(server: EmbeddedHost, log_in: LogIn) -> None:
    connection = log_in(server)
    assert connection.transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# passwords


def test_the_password_of_the_options_is_used(server: EmbeddedHost, log_in: LogIn) -> None:
    log_in(server)
    assert server.logins == [server.user]


def test_a_password_command_is_asked_for_it(server: EmbeddedHost, log_in: LogIn, tmp_path: Path) -> None:
    command = f"echo x >> {tmp_path}/count; echo right; echo more"
    cache = PasswordCache()
    for _ in range(2):
        log_in(server, password=None, cache=cache, password_command=command)
    assert len(server.logins) == 2
    assert (tmp_path / "count").read_text() == "x\n"


def test_a_password_command_that_fails_is_named(server: EmbeddedHost, log_in: LogIn) -> None:
    with pytest.raises(ConfigurationError, match=r"password-command.*status 7"):
        log_in(server, password=None, password_command="exit 7")


def test_a_password_command_that_prints_nothing_is_named(server: EmbeddedHost, log_in: LogIn) -> None:
    with pytest.raises(ConfigurationError, match=r"password-command: 'echo' prints no password"):
        log_in(server, password=None, password_command="echo")
    assert not server.attempts


def test_the_environment_may_have_the_password(
    server: EmbeddedHost, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOSTOUT_PASSWORD", "right")
    log_in(server, password=None)


def test_people_are_asked_once_for_all_hosts_of_a_run(server: EmbeddedHost, log_in: LogIn) -> None:
    person, cache = Person(["right"]), PasswordCache()
    log_in(server, password=None, person=person, cache=cache)
    log_in(server, password=None, person=person, cache=cache)
    assert person.asked == [f"Password for {server.user} at 127.0.0.1: "]
    assert len(server.logins) == 2


def test_a_wrong_password_is_asked_three_times(server: EmbeddedHost, log_in: LogIn) -> None:
    person = Person(["wrong", "wronger", "right"])
    log_in(server, password=None, person=person)
    assert len(person.asked) == 3


def test_after_three_wrong_passwords_there_is_one_line(server: EmbeddedHost, log_in: LogIn) -> None:
    person = Person(["a", "b", "c", "right"])
    message = refused(log_in, server, password=None, person=person)
    assert message == (
        f"could not log into 127.0.0.1, port {server.port} as {server.user}: "
        f"the password of {server.user} was not accepted"
    )
    assert len(person.asked) == 3


def test_a_wrong_password_without_terminal_is_tried_once(server: EmbeddedHost, log_in: LogIn) -> None:
    message = refused(log_in, server, password="wrong")
    assert "was not accepted" in message
    assert "wrong" not in message
    assert server.attempts == ["password"]


def test_no_password_and_no_terminal_says_what_to_set(server: EmbeddedHost, log_in: LogIn) -> None:
    message = refused(log_in, server, password=None)
    assert "HOSTOUT_PASSWORD" in message
    assert "no terminal to ask on" in message


def test_a_password_of_one_host_that_fails_on_the_next_is_asked_again(
    server: EmbeddedHost, log_in: LogIn, tmp_path: Path, home: Path
) -> None:
    person, cache = Person(["right", "other"]), PasswordCache()
    log_in(server, password=None, person=person, cache=cache)
    with EmbeddedHost(tmp_path / "second", password="other") as second:
        second.write_known_hosts(home / ".ssh" / "known_hosts")
        log_in(second, password=None, person=person, cache=cache)
        assert second.attempts == ["password", "password"]


def test_every_password_is_made_known_to_who_scrubs_output(server: EmbeddedHost, log_in: LogIn) -> None:
    known: list[Secret] = []
    log_in(server, password=None, person=Person(["right"]), cache=PasswordCache(known.append))
    assert [secret.reveal() for secret in known] == ["right"]


def test_keyboard_interactive_takes_the_same_password(log_in: LogIn, tmp_path: Path, home: Path) -> None:
    with EmbeddedHost(tmp_path / "pam", password="right", interactive=True) as host:
        host.write_known_hosts(home / ".ssh" / "known_hosts")
        log_in(host)
        assert host.attempts == ["keyboard-interactive"]
        assert "was not accepted" in refused(log_in, host, password="wrong")


@pytest.fixture
def code_server(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedHost]:
    """A host that wants the code 123 besides the password: asked for together, or (``password``) behind it."""

    class WithCode(testing._Rules):
        passed = False

        def get_allowed_auths(self, username: str) -> str:
            return "keyboard-interactive" if self.host.interactive or self.passed else "password"

        def check_auth_password(self, username: str, password: str) -> int:
            self.passed = password == "right"
            return AUTH_PARTIALLY_SUCCESSFUL if self.passed else AUTH_FAILED

        def check_auth_interactive(self, username: str, submethods: str) -> InteractiveQuery:
            password = () if self.passed else (("Password: ", False),)
            return InteractiveQuery("", "", *password, ("Code: ", False))

        def check_auth_interactive_response(self, responses: list[str]) -> int:
            return self._decide("code", self.host.user, responses == (["123"] if self.passed else ["right", "123"]))

    monkeypatch.setattr(testing, "_Rules", WithCode)
    with EmbeddedHost(tmp_path / "code", password="right", interactive=True) as host:
        host.write_known_hosts(home / ".ssh" / "known_hosts")
        yield host


@pytest.mark.parametrize("together", [True, False])
def test_a_code_besides_the_password_is_asked_for(code_server: EmbeddedHost, log_in: LogIn, together: bool) -> None:
    code_server.interactive = together
    person = Person(secrets=["123"])
    assert log_in(code_server, person=person).run("echo in", hide=True).stdout == "in\n"
    assert person.asked == ["Code: "]
    if not together:
        assert "was not accepted" in refused(log_in, code_server, person=Person(secrets=["321"]))


def test_who_types_a_code_is_waited_for(code_server: EmbeddedHost, log_in: LogIn) -> None:
    class Slow(Person):
        def secret(self, prompt: str) -> str | None:
            time.sleep(5)
            return super().secret(prompt)

    log_in(code_server, person=Slow(secrets=["123"]), limits=replace(PATIENT, login=4))


def test_nobody_is_asked_for_a_code_before_the_turn_of_the_host(code_server: EmbeddedHost, log_in: LogIn) -> None:
    person, early = Person(secrets=["123"]), Early[Connection]()
    early.begin("host1", lambda: log_in(code_server, person=InTurn(person)))
    assert early.take("host1") is None
    assert not person.asked


def test_ctrl_c_at_the_question_for_a_code_is_met_by_who_asks(code_server: EmbeddedHost, log_in: LogIn) -> None:
    class Gone(Person):
        def secret(self, prompt: str) -> str | None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log_in(code_server, person=Gone())


# keys


def test_a_default_key_is_found(key_server: EmbeddedHost, log_in: LogIn, tmp_path: Path, home: Path) -> None:
    shutil.copy(tmp_path / "keys" / "mine", home / ".ssh" / "id_ecdsa")
    log_in(key_server, password=None)
    assert key_server.attempts == ["publickey"]


@pytest.mark.parametrize("name", ["mine", "mine.pub"])
def test_identity_file_names_the_key_or_its_public_half(
    key_server: EmbeddedHost, log_in: LogIn, tmp_path: Path, name: str
) -> None:
    log_in(key_server, password=None, identity_file=str(tmp_path / "keys" / name))


def test_an_identity_file_that_is_missing_is_named(key_server: EmbeddedHost, log_in: LogIn, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"identity-file: there is no .*/nowhere"):
        log_in(key_server, password=None, identity_file=str(tmp_path / "nowhere"))


def test_the_ssh_configuration_may_name_the_key(
    key_server: EmbeddedHost, log_in: LogIn, tmp_path: Path, home: Path
) -> None:
    key = tmp_path / "keys" / "mine"
    (home / ".ssh" / "config").write_text(
        f"Host web\n HostName 127.0.0.1\n Port {key_server.port}\n User {key_server.user}\n IdentityFile {key}\n"
    )
    connection = log_in(password=None, address="web")
    assert connection.run("echo hi", hide=True).stdout == "hi\n"


def test_a_key_that_does_not_fit_is_said_so(key_server: EmbeddedHost, log_in: LogIn, home: Path) -> None:
    make_key(home / ".ssh" / "id_ecdsa")
    message = refused(log_in, key_server, password="unused")
    assert "no key was accepted and the host takes keys only" in message


def test_a_passphrase_is_asked_for_once_for_all_hosts(
    log_in: LogIn, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key(home / ".ssh" / "id_ecdsa", passphrase="open sesame")
    with EmbeddedHost(tmp_path / "locked", authorized_keys=[Path(f"{key}.pub")]) as host:
        host.write_known_hosts(home / ".ssh" / "known_hosts")
        person, cache = Person(["wrong", "open sesame"]), PasswordCache()
        log_in(host, password=None, person=person, cache=cache)
        log_in(host, password=None, person=person, cache=cache)
        assert person.asked == [f"Passphrase for key {key}: "] * 2


def test_a_locked_key_is_named_where_nobody_can_be_asked(log_in: LogIn, tmp_path: Path, home: Path) -> None:
    key = make_key(home / ".ssh" / "id_ecdsa", passphrase="open sesame")
    with EmbeddedHost(tmp_path / "locked", authorized_keys=[Path(f"{key}.pub")]) as host:
        host.write_known_hosts(home / ".ssh" / "known_hosts")
        assert f"({key} needs its passphrase)" in refused(log_in, host, password=None)


@pytest.fixture
def ssh_agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    if shutil.which("ssh-agent") is None:
        pytest.skip("ssh-agent is not here")
    socket = tmp_path / "a"
    said = subprocess.check_output(["ssh-agent", "-s", "-a", socket], text=True, timeout=10)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    yield
    os.kill(int(said.split("SSH_AGENT_PID=")[1].split(";")[0]), signal.SIGTERM)


@pytest.mark.usefixtures("ssh_agent")
def test_the_agent_serves_a_key_whose_public_half_is_named(
    key_server: EmbeddedHost, log_in: LogIn, tmp_path: Path
) -> None:
    key = tmp_path / "keys" / "mine"
    subprocess.run(["ssh-add", "-q", key], check=True, timeout=10)
    key.unlink()
    log_in(key_server, password=None, identity_file=f"{key}.pub")
    assert key_server.attempts == ["publickey"]
    log_in(key_server, password=None)


@pytest.mark.usefixtures("ssh_agent")
@pytest.mark.parametrize("name", ["mine", "mine.pub"])
def test_the_ssh_configuration_may_name_either_half_of_a_key_that_only_the_agent_has(
    key_server: EmbeddedHost, log_in: LogIn, tmp_path: Path, home: Path, name: str
) -> None:
    key = tmp_path / "keys" / "mine"
    subprocess.run(["ssh-add", "-q", key, make_key(tmp_path / "other")], check=True, timeout=10)
    key.unlink()
    (home / ".ssh" / "config").write_text(f"Host *\n IdentitiesOnly yes\n IdentityFile {key.with_name(name)}\n")
    log_in(key_server, password=None)
    log_in(key_server, password=None, identity_file=str(key))
    assert key_server.attempts == ["publickey"] * 2


@pytest.fixture
def odd_agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[socket.socket]:
    """A place where an ssh-agent should be."""
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "a"))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "a"))
        listening.listen()
        yield listening


def test_an_agent_that_never_answers_holds_up_no_login(
    odd_agent: socket.socket, server: EmbeddedHost, log_in: LogIn
) -> None:
    limits = replace(PATIENT, login=4)
    log_in(server, limits=limits)
    assert "the ssh-agent does not answer" in refused(log_in, server, password=None, limits=limits)


def test_an_agent_that_hangs_up_is_none(odd_agent: socket.socket, server: EmbeddedHost, log_in: LogIn) -> None:
    hanging_up = threading.Thread(target=lambda: odd_agent.accept()[0].close())
    hanging_up.start()
    log_in(server)
    hanging_up.join()


def test_a_host_that_has_enough_of_keys_is_no_riddle(
    key_server: EmbeddedHost, log_in: LogIn, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSH's MaxAuthTries is 6."""

    class Few(testing._Rules):
        def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
            if len(self.host.attempts) == 5:
                self.line.cut()
            return super().check_auth_publickey(username, key)

    monkeypatch.setattr(testing, "_Rules", Few)
    names = [f" IdentityFile {make_key(tmp_path / f'key{number}')}\n" for number in range(8)]
    (home / ".ssh" / "config").write_text(f"Host *\n{''.join(names)}")
    assert refused(log_in, key_server, password=None).endswith(
        "ended the connection during the login after 6 keys: the option identity-file names the right one"
    )


def test_a_key_of_a_kind_that_nobody_can_sign_with_is_passed_over(
    key_server: EmbeddedHost, log_in: LogIn, tmp_path: Path, home: Path
) -> None:
    odd = Ed448PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (home / ".ssh" / "odd").write_bytes(odd)
    (home / ".ssh" / "config").write_text(f"Host *\n IdentityFile ~/.ssh/odd\n IdentityFile {tmp_path}/keys/mine\n")
    log_in(key_server, password=None)
    assert key_server.attempts == ["publickey"]
