"""The deployment with pyinfra: wheels built here, rsync, buildout on the host where something came, restart, a look.

``files.sync`` would ask the host about every file, one after the other; rsync asks once.
"""

from pyinfra import local
from pyinfra.operations import server, systemd

FILES = "./base.cfg ./versions.cfg ./own.cfg ./production.cfg ./downloads/dist"

local.shell("python wheels.py")
changed = local.shell(f"rsync -aRiO --chown=site:site -e 'ssh -F ssh_config' {FILES} site:/srv/site/")

if changed:
    server.shell(
        name="Build",
        commands=["cd /srv/site && venv/bin/buildout -N -c production.cfg"],
        _sudo=True,
        _sudo_user="site",
    )

systemd.service(name="Runs what was built", service="site", running=True, enabled=True, restarted=bool(changed))
server.shell(
    name="Answers",
    commands=["curl -fsS --retry 20 --retry-delay 1 --retry-connrefused -o /dev/null http://127.0.0.1:8080/"],
)
