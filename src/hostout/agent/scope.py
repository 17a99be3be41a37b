"""A scope of systemd for a job, where logind would end it together with its user's session.

What does not belong here: starting the job.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import subprocess
import time
from pathlib import Path

from . import people

_LOGIN = re.compile(r"/(session|hostout)-[^/\n]+\.scope$", re.MULTILINE)
_SYSTEMD = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_LOGIND = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
_ENDS = ("KillUserProcesses", "KillOnlyUsers", "KillExcludeUsers")
_LONGEST = 5.0


def leave_login_session(name: str) -> str:
    """Move this process out of the control group of a login that logind would end as a whole when its user leaves.

    ``name`` tells people what the new scope is for. Gives why it could not be done, else nothing.
    """
    if not Path("/run/systemd/system").is_dir() or not _in_a_login() or not _is_ended(people.login()):
        return ""
    trouble = _move(f"{name}-{os.getpid()}-{secrets.token_hex(4)}.scope", name)
    return trouble and f"this host ends what a user leaves running (KillUserProcesses of logind): {trouble}"


def _in_a_login() -> bool:
    """In a session's scope, or in one of ours: each job has its own."""
    return _LOGIN.search(Path("/proc/self/cgroup").read_text()) is not None


def _move(unit: str, text: str) -> str:
    """Ask systemd for a scope with this process in it; gives why there is none."""
    if not people.is_root():
        return "without root, builds and what is started end with the connection"
    properties = ["3", "PIDs", "au", "1", str(os.getpid()), "CollectMode", "s", "inactive-or-failed"]
    about = ["Description", "s", text, "0"]
    call = ["StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail", *properties, *about]
    status, said = _busctl("call", *_SYSTEMD, *call)
    return said if status else _moved(unit)


def _moved(unit: str) -> str:
    """It is asked for, not done yet."""
    deadline = time.monotonic() + _LONGEST
    while unit not in Path("/proc/self/cgroup").read_text():
        if time.monotonic() > deadline:
            return f"systemd did not make {unit} within {_LONGEST:g} s"
        time.sleep(0.005)
    return ""


def _is_ended(user: str) -> bool:
    """Whether logind ends what that user leaves running; see logind.conf(5)."""
    status, said = _busctl("get-property", *_LOGIND, *_ENDS)
    lines = [shlex.split(line) for line in said.splitlines()]
    if status or len(lines) != len(_ENDS):
        return False
    (_, ends), only, never = lines
    # where nobody is named it is root who is spared
    return ends == "true" and user not in (never[2:] or ["root"]) and (user in only[2:] or not only[2:])


def _busctl(*argv: str) -> tuple[int, str]:
    """Exit status and output, where it failed what it complained of."""
    try:
        ran = subprocess.run(
            ("busctl", "--system", *argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LONGEST,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    said = ran.stderr if ran.returncode else ran.stdout
    return ran.returncode, said.decode("utf-8", "replace").strip()
