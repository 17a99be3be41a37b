"""Parts with effects outside of the buildout (a crontab, an init script): built in ``path`` after the switch.

``.hostout/live`` and ``.hostout/sudo`` keep what buildout remembers of them, so that it updates the next time what is
there and uninstalls what is no longer wanted. What does not belong here: the switch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from . import application, durable, manifest, people, syncing, tree
from .failure import Failed, storage
from .people import Person
from .release import Release
from .session import Session
from .sources import hermetic

_CONFIG = "buildout.cfg"
_INSTALLED = "installed.cfg"
_LARGEST = 1 << 24
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_EGG = re.compile(r"([^-\s]+)-([^-\s]+)-py\d\S*\.egg")
# how buildout writes white space that would be lost
_SPACE = re.compile(r"%\(__buildout_space(_[nrfv])?__\)s")

Sections = Mapping[str, Mapping[str, str]]


def build(session: Session, release: Release | None, other: Release | None = None) -> None:
    """Bring ``path`` to the live and sudo parts of ``release``, which may have none (None: nothing is live any more).

    ``other`` was live before; its buildout takes away what is there where ``release`` has none that could. Raises
    Failed.
    """
    for name, person in (("live", session.effective), ("sudo", people.agent())):
        _Place(session, name, person).bring(release, other)


@dataclass(frozen=True)
class _Place:
    """One of the two folders, and as whom what it stands for is built."""

    session: Session
    name: str
    person: Person

    def bring(self, release: Release | None, other: Release | None) -> None:
        """What ``release`` wants is there, and nothing else is."""
        wanted = self._wanted(release)
        if self._somebody_elses():
            self._start_anew(release, other)
        if not wanted and not self._used():
            return
        builder = next((one for one in (release, other) if one is not None and _builds(one)), None)
        if builder is None:
            raise Failed(f"no release can take away what is installed by {self.folder / _INSTALLED}")
        before = _strays(release)
        self._make()
        if release is not None:
            self._spare(release, wanted)
        self._buildout(builder, wanted)
        self._sync()
        if release is not None and (made := _strays(release) - before):
            # scripts in path/bin, which is the release's
            manifest.add(self.session, release, sorted(made))

    @property
    def folder(self) -> Path:
        return self.session.site.own / self.name

    def _sync(self) -> None:
        """What was installed in ``path``, and that it was: without that record it would be installed once more."""
        try:
            syncing.sync(self.session.site.path, self.session.site.own)
        except OSError as error:
            raise storage(error, self.session.site.path) from error

    def _wanted(self, release: Release | None) -> list[str]:
        """Its parts; nobody becomes root by a record that root did not write."""
        if release is None or (self.name == "sudo" and not application.trusted(release)):
            return []
        return _names(release, self.name)

    def _somebody_elses(self) -> bool:
        """Whether the application was run by another user when these parts were built."""
        return people.is_root() and self.folder.is_dir() and self.folder.lstat().st_uid not in (0, self.person.uid)

    def _start_anew(self, release: Release | None, other: Release | None) -> None:
        """What is in the crontab of that other user is taken out of it as that user."""
        before = people.with_id(self.folder.lstat().st_uid)
        replace(self, person=before).bring(None, release or other)
        with durable.own_folder(self.session.site.own) as own:
            tree.remove(self.name, own)

    def _spare(self, release: Release, wanted: Sequence[str]) -> None:
        """What a part that is no longer wanted had put into the old ``bin`` may be the release's own in the new one."""
        inside = f"{os.path.realpath(release.folder)}/"
        try:
            with self._opened() as folder, people.acting_as(self.person):
                text = _content(folder, _INSTALLED)
                spared = _sparing(text, wanted, lambda path: os.path.realpath(path).startswith(inside))
                if spared != text:
                    durable.write_in(folder, _INSTALLED, spared.encode())
        except OSError as error:
            raise storage(error, self.folder) from error

    def _used(self) -> bool:
        with suppress(OSError), self._opened() as folder:
            os.stat(_INSTALLED, dir_fd=folder, follow_symlinks=False)
            return True
        return False

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """A descriptor of the folder, which is the person's, in the agent's own. Raises OSError."""
        with durable.own_folder(self.session.site.own) as own:
            folder = os.open(self.name, _FOLDER, dir_fd=own)
            try:
                if os.fstat(folder).st_uid != self.person.uid:
                    raise PermissionError(0, f"does not belong to {self.person.name}, who would build there")
                yield folder
            finally:
                os.close(folder)

    def _make(self) -> None:
        try:
            with durable.own_folder(self.session.site.own) as own:
                with suppress(FileExistsError):
                    os.mkdir(self.name, 0o755, dir_fd=own)
                folder = os.open(self.name, _FOLDER, dir_fd=own)
                if not tree.names(folder):
                    people.give(folder, self.person)
                os.close(folder)
        except OSError as error:
            raise storage(error, self.folder) from error

    def _buildout(self, builder: Release, wanted: Sequence[str]) -> None:
        site, config = self.session.site, self.folder / _CONFIG
        try:
            text = _text({**self._elsewhere(builder, wanted), **self._here(builder, wanted)})
            with self._opened() as folder, people.acting_as(self.person):
                durable.write_in(folder, _CONFIG, text.encode(), 0o600)
        except OSError as error:
            raise storage(error, self.folder) from error
        # without bytecode: root leaves none in folders of others
        python = [str(site.python(str(builder.record["environment"]))), "-I", "-B"]
        argv = [*python, str(builder.folder / "bin" / "buildout"), "-U", "-N", "-c", str(config)]
        shown = f"bin/buildout -U -N -c {config}"
        application.runner(self.session, builder).program(argv, self.person, hermetic(site), shown)

    def _here(self, builder: Release, wanted: Sequence[str]) -> Sections:
        """What makes the release's configuration one of ``path``, with pins of what may have to be uninstalled."""
        path, config = self.session.site.path, str(builder.record["config"])
        with tree.opened(*builder.below) as folder:
            deployed = _sections(_content(folder, config))
        with self._opened() as folder:
            installed = _sections(_content(folder, _INSTALLED))
        versions = deployed.get("buildout", {}).get("versions", "versions")
        return {
            "buildout": {
                "extends": str(builder.folder / config),
                "directory": str(path),
                "bin-directory": str(path / "bin"),
                "parts-directory": str(self.folder / "parts"),
                "develop-eggs-directory": str(self.folder / "develop-eggs"),
                "installed": str(self.folder / _INSTALLED),
                "parts": "\n".join(wanted),
            },
            versions: dict(_pins(installed, deployed.get(versions, {}))),
        }

    def _elsewhere(self, builder: Release, wanted: Sequence[str]) -> Sections:
        """Parts that are not built here because one of these refers to them.

        Those of the release keep the options that their recipes set, as seen from ``path``. Those of the other folder
        have none: buildout says so to who refers to one.
        """
        with tree.opened(*builder.below) as folder:
            built = _sections(_content(folder, ".installed.cfg"))
        parts = built.get("buildout", {}).get("parts", "").split()
        names = {*parts, *_names(builder, "live"), *_names(builder, "sudo")}
        places = {str(builder.folder), os.path.realpath(builder.folder)}
        return {name: _plain(built.get(name, {}), places, str(self.session.site.path)) for name in names - {*wanted}}


