"""Whether a host can take a deployment: everything that can be known before anything is changed there.

What does not belong here: what is in the way and how it is said (``preflight``).
"""

from __future__ import annotations

from dataclasses import dataclass

from hostout.deploy import fetching, plan, preflight
from hostout.deploy.consent import Consent
from hostout.deploy.surroundings import Surroundings
from hostout.deploy.visit import Visit
from hostout.errors import NotReady, PackagingError, RemoteError
from hostout.model import Extent, Facts, Host, Release
from hostout.remote.agent import SudoUnavailable, Unfit


@dataclass(frozen=True)
class Readiness:
    """Checks a host; ``consent`` is asked for what needs a yes."""

    host: Host
    around: Surroundings
    visit: Visit
    consent: Consent

    def check(self, release: Release | None, extent: Extent) -> None:
        """Raises NotReady with all that is in the way, Aborted where somebody says no; ``release`` is to be sent."""
        try:
            facts = self.visit.facts
        except Unfit as unfit:
            self.consent.to(f"{unfit.message}; bootstrap installs it")
        except SudoUnavailable as error:
            raise self._without_root(error, release) from error
        else:
            self._check(facts, release, extent)

    def _check(self, facts: Facts, release: Release | None, extent: Extent) -> None:
        if warning := preflight.clock(facts, self.visit.agent.heard):
            self.around.warn(warning)
        missing = [f"no {account} on the host" for account in preflight.missing_accounts(facts)]
        if found := self._in_the_way(facts, release, preflight.problems(self.host, facts)):
            raise NotReady([*found, *missing], host=self.host.name)
        if missing:
            self.consent.to(f"{', '.join(missing)}; bootstrap creates what is missing")
        if extent.switches and not (release and self.nothing_to_do(release, facts)):
            self.consent.to_leave(facts)

    def nothing_to_do(self, release: Release, facts: Facts) -> bool:
        """The same content is live, good and unchanged, and nobody insists."""
        return not self.around.options.force and plan.is_live(release, facts)

    def _in_the_way(self, facts: Facts, release: Release | None, found: list[str]) -> list[str]:
        """What was ``found``, and where there is no room; what is sent may be unknown where something else is wrong."""
        if release is None or self.nothing_to_do(release, facts):
            return found
        found = [*found, *fetching.problems(self.host, self.around.packaging.indexes())]
        try:
            contents = self.around.packaging.contents(release, facts)
        except PackagingError as error:
            if not found:
                raise
            return [*found, error.message]
        return [*found, *preflight.room(self.host, plan.uploads(contents, facts), facts)]

    def _without_root(self, error: SudoUnavailable, release: Release | None) -> RemoteError:
        """That nobody becomes root, with everything else that is wrong as far as the login user sees it."""
        facts, refused = self.visit.facts_without_root(), [error.message]
        found = self._in_the_way(facts, release, [*refused, *preflight.problems(self.host, facts, root=False)])
        return NotReady(found, host=self.host.name) if found != refused else error
