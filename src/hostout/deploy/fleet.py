"""Many hosts: what is done for all of them before anything is changed on one.

What does not belong here: what happens on one host (``engine``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hostout.errors import HostoutError
from hostout.model import Extent

if TYPE_CHECKING:
    from hostout.deploy.engine import Deployment


class Selected(Protocol):
    """A host of this call: ``run_checks`` calls the ``check`` hooks of its plugins."""

    @property
    def name(self) -> str: ...

    @property
    def deployment(self) -> Deployment: ...

    def run_checks(self) -> None: ...


@dataclass(frozen=True)
class Candidate:
    """A selected host, and what makes its release; its deployment is not made before there is one."""

    host: Selected
    package: Callable[[], object]


def prepare(candidates: Sequence[Candidate], extent: Extent, *, keep_going: bool) -> dict[str, HostoutError]:
    """Checks, packages and questions every host; nothing has been changed anywhere when this returns or raises.

    Returns the hosts that cannot take part by name, empty unless ``keep_going``; without it the first error is raised.
    """
    failed: dict[str, HostoutError] = {}
    for phase in (_checks, _package if extent.packages else _nothing, _ask(extent, candidates, failed)):
        for candidate in candidates:
            name = candidate.host.name
            if name in failed:
                continue
            try:
                phase(candidate)
            except HostoutError as error:
                # what goes wrong here knows of no host
                error.host = error.host or name
                if not keep_going:
                    raise
                failed[name] = error
    return failed


def _checks(candidate: Candidate) -> None:
    candidate.host.run_checks()


def _package(candidate: Candidate) -> None:
    candidate.package()


def _nothing(candidate: Candidate) -> None:
    """Commands that upload nothing need no release."""


def _ask(
    extent: Extent, candidates: Sequence[Candidate], failed: Mapping[str, HostoutError]
) -> Callable[[Candidate], None]:
    """What somebody has to be asked for is asked for the first host; then all others are asked at once."""
    first: list[Candidate] = []

    def ask(candidate: Candidate) -> None:
        candidate.host.deployment.prepare(extent)
        if not first:
            first.append(candidate)
            for other in candidates[candidates.index(candidate) + 1 :]:
                if other.host.name not in failed:
                    # what is wrong with it is told when its own turn comes
                    with contextlib.suppress(HostoutError):
                        other.host.deployment.begin(extent)

    return ask
