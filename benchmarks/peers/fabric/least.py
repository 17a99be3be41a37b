"""What no deployment from a script of Python's can do without, as little as can be: goals are looked at beside it."""

from fabric import Connection, task

BESIDE = """\
set -e
cd /srv/site
rm -rf empty
mkdir empty
cp -a current/*.cfg current/hostout-* empty
ln -s ../var empty/var
chown site:site empty
cd empty
sudo -u site BUILDOUT_HOME=/nonexistent ../current/bin/buildout -U -N -c hostout-host1.cfg buildout:directory=$PWD
"""


@task
def nothing(c: Connection) -> None:
    """Start, log in, run one command."""
    c.run("true")


@task
def beside(c: Connection) -> None:
    """The same, with buildout's own work in an empty folder and the restart; nothing is built here or uploaded."""
    c.run(BESIDE + "systemctl restart site\n", hide="stdout")
