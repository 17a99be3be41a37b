"""The machines that other tests deploy to are what those tests take them for."""

from __future__ import annotations

import subprocess
import time
import urllib.error
from pathlib import Path

import pytest

from machines import Machine, Testbed

pytestmark = pytest.mark.machine


def login(machine: Machine, tmp_path: Path, user: str, command: str) -> subprocess.CompletedProcess[str]:
    known = machine.known_hosts(tmp_path / "known_hosts")
    options = ["-F", "none", "-i", str(machine.key), "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes"]
    argv = ["ssh", *options, "-o", "ConnectTimeout=15", f"{user}@{machine.address}", command]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


def test_machine_lets_root_and_users_in_by_ssh(machine: Machine, tmp_path: Path) -> None:
    machine.add_user("deploy", "s3cret", sudo="password")
    assert login(machine, tmp_path, "root", "hostname").stdout == "host1\n"
    assert login(machine, tmp_path, "deploy", "echo s3cret | sudo -S -p '' id -u").stdout == "0\n"
    assert login(machine, tmp_path, "deploy", "sudo -n id -u").returncode == 1


def test_machine_without_password_for_sudo(machine: Machine, tmp_path: Path) -> None:
    machine.add_user("deploy", sudo="nopasswd")
    assert login(machine, tmp_path, "deploy", "sudo -n id -u").stdout == "0\n"


def test_machine_runs_systemd_and_knows_nothing_of_earlier_tests(machine: Machine) -> None:
    assert machine.run("systemctl is-system-running").stdout == "running\n"
    assert "deploy" not in machine.read("/etc/passwd")


def test_machine_reaches_no_network_but_ours(machine: Machine) -> None:
    ran = machine.run(["python3", "-c", "import socket; socket.create_connection(('192.0.2.1', 80), 60)"], check=False)
    assert "Network is unreachable" in ran.stderr


def test_cut_cable_is_mended(machine: Machine, tmp_path: Path) -> None:
    machine.cut()
    assert login(machine, tmp_path, "root", "true").returncode == 255
    machine.mend()
    assert login(machine, tmp_path, "root", "true").returncode == 0


@pytest.mark.parametrize("crash", [False, True])
def test_restarted_machine_has_its_files_and_its_key_but_no_process(
    machine: Machine, tmp_path: Path, crash: bool
) -> None:
    machine.write("/srv/kept", "text", 0o600)
    machine.run("setsid python3 -m http.server 8080 >/dev/null 2>&1 &")
    assert machine.http().strip()
    machine.restart(crash=crash)
    assert machine.read("/srv/kept") == "text"
    assert login(machine, tmp_path, "root", "true").returncode == 0
    with pytest.raises(urllib.error.URLError):
        machine.http(within=0)


def test_changed_host_key_is_refused_by_openssh(machine: Machine, tmp_path: Path) -> None:
    assert login(machine, tmp_path, "root", "true").returncode == 0
    machine.new_host_key()
    known = (tmp_path / "known_hosts").read_text().splitlines()[0]
    assert known not in machine.known_hosts(tmp_path / "new").read_text()


def test_services_of_two_machines_do_not_touch_each_other(machine_pair: tuple[Machine, Machine]) -> None:
    one, two = machine_pair
    for each in machine_pair:
        each.write("/etc/systemd/system/x.service", "[Service]\nExecStart=/bin/sleep 600\n")
        each.run("systemctl daemon-reload && systemctl start x")
    one.run("systemctl stop x")
    assert two.run("systemctl is-active x").stdout == "active\n"
    assert one.address != two.address
    one.run(["python3", "-c", f"import socket; socket.create_connection(('{two.address}', 22), 60)"])


def test_cold_machine_has_no_python_but_can_install_it(cold_machine: Machine) -> None:
    assert cold_machine.run("command -v python3", check=False).returncode
    cold_machine.run("apt-get update && apt-get install -y --no-install-recommends python3")
    assert cold_machine.run("python3 -c 'import ssl, json, venv'").returncode == 0


def test_reset_is_quick(testbed: Testbed) -> None:
    machine = testbed.machine("host1")
    began = time.monotonic()
    machine.reset()
    machine.wait()
    assert time.monotonic() - began < 30
