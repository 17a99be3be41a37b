"""Makes machines ready for the first deployment: the user, the service; for peers what they need there, untimed.

A machine has no network: packages of Debian and wheels are fetched here once, and kept in ``.build/bench``.
What does not belong here: deploying (``tools.py``).
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import measure
from hosts import Machine
from machine_base import base, checked, layer
from peers.project import PATH, UNIT

PACKAGES = ("rsync", "curl", "python3-venv")

INSTALL = """\
set -e
DEBIAN_FRONTEND=noninteractive dpkg -i --force-unsafe-io /opt/peers/packages/*.deb
mkdir -p "$0"
cd "$0"
python3 -m venv venv
venv/bin/pip -q install --no-index --find-links /opt/peers/wheels "$@"
chown -R site:site .
"""


def machine(target: Machine) -> None:
    """What every tool finds: the user and the service."""
    target.add_user("site")
    target.write("/etc/systemd/system/site.service", UNIT)
    target.run(["systemctl", "daemon-reload"])


def peer_machine(target: Machine, wheels: Path, requirements: Iterable[str]) -> None:
    """And what peers deploy with: rsync and curl, a virtual environment with zc.buildout."""
    shutil.copytree(debian(PACKAGES), target.root / "opt/peers/packages")
    shutil.copytree(wheels, target.root / "opt/peers/wheels")
    target.run(["sh", "-c", INSTALL, PATH, *requirements], timeout=300)


def debian(packages: Iterable[str]) -> Path:
    """A folder with these packages and what they need, for the system that the machines have."""
    folder = measure.RESULTS / f"packages-{digest(packages)}"
    if not folder.exists():
        measure.say(f"fetching {', '.join(packages)} for the hosts\n")
        measure.RESULTS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=measure.RESULTS) as name:
            upper = Path(name, "upper")
            upper.mkdir()
            layer(base().layers[-1], upper, lambda root: fetch(root, packages))
            # what a layer holds is what is not in the system below
            (upper / "var/cache/apt/archives").rename(folder)
    return folder


def fetch(root: Path, packages: Iterable[str]) -> None:
    """Lets the system in ``root`` download packages."""
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    checked(["chroot", str(root), "apt-get", "-qq", "update"])
    install = ["apt-get", "-qq", "install", "--no-install-recommends", "-y", "--download-only", *packages]
    checked(["chroot", str(root), *install])


def wheels(environment: Path, requirements: Iterable[str]) -> Path:
    """A folder with the wheels of these, from the index."""
    folder = measure.RESULTS / f"wheels-{digest(requirements)}"
    if not folder.exists():
        measure.RESULTS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=measure.RESULTS) as name:
            download = ["download", "-q", "--no-deps", "--only-binary", ":all:", "-d", "found", *requirements]
            measure.program([environment / "bin" / "pip", *download], Path(name))
            Path(name, "found").rename(folder)
    return folder


def digest(names: Iterable[str]) -> str:
    return hashlib.sha256(" ".join(names).encode()).hexdigest()[:8]


def installed(python: Path) -> Iterator[str]:
    """What buildout's environment consists of, as requirements: peers have the same."""
    ran = measure.program([python, "-m", "pip", "list", "--format", "freeze", "--exclude-editable"], python.parent)
    wanted = {"zc.buildout", "setuptools", "wheel", "pip", "packaging", "platformdirs"}
    yield from (line for line in ran.output.split() if line.split("==")[0] in wanted)
