"""An embedded host that the home of the test knows, and connections to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostout.model import Emit, Host, Secret
from hostout.remote import sshconfig
from hostout.remote.connection import Connection, connect
from hostout.remote.credentials import PasswordCache
from hostout.remote.limits import Limits
from hostout.testing import EmbeddedHost
from listening import PATIENT, Heard, LogIn, Person


@pytest.fixture(autouse=True)
def ssh_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``~/.ssh``; what the machine's own ssh configuration says does not count."""
    monkeypatch.setattr(sshconfig, "SYSTEM", home / "etc" / "ssh_config")
    folder = home / ".ssh"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def server(tmp_path: Path, home: Path) -> Iterator[EmbeddedHost]:
    """A host with the password ``right``, in the known hosts of ``home``."""
    with EmbeddedHost(tmp_path / "server", password="right", linger=1) as host:
        host.write_known_hosts(home / ".ssh" / "known_hosts")
        yield host


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def log_in(heard: Heard) -> Iterator[LogIn]:
    """Connects; ``password``, ``person`` and options of the part may be given. Closes what it opened."""
    opened: list[Connection] = []

    def log_in(
        server: EmbeddedHost | None = None,
        *,
        password: str | None = "right",
        person: Person | None = None,
        cache: PasswordCache | None = None,
        emit: Emit | None = None,
        limits: Limits = PATIENT,
        **options: Any,
    ) -> Connection:
        if server is not None:
            options = {"address": server.address, "port": server.port, "user": server.user, **options}
        secrets = {} if password is None else {"password": Secret(password)}
        host = Host("host1", secrets=secrets, **options)
        connection = connect(host, person or Person(), emit or heard, cache or PasswordCache(), host.address, limits)
        opened.append(connection)
        return connection

    yield log_in
    for connection in opened:
        connection.close()
