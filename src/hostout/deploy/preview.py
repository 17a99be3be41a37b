"""What ``--dry-run`` prints of a Step: what the host would do, in the order it would do it, every command line.

Pure: lines only, those that begin with a tab stand below the one before. What does not belong here: which Steps there
are (``plan``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from hostout.deploy.plan import amount, live_name, something_runs
from hostout.errors import RemoteError
from hostout.model import Facts, Host, Json, Step

BACK = re.compile(r"-[1-9]\d*")
ADOPTED = "releases/0000-adopted"


@dataclass(frozen=True)
class Preview:
    """One deployment to come: ``owner`` runs the application, ``root`` stands for who runs what needs root."""

    host: Host
    facts: Facts
    owner: str
    root: str = "root"

    def lines(self, step: Step) -> list[str]:
        """What to print of a Step; raises RemoteError where it is known that the host would refuse."""
        details = DETAILS.get(step.do)
        return [f"would {step.text}", *(f"\t{line}" for line in (details(self, step.args) if details else ()))]

    # the Steps

    def layout(self, args: Mapping[str, Json]) -> Iterator[str]:
        moved = self.facts.data.get("adopt") or ()
        if moved:
            yield f"the buildout in {self.host.path} becomes release 0000-adopted:"
        for name in moved:
            yield f"move {self.host.path}/{name} to {self.host.path}/{ADOPTED}/{name}"

    def fetch(self, args: Mapping[str, Json]) -> Iterator[str]:
        for file in args["files"]:
            yield f"{file['name']} ({amount(file['size'])})"
        yield "what it does not get there is " + ("refused" if self.host.eggs_from == "index" else "sent from here")

    def receive(self, args: Mapping[str, Json]) -> Iterator[str]:
        for blob in args["blobs"]:
            there = f", {amount(blob['offset'])} are there already" if blob["offset"] else ""
            yield f"{blob['name']} ({amount(blob['size'])}{there})"

    def environment(self, args: Mapping[str, Json]) -> Iterator[str]:
        yield from (wheel["filename"] for wheel in args["wheels"])

    def stage(self, args: Mapping[str, Json]) -> Iterator[str]:
        record = args.get("record") or {}
        for file in sorted(record.get("files", ()), key=lambda file: str(file["name"])):
            yield f"{file['name']} -> {file['target']}" if file.get("target") else str(file["name"])
        for name in ("var", *record.get("shared", ())):
            yield f"{name} -> {self.host.path}/{name}"

    def build(self, args: Mapping[str, Json]) -> Iterator[str]:
        yield from self._as_root("build-command", args["commands"])
        yield _line("buildout", self.builder, " ".join(["bin/buildout", *args["arguments"]]))

    def stop(self, args: Mapping[str, Json]) -> Iterator[str]:
        # pre-commands run whatever is live, stop hooks are those of what is
        yield from self._as_root("pre-command", args["commands"])
        if something_runs(self.facts):
            yield from self._hooks("stop hook", args["hooks"])

    def golive(self, args: Mapping[str, Json]) -> Iterator[str]:
        if not args["stopped"]:
            yield from self.stop({"commands": args["pre"], "hooks": args["stop"]})
        yield self._switched(args["name"])
        yield from self._outside()
        for line in args["migrate"]:
            yield _line("migrate-command", self.owner, line)
        yield from self._started(args)
        yield f"keep the newest {args['keep']} good releases, remove those before that nobody uses"

    def rollback(self, args: Mapping[str, Json]) -> Iterator[str]:
        yield "what stops and starts a release is recorded with it; where nothing is:"
        yield from self.stop({"commands": args["pre"], "hooks": args["stop"]})
        yield self._switched(target(self.facts, args["to"] or "-1", args["force"]))
        yield "live-parts and sudo-parts as they are recorded with it"
        yield from self._started(args)

    def restart(self, args: Mapping[str, Json]) -> Iterator[str]:
        yield from self._hooks("start hook", args["start"])

    def command(self, args: Mapping[str, Json]) -> Iterator[str]:
        yield self._hook("command", args)

    # what they consist of

    @property
    def builder(self) -> str:
        return self.host.buildout_user or self.owner

    def _switched(self, name: str) -> str:
        adopted = "0000-adopted by then" if something_runs(self.facts) else "not there now"
        was = f"{live} now" if (live := live_name(self.facts)) else adopted
        return f"{self.host.path}/current -> releases/{name} (is {was})"

    def _outside(self) -> Iterator[str]:
        for part in self.host.live_parts:
            yield _line("live part", self.owner, part)
        for part in self.host.sudo_parts:
            yield _line("sudo part", self.root, part)

    def _started(self, args: Mapping[str, Json]) -> Iterator[str]:
        yield from self._hooks("start hook", args["start"])
        yield from self._as_root("post-command", args["post"])
        yield from self._hooks("health hook", args["health"])
        if check := args["health_check"]:
            yield f"health-check: {check['check']} (for at most {check['timeout']:g} s)"

    def _as_root(self, what: str, lines: Iterable[str]) -> Iterator[str]:
        return (_line(what, self.root, line) for line in lines)

    def _hooks(self, what: str, hooks: Iterable[Mapping[str, Json]]) -> Iterator[str]:
        return (self._hook(what, hook) for hook in hooks)

    def _hook(self, what: str, hook: Mapping[str, Json]) -> str:
        return _line(what, self.root if hook.get("user") == "root" else self.owner, _shown(hook))


# which release a rollback means


def target(facts: Facts, given: str, force: bool) -> str:
    """Its name, as the host finds it (``agent/rollback.py``); raises RemoteError where the host would refuse."""
    releases = sorted(facts["releases"], key=lambda r: int(r["number"]))
    if BACK.fullmatch(given):
        live = live_name(facts)
        number = next((r["number"] for r in releases if r["name"] == live), None)
        good = [r for r in releases if r["state"] == "good" and (number is None or r["number"] < number)]
        if len(good) < int(given[1:]):
            where = f"older than {live}" if live else "there"
            raise RemoteError(f"nothing to go back to: of the releases {where} {len(good) or 'none'} are good")
        return str(good[-int(given[1:])]["name"])
    named = [r for r in releases if given in (r["name"], r["id"])]
    found = named or [r for r in releases if given.isdigit() and r["number"] == int(given)]
    if not found:
        raise RemoteError(f"there is no release {given} on this host")
    best = max(found, key=lambda r: (r["state"] == "good", int(r["number"])))
    if not _may_be_live(best["state"], force):
        raise RemoteError(f"release {best['name']} is {best['state']}")
    return str(best["name"])


def _may_be_live(state: str, force: bool) -> bool:
    return state in ("good", "live") or (state == "bad" and force)


def _shown(hook: Mapping[str, Json]) -> str:
    """The line, or what a script of many lines is there for, as the host says it too."""
    line, text = str(hook["line"]), str(hook.get("text") or "")
    return text if text and "\n" in line.strip() else line


def _line(what: str, user: str, line: str) -> str:
    return f"{what} as {user}: {line}"


DETAILS: Mapping[str, Callable[[Preview, Mapping[str, Json]], Iterator[str]]] = {
    "layout": Preview.layout,
    "fetch": Preview.fetch,
    "receive": Preview.receive,
    "environment": Preview.environment,
    "stage": Preview.stage,
    "build": Preview.build,
    "stop": Preview.stop,
    "golive": Preview.golive,
    "rollback": Preview.rollback,
    "restart": Preview.restart,
    "command": Preview.command,
}
"""By the action of a Step what it consists of."""
