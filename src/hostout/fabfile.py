"""The built-in commands, each a few lines: what they do is done in other rooms.

They come last in the chain of every command; a fabfile or plugin that has a function of the same name joins it.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from hostout.commands.chain import announcement, current
from hostout.commands.marks import alias, deploys, looks
from hostout.errors import ConfigurationError, RemoteError
from hostout.model import Event
from hostout.remote.quoting import in_folder, sh

if TYPE_CHECKING:
    from hostout.deploy.inspection import Inspection

FETCHED: dict[tuple[Path, str], str] = {}
"""From which host things have come in this run, by the place here and by name."""

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
    _check_named("put", local)
    target = posixpath.join(host.path, remote or _same_place(local, str(Path.cwd())))
    placed = host.connection.put(local, target)
    host.deployment.note_put(placed.remote)


def get(remote: str, local: str = "") -> None:
    """Copy a file or a folder from the host, relative to path"""
    host = current()
    _check_named("get", remote)
    target = local or _same_place(remote, host.path)
    _check_nobody_elses(remote, target)
    host.connection.get(posixpath.join(host.path, remote), target)


@deploys(packages=True, switches=True, announce=False)
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
    first, *between, last = PHASES
    host.call(first)
    with deployment.sending_with_the_build(host.has_one_function(*between)):
        for phase in between:
            host.call(phase)
    host.call(last)


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


@deploys(switches=True)
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


@looks
def releases() -> None:
    """List the releases on the host: when, by whom, which commit, and which one is live"""
    _inspection().releases()


@looks
def rollback(release: str = "") -> None:
    """Make an earlier release live again: the last good one, or a name, number, id or -n"""
    host = current()
    deployment = host.deployment
    before = deployment.live
    if not deployment.facts["releases"]:
        raise RemoteError(f"nothing to go back to: nothing has been deployed to {host.path}", host=host.name)
    name = deployment.rollback(release, deployment.around.options.force)
    if name and name != before:
        host.emit(Event("hostout", f"release {name} is live again"))


@looks
def status() -> None:
    """Say what is live, and which files on the host are not what was deployed"""
    _inspection().status()


@looks
def diff() -> None:
    """Show what the next deployment would change"""
    _inspection().diff()


@looks
def log(release: str = "") -> None:
    """Show the log of a release's build: a name, number or id, else the newest"""
    _inspection().log(release)


@looks
def clean() -> None:
    """Remove the releases, eggs and downloads that nobody needs any more"""
    _inspection().clean()


@looks
def check() -> None:
    """Is all well? Configuration, host, release, files, health"""
    host = current()
    _inspection().check(host.run_checks, lambda: host.steps("health"))


def _inspection() -> Inspection:
    from hostout.deploy.inspection import Inspection  # noqa: PLC0415 - a listing does not need it

    return Inspection(current().deployment)


def _check_nobody_elses(remote: str, local: str) -> None:
    """Of several hosts each one would write over what came from the one before."""
    host, place = current(), (Path(local).absolute(), posixpath.basename(posixpath.normpath(remote)))
    other = FETCHED.setdefault(place, host.name)
    if other != host.name:
        line = f"get: {local} has come from {other} just now; name one host, and a place of its own for each"
        raise ConfigurationError(line, host=host.name)


def _check_named(command: str, path: str) -> None:
    """A variable of a shell that nobody has set is not everything that there is."""
    if not path:
        raise ConfigurationError(f"{command}: no file or folder is named", host=current().name)


def _same_place(path: str, folder: str) -> str:
    """A relative path stays what it is on the other side; of any other, and of one that leaves ``folder``, only the
    name is left.

    A slash at its end, which a shell puts there that completes names, says nothing about the other side.
    """
    path = posixpath.normpath(path)
    inside = not posixpath.isabs(path) and ".." not in Path(path).parts
    return path if inside else posixpath.basename(posixpath.normpath(posixpath.join(folder, path)))
