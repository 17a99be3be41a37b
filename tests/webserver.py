"""A small web server of a test, in a thread of its own.

What does not belong here: what it answers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def answering(address: str, handler: type[BaseHTTPRequestHandler], ended: threading.Event) -> Iterator[int]:
    """The port that it answers on; ``ended`` is set at the end, for requests that are never answered."""
    server = ThreadingHTTPServer((address, 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
