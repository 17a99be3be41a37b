"""``collective.hostout:supervisor``: a supervisord that ``collective.recipe.supervisor`` builds stops and starts with
the releases.

Everything is done by shell lines that the host runs by itself, in ``path``: once a release goes live nobody needs to be
connected. ``supervisorctl update`` is not enough for that, because a supervisord keeps the configuration of the release
that it was started from; each release gets a supervisord of its own.

What does not belong here: what is supervised. The part of the buildout says that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any, ClassVar

from hostout import Step, cd, command_step, current, get, hook, run, shell, sudo

YES = ("true", "yes", "on", "1")
NO = ("false", "no", "off", "0")

STOP_SECONDS = 300.0
"""How long a supervisord may take for its programs to end; it kills those that are slower than their stopwaitsecs."""

PROCESS = """\
pidfile=$(sed -n 's/^pidfile *= *//p' "parts/$part/supervisord.conf" 2>/dev/null)
pidfile=${pidfile:-var/supervisord.pid}
running() { grep -qs -e supervisord -e "${part}d" "/proc/${pid:-none}/cmdline"; }
"""
# the pid file lies in var, which all releases share: it leads to the old supervisord whatever its release was called,
# and never, as its port could, to the one of another buildout on the same machine

STOP = """\
pid=$(cat "$pidfile" 2>/dev/null)
if running; then kill "$pid" || exit 1; fi
tries=1500
while running; do
  tries=$((tries - 1))
  if [ $tries -le 0 ]; then echo "supervisord (process $pid) does not end" >&2; exit 1; fi
  sleep 0.2
done
"""

START = """\
pid=$(cat "$pidfile" 2>/dev/null)
if running; then echo "supervisord (process $pid) is running already"; exit 0; fi
if [ ! -x "bin/${part}d" ]; then
  echo "there is no bin/${part}d: the option supervisor must name the part that makes it" >&2
  exit 1
fi
if grep -qs '^nodaemon *= *true' "parts/$part/supervisord.conf"; then
  "bin/${part}d" </dev/null >/dev/null 2>&1 &
else
  "bin/${part}d" || exit
fi
tries=100
until pid=$(cat "$pidfile" 2>/dev/null) && running; do
  tries=$((tries - 1))
  if [ $tries -le 0 ]; then echo "supervisord did not start" >&2; exit 1; fi
  sleep 0.1
done
"""

HEALTH = """\
end=$(($(date +%s) + seconds))
while status=$("bin/${part}ctl" status 2>/dev/null); code=$?; [ "$(date +%s)" -lt "$end" ]; do
  waiting=$(echo "$status" | grep -vE '^[^ ]+ +(RUNNING|STOPPED +Not started)')
  # 3: something does not run, which may be meant so; all others: supervisorctl knows nothing
  if [ -z "$waiting" ] && { [ $code -eq 0 ] || [ $code -eq 3 ]; }; then echo "$status"; exit 0; fi
  if echo "$waiting" | grep -qE '^[^ ]+ +(FATAL|EXITED|STOPPED|UNKNOWN)'; then break; fi
  sleep 0.5
done
echo "$status" | sed -nE 's/^([^ ]+) +(FATAL|EXITED|BACKOFF).*/\\1/p' | while read -r program; do
  "bin/${part}ctl" tail "$program" stderr
  "bin/${part}ctl" tail "$program"
done 2>&1 | grep -v 'ERROR (no log file)' | tail -n 20 >&2
if [ -n "$status" ]; then echo "$status"; else "bin/${part}ctl" status; fi
echo 'not all programs of supervisor are running' >&2
exit 1
"""

UNIT = """\
[Unit]
Description=Programs of {path}
After=network.target remote-fs.target nss-user-lookup.target
RequiresMountsFor="{path}"

[Service]
Type=exec
User=@owner@
WorkingDirectory={path}
Environment=LANG=C.UTF-8
ExecStart="{path}/bin/{part}d" -n
KillMode=mixed
TimeoutStopSec={seconds:.0f}
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""

