"""Copies of the examples, built by a real zc.buildout, with a ``bin/hostout`` for machines of the test.

What does not belong here: the machines (``machines``), the environments with zc.buildout (``buildouts``).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

import pexpect

from buildouts import PROJECT, BuildoutEnvironment
from machines import Machine

GENERATED = shutil.ignore_patterns(".installed.cfg", "bin", "develop-eggs", "eggs", "parts", "var", "*.egg-info")

HELLO = """\
[buildout]
extends = base.cfg
parts += host1

[host1]
recipe = collective.hostout
host = {machine.address}
user = {user}
identity-file = {machine.key}
path = /srv/hello
effective-user = app
buildout = machine.cfg
include = hello.ini
pre-commands = ! test -x ${{buildout:directory}}/bin/hello || ${{buildout:directory}}/bin/hello stop
post-commands = su app -c '${{buildout:directory}}/bin/hello start'
post-failure = rollback
health-check = http://127.0.0.1:8080/health
{more}
"""
"""``examples/hello`` without a supervisor: quick to build, and every option of a host part in use."""

MACHINE = """\
[buildout]
extends = base.cfg

[settings]
address = 0.0.0.0
"""

LAST = 40
"""Lines of a failed command that are shown."""


@dataclass
class Project:
    """A developer's working copy in ``folder`` and their ``home``."""

    folder: Path
    home: Path
    env: BuildoutEnvironment
    config: str = "buildout.cfg"
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, example: str, env: BuildoutEnvironment, folder: Path) -> Project:
        """A copy of ``examples/<example>``; nothing is built yet."""
        shutil.copytree(PROJECT / "examples" / example, folder / example, ignore=GENERATED)
        return cls.at(folder / example, env, folder / "home")

    @classmethod
    def at(cls, folder: Path, env: BuildoutEnvironment, home: Path) -> Project:
        """A working copy that is there already, of somebody whose caches are those of ``env``."""
        (home / ".ssh").mkdir(parents=True, mode=0o700)
        shutil.copytree(env.home / ".buildout", home / ".buildout")
        return cls(folder, home, env)

    def write(self, name: str, text: str) -> None:
        """Writes a file of the working copy."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))

    def edit(self, name: str, old: str, new: str) -> None:
        """Replaces a text in a file that has it."""
        path = self.folder / name
        before = path.read_text()
        assert old in before, f"{old!r} is not in {name}"
        path.write_text(before.replace(old, new))

    def knows(self, *machines: Machine) -> None:
        """The developer has seen the host keys of these machines."""
        for machine in machines:
            machine.known_hosts(self.home / ".ssh" / "known_hosts")

    def build(self, *args: str) -> str:
        """``bin/buildout``, which has to succeed."""
        return self.env.build(self.folder, "-c", self.config, *args, home=self.home)

    def hostout(self, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """``bin/hostout`` without a terminal; standard error is within ``stdout``."""
        return subprocess.run(
            [str(self.folder / "bin" / "hostout"), *args],
            cwd=self.folder,
            env={**self.variables(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=240,
            check=False,
        )

    def succeed(self, *args: str, **environment: str) -> str:
        """The output of ``bin/hostout``, which has to succeed."""
        done = self.hostout(*args, **environment)
        assert done.returncode == 0, ended(done)
        assert done.stdout.endswith("Done.\n"), ended(done)
        return done.stdout

    def fail(self, status: int, *args: str, **environment: str) -> str:
        """The output of ``bin/hostout``, which has to end with this status, and with no traceback."""
        done = self.hostout(*args, **environment)
        assert done.returncode == status, ended(done)
        assert "Traceback" not in done.stdout, ended(done)
        return done.stdout

    @contextmanager
    def terminal(self, *args: str, timeout: float = 60) -> Iterator[pexpect.spawn[str]]:
        """``bin/hostout`` on a terminal."""
        script = str(self.folder / "bin" / "hostout")
        env = self.variables()
        child = pexpect.spawn(script, list(args), cwd=str(self.folder), env=env, encoding="utf-8", timeout=timeout)
        try:
            yield child
        finally:
            child.close(force=True)

    def variables(self) -> dict[str, str]:
        """The environment that ``bin/hostout`` is called in."""
        passed = ("PYTHON", "BUILDOUT", "HOSTOUT", "SSH_AUTH_SOCK")
        ours = {name: value for name, value in os.environ.items() if not name.startswith(passed)}
        return {**ours, "HOME": str(self.home), **self.environment}


def hello(env: BuildoutEnvironment, folder: Path, machine: Machine, user: str = "root", more: str = "") -> Project:
    """``examples/hello``, built here, for that machine, whose key is known; ``more`` are further options."""
    project = Project.of("hello", env, folder)
    project.knows(machine)
    project.write("buildout.cfg", HELLO.format(machine=machine, user=user, more=dedent(more)))
    project.write("machine.cfg", MACHINE)
    project.build()
    return project


def ended(done: subprocess.CompletedProcess[str]) -> str:
    """How a command ended: all that a report of many failures has room for."""
    return "\n".join([f"it gave {done.returncode}; its last lines:", *done.stdout.splitlines()[-LAST:]])


def uploaded(output: str) -> list[str]:
    """What a deployment said of its uploads: ``upload 2 files, 0.1 MB``."""
    return re.findall(r"Hostout: (upload .*)", output)


def settle(machine: Machine) -> None:
    """Wait until no bytecode is compiled there any more: the last thing that a deployment changes.

    That is done only when nobody else wants the machine.
    """
    machine.run("while grep -qas '[B]./proc/self/fd/' /proc/[0-9]*/cmdline; do sleep 0.1; done", timeout=600)


def tree(machine: Machine, *folders: str) -> str:
    """Every file below folders of a machine with its type, mode, owner, size, time and target."""
    settle(machine)
    listing = machine.run(["find", *folders, "-printf", "%p %y %m %u %g %s %T@ %l\\n"])
    return "\n".join(sorted(listing.stdout.splitlines()))
