"""What is done about the key that a host shows: known, asked about, accepted or refused.

Fabric accepts any key; this is why no connection here is opened by Fabric itself. What does not belong here: the
format of ``known_hosts`` (``knownhosts``).
"""

from __future__ import annotations

from collections.abc import Sequence

import paramiko

from hostout.errors import ConnectionFailed
from hostout.model import Emit, Event
from hostout.remote import knownhosts
from hostout.remote.credentials import Asker
from hostout.remote.knownhosts import Entry, Opinion, Verdict
from hostout.remote.sshconfig import Target

RSA = ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")
ASK, ACCEPT_NEW = "ask", "accept-new"


class NotPinned(ConnectionFailed):
    """The key is not the one that the option wants; the host may have that as well, of another type."""


class HostKeys:
    """The keys of one target. ``option`` is ``ask``, ``accept-new``, or fingerprints ``SHA256:…`` or ``MD5:…``."""

    def __init__(self, target: Target, option: str, ask: Asker, emit: Emit, label: str) -> None:
        self.target = target
        self.option = option
        self.ask = ask
        self.emit = emit
        self.label = label
        self._passed_over: set[str] = set()
        self.entries = knownhosts.read((*target.user_known_hosts, *target.global_known_hosts))

    def preferred(self, kinds: Sequence[str]) -> list[str]:
        """Key types for the negotiation: those we know a key of come first, else their order stays.

        Those of keys that were not the pinned one are left out, should there be others.
        """
        kinds = [kind for kind in kinds if kind not in self._passed_over] or kinds
        known = {kind for entry in self._known() for kind in _kinds(entry.kind)}
        return sorted(kinds, key=lambda kind: kind not in known)

    def check(self, key: paramiko.PKey) -> None:
        """Returns if the key may be trusted. Raises ConnectionFailed, with what to do, if not."""
        opinion = knownhosts.opinion(self.entries, self.target.known_as, key.get_name(), key.asbytes())
        shown = " ".join((key.get_name(), knownhosts.fingerprint(key.asbytes())))
        if opinion.entry and opinion.verdict in (Verdict.REVOKED, Verdict.CHANGED):
            raise self._contradicted(opinion.verdict, opinion.entry, shown)
        if self.option not in (ASK, ACCEPT_NEW):
            self._compare(key, shown)
        elif opinion.verdict is Verdict.UNKNOWN:
            self._decide(key, shown, opinion)

    def _known(self) -> list[Entry]:
        return [e for e in knownhosts.about(self.entries, self.target.known_as) if not e.marker]

    def _contradicted(self, verdict: Verdict, entry: Entry, shown: str) -> ConnectionFailed:
        if verdict is Verdict.REVOKED:
            return self._refused(f"its host key {shown} is revoked ({entry.place})")
        return self._refused(
            f"its host key has changed: it shows {shown}, {entry.place} has "
            f"{knownhosts.fingerprint(entry.key)}; if that is right, remove that line"
        )

    def _compare(self, key: paramiko.PKey, shown: str) -> None:
        wanted = [word.rstrip("=") for word in self.option.replace(",", " ").split()]
        old = knownhosts.old_fingerprint(key.asbytes())
        if not {knownhosts.fingerprint(key.asbytes()), old} & {*wanted}:
            self._passed_over.update(_kinds(key.get_name()))
            also = f" ({old})" if self.option.startswith("MD5:") else ""
            why = f"it shows the host key {shown}{also}, the option host-key has {self.option}"
            raise NotPinned(f"{self.target.place}: {why}")

    def _decide(self, key: paramiko.PKey, shown: str, opinion: Opinion) -> None:
        """An unknown key. A host of which another type is known is never accepted unasked."""
        if self.option == ACCEPT_NEW and not opinion.others:
            self._remember(key, shown)
            return
        if self.target.strict:
            raise self._refused(f"its host key {shown} is not known (StrictHostKeyChecking of the ssh configuration)")
        agreed = self.ask.confirm(self._question(shown, opinion))
        if agreed is None:
            raise self._refused(
                f"its host key {shown} is not known; log in there once with ssh, "
                "or set host-key to that fingerprint or to accept-new"
            )
        if not agreed:
            raise self._refused(f"its host key {shown} was not accepted")
        self._remember(key, shown)

    def _question(self, shown: str, opinion: Opinion) -> str:
        other = f" (known are keys of other types: {opinion.others[0].place})" if opinion.others else ""
        return f"{self.target.place} shows a host key that is not known{other}:\n{shown}\nIs it right?"

    def _remember(self, key: paramiko.PKey, shown: str) -> None:
        if not self.target.user_known_hosts:
            return
        file = self.target.user_known_hosts[0]
        name = self.target.known_as
        try:
            knownhosts.append(
                file,
                knownhosts.hashed(name) if self.target.hash_known_hosts else name,
                key.get_name(),
                key.asbytes(),
            )
        except OSError as error:
            self._warn(f"could not add the host key to {file}: {error.strerror}")
            return
        self._warn(f"added the host key {shown} of {self.target.place} to {file}")

    def _warn(self, text: str) -> None:
        self.emit(Event("warning", text, host=self.label))

    def _refused(self, why: str) -> ConnectionFailed:
        return ConnectionFailed(f"{self.target.place}: {why}")


def _kinds(kind: str) -> tuple[str, ...]:
    """The names in a negotiation of a key type as ``known_hosts`` has it."""
    return RSA if kind == "ssh-rsa" else (kind,)