SCRIPT = """\
#!/bin/sh
### BEGIN INIT INFO
# Provides:          {name}
# Required-Start:    $remote_fs $network
# Required-Stop:     $remote_fs $network
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Programs of {path}
### END INIT INFO
cd {quoted} || exit 1
as_owner() {{ su -s /bin/sh @owner@ -c "$1"; }}
case "$1" in
start) as_owner {start} ;;
stop) as_owner {stop} ;;
restart|force-reload) "$0" stop && "$0" start ;;
status) as_owner {status} ;;
*) echo "Usage: $0 start|stop|restart|status" >&2; exit 2 ;;
esac
"""

OURS = """\
if [ -d /run/systemd/system ]; then file=/etc/systemd/system/$name.service; else file=/etc/init.d/$name; fi
if [ -e "$file" ] && ! grep -qsxF -e "$unit_of" -e "$script_of" "$file"; then
  echo "$file belongs to another buildout, whose path makes the same name: this one needs another path" >&2
  exit 1
fi
"""
# /srv/my-site and /srv/my/site do

INSTALL = """\
set -e
if [ "$(id -u)" != 0 ]; then echo 'init.d: only root can let supervisor start at boot' >&2; exit 1; fi
if [ -d /run/systemd/system ]; then
  file=/etc/systemd/system/$name.service text=$unit mode=644
else
  file=/etc/init.d/$name text=$script mode=755
fi
printf %s "$text" | sed "s/@owner@/$owner/" > "$file.new"
chmod $mode "$file.new"
if cmp -s "$file.new" "$file"; then
  rm "$file.new"
else
  mv "$file.new" "$file"
  echo "$file written"
  if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
fi
if [ -d /run/systemd/system ]; then
  systemctl --quiet enable "$name"
elif command -v update-rc.d >/dev/null; then
  update-rc.d "$name" defaults
else
  chkconfig --add "$name"
fi
"""

SERVICE_STOP = """\
if [ -d /run/systemd/system ]; then
  if [ -e "/etc/systemd/system/$name.service" ]; then systemctl stop "$name"; fi
elif [ -x "/etc/init.d/$name" ]; then
  "/etc/init.d/$name" stop
fi
"""

SERVICE_START = """\
if [ -d /run/systemd/system ]; then
  systemctl reset-failed "$name" 2>/dev/null
  systemctl start "$name"
else
  "/etc/init.d/$name" start
fi
"""


class Recipe:
    """What ``extends`` gives a host part: the defaults of this plugin's options."""

    hostout_options: ClassVar = {
        "supervisor": {"help": "the part of the buildout that makes supervisord and supervisorctl"},
        "init.d": {"help": "whether the programs start when the machine does"},
    }

    def __init__(self, buildout: Any, part: str, options: MutableMapping[str, str]) -> None:
        options.setdefault("supervisor", "supervisor")
        options.setdefault("init.d", "false")
        for problem in _mistakes(options):
            raise import_module("zc.buildout").UserError(problem)


def _mistakes(options: MutableMapping[str, str]) -> Iterator[str]:
    part, boot = options["supervisor"], options["init.d"]
    if len(part.split()) != 1:
        yield f"supervisor: must be the name of a part, is {part!r}"
    if boot.strip().lower() not in ("", *YES, *NO):
        yield f"init.d: must be true or false, is {boot!r}"
    if _true(boot) and _true(options.get("no-sudo", "")):
        yield "init.d: only root can let supervisor start at boot, and no-sudo is set"


@hook("stop")
def stop() -> list[Step]:
    """The old release's supervisord and all its programs are gone when this is done; fine when nothing runs."""
    end = command_step("stop supervisor", _line(PROCESS, STOP), timeout=STOP_SECONDS + 10)
    if not _at_boot():
        return [end]
    line = _service_line(SERVICE_STOP)
    return [command_step("stop the service of supervisor", line, user="root", timeout=STOP_SECONDS + 10), end]


