"""What a configuration needs, found by zc.buildout itself without an effect outside a scratch folder.

This file is a program of its own: it runs in the interpreter and with the modules of the local buildout, reads a
question as JSON from standard input and writes the answer to the file that the question names. It stands in a
scratch folder with the files of a release: extensions are loaded, every part's recipe is made, its ``eggs`` are
resolved; what is missing goes to the local eggs folder. Some recipes ask for eggs only when they install
(``collective.recipe.supervisor`` does): where nobody has seen that yet, they install in the scratch folder, for a
limited time, under a guard that refuses every program, connection and change outside. What does not belong here:
anything that knows hosts.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from email.parser import HeaderParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import zc.buildout
import zc.buildout.buildout
import zc.buildout.easy_install
from packaging.utils import canonicalize_name

Answer = dict[str, Any]

DROPPED = ("mr.developer", "mr-developer")
"""Extensions that work on checkouts: there are none on a host."""


def main() -> int:
    question = json.load(sys.stdin)
    try:
        answer = Rehearsal(question).answer()
    except zc.buildout.UserError as error:
        print(f"Error: {error}", flush=True)  # noqa: T201  # this program's output is its log
        return 1
    Path(question["answer"]).write_text(json.dumps(answer))
    return 0


class Rehearsal:
    """One buildout read and resolved; ``question`` as ``hostout.packaging.rehearsal`` makes it."""

    def __init__(self, question: Mapping[str, Any]) -> None:
        self.question = question
        self.found: dict[tuple[str, str], Any] = {}
        self.fetched: dict[tuple[str, str], tuple[str, str]] = {}
        self.missing: zc.buildout.UserError | None = None
        self.guard = Guard(question["writable"])
        self.buildout = _opened(question)
        self.options = self.buildout["buildout"]
        self.checkouts = {canonicalize_name(name) for name in question["develop"]}
        self.links = _links(Path(self.options["develop-eggs-directory"]))
        self.section = self._versions_section()
        self.pinned = {name: str(value) for name, value in self.buildout[self.section].items()}
        self._apply_pins()

    def answer(self) -> Answer:
        self._watch()
        extensions = self._choose("extensions")
        wanted = list(dict.fromkeys([*(self.question["parts"] or self._choose("parts")), *self.question["later"]]))
        developer = bool({*DROPPED} & {*self.options.get("extensions", "").split()})
        self.options["extensions"] = "\n".join(extensions)
        self._load()
        for part in wanted:
            self._resolve(part)
        if self.question["install"]:
            self._install_guarded()
        for requirement in [*extensions, *(_recipe(self.buildout[part]) for part in self.buildout._parts)]:
            self._closure(requirement)
        return {
            "parts": wanted,
            "extensions": extensions,
            "developer": developer,
            "versions": self.section,
            "pinned": self.pinned,
            "requirements": [self._described(dist) for _, dist in sorted(self.found.items())],
            "files": dict(self._files()),
        }

    def _choose(self, option: str) -> list[str]:
        """The words of an option that a host gets: no checkouts, nothing of hostout."""
        gone = {*DROPPED, "collective.hostout"} if option == "extensions" else {*self.question["drop"]}
        return [word for word in self.options.get(option, "").split() if word not in gone]

    # pins

    def _versions_section(self) -> str:
        name = self.question["versions"] or self.options.get("versions") or "versions"
        if name not in self.buildout:
            self.buildout[name] = {}
        self.options["versions"] = name
        return str(name)

    def _apply_pins(self) -> None:
        """What the files pin stays; then what the local buildout pins, then what it uses. Checkouts have no pin."""
        pins = self.buildout[self.section]
        for name in self.pinned:
            if canonicalize_name(name) in self.checkouts:
                pins[name] = ""
        zc.buildout.easy_install.default_versions(dict(pins))
        for name, version in [*self.question["pins"], *self.question["recorded"]]:
            self._pin(name, version)

    def _pin(self, name: str, version: str) -> None:
        """Pins what is not pinned to one version yet, in the section and in what buildout has made of it."""
        pins, key = self.buildout[self.section], canonicalize_name(name)
        known = zc.buildout.easy_install.Installer._versions
        if key in self.checkouts or known.get(key, "<")[:1] not in ("", "<", ">"):
            return
        for spelling in [other for other in pins if canonicalize_name(other) == key] or [name]:
            pins[spelling] = version
        known[key] = version

    # resolving

    def _watch(self) -> None:
        """Sees each working set that any recipe asks buildout for; its choice is the choice from then on."""
        original = zc.buildout.easy_install.Installer.install

        def install(installer: Any, specs: Any, working_set: Any = None) -> Any:
            with self.guard.open():
                try:
                    result = original(installer, specs, working_set)
                except zc.buildout.UserError as error:
                    self.missing = error
                    raise
            if working_set is None:
                self._add([*result, *_beside(result)])
            return result

        zc.buildout.easy_install.Installer.install = install
        self._watch_files()

    def _watch_files(self) -> None:
        """Sees each file that buildout fetches, before anything of it is unpacked."""
        original = zc.buildout.easy_install.Installer._fetch

        def fetch(installer: Any, dist: Any, *args: Any) -> Any:
            fetched = original(installer, dist, *args)
            path = Path(fetched.location) if fetched else None
            if path and path.is_file():
                self._saw(path, dist, ours=fetched.location != dist.location)
            return fetched

        zc.buildout.easy_install.Installer._fetch = fetch

    def _saw(self, path: Path, dist: Any, ours: bool) -> None:
        """``ours``: it lies where it was fetched to, perhaps in the download cache."""
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        tested = self.question["locked"].get(path.name, sha256)
        if tested != sha256:
            if ours:
                path.unlink()
            raise zc.buildout.UserError(
                f"{path.name} is not the file that was tested: its sha256 is {sha256}, in {self.question['lock']} it "
                f"is {tested} (remove that line if the file is right)"
            )
        self.fetched[canonicalize_name(dist.project_name), dist.version] = path.name, sha256

    def _files(self) -> Iterator[tuple[str, list[Any]]]:
        """What lies unpacked of what was fetched: the folder with its metadata and the time of that, its file."""
        for key in self.found.keys() & self.fetched.keys():
            inside = Path(self.found[key].location).glob("*")
            folders = [path for path in inside if path.name == "EGG-INFO" or path.name.endswith(".dist-info")]
            if len(folders) == 1:
                yield str(folders[0]), [folders[0].stat().st_mtime_ns, *self.fetched[key]]

    def _add(self, dists: Iterable[Any]) -> None:
        for dist in dists:
            if not _is_environment(dist, self.question["environment"]):
                self.found.setdefault((canonicalize_name(dist.project_name), dist.version), dist)
            if not self._source(dist):
                self._pin(dist.project_name, dist.version)

    def _load(self) -> None:
        if hasattr(self.buildout, "_update_sys_path"):
            self.buildout._update_sys_path()
        self.buildout._load_extensions()
        self.buildout._setup_directories()

    def _resolve(self, part: str) -> None:
        """The eggs of a part: those its recipe keeps in ``zc.recipe.egg`` objects, else its option ``eggs``."""
        options = self.buildout[part]
        if not options.get("recipe"):
            raise zc.buildout.UserError(f"part {part} has no recipe")
        eggs = [thing for thing in _things(options.recipe) if _is_eggs(thing)]
        for thing in eggs:
            thing.working_set()
        if not eggs and options.get("eggs"):
            self._install([line.strip() for line in options["eggs"].splitlines() if line.strip()])

    def _install_guarded(self) -> None:
        """What recipes resolve while they install. That they fail under the guard means nothing: but a distribution
        that is not to be had would be missing on a host as well."""
        for part in list(self.buildout._parts):
            recipe = self.buildout[part].recipe
            if not _is_eggs(recipe):
                self._try(part, recipe)

    def _try(self, part: str, recipe: Any) -> None:
        print(f"Looking at what {part} installs.", flush=True)  # noqa: T201
        try:
            with self.guard.closed(), self.guard.limited(self.question["seconds"]):
                self.buildout[part]._call(recipe.install)
        except (Exception, SystemExit, OutOfTime) as error:  # a recipe may raise anything; the log has it
            if error is self.missing:
                raise
            traceback.print_exc()
        finally:
            os.chdir(self.options["directory"])

    def _install(self, specs: list[str]) -> None:
        zc.buildout.easy_install.install(
            specs,
            self.options["eggs-directory"],
            links=self.options.get("find-links", "").split(),
            index=self.options.get("index"),
            path=[self.options["develop-eggs-directory"]],
            newest=False,
            allow_hosts=self.buildout._allow_hosts,
        )

    def _described(self, dist: Any) -> Answer:
        source = self._source(dist)
        return {"name": _spelt(dist), "version": dist.version, "location": dist.location, "source": source}

    def _source(self, dist: Any) -> str:
        """The project folder of a develop package, empty for others.

        Not by ``precedence``: whatever lies in a ``site-packages`` has that of a develop package too.
        """
        develop = dist.precedence == _pkg_resources().DEVELOP_DIST
        return _editable(dist) or (self.links.get(dist.location, "") if develop else "")

    def _closure(self, requirement: str) -> None:
        """What an extension or a recipe needs, of what buildout has just made importable for it."""
        resources = _pkg_resources()
        self._add(resources.working_set.resolve([resources.Requirement.parse(requirement)]))


class OutOfTime(BaseException):
    """A recipe waits for what it cannot have here. No ``except Exception`` around its tries can hold it."""


class Guard:
    """Refuses, while closed, what would have an effect outside the folders ``writable``: an audit hook (PEP 578).

    Against accidents, not malice: a recipe that adds to a crontab or writes to ``/etc`` must not do so here.
    """

    CHANGES: Mapping[str, tuple[tuple[int, int], ...]] = {
        "os.remove": ((0, 1),),
        "os.rmdir": ((0, 1),),
        "os.mkdir": ((0, 2),),
        "os.rename": ((0, 2), (1, 3)),
        "os.link": ((1, 3),),
        "os.symlink": ((1, 2),),
        "os.chmod": ((0, 2),),
        "os.chown": ((0, 3),),
        "os.utime": ((0, 3),),
        "os.truncate": ((0, -1),),
        "os.setxattr": ((0, -1),),
        "os.removexattr": ((0, -1),),
        "shutil.rmtree": ((0, -1),),
        "sqlite3.connect": ((0, -1),),
    }
    """Events that change a file: which arguments are its path and the folder descriptor that it is relative to."""

    REFUSED = (
        "subprocess.",
        "socket.",
        "pty.",
        "os.system",
        "os.exec",
        "os.fork",
        "os.posix_spawn",
        "os.spawn",
        "os.kill",
    )
    HARMLESS = ("socket.__new__", "socket.gethostname", "socket.getaddrinfo")
    WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def __init__(self, writable: Iterable[str]) -> None:
        self.writable = tuple(Path(folder).resolve() for folder in writable)
        self._closed = False
        sys.addaudithook(self._hook)

    @contextmanager
    def closed(self) -> Iterator[None]:
        yield from self._while(True)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Buildout itself fetches and unpacks eggs."""
        yield from self._while(False)

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """Raises OutOfTime after ``seconds``, but never while buildout fetches eggs: then after as many more."""
        before = signal.signal(signal.SIGALRM, self._over)
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _over(self, *_: Any) -> None:
        if self._closed:
            raise OutOfTime

    def _while(self, state: bool) -> Iterator[None]:
        before, self._closed = self._closed, state
        try:
            yield
        finally:
            self._closed = before

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self._closed and not self._may(event, args):
            raise PermissionError(f"a rehearsal does not do this: {event} {args[:2]}")

    def _may(self, event: str, args: tuple[Any, ...]) -> bool:
        if event.startswith(self.REFUSED):
            return event in self.HARMLESS
        if event == "open":
            return not (args[2] or 0) & self.WRITING or self._inside(args[0])
        return all(self._inside(args[path], _at(args, folder)) for path, folder in self.CHANGES.get(event, ()))

    def _inside(self, path: Any, folder: str = "") -> bool:
        if isinstance(path, int) or path == os.devnull:
            return True
        whole = Path(os.path.normpath(Path.cwd() / folder / os.fsdecode(path)))
        real = whole.parent.resolve() / whole.name
        return any(real.is_relative_to(root) for root in self.writable)