def _builds(release: Release) -> bool:
    """Whether it has a buildout of ours; one that was adopted has its own, of any version."""
    return all(isinstance(release.record.get(name), str) for name in ("config", "environment"))


def _names(release: Release, kind: str) -> list[str]:
    return [str(name) for name in release.listed(f"{kind}_parts")]


def _strays(release: Release | None) -> set[str]:
    return set(manifest.strays(release)) if release is not None else set()


def _plain(options: Mapping[str, str], places: Iterable[str], path: str) -> dict[str, str]:
    """The options of a part that is built, without its recipe, and with ``path`` for the folder of its release."""
    found = {name: value for name, value in options.items() if not name.startswith("__buildout_")}
    for place in places:
        found = {name: value.replace(place, path) for name, value in found.items()}
    return {**{name: value.replace("${", "$${") for name, value in found.items()}, "recipe": ""}


def _pins(installed: Sections, pinned: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The recipes of what is installed, which its uninstallation needs in some version."""
    known = {_normal(name) for name in pinned}
    for options in installed.values():
        for name, version in _EGG.findall(options.get("__buildout_signature__", "")):
            if _normal(name) not in known:
                yield name, version


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _content(folder: int, name: str) -> str:
    """Of a file in an open folder; nothing where there is none."""
    try:
        return tree.content(folder, name, _LARGEST).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def _sections(text: str) -> dict[str, dict[str, str]]:
    """A configuration as buildout or hostout wrote it: no expressions, no ``+=``."""
    sections: dict[str, dict[str, str]] = {}
    options, name = sections.setdefault("", {}), ""
    for line in text.splitlines():
        if line[:1] == "[":
            options, name = sections.setdefault(line.strip().strip("[]"), {}), ""
        elif line[:1].isspace() and name:
            options[name] += "\n" + _SPACE.sub(" ", line).strip()
        elif "=" in line and line[:1] not in "#;":
            name, _, value = (part.strip() for part in line.partition("="))
            options[name] = _SPACE.sub(" ", value).strip()
    return sections


def _sparing(text: str, wanted: Sequence[str], spared: Callable[[str], bool]) -> str:
    """What buildout has installed, without files of parts that are not ``wanted`` which it shall not remove."""
    lines, section, option = [], "", ""
    for line in text.splitlines():
        value = line
        if line[:1] == "[":
            section, option = line.strip().strip("[]"), ""
        elif not line[:1].isspace():
            option, _, value = (part.strip() for part in line.partition("="))
        if section in wanted or option != "__buildout_installed__" or not spared(value.strip()):
            lines.append(line)
        elif value != line:
            lines.append(f"{option} =")
    return "".join(f"{line}\n" for line in lines)


def _text(sections: Sections) -> str:
    return "".join(f"[{name}]\n{''.join(map(_option, options.items()))}\n" for name, options in sections.items())


def _option(option: tuple[str, str]) -> str:
    name, value = option
    return f"{name} = " + "\n    ".join(filter(None, value.split("\n"))) + "\n"