@hook("start")
def start() -> list[Step]:
    """The release that ``path`` leads to now runs; a supervisord that is still there has another release, and goes."""
    if not _at_boot():
        return [command_step("start supervisor", _line(PROCESS, STOP, START), timeout=STOP_SECONDS + 60)]
    # not as root: whose the pid file is decides which process ends
    left = command_step("end a supervisor that is no service", _line(PROCESS, STOP), timeout=STOP_SECONDS + 10)
    line = _service_line(SERVICE_STOP, SERVICE_START)
    service = command_step("start the service of supervisor", line, user="root", timeout=STOP_SECONDS + 60)
    return [left, _install(), service]


@hook("health")
def health() -> list[Step]:
    """All programs are RUNNING (or not meant to be started); prints ``supervisorctl status``."""
    seconds = float(get("health-timeout", "60"))
    line = _line(HEALTH, seconds=f"{seconds:.0f}")
    return [command_step("status of supervisor", line, timeout=seconds + 30)]


def supervisorctl(command: str, *arguments: str) -> None:
    """Run supervisorctl on the host: status, restart instance1, tail instance1"""
    words = (f"bin/{_part()}ctl", command, *arguments)
    host, line = current(), shell(" ".join("{}" for _ in words), *words)
    with cd(host.path):
        if host.effective_user == host.user:
            run(line)
        else:
            sudo(line, user=host.effective_user)


def supervisorstartup() -> None:
    """Start supervisor and its programs"""
    current().perform(_begin() + health())


def supervisorshutdown() -> None:
    """Stop supervisor and its programs"""
    current().perform(stop())


def installonstartup() -> None:
    """Let the programs start when the machine does"""
    current().perform([_install()])


def _begin() -> list[Step]:
    if not _at_boot():
        # a path that is not there is no reason to start /bin/supervisord
        there = shell("cd {} || exit 1\n", current().path)
        return [command_step("start supervisor", there + _line(PROCESS, START))]
    line = _service_line(SERVICE_START)
    return [_install(), command_step("start the service of supervisor", line, user="root")]


def _install() -> Step:
    path = current().path
    unit = UNIT.format(path=path.replace("%", "%%"), part=_part(), seconds=STOP_SECONDS)
    line = _service_line(INSTALL, unit=unit, script=_script(path, _service()), owner=current().effective_user)
    return command_step("install the service of supervisor", line, user="root")


def _script(path: str, name: str) -> str:
    lines = {"start": _line(PROCESS, START), "stop": _line(PROCESS, STOP), "status": f"bin/{_part()}ctl status"}
    quoted = {key: shell("{}", line) for key, line in lines.items()}
    return SCRIPT.format(path=path, name=name, quoted=shell("{}", path), **quoted)


def _line(*scripts: str, **variables: str) -> str:
    """The scripts as one, with ``$part`` and the variables set; no value is ever pasted into a script."""
    given = {"part": _part(), **variables}
    return "".join(shell(name + "={}\n", value) for name, value in given.items()) + "".join(scripts)


def _service_line(*scripts: str, **variables: str) -> str:
    """The scripts, where the service is that of this buildout: by the line of its file that names ``path``."""
    path = current().path
    whose = {"unit_of": f"WorkingDirectory={path.replace('%', '%%')}", "script_of": shell("cd {} || exit 1", path)}
    return _line(OURS, *scripts, name=_service(), **whose, **variables)


def _service() -> str:
    """Names the service by what it runs, because one machine has many buildouts: supervisor-var-lib-plone-host1."""
    return f"{_part()}-{re.sub('[^A-Za-z0-9._]+', '-', current().path).strip('-')}"


def _part() -> str:
    return str(get("supervisor", "supervisor")).strip()


def _at_boot() -> bool:
    return _true(get("init.d", ""))


def _true(value: str) -> bool:
    return value.strip().lower() in YES
