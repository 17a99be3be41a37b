"""Many hosts: what is done for all of them before anything is changed on one.

What does not belong here: what happens on one host (``engine``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hostout.deploy.engine import Deployment
from hostout.errors import HostoutError
from hostout.model import Extent


@dataclass(frozen=True)
class Candidate:
    """A selected host: its deployment, and the ``check`` hooks of its plugins."""

    deployment: Deployment
    checks: Callable[[], None]


def prepare(candidates: Sequence[Candidate], extent: Extent, *, keep_going: bool) -> dict[str, HostoutError]:
    """Checks, packages and questions every host; nothing has been changed anywhere when this returns or raises.

    Returns the hosts that cannot take part by name, empty unless ``keep_going``; without it the first error is raised.
    """
    failed: dict[str, HostoutError] = {}
    for phase in (_checks, _package if extent.packages else _nothing, _ask(extent)):
        for candidate in candidates:
            name = candidate.deployment.host.name
            if name in failed:
                continue
            try:
                phase(candidate)
            except HostoutError as error:
                if not keep_going:
                    raise
                failed[name] = error
    return failed


def _checks(candidate: Candidate) -> None:
    candidate.checks()


def _package(candidate: Candidate) -> None:
    _ = candidate.deployment.release


def _nothing(candidate: Candidate) -> None:
    """Commands that upload nothing need no release."""


def _ask(extent: Extent) -> Callable[[Candidate], None]:
    return lambda candidate: candidate.deployment.prepare(extent)