def _at(args: tuple[Any, ...], index: int) -> str:
    """The folder that an open descriptor stands for; ``/`` where that cannot be told: outside of everything."""
    if index < 0 or args[index] == -1:
        return ""
    try:
        return str(Path(f"/proc/self/fd/{args[index]}").readlink())
    except OSError:
        return "/"


def _opened(question: Mapping[str, Any]) -> Any:
    settings = [("buildout", name, value) for name, value in question["settings"].items()]
    return zc.buildout.buildout.Buildout(question["config"], settings, use_user_defaults=False)


def _pkg_resources() -> Any:
    # zc.buildout 6 brings its own copy and makes it importable by this name
    return sys.modules["pkg_resources"]


def _beside(working_set: Any) -> list[Any]:
    """Develop packages that a working set needs and buildout did not add to it.

    It leaves out those that lie in the same folder as one that it has (PEP 660: all are in ``develop-eggs``).
    """
    folders = (_pkg_resources().find_distributions(entry, True) for entry in working_set.entries)
    there = {canonicalize_name(dist.project_name): dist for dists in folders for dist in dists}
    for dist in working_set:
        there.pop(canonicalize_name(dist.project_name), None)
    found, queue = [], [requirement for dist in working_set for requirement in dist.requires()]
    while queue:
        requirement = queue.pop()
        dist = there.pop(canonicalize_name(requirement.project_name), None)
        if dist is not None:
            found.append(dist)
            queue += dist.requires(extra for extra in requirement.extras if extra in dist.extras)
    return found


