"""``bin/hello run``: serves until it is stopped; ``start`` and ``stop``: the same in the background."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from waitress import serve

from hello.page import application

SECONDS = 20.0
"""How long ``stop`` waits for the end."""


def main(ini: str, var: str, address: str, port: int) -> int:
    """The script; its arguments are what ``base.cfg`` says, the word behind it is what to do."""
    place = Path(var)
    place.mkdir(exist_ok=True)
    word = " ".join(sys.argv[1:])
    if word == "stop":
        return stop(place / "hello.pid")
    if word not in ("run", "start"):
        return failed("usage: hello run | start | stop", 2)
    held = hold(place / "hello.pid")
    if not held:
        return failed("hello is running already")
    page = application(Path(ini), place)
    listening = socket.create_server((address, port))
    if word == "start":
        detach(place / "hello.log")
    held.write(f"{os.getpid()}\n")
    held.flush()
    serve(page, sockets=[listening])
    return 0


def failed(why: str, status: int = 1) -> int:
    sys.stderr.write(f"{why}\n")
    return status


def hold(pid: Path) -> TextIO | None:
    """The pid file, held as long as this process and those it becomes live; None if another one holds it."""
    file = pid.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    file.truncate(0)
    return file


def detach(log: Path) -> None:
    """Goes on in the background, in a session of its own, its output in ``log``; the foreground ends here."""
    if os.fork():
        os._exit(0)
    os.setsid()
    with log.open("a") as written, Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(written.fileno(), 1)
        os.dup2(written.fileno(), 2)


def stop(pid: Path) -> int:
    """Ends the one that holds the pid file, if there is one, and waits until it is gone."""
    end = time.monotonic() + SECONDS
    while not hold(pid):
        if time.monotonic() > end:
            return failed("hello does not stop")
        for process in pid.read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGTERM)
        time.sleep(0.1)
    return 0
