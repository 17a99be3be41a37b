"""When what was said: a deployment followed line by line, and a page looked at until it answers.

What does not belong here: what the lines mean (``cold.py``).
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from measure import Failed

BETWEEN = 0.05
"""Seconds between two looks at the page."""


@dataclass(frozen=True)
class Said:
    """A line and the second after the start when it came."""

    at: float
    line: str


@dataclass(frozen=True)
class Followed:
    """A program that ran to its end: its lines, its seconds, and the second in which the page answered."""

    lines: tuple[Said, ...]
    seconds: float
    answered: float

    def at(self, words: str, *, last: bool = False) -> float:
        """The second of the first (or last) line with these words; Failed where there is none."""
        found = [said.at for said in self.lines if words in said.line]
        if not found:
            raise Failed(f"no line has {words!r}:\n" + "\n".join(said.line for said in self.lines[-20:]))
        return found[-1 if last else 0]

    def text(self) -> str:
        """Every line with its second, for people."""
        return "".join(f"{said.at:8.2f}  {said.line}\n" for said in self.lines)


def follow(
    argv: Sequence[str | Path], folder: Path, environment: Mapping[str, str], url: str, limit: float
) -> Followed:
    """Runs a program in that environment alone, and looks at ``url`` until it answers 200; Failed after ``limit``."""
    began = time.perf_counter()
    with ThreadPoolExecutor(1) as pool:
        ended = threading.Event()
        page = pool.submit(answering, url, began, began + limit, ended)
        try:
            lines, status = _run(argv, folder, environment, began, limit)
            seconds = time.perf_counter() - began
            if status:
                said = "\n".join(said.line for said in lines[-40:])
                raise Failed(f"{' '.join(map(str, argv))} ended with status {status}\n{said}")
            return Followed(tuple(lines), seconds, page.result(limit))
        finally:
            ended.set()


def _run(
    argv: Sequence[str | Path], folder: Path, environment: Mapping[str, str], began: float, limit: float
) -> tuple[list[Said], int]:
    process = subprocess.Popen(
        list(map(str, argv)),
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    overdue = threading.Timer(limit, os.killpg, (process.pid, signal.SIGKILL))
    overdue.start()
    try:
        assert process.stdout
        lines = [Said(time.perf_counter() - began, line.rstrip("\n")) for line in process.stdout]
        return lines, process.wait()
    finally:
        overdue.cancel()
        if process.poll() is None:
            # nobody follows any more
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answering(url: str, began: float, end: float, ended: threading.Event) -> float:
    """The second after ``began`` in which a page answers with 200; Failed at ``end``."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.perf_counter() < end and not ended.is_set():
        with suppress(OSError), opener.open(url, timeout=60) as answer:
            if answer.status == 200:
                return time.perf_counter() - began
        time.sleep(BETWEEN)
    raise Failed(f"{url} did not answer in time")
