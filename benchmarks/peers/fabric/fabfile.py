"""The deployment with Fabric: wheels built here, rsync, then all that is to be done on the host in one command."""

from fabric import Connection, task

FILES = "./base.cfg ./versions.cfg ./own.cfg ./production.cfg ./downloads/dist"
UPLOAD = f"rsync -aRiO --chown=site:site -e 'ssh -F ssh_config' {FILES} site:/srv/site/"
BUILD = "cd /srv/site && sudo -u site venv/bin/buildout -N -c production.cfg && systemctl restart site"
CHECK = "curl -fsS --retry 20 --retry-delay 1 --retry-connrefused -o /dev/null http://127.0.0.1:8080/"


@task
def deploy(c: Connection) -> None:
    """Build here, upload, build there, restart, look."""
    c.local("python wheels.py")
    changed = c.local(UPLOAD, hide="stdout").stdout
    c.run(f"{BUILD} && {CHECK}" if changed else CHECK)
