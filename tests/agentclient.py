"""A client of the agent for tests: the zip as it travels, a real process, the protocol over pipes.

What does not belong here: what is tested. Every wait is bounded.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import select
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostout.agent import protocol

AGENT = Path(protocol.__file__).parent
LIMIT = 60.0
WHEELS = Path(__file__).resolve().parents[1] / ".build" / "wheels"
ENVIRONMENT = ("zc.buildout", "setuptools", "wheel", "pip", "packaging", "platformdirs")
_MAIN = "import sys\nfrom hostout_agent.serve import main\nsys.exit(main(sys.argv[1]))\n"


def agent_zip() -> bytes:
    """The folder as a package of the name that it travels under, with something that starts it."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted(AGENT.glob("*.py")):
            archive.write(path, f"hostout_agent/{path.name}")
        archive.writestr("__main__.py", _MAIN)
    return content.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def interpreters() -> list[str]:
    """This Python, and the oldest that a host may have where there is one."""
    oldest = sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python3"))
    return [sys.executable, *map(str, oldest[:1])]


def fetched(python: str) -> list[Path]:
    """What zc.buildout's environment consists of for that interpreter, fetched once."""
    say = "import sys; print(*sys.version_info[:2], sep='.')"
    version = subprocess.run([python, "-c", say], capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    folder = WHEELS / version
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if len(list(folder.glob("*.whl"))) < len(ENVIRONMENT):
            argv = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--dest", str(folder)]
            subprocess.run([*argv, "--python-version", version, *ENVIRONMENT], check=True, timeout=300)
    return sorted(folder.glob("*.whl"))


@dataclass
class Reply:
    """How a request ended, with all that was said before."""

    events: list[dict[str, Any]]

    @property
    def last(self) -> dict[str, Any]:
        return self.events[-1]

    @property
    def result(self) -> dict[str, Any]:
        assert self.last["event"] == "done", self.events
        found: dict[str, Any] = self.last["result"]
        return found

    @property
    def message(self) -> str:
        assert self.last["event"] == "failed", self.events
        return str(self.last["message"])

    def lines(self, kind: str = "out") -> list[str]:
        return [event["text"] for event in self.events if event["event"] == kind]


class Client:
    """One agent process and what it says."""

    def __init__(self, python: str, archive: Path, question: Mapping[str, Any], **popen: Any) -> None:
        argv = [python, "-I", "-S", str(archive), protocol.question_argument(question)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **popen)
        self._buffer = b""
        self._number = 0
        self._owing = False
        self._speaking = threading.Lock()
        threading.Thread(target=self._beat, daemon=True).start()
        self.first = self.event()

    @property
    def facts(self) -> dict[str, Any]:
        assert self.first["event"] == "ready", self.first
        found: dict[str, Any] = self.first["facts"]
        return found

    def event(self, limit: float = LIMIT) -> dict[str, Any]:
        """The next thing it says."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + limit
        while b"\n" not in self._buffer:
            ready = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0]
            assert ready, "the agent says nothing"
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            assert data, "the agent has ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return protocol.decode(line)

    def send(self, do: str, args: Mapping[str, Any], payload: bytes = b"") -> int:
        """A request, without waiting for anything."""
        self._number += 1
        self._owing = protocol.announced(args) > len(payload)
        self.raw(protocol.encode({"id": self._number, "do": do, "args": dict(args)}) + payload)
        return self._number

    def raw(self, data: bytes) -> None:
        assert self.process.stdin is not None
        with self._speaking:
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def _beat(self) -> None:
        """Says that somebody is there, while it is."""
        while self.process.poll() is None:
            time.sleep(protocol.HEARTBEAT / 2)
            if self._owing:
                continue
            assert self.process.stdin is not None
            with contextlib.suppress(OSError, ValueError), self._speaking:  # it has ended, or was hung up on
                os.write(self.process.stdin.fileno(), b"\n")

    def reply(self) -> Reply:
        """Everything up to the end of the request."""
        events = [self.event()]
        while events[-1]["event"] not in ("done", "failed"):
            events.append(self.event())
        return Reply(events)

    def request(self, do: str, args: Mapping[str, Any] | None = None, payload: bytes = b"") -> Reply:
        number = self.send(do, args or {}, payload)
        reply = self.reply()
        assert reply.last["id"] == number, reply.last
        return reply

    def hang_up(self) -> None:
        """Both pipes closed at once, as when the connection drops."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()

    def end(self, limit: float = LIMIT) -> int:
        """Say nothing more and wait for its end."""
        assert self.process.stdin is not None and self.process.stdout is not None
        if not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            return self.process.wait(limit)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process.stdout.close()


@dataclass
class Place:
    """A path and a cache in a folder of the test's, and the agents that were started there."""

    root: Path
    archive: Path
    python: str = sys.executable
    extra: dict[str, Any] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.root / "srv" / "host1"

    @property
    def cache(self) -> Path:
        return Path(self.extra.get("cache") or self.root / "srv" / "buildout-cache")

    @property
    def dist(self) -> Path:
        return self.cache / "downloads" / "dist"

    def question(self, **changes: Any) -> dict[str, Any]:
        question = dict.fromkeys(
            ("cache", "effective_user", "buildout_user", "buildout_group", "release", "environment")
        )
        return {
            **question,
            "part": "host1",
            "path": str(self.path),
            "want": [],
            "files": [],
            "client": {"user": "alice", "machine": "laptop"},
            "sudo": False,
            **self.extra,
            **changes,
        }

    def python_first(self, line: str) -> None:
        """Agents that are started from now on have a Python that does this first; ``line`` has no double quotes."""
        python = self.root / "python"
        # of its own arguments (-c), those of the client for an interpreter (-I -S) are none for the program
        run = f"import runpy, sys; {line}; sys.argv = sys.argv[3:]; runpy.run_path(sys.argv[0], run_name='__main__')"
        python.write_text(f'#!/bin/sh\nexec {self.python} -I -S -c "{run}" "$@"\n')
        python.chmod(0o755)
        self.python = str(python)

    def agent(self, **changes: Any) -> Client:
        """A new agent, asked with these changes to the question."""
        client = Client(self.python, self.archive, self.question(**changes))
        self.clients.append(client)
        return client

    def end(self) -> None:
        for client in self.clients:
            client.end()

    def record(self, release: str) -> dict[str, Any]:
        content = (self.path / "releases" / release / "release.json").read_bytes()
        return protocol.decode(content)

    def state(self, release: str) -> str:
        return str(self.record(release)["state"])

    def ledger(self) -> list[dict[str, Any]]:
        return [protocol.decode(line) for line in (self.path / ".hostout/ledger.jsonl").read_bytes().splitlines()]


def with_hook(place: Place, *lines: str) -> Path:
    """The agent as it travels, in an interpreter where these lines run first."""
    archive = place.root / "hooked.zip"
    shutil.copy(place.archive, archive)
    with zipfile.ZipFile(place.archive) as original, zipfile.ZipFile(archive, "w") as hooked:
        for name in original.namelist():
            content = original.read(name).decode()
            hooked.writestr(name, "\n".join(lines) + content if name == "__main__.py" else content)
    return archive


def blob(content: bytes, name: str, to: str = "file", offset: int = 0) -> dict[str, Any]:
    return {"sha256": sha256(content), "size": len(content), "offset": offset, "to": to, "name": name}


def send_files(client: Client, contents: Iterable[tuple[bytes, str]], to: str = "file") -> Reply:
    contents = list(contents)
    blobs = [blob(content, name, to) for content, name in contents]
    return client.request("receive", {"blobs": blobs}, b"".join(content for content, _ in contents))


def entry(name: str, content: bytes, mode: int = 0o644) -> dict[str, Any]:
    """A file of a bundle as a record has it."""
    return {"name": name, "mode": mode, "sha256": sha256(content), "target": ""}


def until(what: str, seconds: float = LIMIT) -> Any:
    """Deadline iterator: ``for _ in until("…")`` polls and fails when the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(0.02)
    raise AssertionError(f"did not happen in {seconds} s: {what}")


def exists(pid: int) -> bool:
    """Whether that process runs; one that nobody has reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


CONFIG = """\
[buildout]
parts = {parts}
newest = false
offline = false
install-from-cache = true
allow-picked-versions = false
index =
find-links =
allow-hosts =
eggs-directory = {cache}/eggs
eggs-directory-version = v5
download-cache = {cache}/downloads
abi-tag-eggs = false
"""


def environment(key: str, wheels: Iterable[Path]) -> dict[str, Any]:
    """What the action of that name is told."""
    return {"key": key, "wheels": [{"filename": path.name, "sha256": sha256(path.read_bytes())} for path in wheels]}


def stage(place: Place, agent: Client, name: str, files: Mapping[str, bytes | tuple[bytes, int]], **more: Any) -> Reply:
    """Bring the files (content, or content with mode) and make a release of them that can be built."""
    parts = str(more.pop("parts", ""))
    every = {"buildout.cfg": CONFIG.format(parts=parts, cache=place.cache).encode(), **files}
    contents = {name: value if isinstance(value, tuple) else (value, 0o644) for name, value in every.items()}
    send_files(agent, [(content, name) for name, (content, _) in contents.items()])
    entries = [entry(name, content, mode) for name, (content, mode) in contents.items()]
    record = {"id": name[5:], "config": "buildout.cfg", "environment": "env", "files": entries, **more}
    return agent.request("stage", {"name": name, "record": record})


def built(place: Place, agent: Client, name: str, files: Mapping[str, bytes | tuple[bytes, int]], **more: Any) -> str:
    """The same, built; gives the name back."""
    assert stage(place, agent, name, files, **more).result
    assert agent.request("build", {"name": name}).result["state"] == "built"
    return name


def step(line: str, **more: Any) -> dict[str, Any]:
    """A hook as a plugin gives it."""
    return {"line": line, "user": "owner", "timeout": 60.0, "retry": 0.0, "interval": 0.05, **more}


RECIPE = b"""\
import os, pathlib

class Recipe:
    def __init__(self, buildout, name, options):
        self.options = options

    def install(self):
        exec(self.options["code"])
        return ()

    update = install
"""


def recipe_wheel(folder: Path) -> tuple[bytes, str]:
    """A recipe that does what its option ``code`` says."""
    path = folder / "doing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("doing.py", RECIPE)
        archive.writestr("unused.py", "ONE = 1\n")
        archive.writestr("doing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: doing\nVersion: 1.0\n")
        archive.writestr("doing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("doing-1.0.dist-info/entry_points.txt", "[zc.buildout]\ndefault = doing:Recipe\n")
        archive.writestr("doing-1.0.dist-info/RECORD", "")
    return path.read_bytes(), path.name


def stage_doing(place: Place, agent: Client, code: str, name: str = "0001-aaaaaaaa", **more: Any) -> None:
    """A release whose build does that."""
    head = "[buildout]\nextends = buildout.cfg\nparts = do\n[versions]\ndoing = 1.0\n"
    config = f"{head}[do]\nrecipe = doing\ncode = {code}\n"
    assert stage(place, agent, name, {"do.cfg": config.encode()}, config="do.cfg", **more).result
