"""Bytecode of what a release consists of: its eggs, those that its recipes made, the environment that built it.

In the background, of new eggs as soon as they are there and of everything after the switch, by a process that holds no
lock, waits for nobody, and is told to end when the next build or the next such process begins; or as a part of the
build. Done as the owner of the cache, by the Python that runs the release.
What does not belong here: compiling (``bytecode.py``).
"""

from __future__ import annotations

import json
import os
import pkgutil
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import distname, durable, eggs, lock, process, survivors
from .failure import Cancelled, Failed, storage
from .lock import Words
from .process import CANCELLED, Command
from .release import Release
from .session import Session
from .site import Site

BACKGROUND, BEFORE = "background", "before-switch"

# seconds, for all and for what zc.buildout needs to start
_LIMIT, _STARTS_WITHIN = 900.0, 30.0
_NAME = "compiling.json"


@contextmanager
def of_buildout(session: Session, release: Release) -> Iterator[None]:
    """Beside what is done within, of what zc.buildout needs to start, where nobody has started it yet: that is one
    second less to wait for where a core is idle. What is imported is compiled, and nothing else. Raises Failed."""
    environment = session.site.environments / str(release.record.get("environment"))
    packages = [*environment.glob("lib/python*/site-packages/zc/buildout")]
    if packages and not (packages[0] / "__pycache__").exists():
        argv = (str(session.site.python(environment.name)), "-I", "-c", "import zc.buildout.buildout")
        command = Command(argv, "import zc.buildout.buildout", session.buildout, Path("/"))
        with process.beside(command, _STARTS_WITHIN):
            yield
    else:
        yield


def start(session: Session, release: Release, only: Iterable[str] | None = None) -> None:
    """Begin it in the background, anew where it runs. No release is worse for it: that it cannot be is only said.

    ``only``: these eggs, not all that the release consists of.
    """
    if not release.record.get("environment"):
        return
    try:
        stop(session.site)
        folders = _folders(session.site, release) if only is None else _eggs(session.site, release, only)
        with _program(session, release, folders, 1, idle=True) as command:
            _remember(session.site, process.leave(command))
    except (OSError, Failed) as error:
        what = storage(error, session.site.own).message if isinstance(error, OSError) else error.message
        session.warn(f"bytecode is not compiled in the background: {what}")


def stop(site: Site) -> None:
    """Tell the one that runs to end; it is not waited for."""
    for pid in _running(site).living:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            # that moment it came to its end
            continue


def now(session: Session, release: Release) -> None:
    """Do it with all cores, and say how much that was. Raises Cancelled; that it cannot be done is only said."""
    said: list[str] = []
    folders = _folders(session.site, release)
    with _program(session, release, folders, os.cpu_count() or 1, idle=False) as command:
        log, cancelled, running = session.site.log(release.name), session.wire.cancelled, session.lock.running
        outcome = process.run(command, log, said.append, cancelled, running)
    if outcome.ended == CANCELLED:
        raise Cancelled("the build was cancelled")
    if outcome.ok and said:
        session.note(f"compiled {said[-1]} Python files")
    else:
        session.warn(f"bytecode is not compiled ({outcome}): {said[-1] if said else 'nothing was said'}")


def program(*arguments: object) -> bytes:
    """The source of one that calls ``bytecode.main``: its modules, for an interpreter that has none of ours."""
    lines = ["import sys, types", "sys.modules['hostout'] = types.ModuleType('hostout')"]
    for name in ("syncing", "bytecode"):
        text = pkgutil.get_data(__package__, f"{name}.py")
        lines += [
            f"sys.modules['hostout.{name}'] = module = types.ModuleType('hostout.{name}')",
            "module.__package__ = 'hostout'",
            f"exec({text!r}, vars(module))",
        ]
    return "\n".join([*lines, f"module.main(*{arguments!a})\n"]).encode("ascii")


@contextmanager
def _program(
    session: Session, release: Release, folders: Iterable[Path], processes: int, *, idle: bool
) -> Iterator[Command]:
    """The command that does it, with the program and the names of the folders in a memory file.

    Not in its command line: who looks which releases and eggs processes use is not to find them there. Nor in the
    file that the agent runs from: who owns the process could write to that.
    """
    python = session.site.python(str(release.record.get("environment")))
    source = program([*map(os.fspath, folders)], processes, _LIMIT, idle)
    descriptor = os.memfd_create("compile")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(source)
        argv = (str(python), "-I", "-S", "-B", f"/proc/self/fd/{descriptor}")
        yield Command(argv, "compile bytecode", session.buildout, Path("/"), timeout=2 * _LIMIT, keep=(descriptor,))
    finally:
        os.close(descriptor)


def _folders(site: Site, release: Release) -> list[Path]:
    shelf = eggs.shelf_of(site, release)
    names = [str(dist["filename"]) for dist in release.listed("dists")]
    found = shelf.of({key for name in names if (key := distname.key(name))})
    environment = site.environments / str(release.record.get("environment"))
    return [
        *(shelf.folder / name for name in found),
        *release.folder.glob("develop-eggs/*.egg"),
        *environment.glob("lib/python*/site-packages"),
    ]


def _eggs(site: Site, release: Release, names: Iterable[str]) -> list[Path]:
    return [eggs.shelf_of(site, release).folder / name for name in names]


def _running(site: Site) -> Words:
    """Whom we started last, as far as that can be known."""
    try:
        descriptor = durable.open_own(site.own / _NAME, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return Words()
    with os.fdopen(descriptor, "rb") as file:
        return Words.of(file.read()) if os.fstat(descriptor).st_uid == os.geteuid() else Words()


def _remember(site: Site, pid: int) -> None:
    words = {"where": lock.where(), "pid": pid, "started": survivors.started(pid)}
    with durable.own_folder(site.own) as folder:
        durable.write_in(folder, _NAME, json.dumps(words).encode("ascii"), 0o600)


__all__ = ["BACKGROUND", "BEFORE", "now", "start", "stop"]
