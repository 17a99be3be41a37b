"""What whoever deploys has to agree to before a host is changed: ``--yes``, or an answer on a terminal.

What does not belong here: what it is that needs a yes (``preflight``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hostout.deploy import preflight
from hostout.deploy.plan import live_name
from hostout.deploy.surroundings import Surroundings
from hostout.errors import Aborted, NotReady, RemoteError
from hostout.model import Facts, Host


@dataclass
class Consent:
    """What was agreed to for one host."""

    host: Host
    around: Surroundings
    _left: set[str] = field(default_factory=set)
    _told: str = ""

    def to(self, what: str) -> None:
        """Somebody agrees to ``what``, or the deployment ends here with RemoteError or Aborted."""
        advice = f"{what} (deploy with --yes, or run the command bootstrap first)"
        self._ask(what, f"{what}. Go on?", RemoteError(advice, host=self.host.name))

    def to_leave(self, facts: Facts) -> None:
        """Data in the live release that the new one will not have; each name is asked about once. What somebody changed
        there is only said: the release stays (see ``clean``), and what is deployed decides."""
        line = preflight.changed(facts, live_name(facts))
        if line and line != self._told:
            self.around.warn(line)
            self._told = line
        names = [name for name in preflight.strays(facts) if name not in self._left]
        if not names:
            return
        lines = [preflight.stays(name, live_name(facts)) for name in names]
        refusal = NotReady([*lines, preflight.keep(self.host)], host=self.host.name)
        if self.around.options.yes or self.around.options.dry_run:
            for line in lines:
                self.around.warn(line)
        self._ask("data would be left behind", "\n".join([*lines, "Go on without it?"]), refusal)
        self._left.update(names)

    @property
    def strays(self) -> list[str]:
        """What may be left behind."""
        return sorted(self._left)

    def _ask(self, what: str, question: str, refusal: RemoteError) -> None:
        if self.around.options.yes:
            return
        if self.around.options.dry_run:
            self.around.say(f"would ask: {what}. Go on? (or refuse, without a terminal or --yes)")
            return
        answer = self.around.confirm(f"[{self.around.label}] {question}")
        if answer is None:
            raise refusal
        if not answer:
            raise Aborted(f"{what}: not wanted", host=self.host.name)
