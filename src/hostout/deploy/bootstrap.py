"""What a cold host needs before the agent can run there, in POSIX sh: Python, and the accounts of a deployment.

Pure: shell lines only. The plugins for single distributions know more; this is what works on most.
"""

from __future__ import annotations

from collections.abc import Iterable

from hostout.model import shell

INSTALL_PYTHON = """\
if command -v apt-get >/dev/null; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y -o Dpkg::Use-Pty=0 python3;
elif command -v dnf >/dev/null; then dnf install -y python3;
elif command -v yum >/dev/null; then yum install -y python3;
elif command -v zypper >/dev/null; then zypper --non-interactive install python3;
elif command -v apk >/dev/null; then apk add python3;
elif command -v pacman >/dev/null; then pacman -S --noconfirm python;
else echo "no package manager that hostout knows; install Python 3.9 or newer" >&2; exit 1; fi"""
"""Installs ``python3`` with the host's own package manager (as root)."""


def one_line(script: str) -> str:
    """The script as the one line that is printed and run."""
    return " ".join(script.splitlines())


def create_user(name: str) -> str:
    """A system user with a home folder and a group of the same name; busybox has ``adduser`` only."""
    return shell(
        "if command -v useradd >/dev/null; then useradd --system --user-group --create-home --home-dir {} "
        "--shell /bin/sh {}; else adduser -S -D -h {} {}; fi",
        f"/home/{name}", name, f"/home/{name}", name,
    )  # fmt: skip


def create_group(name: str) -> str:
    return shell("if command -v groupadd >/dev/null; then groupadd --system {}; else addgroup -S {}; fi", name, name)


def accounts(users: Iterable[str], groups: Iterable[str]) -> list[str]:
    """Shell lines for root that create what is missing; users first, as they bring groups of their own name."""
    users = list(users)
    return [create_user(u) for u in users] + [create_group(g) for g in groups if g not in users]
