"""``known_hosts`` is read as OpenSSH reads it."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest

from hostout.remote.knownhosts import Verdict, append, fingerprint, hashed, opinion, read

KEY = base64.b64encode(b"the key").decode()
OTHER = base64.b64encode(b"another key").decode()


def verdict(tmp_path: Path, text: str, name: str = "example.com", kind: str = "ssh-ed25519") -> Verdict:
    file = tmp_path / "known_hosts"
    file.write_text(text)
    return opinion(read([str(file)]), name, kind, b"the key").verdict


@pytest.mark.parametrize(
    "names",
    ["example.com", "other,example.com", "*.com", "example.co?", "EXAMPLE.com", "example.com,!evil.com"],
)
def test_names_and_patterns_make_a_host_known(tmp_path: Path, names: str) -> None:
    assert verdict(tmp_path, f"{names} ssh-ed25519 {KEY} comment\n") is Verdict.KNOWN


@pytest.mark.parametrize("names", ["example.org", "*.com,!example.com", "[example.com]:2222", "example.com.evil"])
def test_other_names_do_not(tmp_path: Path, names: str) -> None:
    assert verdict(tmp_path, f"{names} ssh-ed25519 {KEY}\n") is Verdict.UNKNOWN


def test_a_hashed_name_makes_a_host_known(tmp_path: Path) -> None:
    assert verdict(tmp_path, f"{hashed('example.com')} ssh-ed25519 {KEY}\n") is Verdict.KNOWN
    assert verdict(tmp_path, f"{hashed('example.org')} ssh-ed25519 {KEY}\n") is Verdict.UNKNOWN


def test_names_hashed_by_ssh_keygen_are_understood(tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not here")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True, timeout=20)
    kind, key, _ = (tmp_path / "key.pub").read_text().split()
    file = tmp_path / "known_hosts"
    file.write_text(f"[127.0.0.1]:2222 {kind} {key}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True, timeout=20)
    assert "127" not in file.read_text()
    assert opinion(read([str(file)]), "[127.0.0.1]:2222", kind, base64.b64decode(key)).verdict is Verdict.KNOWN


def test_a_changed_key_is_told_from_an_unknown_one(tmp_path: Path) -> None:
    text = f"# comment\n\nexample.com ssh-ed25519 {OTHER}\n"
    assert verdict(tmp_path, text) is Verdict.CHANGED
    found = opinion(read([str(tmp_path / "known_hosts")]), "example.com", "ssh-ed25519", b"the key")
    assert found.entry
    assert found.entry.place == f"{tmp_path / 'known_hosts'}, line 3"


def test_one_of_several_keys_is_enough(tmp_path: Path) -> None:
    assert verdict(tmp_path, f"example.com ssh-ed25519 {OTHER}\nexample.com ssh-ed25519 {KEY}\n") is Verdict.KNOWN


def test_a_key_of_another_type_is_unknown_but_said(tmp_path: Path) -> None:
    assert verdict(tmp_path, f"example.com ssh-rsa {OTHER}\n") is Verdict.UNKNOWN
    found = opinion(read([str(tmp_path / "known_hosts")]), "example.com", "ssh-ed25519", b"the key")
    assert [entry.kind for entry in found.others] == ["ssh-rsa"]


def test_a_revoked_key_is_refused_even_if_also_known(tmp_path: Path) -> None:
    text = f"example.com ssh-ed25519 {KEY}\n@revoked * ssh-ed25519 {KEY}\n"
    assert verdict(tmp_path, text) is Verdict.REVOKED


def test_a_certificate_authority_does_not_make_its_own_key_known(tmp_path: Path) -> None:
    assert verdict(tmp_path, f"@cert-authority *.com ssh-ed25519 {KEY}\n") is Verdict.UNKNOWN
    assert verdict(tmp_path, f"@cert-authority *.com ssh-ed25519 {OTHER}\n") is Verdict.UNKNOWN


def test_another_port_may_stand_there_without_it(tmp_path: Path) -> None:
    assert verdict(tmp_path, f"example.com ssh-ed25519 {KEY}\n", "[example.com]:2222") is Verdict.KNOWN
    # the server on port 22 is another one: that its key differs says nothing
    assert verdict(tmp_path, f"example.com ssh-ed25519 {OTHER}\n", "[example.com]:2222") is Verdict.UNKNOWN


def test_lines_that_are_none_are_passed_over(tmp_path: Path) -> None:
    text = f"rubbish\n@unknown example.com ssh-ed25519 {KEY}\nexample.com ssh-ed25519 !!!\n|1|x|y ssh-ed25519 {KEY}\n"
    assert verdict(tmp_path, text) is Verdict.UNKNOWN


def test_an_added_key_is_known_and_the_file_is_ours_alone(tmp_path: Path) -> None:
    file = tmp_path / "ssh" / "known_hosts"
    append(str(file), "example.com", "ssh-ed25519", b"another key")
    file.write_text(file.read_text().rstrip("\n"))
    append(str(file), hashed("example.com"), "ssh-ed25519", b"the key")
    assert opinion(read([str(file)]), "example.com", "ssh-ed25519", b"the key").verdict is Verdict.KNOWN
    assert len(file.read_text().splitlines()) == 2
    assert file.parent.stat().st_mode & 0o777 == 0o700
    append(str(tmp_path / "new"), "a", "ssh-ed25519", b"the key")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


def test_a_fingerprint_is_that_of_openssh(tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not here")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True, timeout=20)
    shown = subprocess.check_output(["ssh-keygen", "-lf", tmp_path / "key"], text=True, timeout=20).split()[1]
    assert fingerprint(base64.b64decode((tmp_path / "key.pub").read_text().split()[1])) == shown
