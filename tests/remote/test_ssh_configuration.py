"""Hosts are reached as ``ssh`` would reach them."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from hostout.errors import ConfigurationError
from hostout.model import Host
from hostout.remote import sshconfig
from hostout.remote.connection import target_of
from hostout.remote.sshconfig import Target


def write(home: Path, text: str, name: str = "config") -> None:
    path = home / ".ssh" / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text)


def target(address: str = "web", port: int | None = None, user: str | None = None) -> Target:
    return target_of(Host("host1", address=address, port=port, user=user))


def test_without_configuration_a_host_is_what_it_is_called() -> None:
    found = target("example.com")
    assert (found.hostname, found.port, found.user) == ("example.com", 22, getpass.getuser())
    assert found.known_as == "example.com"


def test_an_alias_has_name_port_user_and_key(home: Path) -> None:
    write(home, "Host web\n HostName 192.0.2.7\n Port 2222\n User deploy\n IdentityFile ~/.ssh/web\n")
    found = target()
    assert (found.hostname, found.port, found.user) == ("192.0.2.7", 2222, "deploy")
    assert found.identity_files == (str(home / ".ssh" / "web"),)
    assert found.known_as == "[192.0.2.7]:2222"


def test_options_of_the_part_win(home: Path) -> None:
    write(home, "Host *\n Port 2222\n User deploy\n ProxyCommand connect %h %p %r\n")
    found = target(port=10022, user="root")
    assert (found.port, found.user, found.proxy_command) == (10022, "root", "connect web 10022 root")


def test_included_files_count(home: Path) -> None:
    write(home, "Include conf.d/*\nHost web\n  User late\n  Port 5\n")
    (home / ".ssh" / "conf.d").mkdir()
    write(home, "Host other\n User no\nHost web\n User early\n", "conf.d/a")
    found = target()
    assert (found.user, found.port) == ("early", 5)


def test_a_block_goes_on_after_an_included_file(home: Path) -> None:
    write(home, "Host other\n  Include more\n  User no\n")
    write(home, "Host third\n  Port 3\n", "more")
    assert target().user == getpass.getuser()


def test_the_file_of_the_system_comes_last(home: Path) -> None:
    write(home, "Host web\n User mine\n")
    sshconfig.SYSTEM.parent.mkdir()
    sshconfig.SYSTEM.write_text("Host *\n User theirs\n HashKnownHosts yes\n")
    found = target()
    assert (found.user, found.hash_known_hosts) == ("mine", True)


def test_names_for_known_hosts(home: Path) -> None:
    write(home, "Host web\n HostKeyAlias Real\n UserKnownHostsFile ~/a ~/b\n Port 7\n StrictHostKeyChecking yes\n")
    found = target()
    assert found.known_as == "real"
    assert found.user_known_hosts == (str(home / "a"), str(home / "b"))
    assert found.strict


def test_our_own_checking_is_never_made_weaker(home: Path) -> None:
    write(home, "Host *\n StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n")
    assert not target().strict
    assert target().known_as == "web"


def test_jump_hosts_in_their_order(home: Path) -> None:
    write(home, "Host web\n ProxyJump me@a:2222,b\nHost direct\n ProxyJump none\n")
    assert target().proxy_jump == ("me@a:2222", "b")
    assert target("direct").proxy_jump == ()


@pytest.mark.parametrize("text", ["Host web\n Port many\n", "Rubbish\n"])
def test_a_configuration_that_makes_no_sense_is_one_line(home: Path, text: str) -> None:
    write(home, text)
    with pytest.raises(ConfigurationError) as caught:
        target()
    assert "\n" not in caught.value.message


def test_a_part_without_host_says_so() -> None:
    with pytest.raises(ConfigurationError, match=r"\[host1\] host"):
        target("")