def _recipe(options: Any) -> str:
    return str(options["recipe"]).partition(":")[0]


def _things(recipe: Any) -> list[Any]:
    return [recipe, *getattr(recipe, "__dict__", {}).values()]


def _is_eggs(thing: Any) -> bool:
    module = sys.modules.get("zc.recipe.egg.egg")
    return module is not None and isinstance(thing, module.Eggs)


def _is_environment(dist: Any, environment: Iterable[tuple[str, str]]) -> bool:
    """Whether the virtual environment of zc.buildout has this very distribution, so that it is no part's matter."""
    return (canonicalize_name(dist.project_name), dist.version) in {(canonicalize_name(n), v) for n, v in environment}


def _editable(dist: Any) -> str:
    """The project folder of an editable installation (PEP 610), empty for others."""
    if not dist.has_metadata("direct_url.json"):
        return ""
    direct = json.loads(dist.get_metadata("direct_url.json"))
    return unquote(urlsplit(direct["url"]).path) if direct.get("dir_info", {}).get("editable") else ""


def _links(folder: Path) -> dict[str, str]:
    """Location and project folder of every egg link: the folder is written relative to the location."""
    links = {}
    for link in folder.glob("*.egg-link"):
        location, *relative = link.read_text().split("\n")
        links[location] = str((Path(location) / (relative[0] if relative else "")).resolve())
    return links


def _spelt(dist: Any) -> str:
    """The name as METADATA has it: pins are found by exact spelling for some."""
    if dist.has_metadata(dist.PKG_INFO):
        name = HeaderParser().parsestr(dist.get_metadata(dist.PKG_INFO)).get("Name")
        return str(name or dist.project_name)
    return str(dist.project_name)


if __name__ == "__main__":
    sys.exit(main())
