"""The built-in commands, each a few lines: what they do is done in other rooms.

They come last in the chain of every command; a fabfile or plugin that has a function of the same name joins it.
"""

from __future__ import annotations

import posixpath
from pathlib import Path

from hostout.commands.chain import announcement, current
from hostout.commands.marks import alias, deploys
from hostout.errors import ConfigurationError
from hostout.model import Event
from hostout.remote.quoting import in_folder, sh

PHASES = ("predeploy", "uploadeggs", "uploadbuildout", "buildout", "postdeploy")


@alias("cmd")
def run(command: str, *more: str) -> None:
    """Execute a command on the host as the login user, in path"""
    host = current()
    host.connection.run(sh(in_folder(host.path, " ".join((command, *more)))))


def sudo(command: str, *more: str) -> None:
    """Execute a command on the host as root, in path"""
    host = current()
    if host.host_part.no_sudo:
        raise ConfigurationError("sudo is not possible: no-sudo is set", host=host.name)
    host.connection.sudo(sh(in_folder(host.path, " ".join((command, *more)))))


def put(local: str, remote: str = "") -> None:
    """Copy a file or a folder to the host, relative to path"""
    host = current()
    target = posixpath.join(host.path, remote or _same_place(local))
    host.connection.put(local, target)
    host.deployment.note_put(target)


def get(remote: str, local: str = "") -> None:
    """Copy a file or a folder from the host, relative to path"""
    host = current()
    host.connection.get(posixpath.join(host.path, remote), local or _same_place(remote))


@deploys(packages=True, announce=False)
def deploy() -> None:
    """Deploy the buildout to the host: predeploy, uploadeggs, uploadbuildout, buildout, postdeploy"""
    host = current()
    deployment = host.deployment
    if deployment.already_live:
        for phase in PHASES:
            host.emit(announcement(phase, __file__))
        host.emit(Event("hostout", f"release {deployment.live} is live already"))
        return
    deployment.whole = True
    for phase in PHASES:
        host.call(phase)


@deploys()
def predeploy() -> None:
    """Make sure that the host can take a deployment"""
    current().deployment.predeploy()


@deploys(packages=True)
def uploadeggs() -> None:
    """Release the develop packages that changed and upload the distributions that the host lacks"""
    current().deployment.uploadeggs()


@deploys(packages=True)
def uploadbuildout() -> None:
    """Upload the configuration: the new release is staging"""
    current().deployment.uploadbuildout()


@deploys()
def buildout(*arguments: str) -> None:
    """Build the newest staging release, or the live one again; arguments are handed to buildout"""
    current().deployment.buildout(arguments)


@deploys()
def postdeploy() -> None:
    """Make the newest built release live"""
    current().deployment.postdeploy()


@deploys()
@alias("setowners")
def resetpermissions() -> None:
    """Put owners and modes of buildout and cache right"""
    current().deployment.setowners()


def bootstrap() -> None:
    """Install Python and the users that a deployment needs"""
    current().deployment.bootstrap()


def _same_place(path: str) -> str:
    """A relative path stays what it is on the other side; of any other only the name is left."""
    inside = not posixpath.isabs(path) and ".." not in Path(path).parts
    return path if inside else posixpath.basename(posixpath.normpath(path))
