"""Source distributions on the host: a wheel of each, made by pip of the very file that was tested.

What does not belong here: the egg that becomes of the wheel (``eggs.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import unpack
from .failure import Cancelled, Failed, is_full
from .people import acting_as
from .site import Site
from .steps import Runner


def hermetic(site: Site) -> dict[str, str]:
    """Pip, whoever calls it, sees the cache and nothing else."""
    return {
        "BUILDOUT_HOME": "/nonexistent",
        "PIP_NO_INDEX": "1",
        # an address, as pip splits what it finds here at blanks
        "PIP_FIND_LINKS": site.dist.as_uri(),
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_CACHE_DIR": "1",
    }


def wheel(runner: Runner, environment: str, dist: Mapping[str, Any], folder: Path) -> Path:
    """Make it in ``folder``, as the owner of the cache and with the pip of that environment. Raises Failed."""
    session, name = runner.session, str(dist["filename"])
    source = session.site.dist / name
    with acting_as(session.buildout):
        unpack.check(source, str(dist["sha256"]))
    pip = (str(session.site.python(environment)), "-I", "-m", "pip")
    argv = (*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(source))
    try:
        runner.program(argv, session.buildout, hermetic(session.site), f"pip wheel {name}")
    except Cancelled:
        raise
    except Failed as failure:
        full = is_full(folder.parent)
        hint = "install there what it lacks, or deploy a version that has a wheel for this host"
        raise failure.but(f"{failure.message}: {'the disk is full' if full else hint}") from failure
    (made,) = folder.glob("*.whl")
    return made
