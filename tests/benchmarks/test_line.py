"""The line that benchmarks put before a host."""

from __future__ import annotations

import socket
import sys
import threading
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from peers.line import line


def echo(listening: socket.socket) -> None:
    """Sends back what comes, twice over, until nothing more comes."""
    with listening.accept()[0] as connection:
        while data := connection.recv(1 << 16):
            connection.sendall(data * 2)


def test_a_line_counts_what_goes_over_it_and_lets_every_answer_wait_a_round_trip() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there, line(*there.getsockname()[:2]) as way:
        threading.Thread(target=echo, args=[there], daemon=True).start()
        way.far(0.1)
        count = way.counted_anew()
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", way.port), 60) as here:
            here.settimeout(60)
            for _ in range(3):
                here.sendall(b"x" * 1000)
                assert len(here.recv(2000, socket.MSG_WAITALL)) == 2000
        # one for the connection, three for the answers
        assert time.monotonic() - began >= 0.4
    figures = count.figures()
    # what is sent at once may arrive in two pieces
    assert 2 <= figures.pop("turns") <= 5
    assert figures == {"bytes": 9000, "bytes up": 3000, "connections": 1}
