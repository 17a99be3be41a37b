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


def test_what_a_block_includes_is_for_its_hosts_only(home: Path) -> None:
    write(home, "Host *.work !secret.work\n Include work\n Port 7\nMatch tagged a\n Include work\n")
    write(home, "Host *\n User joe\nMatch all\n ProxyJump bastion\nHost b.work\n User late\n HostName b\n", "work")
    inside, outside = target("a.work"), target("secret.work")
    assert (inside.user, inside.proxy_jump, inside.port) == ("joe", ("bastion",), 7)
    assert (outside.user, outside.proxy_jump, outside.port) == (getpass.getuser(), (), 22)
    assert [target(name).hostname for name in ("a.work", "b.work")] == ["a.work", "b"]


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


@pytest.mark.parametrize(
    ("header", "holds"),
    [
        ("Match final all", True),  # how Fedora's and Red Hat's own configuration begins
        ("Match canonical all", False),
        ("Match Host web", True),
        ("Match HOST other", False),
        ("Match !host web", False),
        ('Match originalhost "web,other" user "me,you"', True),
        ("Match tagged prod", False),
        ("Match host web localnetwork 10.0.0.0/8", False),
        ("Match sessiontype shell", False),
        ("Host other # used to be web", False),
        ("Host web # old", True),
        ("Host w?b !o*", True),
        ("Host * !web", False),
        ("Host\tweb", True),
    ],
)
def test_a_block_holds_for_whom_openssh_says(home: Path, header: str, holds: bool) -> None:
    write(home, f"Host *\n User me\n{header}\n Port 7\n")
    assert target().port == (7 if holds else 22)


COMMANDS = [("test %n = web", True), ("test %h = db", False), ("! cat | grep x", True)]


@pytest.mark.parametrize(("command", "holds"), COMMANDS)
def test_a_command_decides_once_and_reads_nothing_of_ours(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, holds: bool
) -> None:
    (tmp_path / "input").write_text("x\n")
    write(home, f'Host web\n HostName web\nMatch host web exec "echo >> {tmp_path}/ran; {command}"\n Port 7\n')
    with (tmp_path / "input").open() as ours:
        monkeypatch.setattr("sys.stdin", ours)
        assert target().port == (7 if holds else 22)
        assert target("db").port == 22
        assert ours.read() == "x\n"
    assert (tmp_path / "ran").read_text() == "\n"


def test_comments_behind_a_value_do_not_count(home: Path) -> None:
    write(home, "Include\tmore # it's mine\nHost web\n HostName 192.0.2.7 # don't\n ProxyCommand nc '#' # %h\n")
    write(home, 'Port 7 #\nUser "a#b"\n', "more")
    found = target()
    assert (found.hostname, found.port, found.user) == ("192.0.2.7", 7, "a#b")
    assert found.proxy_command == "nc '#' # 192.0.2.7"


def test_names_of_files_may_have_blanks(home: Path) -> None:
    write(home, 'UserKnownHostsFile "/my hosts" "/yours"\nGlobalKnownHostsFile "/our hosts"\n')
    assert target().user_known_hosts == ("/my hosts", "/yours")
    assert target().global_known_hosts == ("/our hosts",)


def test_each_host_may_have_a_file_of_its_own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNOWN", "/known")
    write(home, "Host web\n HostName 192.0.2.7\n Port 7\nHost *\n UserKnownHostsFile ~/k/%k ${KNOWN}/%h-%p%%%Z\n")
    assert target().user_known_hosts == (str(home / "k" / "web"), "/known/192.0.2.7-7%%Z")


@pytest.mark.parametrize(("text", "seconds"), [("none", None), ("90", 90), ("1m", 60), ("1M30s", 90)])
def test_a_time_limit_may_have_units(home: Path, text: str, seconds: float | None) -> None:
    write(home, f"ConnectTimeout {text}\n")
    assert target().connect_timeout == seconds


@pytest.mark.parametrize(
    ("first", "then", "jump", "command"),
    [
        ("ProxyJump a", "ProxyCommand nc", ("a",), None),
        ("ProxyCommand nc", "ProxyJump a", (), "nc"),
        ("ProxyCommand none", "ProxyJump a", (), None),
        ("ProxyJump none", "ProxyCommand nc", (), "nc"),
    ],
)
def test_the_way_that_is_set_first_is_taken(
    home: Path, first: str, then: str, jump: tuple[str, ...], command: str | None
) -> None:
    write(home, f"Host web\n {first}\nHost *\n {then}\n")
    assert (target().proxy_jump, target().proxy_command) == (jump, command)


SENSELESS = ["Host web\n Port many\n", "Rubbish\n", 'Include "a\n', 'UserKnownHostsFile "a\n', "ConnectTimeout soon\n"]


@pytest.mark.parametrize("text", SENSELESS)
def test_a_configuration_that_makes_no_sense_is_one_line(home: Path, text: str) -> None:
    write(home, text)
    with pytest.raises(ConfigurationError) as caught:
        target()
    assert "\n" not in caught.value.message


def test_a_part_without_host_says_so() -> None:
    with pytest.raises(ConfigurationError, match=r"\[host1\] host"):
        target("")
