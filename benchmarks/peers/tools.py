"""The four tools: how each gets its working copy to its host.

What does not belong here: what is measured (``__main__.py``), what a host needs before the first time (``ready.py``),
the playbooks and scripts (the folders beside this).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import measure
from hostout import agent
from hostout.remote import shipping
from hosts import Machine, Project
from measure import Failed, program
from peers.line import Line
from peers.project import CHANGED, PATH, PORT, Copy, build

HERE = Path(__file__).resolve().parent
HOSTOUT = "hostout"
PEERS = ("Ansible", "pyinfra", "Fabric")
COMMANDS = {
    HOSTOUT: ("bin/hostout", "host1", "deploy"),
    "Ansible": ("ansible-playbook", "site.yml"),
    "pyinfra": ("pyinfra", "-y", "inventory.py", "deploy.py"),
    "Fabric": ("fab", "--ssh-config", "ssh_config", "-H", "site", "deploy"),
}

SSH_CONFIG = """\
Host site
    HostName 127.0.0.1
    Port {port}
    User root
    IdentityFile {key}
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {known_hosts}
    GlobalKnownHostsFile /dev/null
    BatchMode yes
"""

CONTROL = """\
    ControlMaster auto
    ControlPersist 60
    ControlPath {path}
"""
"""For Ansible, which logs in many times; the others log in once with OpenSSH."""

ONLY_BUILDOUT = """\
set -e
rm -rf empty
mkdir empty
cp -a current/*.cfg current/hostout-* empty
ln -s ../var empty/var
chown site:site empty
cd empty
exec sudo -u site BUILDOUT_HOME=/nonexistent ../current/bin/buildout -U -N -c {config} buildout:directory=$PWD
"""

ONLY_WHEEL = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@dataclass
class Tool:
    """A tool with its working copy, its host, and the line to it; only hostout has a project."""

    name: str
    copy: Copy
    machine: Machine
    line: Line
    environment: Mapping[str, str]
    project: Project | None = None

    def deploy(self) -> dict[str, float]:
        """Deploys, and gives what it took; Failed where the site is not what the working copy is."""
        count = self.line.counted_anew()
        ran = program(COMMANDS[self.name], self.copy.folder, self.environment, limit=300)
        figures = {**ran.figures(), **count.figures(), **self._sizes()}
        self._close()
        self._look(ran.output)
        return figures

    def change_line(self) -> None:
        """A developer has changed one line of one package."""
        self.copy.change_line()

    def update_dependency(self) -> None:
        """A developer has pinned another version of the dependency, and has tried it."""
        self.copy.update_dependency()
        if self.project is not None:
            build(self.project)

    def log_in(self) -> dict[str, float]:
        """``ssh site true`` over the line."""
        count = self.line.counted_anew()
        argv = ["ssh", "-F", "ssh_config", "-o", "ControlPath=none", "site", "true"]
        return {**program(argv, self.copy.folder, limit=60).figures(), **count.figures()}

    def only_buildout(self) -> None:
        """buildout's own work for what is live, in an empty folder of the host; all eggs are there."""
        script = ONLY_BUILDOUT.format(config="hostout-host1.cfg")
        self.machine.run(["sh", "-c", f"cd {PATH}\n{script}"], timeout=120)

    def only_wheel(self) -> dict[str, float]:
        """The wheel of the changed package by its own backend, with nothing around it."""
        assert self.project is not None, "what it is built with belongs to the working copy of hostout"
        with tempfile.TemporaryDirectory() as name:
            copied = Path(shutil.copytree(self.copy.folder / "src" / CHANGED, Path(name, "source")))
            return program([self.project.env.python, "-c", ONLY_WHEEL, name], copied, limit=60).figures()

    def least(self, task: str) -> dict[str, float]:
        """A task of ``fabric/least.py`` on this host over the line."""
        environment = {**self.environment, **variables(peer_environment(), self.copy.folder.parent / "least")}
        shutil.copy(HERE / "fabric" / "least.py", self.copy.folder.parent)
        count = self.line.counted_anew()
        config = self.copy.folder / "ssh_config"
        argv: list[str | Path] = ["fab", "-c", "least", "--ssh-config", config, "-H", "site", task]
        return {**program(argv, self.copy.folder.parent, environment, limit=120).figures(), **count.figures()}

    def _sizes(self) -> dict[str, float]:
        """Of what hostout has to send for a changed line: its agent, the wheel."""
        if self.project is None:
            return {}
        wheels = self.copy.folder.glob(f"parts/hostout/dist/{CHANGED.replace('-', '_')}-*.whl")
        newest = max(wheels, key=lambda path: path.stat().st_mtime_ns)
        sent = shipping.program(Path(agent.__file__).parent, {})
        return {"agent": max(map(len, sent.argv)), "wheel": newest.stat().st_size}

    def _look(self, output: str) -> None:
        page = self.machine.http("/", PORT)
        if page != self.copy.page:
            raise Failed(f"{self.name}: the page says {page!r} instead of {self.copy.page!r}\n{output[-4000:]}")

    def _close(self) -> None:
        """A connection that OpenSSH has kept is closed: every deployment makes its own."""
        if self.name == "Ansible":
            program(["ssh", "-F", "ssh_config", "-O", "exit", "site"], self.copy.folder, limit=30, check=False)


# ----- what a working copy has besides the application ---------------------------------------------------------------


def ssh_config(copy: Copy, line: Line, machine: Machine) -> Path:
    """How OpenSSH gets to the host over the line, as a file of the working copy."""
    known = copy.folder / "known_hosts"
    key = machine.known_hosts(known).read_text().split(" ", 1)[1]
    known.write_text(f"[127.0.0.1]:{line.port} {key}")
    file = copy.folder / "ssh_config"
    file.write_text(SSH_CONFIG.format(port=line.port, key=machine.key, known_hosts=known))
    return file


def scripts(name: str, copy: Copy, config: Path, control: Path) -> None:
    """The playbook or script of a peer."""
    for file in [HERE / "wheels.py", *(HERE / name.lower()).glob("*.*")]:
        shutil.copy(file, copy.folder)
    if name == "Ansible":
        config.write_text(config.read_text() + CONTROL.format(path=control))


def variables(environment: Path, home: Path) -> dict[str, str]:
    """What a peer is called with: an empty home, its own environment first."""
    home.mkdir(exist_ok=True)
    return {"HOME": str(home), "PATH": f"{environment / 'bin'}:{os.environ['PATH']}"}


def peer_environment() -> Path:
    """The virtual environment of the peers, in ``.build/bench``, made where it is not there."""
    wanted = (HERE / "requirements.txt").read_text()
    digest = hashlib.sha256((sys.version + wanted).encode()).hexdigest()[:8]
    folder = measure.RESULTS / f"peers-{digest}"
    if not (folder / "complete").exists():
        measure.say(f"making {folder}, a minute or less\n")
        program([sys.executable, "-m", "venv", "--clear", folder], HERE)
        program([folder / "bin" / "pip", "install", "-q", "-r", "requirements.txt"], HERE)
        (folder / "complete").touch()
    return folder
