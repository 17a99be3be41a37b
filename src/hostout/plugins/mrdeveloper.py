"""``collective.hostout:mrdeveloper``: nothing is deployed that only exists on this machine.

mr.developer knows which checkouts a buildout uses and where they are, but only while ``bin/buildout`` runs; its script
``bin/develop`` reads the configuration again, from the network too, and takes a failing git for a clean checkout and a
branch that nobody else has for a pushed one. So the recipe below writes down what mr.developer says, and the check asks
the version control system itself.

What does not belong here: deploying the checkouts. They are develop packages like others.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hostout import abort, current, get, hook
from hostout.gitvariables import without_redirections

OPTION = "mr.developer-checkouts"

SECONDS = 60
"""No version control system takes longer to look at a checkout, unless it waits for something it will never get."""

# untracked files count, because a develop package is deployed with them, and submodules that are told to keep quiet
GIT_UNCOMMITTED = ("git", "status", "--porcelain", "--untracked-files=normal", "--ignore-submodules=none")

# commits that are on no remote, also on a branch without upstream; a detached HEAD (``rev=`` of a source) may be at a
# tag that is on no branch any more; a commit that is pushed may name one of a submodule that is not
UNPUSHED = """\
look='git symbolic-ref --quiet HEAD >/dev/null && tags= || tags=--tags
git rev-list --max-count=1 HEAD --not --remotes $tags'
eval "$look" && git submodule --quiet foreach --recursive "$look"
"""
GIT_UNPUSHED = ("sh", "-c", UNPUSHED)

# svn status is content where there is no working copy, and a pipe ends like its last command does, whatever became of
# the first; X: an external, which is a checkout of its own
SVN_UNCOMMITTED = """\
svn info >/dev/null && found=$(svn status --ignore-externals) || exit
echo "$found" | sed '/^X/d'
"""

LOOKS = {
    "git": (GIT_UNCOMMITTED, GIT_UNPUSHED),
    "gitsvn": (GIT_UNCOMMITTED, GIT_UNPUSHED),
    # not only drafts: a secret changeset is one that is never pushed
    "hg": (("hg", "status"), ("hg", "log", "--limit", "1", "--rev", "not public() and ::.")),
    "svn": (("sh", "-c", SVN_UNCOMMITTED),),
    "fs": (),
}
"""Commands to run in a checkout of each kind; any output of one of them is work that nobody else has."""


@dataclass(frozen=True)
class Checkout:
    """A working copy that this buildout uses; ``kind`` as mr.developer names it: ``git``, ``svn``, ``fs``, …"""

    name: str
    kind: str
    path: Path


class Recipe:
    """What ``extends`` gives a host part: the checkouts that mr.developer manages in this run of buildout."""

    hostout_options: ClassVar = {OPTION: {"help": "what mr.developer has checked out: name, kind and path, one a line"}}

    def __init__(self, buildout: Any, part: str, options: MutableMapping[str, str]) -> None:
        options.setdefault(OPTION, "\n".join(_managed(buildout)))


@hook("check")
def check() -> None:
    """Nothing is deployed while a checkout has uncommitted or unpushed work."""
    modified = [checkout.name for checkout in _checkouts() if _modified(checkout)]
    if modified:
        abort("\n".join(f"Package '{name}' has been modified." for name in modified))


def _managed(buildout: Any) -> Iterator[str]:
    """A line for each checkout in use. mr.developer is there when it is one of this buildout's extensions."""
    loaded = sys.modules.get("mr.developer.extension")
    if loaded is None:
        return
    extension = loaded.Extension(buildout)
    chosen, automatic = extension.get_config().develop, extension.get_auto_checkout()
    for name, source in sorted(extension.get_sources().items()):
        # "auto" is what mr.developer remembers of auto-checkout, which may have changed; True and False are the
        # user's, by ``bin/develop activate`` and ``deactivate``
        state = chosen.get(name, "auto")
        if source.exists() and (name in automatic if state == "auto" else state):
            yield f"{name} {source['kind']} {os.path.relpath(source['path'], buildout['buildout']['directory'])}"


def _checkouts() -> Iterator[Checkout]:
    for line in filter(None, get(OPTION, "").splitlines()):
        name, kind, path = line.split(None, 2)
        yield Checkout(name, kind, Path(current().getLocalBuildoutPath(), path))


def _modified(checkout: Checkout) -> bool:
    if checkout.kind not in LOOKS:
        abort(f"Package '{checkout.name}': nobody can tell whether a checkout of kind '{checkout.kind}' is modified")
    return any(_speaks(checkout, look) for look in LOOKS[checkout.kind])


def _speaks(checkout: Checkout, look: tuple[str, ...]) -> bool:
    """Whether a command has output in the checkout; where one fails nothing is known, and nothing is deployed."""
    # git goes up to the buildout's own repository, which knows nothing of a checkout in it whose own is broken
    environ = {**without_redirections(os.environ), "GIT_CEILING_DIRECTORIES": str(checkout.path.parent)}
    try:
        done = subprocess.run(look, cwd=checkout.path, env=environ, capture_output=True, timeout=SECONDS, check=True)
    except subprocess.CalledProcessError as failed:
        abort(f"Package '{checkout.name}': {failed.stderr.decode(errors='replace').strip()}")
    except subprocess.TimeoutExpired:
        abort(f"Package '{checkout.name}': {checkout.kind} has not looked through {checkout.path} in {SECONDS} seconds")
    except OSError as error:
        abort(f"Package '{checkout.name}': {error.filename or checkout.path}: {error.strerror}")
    return bool(done.stdout.strip())
