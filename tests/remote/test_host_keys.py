"""Nobody is talked to whose key is not known, pinned or agreed to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import fabric
import paramiko
import pytest

from hostout.errors import ConnectionFailed
from hostout.testing import EmbeddedHost
from listening import Heard, LogIn, Person


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[EmbeddedHost]:
    """A host that no file knows."""
    with EmbeddedHost(tmp_path / "stranger", password="right") as host:
        yield host


def refused(log_in: LogIn, server: EmbeddedHost, **options: object) -> str:
    with pytest.raises(ConnectionFailed) as caught:
        log_in(server, **options)
    assert "\n" not in caught.value.message
    assert not server.attempts, "a password went to a host that nobody knows"
    return caught.value.message


def test_an_unknown_key_is_refused_without_a_terminal(stranger: EmbeddedHost, log_in: LogIn) -> None:
    message = refused(log_in, stranger)
    assert f"127.0.0.1, port {stranger.port}" in message
    assert stranger.fingerprint in message
    assert "accept-new" in message


def test_an_unknown_key_is_asked_about_with_its_fingerprint(stranger: EmbeddedHost, log_in: LogIn, home: Path) -> None:
    person = Person(yes=True)
    log_in(stranger, person=person)
    assert stranger.fingerprint in person.asked[0]
    assert (home / ".ssh" / "known_hosts").read_text() == stranger.known_hosts_line
    log_in(stranger, person=person)
    assert len(person.asked) == 1


def test_a_key_that_somebody_says_no_to_is_refused(stranger: EmbeddedHost, log_in: LogIn, home: Path) -> None:
    assert "was not accepted" in refused(log_in, stranger, person=Person(yes=False))
    assert not (home / ".ssh" / "known_hosts").exists()


def test_accept_new_adds_the_key_and_says_so(stranger: EmbeddedHost, log_in: LogIn, home: Path, heard: Heard) -> None:
    log_in(stranger, host_key="accept-new")
    assert stranger.fingerprint in heard.lines("warning")[0]
    assert (home / ".ssh" / "known_hosts").read_text() == stranger.known_hosts_line


def test_a_pinned_fingerprint_is_enough(stranger: EmbeddedHost, log_in: LogIn, home: Path) -> None:
    log_in(stranger, host_key=stranger.fingerprint)
    assert not (home / ".ssh" / "known_hosts").exists()


def test_another_fingerprint_is_refused(stranger: EmbeddedHost, log_in: LogIn) -> None:
    message = refused(log_in, stranger, host_key="SHA256:AAAAAAAA")
    assert stranger.fingerprint in message
    assert "SHA256:AAAAAAAA" in message


def test_an_md5_fingerprint_is_compared_as_well(stranger: EmbeddedHost, log_in: LogIn) -> None:
    digest = hashlib.md5(stranger.host_key.asbytes()).hexdigest()
    right = "MD5:" + ":".join(digest[at : at + 2] for at in range(0, 32, 2))
    wrong = f"{right[:-1]}{'1' if right[-1] == '0' else '0'}"
    message = refused(log_in, stranger, host_key=wrong, person=Person(yes=True))
    assert wrong in message
    assert right in message
    log_in(stranger, host_key=right)


@pytest.mark.parametrize("option", ["ask", "accept-new", "pinned"])
def test_a_changed_key_is_refused_whatever_is_set(server: EmbeddedHost, log_in: LogIn, home: Path, option: str) -> None:
    old = server.fingerprint
    server.change_host_key()
    pinned = server.fingerprint if option == "pinned" else option
    message = refused(log_in, server, host_key=pinned, person=Person(yes=True))
    assert "has changed" in message
    assert f"{home / '.ssh' / 'known_hosts'}, line 1" in message
    assert old in message
    assert server.fingerprint in message


def test_strict_checking_of_the_ssh_configuration_asks_nobody(
    stranger: EmbeddedHost, log_in: LogIn, home: Path
) -> None:
    (home / ".ssh" / "config").write_text("Host *\n StrictHostKeyChecking yes\n")
    person = Person(yes=True)
    assert "StrictHostKeyChecking" in refused(log_in, stranger, person=person)
    assert not person.asked


def test_lax_checking_of_the_ssh_configuration_changes_nothing(
    stranger: EmbeddedHost, log_in: LogIn, home: Path
) -> None:
    (home / ".ssh" / "config").write_text("Host *\n StrictHostKeyChecking no\n")
    refused(log_in, stranger)


def test_the_file_that_the_ssh_configuration_names_is_used(
    stranger: EmbeddedHost, log_in: LogIn, home: Path, tmp_path: Path
) -> None:
    (home / ".ssh" / "config").write_text(
        f"Host *\n UserKnownHostsFile {tmp_path}/elsewhere\n HashKnownHosts yes\n HostKeyAlias farm\n"
    )
    log_in(stranger, host_key="accept-new")
    text = (tmp_path / "elsewhere").read_text()
    assert text.startswith("|1|")
    log_in(stranger)
    assert (tmp_path / "elsewhere").read_text() == text


def test_the_connection_of_a_task_keeps_fabrics_policy_out(server: EmbeddedHost, log_in: LogIn) -> None:
    connection = log_in(server)
    assert isinstance(connection, fabric.Connection)
    assert not isinstance(connection.client._policy, paramiko.AutoAddPolicy)
    connection.close()
    server.change_host_key()
    with pytest.raises(ConnectionFailed, match="has changed"):
        connection.run("true")
