"""Whatever a network does, there is one clear line within a bounded time."""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hostout.errors import ConnectionFailed
from hostout.testing import EmbeddedHost
from listening import PATIENT, QUICK, LogIn

SOON = 45.0
"""Less than a command here runs, or anything is waited for by whoever is patient."""


def failure(log_in: LogIn, **options: object) -> str:
    began = time.monotonic()
    with pytest.raises(ConnectionFailed) as caught:
        log_in(**options)
    assert time.monotonic() - began < SOON
    assert caught.value.host == "host1"
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_port_that_refuses(log_in: LogIn) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert failure(log_in, address="127.0.0.1", port=port) == f"127.0.0.1, port {port} refused the connection"


def test_a_name_that_does_not_resolve(log_in: LogIn) -> None:
    assert "no-such-host.invalid: the name does not resolve" in failure(log_in, address="no-such-host.invalid")


def test_a_name_that_cannot_be_one(log_in: LogIn) -> None:
    assert "does not resolve" in failure(log_in, address="a" * 70 + ".example")


def test_a_host_that_accepts_and_says_nothing(server: EmbeddedHost, log_in: LogIn) -> None:
    server.silent = True
    message = failure(log_in, server=server, limits=QUICK)
    assert message == f"127.0.0.1, port {server.port}: accepts connections, but says nothing"


def test_a_server_that_speaks_another_language(log_in: LogIn) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 200)
                connection.recv(1000)

        threading.Thread(target=answer, daemon=True).start()
        message = failure(log_in, address="127.0.0.1", port=listener.getsockname()[1])
    assert "does not speak SSH" in message


def test_a_server_that_hangs_up(log_in: LogIn) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        message = failure(log_in, address="127.0.0.1", port=listener.getsockname()[1])
    assert "ended the connection before the login" in message


def test_a_host_that_goes_silent_during_a_command(server: EmbeddedHost, log_in: LogIn) -> None:
    connection = log_in(server, limits=QUICK)
    threading.Timer(0.3, server.freeze).start()
    began = time.monotonic()
    with pytest.raises(ConnectionFailed, match=r"127\.0\.0\.1.*does not answer any more"):
        connection.run("sleep 60")
    assert time.monotonic() - began < SOON


def test_a_silent_command_on_a_living_host_is_waited_for(server: EmbeddedHost, log_in: LogIn) -> None:
    connection = log_in(server, limits=replace(PATIENT, silence=5))
    assert connection.run("sleep 6; echo done", hide=True).stdout == "done\n"


def test_a_connection_that_drops_during_a_command(server: EmbeddedHost, log_in: LogIn) -> None:
    connection = log_in(server)
    threading.Timer(0.3, server.disconnect).start()
    with pytest.raises(ConnectionFailed, match="the connection was lost"):
        connection.run("sleep 60")


def test_a_connection_that_drops_during_an_upload_leaves_no_half_file(
    server: EmbeddedHost, log_in: LogIn, tmp_path: Path
) -> None:
    connection = log_in(server)
    (tmp_path / "big").write_bytes(os.urandom(5_000_000))
    server.drop_after(1_000_000)
    with pytest.raises(ConnectionFailed, match="the connection was lost"):
        connection.put(str(tmp_path / "big"), "big")
    assert not (server.home / "big").exists()


def test_a_new_command_after_the_host_is_gone_says_so(server: EmbeddedHost, log_in: LogIn) -> None:
    connection = log_in(server)
    server.stop()
    time.sleep(0.2)
    with pytest.raises(ConnectionFailed):
        connection.run("true")
