"""The virtual environment that zc.buildout itself runs in: made from shipped wheels, without pip and without network.

The layout is that of PEP 405; wheels are unpacked as the binary distribution format says, scripts aside.
What does not belong here: eggs of the application.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from . import durable, sharing, syncing, tree, unpack, wheel
from .failure import Failed, storage
from .people import acting_as
from .session import Session
from .site import Site

# seconds for others to give a name
_PATIENCE = 60.0


def exists(site: Site, key: str) -> bool:
    """Whether that environment is complete (it is renamed into place) and its Python still there."""
    return site.python(key).exists()


def make(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action ``environment``: does nothing where it exists."""
    site, key = session.site, str(args["key"])
    if durable.outside(key) or "/" in key or key.startswith("."):
        raise Failed(f"not the key of an environment: {key!r}")
    if not exists(site, key):
        with acting_as(session.buildout):
            _make(site, key, args["wheels"])
    return {"python": str(site.python(key))}


def script(python: Path, module: str, function: str) -> bytes:
    """A script that calls ``module.function`` under that interpreter, apart from anything the caller's shell sets."""
    return (
        f"{_interpreter(python)}"
        f"import sys\n\nimport {module}\n\nif __name__ == '__main__':\n    sys.exit({module}.{function}())\n"
    ).encode()


def _interpreter(python: Path) -> str:
    """First lines of a script; where the kernel would cut the path or stop at a blank, the shell finds it."""
    if len(str(python)) < 120 and " " not in str(python):
        return f"#!{python} -I\n"
    return f"#!/bin/sh\n'''exec' \"{python}\" -I \"$0\" \"$@\"\n' '''\n"


def _make(site: Site, key: str, wheels: Iterable[Mapping[str, str]]) -> None:
    work = site.environments / f".{key}.{secrets.token_hex(4)}"
    try:
        packages = _skeleton(work)
        for each in wheels:
            _unpack(site.dist / each["filename"], each["sha256"], packages)
        # the name stands for a complete environment, also after a power failure
        syncing.sync(work)
        _install(work, site.environments / key)
    except OSError as error:
        raise storage(error, site.environments) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _skeleton(root: Path) -> Path:
    """What ``python3 -m venv --without-pip`` makes, activation aside; gives the folder for packages."""
    base = Path(sys.executable).resolve()
    version = "{}.{}".format(*sys.version_info)
    packages = root / "lib" / f"python{version}" / "site-packages"
    packages.mkdir(parents=True)
    (root / "bin").mkdir()
    (root / "bin" / "python").symlink_to(base)
    for name in ("python3", f"python{version}"):
        (root / "bin" / name).symlink_to("python")
    if sys.maxsize > 2**32 and sys.platform != "darwin":
        (root / "lib64").symlink_to("lib")
    (root / "pyvenv.cfg").write_text(
        f"home = {base.parent}\ninclude-system-site-packages = false\nversion = {sys.version.split()[0]}\n"
    )
    return packages


def _install(work: Path, target: Path) -> None:
    """Give the environment its name; one that somebody else made meanwhile is as good, a broken one goes."""
    with tree.opened(target.parent) as folder:
        # two that found it broken: the second one does not remove what the first has made
        if not sharing.locked(folder, fcntl.LOCK_EX, _PATIENCE):
            raise Failed(f"{target.parent} is locked by somebody for {_PATIENCE:.0f} seconds; try again")
        if (target / "bin" / "python").exists():
            return
        if target.exists():
            shutil.rmtree(target)
        work.rename(target)
        os.fsync(folder)


def _unpack(path: Path, digest: str | None, packages: Path) -> None:
    with unpack.reading(path) as file:
        # the environment stays for later releases, so nothing gets into it by its name alone
        unpack.checked(file, path.name, digest)
        with wheel.opened(file, path.name) as archive:
            wheel.write(archive, wheel.library(archive), packages)
