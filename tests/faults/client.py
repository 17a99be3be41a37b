"""The developer's machine: ``bin/hostout`` in a network of its own, with a cable that can be pulled.

What does not belong here: what is deployed (``contents``), to what (``disk``).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from faults.contents import Content
from machine_base import checked
from machines import Testbed, connect

LIMIT = 180.0
"""Seconds that any call may take; every wait of hostout is shorter."""

STEPWISE = Path(__file__).with_name("stepwise.py")
CONNECTING = b"Logging into"


@dataclass
class Call:
    """A ``bin/hostout`` that runs; its output goes to the file ``said``."""

    process: subprocess.Popen[bytes]
    said: Path
    words: tuple[str, ...]
    began: float = field(default_factory=time.monotonic)

    @property
    def text(self) -> str:
        return self.said.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def connects(self) -> float:
        """Waits until it connects (or has ended); gives the moment."""
        while self.running and CONNECTING not in self.said.read_bytes() and time.monotonic() < self.began + LIMIT:
            time.sleep(0.005)
        self.began = time.monotonic()
        return self.began

    def until(self, moment: float) -> None:
        """Sleeps until that many seconds after it connected, or until its end."""
        while self.running and time.monotonic() < self.began + moment:
            time.sleep(0.003)

    def sleep(self, seconds: float) -> None:
        """So long from now, or until its end."""
        self.until(time.monotonic() - self.began + seconds)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def end(self, limit: float = LIMIT) -> int:
        """Its exit status; killed where it does not end by itself in that time."""
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL


class Desk:
    """A machine to deploy from, plugged into the bridge of a testbed. The host hears nothing when it is unplugged."""

    numbers = count(100)

    def __init__(self, testbed: Testbed, folder: Path) -> None:
        number = next(self.numbers)
        self.namespace, self.cable = f"hm{os.getpid()}-{number}", f"hv{os.getpid()}-{number}"
        self.folder = folder
        self._calls = count()
        connect(self.namespace, self.cable, testbed.bridge, f"{testbed.network[number]}/{testbed.network.prefixlen}")
        self.mend()

    def call(self, content: Content, *words: str, **environment: str) -> Call:
        """Starts ``bin/hostout`` of a working copy with these words."""
        script = str(content.project.folder / "bin" / "hostout")
        # variables of the environment are for stepwise.py alone
        stepwise = [str(content.project.env.python), str(STEPWISE)] if environment else []
        said = self.folder / f"{self.namespace}-{next(self._calls)}"
        with said.open("wb") as out:
            process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.namespace}", "--", *stepwise, script, *words],
                cwd=content.project.folder, env={**content.project.variables(), **environment},
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        return Call(process, said, words)

    def cut(self) -> None:
        """Pulls the cable."""
        checked(["ip", "link", "set", self.cable, "down"])

    def mend(self) -> None:
        """Plugs it in."""
        checked(["ip", "link", "set", self.cable, "up"])

    def reaches(self, address: str) -> None:
        """Waits for the kernel to look for an address once more that it had given up: some seconds."""
        look = ["nsenter", f"--net=/run/netns/{self.namespace}", "--", "bash", "-c", ': <>"/dev/tcp/$0/22"', address]
        until = time.monotonic() + LIMIT
        while subprocess.run(look, stderr=subprocess.DEVNULL, timeout=LIMIT, check=False).returncode:
            assert time.monotonic() < until, f"{address} cannot be reached with the cable plugged in"
            time.sleep(0.1)

    def destroy(self) -> None:
        """It is gone, and says goodbye to nobody."""
        checked(["ip", "link", "del", self.cable])
        checked(["ip", "netns", "del", self.namespace])
