"""The whole journey in one minute, without a host: what ``make demo`` runs.

Builds a copy of ``examples/hello`` with zc.buildout, starts an SSH server of our own in a temporary folder, deploys to
it twice with the ``bin/hostout`` that was built, and fetches the page each time. Needs no root and no installed
server, and leaves nothing behind; when something fails it leaves the folder and says where its log is.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import paramiko

from hostout.testing import EmbeddedHost

HELLO = Path(__file__).resolve().parent / "hello"
BUILT = shutil.ignore_patterns(".installed.cfg", "bin", "develop-eggs", "eggs", "parts", "var", "*.egg-info")
MINUTES = 60

LOCAL = """\
[buildout]
extends = base.cfg
parts += demo

[demo]
recipe = collective.hostout
host = {host.address}:{host.port}
user = {host.user}
identity-file = {key}
host-key = {host.fingerprint}
path = {path}
no-sudo = true
buildout = demo-host.cfg
include = hello.ini
pre-commands = ! test -x ${{buildout:directory}}/bin/hello || ${{buildout:directory}}/bin/hello stop
post-commands = ${{buildout:directory}}/bin/hello start
post-failure = rollback
health-check = {url}health
"""

REMOTE = """\
[buildout]
extends = base.cfg

[settings]
port = {port}
"""

OWN_HOST = """
With a host of your own (it needs Python 3.9 or newer and an SSH server, nothing else):
  1. pip install collective.hostout       beside zc.buildout, in the environment of your project
  2. add to buildout.cfg                  [buildout]
                                          parts += host1
                                          [host1]
                                          recipe = collective.hostout
                                          host = www.example.com
                                          user = root
                                          path = /srv/hello
                                          effective-user = hello
  3. bin/buildout && bin/hostout host1 deploy
examples/hello/hosts.cfg and examples/django/hosts.cfg are complete ones, with a comment on every line that matters.
"""


@dataclass(frozen=True)
class Demo:
    """One run: ``folder`` has everything, ``port`` is where the deployed application listens."""

    folder: Path
    host: EmbeddedHost
    port: int

    @property
    def project(self) -> Path:
        return self.folder / "hello"

    @property
    def path(self) -> Path:
        """Where the application lives on the host."""
        return self.host.home / "hello"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def log(self) -> Path:
        return self.folder / "demo.log"


def main() -> int:
    """Runs the demonstration; 0 when both pages were what they should be."""
    folder = Path(tempfile.mkdtemp(prefix="hostout-demo-"))
    key = new_key(folder / "key")
    with EmbeddedHost(folder / "host", authorized_keys=[key]) as host:
        demo = Demo(folder, host, free_port())
        try:
            journey(demo)
        except KeyboardInterrupt:
            say(f"\ninterrupted; what there is of it is in {folder}")
            return 130
        except (Failed, subprocess.TimeoutExpired, OSError) as problem:
            return failed(demo, problem)
        finally:
            end(demo)
    shutil.rmtree(folder)
    say(OWN_HOST)
    return 0


def journey(demo: Demo) -> None:
    """What a developer does: build, deploy, look; edit, deploy, look."""
    prepare(demo)
    with told("examples/hello is built here by zc.buildout"):
        run(demo, [str(Path(sys.executable).with_name("buildout")), "-c", "demo.cfg"])
    say(f"a host: an SSH server on {demo.host.address}:{demo.host.port}, with nothing on it but Python")
    with told("bin/hostout demo deploy", demo):
        deploy(demo)
    look(demo, "the first version")
    edit(demo.project / "src/hello/src/hello/page.py", "the first version", "the second version")
    say("src/hello/src/hello/page.py is edited")
    with told("bin/hostout demo deploy", demo):
        deploy(demo)
    look(demo, "the second version")
    say("Each release was built in a folder of its own and went live by one rename; var stayed where it is.")


def prepare(demo: Demo) -> None:
    """A copy of the example with a host part for our host: the repository stays as it is."""
    shutil.copytree(HELLO, demo.project, ignore=BUILT)
    (demo.folder / "home").mkdir()
    local = LOCAL.format(host=demo.host, key=demo.folder / "key", path=demo.path, url=demo.url)
    (demo.project / "demo.cfg").write_text(local)
    (demo.project / "demo-host.cfg").write_text(REMOTE.format(port=demo.port))


def deploy(demo: Demo) -> None:
    run(demo, ["bin/hostout", "--yes", "demo", "deploy"])


def look(demo: Demo, expected: str) -> None:
    """Fetches the page and says what is in it."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(demo.url, timeout=30) as answer:
            page = answer.read().decode()
    except urllib.error.URLError as problem:
        raise Failed(f"{demo.url}: {problem}") from problem
    said = " ".join(re.sub(r"<title>.*</title>|<[^>]+>", " ", page).split())
    if expected not in page:
        raise Failed(f"{demo.url} does not say '{expected}' but: {said}")
    say(f"  {demo.url} says: {said}")


def edit(file: Path, old: str, new: str) -> None:
    file.write_text(file.read_text().replace(old, new))


# ----- how it runs things -------------------------------------------------------------------------------------------


class Failed(Exception):
    """A step did not do what it should."""


def run(demo: Demo, argv: list[str]) -> None:
    """Runs a program in the project, its output in the log; no file of the user's own home takes part."""
    environment = {**os.environ, "HOME": str(demo.folder / "home")}
    with demo.log.open("a") as log:
        log.write(f"\n$ {' '.join(argv)}\n")
        log.flush()
        ended = subprocess.run(
            argv,
            cwd=demo.project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            timeout=10 * MINUTES,
            check=False,
        )
    if ended.returncode:
        raise Failed(f"{' '.join(argv)} ended with status {ended.returncode}")


@contextmanager
def told(what: str, demo: Demo | None = None) -> Iterator[None]:
    """Says what is done, how long it took and, of a deployment, what went over the wire and what is live."""
    say(f"{what} ...", end=" ")
    began, sent = time.monotonic(), demo.host.received if demo else 0
    yield
    seconds = f"{time.monotonic() - began:.1f} s"
    say(f"{seconds}, {(demo.host.received - sent) // 1024} kB sent, {live(demo)}" if demo else seconds)


def live(demo: Demo) -> str:
    """The release that runs, relative to its ``path``."""
    current = demo.path / "current"
    return f"{current.readlink()} is live" if current.is_symlink() else "nothing is live"


def say(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)
    sys.stdout.flush()


def failed(demo: Demo, problem: Exception) -> int:
    """Says what went wrong, with the end of the log."""
    say(f"\n{problem}")
    if demo.log.exists():
        say("".join(f"    {line}\n" for line in demo.log.read_text(errors="replace").splitlines()[-20:]))
    say(f"Everything is still in {demo.folder}; the whole log is {demo.log}")
    return 1


def end(demo: Demo) -> None:
    """Ends the application that the deployment started, by the process in its pid file, and waits until it is gone."""
    with suppress(FileNotFoundError, ValueError, ProcessLookupError):
        process = int((demo.path / "var/hello.pid").read_text())
        os.kill(process, signal.SIGTERM)
        for _ in range(100):
            os.kill(process, 0)
            time.sleep(0.05)


def new_key(file: Path) -> Path:
    """A key pair to log in with; gives the file of its public half."""
    key = paramiko.ECDSAKey.generate()
    key.write_private_key_file(str(file))
    public = file.with_suffix(".pub")
    public.write_text(f"{key.get_name()} {key.get_base64()}\n")
    return public


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
