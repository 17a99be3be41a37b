"""What fabfiles in the classic style find without an import, and plugins import from ``hostout``.

All of it is for the host that the running command is for. What does not belong here: how a host is talked to.
"""

from __future__ import annotations

import posixpath
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from hostout.commands.chain import current, superfun
from hostout.commands.marks import hook, replaces
from hostout.errors import Aborted, HostoutError
from hostout.model import Event, shell

__all__ = [
    "Output", "abort", "cd", "current", "download", "get", "hook", "local", "prompt", "put", "replaces", "run", "sudo",
    "superfun",
]  # fmt: skip

_MISSING = object()
HOME = re.compile(r"~[\w.-]*(/|$)")
_directory: ContextVar[str] = ContextVar("directory", default="")


class Output(str):
    """What a command wrote to its standard output, without the white space around it, and how it ended."""

    __slots__ = ("return_code", "stderr", "stdout")

    stdout: str
    stderr: str
    return_code: int

    @property
    def succeeded(self) -> bool:
        return self.return_code == 0

    @property
    def failed(self) -> bool:
        return not self.succeeded


def _output(stdout: str, stderr: str, return_code: int) -> Output:
    output = Output(stdout.strip())
    output.stdout, output.stderr, output.return_code = stdout, stderr, return_code
    return output


def run(command: str, **settings: Any) -> Output:
    """Runs a shell command as the login user, as it stands, in the home folder (or where ``cd`` says).

    ``warn_only=True`` returns where it would raise ``RemoteError``; other settings go to ``fabric.Connection.run``.
    """
    result = current().connection.run(_in_directory(command), **_settings(settings))
    return _output(result.stdout, result.stderr, result.exited)


def sudo(command: str, **settings: Any) -> Output:
    """The same as root, or as ``user=…``."""
    result = current().connection.sudo(_in_directory(command), **_settings(settings))
    return _output(result.stdout, result.stderr, result.exited)


FABRIC_1_ONLY = ("shell", "combine_stderr", "quiet", "warn_only")


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Fabric 1's settings in the words of Fabric 3."""
    kept = {name: value for name, value in settings.items() if name not in FABRIC_1_ONLY}
    if settings.get("quiet"):
        kept.update(hide=True, warn=True)
    if settings.get("warn_only"):
        kept["warn"] = True
    return kept


@contextmanager
def cd(path: str) -> Iterator[None]:
    """``with cd("folder"):`` — ``run``, ``sudo``, ``put`` and ``download`` in it are relative to that folder."""
    token = _directory.set(posixpath.join(_directory.get(), path))
    try:
        yield
    finally:
        _directory.reset(token)


def _in_directory(command: str) -> str:
    directory = _directory.get()
    return " && ".join([shell_cd(directory), command]) if directory else command


def shell_cd(directory: str) -> str:
    """``cd`` to a folder, where a leading ``~`` or ``~user`` stays the host's to expand."""
    home = HOME.match(directory)
    if not home:
        return shell("cd {}", directory)
    below = directory[home.end() :]
    return "".join(["cd ", home.group(), shell("{}", below) if below else ""])


def put(local_path: str, remote_path: str = "") -> None:
    """Copies a file or folder from here to the host, relative to the home folder (or to where ``cd`` says)."""
    remote_path = remote_path or posixpath.basename(str(local_path).rstrip("/"))
    current().connection.put(str(local_path), _there(remote_path))


def download(remote_path: str, local_path: str = "") -> None:
    """Copies a file or folder from the host to here."""
    local_path = local_path or posixpath.basename(remote_path.rstrip("/"))
    current().connection.get(_there(remote_path), str(local_path))


def _there(path: str) -> str:
    """The path as SFTP takes it, which begins in the home folder and knows no ``~``."""
    whole = posixpath.join(_directory.get(), path)
    first, _, rest = whole.partition("/")
    return rest.lstrip("/") or "." if first == "~" else whole


def get(name: str, default: Any = _MISSING) -> Any:
    """Looks a name up: ``hostout``, ``superfun``, what the host object has (``host``, ``user``, …), any option.

    It never copies a file: that is ``download``.
    """
    hostout = current()
    if name == "hostout":
        return hostout
    if name == "superfun":
        return superfun
    if name in ATTRIBUTES:
        return getattr(hostout, name)
    found = hostout.options.get(name, default)
    if found is _MISSING:
        raise HostoutError(
            f"get('{name}'): {hostout.name} has no option '{name}' (to copy a file from the host: download)"
        )
    return found


ATTRIBUTES = ("name", "host", "port", "user", "path", "effective_user", "buildout_cache", "hostouts", "options")


def local(command: str, capture: bool = False) -> Output:
    """Runs a shell command here. Raises ``HostoutError`` where it fails. With ``capture`` its output is not shown."""
    current().emit(Event("line", f"[localhost] local: {command}"))
    pipe = subprocess.PIPE if capture else None
    done = subprocess.run(command, shell=True, text=True, errors="replace", stdout=pipe, stderr=pipe, check=False)
    if done.returncode:
        last = (done.stderr or "").strip().splitlines()[-1:]
        raise HostoutError(": ".join([f"local command failed with status {done.returncode}: {command}", *last]))
    return _output(done.stdout or "", done.stderr or "", done.returncode)


def prompt(text: str, default: str = "") -> str:
    """Asks whoever runs the script. Raises ``HostoutError`` without a terminal."""
    question = f"{text} [{default}] " if default else f"{text} "
    return current().ask(question) or default


def abort(why: object) -> None:
    """Ends the run: ``Hostout aborted``, exit status 4. ``why`` is text or what prints as such, an error for one."""
    raise Aborted("" if why is None else str(why), host=current().name)
