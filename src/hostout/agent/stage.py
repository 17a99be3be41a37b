"""Making a release folder: the bundle's files, the links to what lives through releases, the script that builds.

The folder is made beside its name and renamed: what has the name is complete. What does not belong here: building.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from . import durable, environment, handover, layout, manifest, release, syncing, tree
from .failure import Failed, storage
from .people import acting_as
from .protocol import STAGING
from .release import NAME, RECORD, Release
from .session import Session
from .store import Index, incoming

_NOT_FROM_A_BUNDLE = ("var", RECORD, manifest.FILE, "bin/buildout")
# ours, and what every release has of its own
_NOT_SHARED = ("var", "releases", "current", ".hostout", "bin", "parts", "develop-eggs", ".installed.cfg", RECORD)
_CONTENT = (
    *("id", "part", "config", "requirements", "environment", "environment_dists", "files", "dists", "shared", "scm"),
    *("options", "live_parts", "sudo_parts"),
)
_KEY = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")


def stage(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """The action; raises Failed before anything is made where something is missing or would lead outside."""
    name, record = str(args["name"]), _record(session, args)
    existing = release.everything(session.site)
    before = _place(existing, name, record)
    _check_files(record.get("files", ()), record.get("shared", ()))
    _check_store(session, record)
    layout.share(session, record.get("shared", ()))
    record["shared"] = _outermost(record.get("shared", ()))
    work = session.site.releases / f".{name}.{secrets.token_hex(4)}"
    try:
        _make(session, work, record, args.get("written", {}), existing)
        _install(session, work, before, session.site.release(name))
    except OSError as error:
        raise storage(error, session.site.releases) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _forget(session, record)
    return {"name": name, "state": STAGING}


def _record(session: Session, args: Mapping[str, Any]) -> dict[str, Any]:
    """What is recorded of the new release: as sent, or the content of the release ``again`` once more."""
    if "again" not in args:
        return dict(args["record"])
    again = release.find(session.site, str(args["again"]))
    record = again.vouched()
    if record.get("adopted"):
        raise Failed(f"release {again.name} was not made by hostout: it cannot be built again, deploy instead")
    return {name: record[name] for name in _CONTENT if name in record} | {"client": args.get("client")}


def _outermost(names: Iterable[str]) -> list[str]:
    """Without those that lie in another one: that one is the link."""
    every = dict.fromkeys(names)
    return [name for name in every if not _above(name) & set(every)]


def _place(existing: Sequence[Release], name: str, record: Mapping[str, Any]) -> Release | None:
    """The leftover that the new release may replace, if there is one; raises Failed where the name is not free."""
    found = NAME.fullmatch(name)
    if not found or found[2] != record.get("id"):
        raise Failed(f"not the name of a release with id {record.get('id')}: {name!r}")
    same = next((one for one in existing if one.name == name), None)
    if same is not None and (same.state, same.id) != (STAGING, record["id"]):
        raise Failed(f"there is a release {name} already ({same.state})")
    if same is None and int(found[1]) <= max((one.number for one in existing), default=0):
        raise Failed(f"{name}: another deployment came in between, that number is taken; try again")
    return same


def _check_files(files: Iterable[Mapping[str, Any]], shared: Sequence[str]) -> None:
    """Raise Failed where a file or link would lie, or lead, anywhere but in the release."""
    files = list(files)
    for name in shared:
        if durable.outside(name) or name.split("/")[0] in _NOT_SHARED:
            raise Failed(f"cannot be shared by releases: {name}")
    targets = {str(file["name"]): str(file.get("target") or "") for file in files}
    links = {name for name, target in targets.items() if target} | set(_NOT_FROM_A_BUNDLE)
    for name in targets:
        above = _above(name)
        if durable.outside(name) or name in _NOT_FROM_A_BUNDLE or links & above:
            raise Failed(f"cannot be part of a release: {name}")
        if both := {name, *above} & set(shared):
            raise Failed(f"{name} is part of the release, and {min(both)} is shared: it can be only one of them")
    _check_room_for_links(targets, shared)
    for name, target in targets.items():
        if target and (why := _astray(name, targets, {"var", *shared})):
            raise Failed(f"the link {name} {why}: {target}")


def _above(name: str) -> set[str]:
    return {str(parent) for parent in PurePosixPath(name).parents} - {"."}


def _check_room_for_links(targets: Mapping[str, str], shared: Iterable[str]) -> None:
    """Raise Failed where the bundle has a file or a link in the place of a folder that we make something in."""
    for name in (*_NOT_FROM_A_BUNDLE, *shared):
        if taken := _above(name) & set(targets):
            raise Failed(f"cannot be part of a release: {min(taken)}, for {name} has to be in it")


def _astray(name: str, targets: Mapping[str, str], out: Container[str]) -> str:
    """Why a link does not lead to a place in the release, followed as the kernel does, through links of the bundle.

    What is behind a name in ``out`` (data) is the host's own; nothing leads back from there.
    """
    at: list[str] = []
    rest, left = name.split("/"), 40
    while rest:
        part = rest.pop(0)
        if part == ".." and not at:
            return "leads out of the release"
        at = at[:-1] if part == ".." else [*at, part] if part not in ("", ".") else at
        here = "/".join(at)
        if here in out:
            return "leads out of the release" if ".." in rest else ""
        if target := targets.get(here):
            at, rest, left = at[:-1], [*target.split("/"), *rest], left - 1
            if target.startswith("/"):
                return "leads out of the release"
        if not left:
            return "leads in a circle"
    return ""


def _check_store(session: Session, record: Mapping[str, Any]) -> None:
    """Raise Failed where a distribution or the environment of the release is not here."""
    index = Index(session.site)
    missing = [str(dist["filename"]) for dist in record.get("dists", ()) if not _in_store(index, dist)]
    if missing:
        raise Failed(f"not in {session.site.dist}, or with other content: {', '.join(missing)}")
    key = record.get("environment")
    if key and not (_KEY.fullmatch(str(key)) and environment.exists(session.site, str(key))):
        raise Failed(f"there is no environment {key} in {session.site.environments}")


def _in_store(index: Index, dist: Mapping[str, Any]) -> bool:
    """A develop package's version says its content: two builds of it need not be the same bytes."""
    found = index.sha256(str(dist["filename"]))
    return found is not None and (bool(dist.get("develop")) or found == dist["sha256"])


def _make(
    session: Session, work: Path, record: Mapping[str, Any], written: Mapping[str, str], existing: Sequence[Release]
) -> None:
    files = record.get("files", ())
    there = release.with_content(list(existing), {str(file.get("sha256")) for file in files})
    with acting_as(session.buildout):
        work.mkdir(mode=0o755)
    rest = [file for file in files if not handover.hand_over(session, file, work, _mode(file))]
    with acting_as(session.buildout):
        for file in rest:
            _file(session, work, file, written.get(str(file["name"])), there)
        for name in ("var", *record.get("shared", ())):
            _link_out(work, name)
        if record.get("environment"):
            _script(work, session.site.python(str(record["environment"])))
    # the word vouches for the files that came
    syncing.sync(work)
    # written by the agent itself: who wrote it decides what it may run as root
    Release(work, record, 0).changed(format=1, state=STAGING, path=str(session.site.path))


def _file(
    session: Session, work: Path, file: Mapping[str, Any], text: str | None, there: Mapping[str, Sequence[Path]]
) -> None:
    path = work / str(file["name"])
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if file.get("target"):
        path.symlink_to(str(file["target"]))
        return
    digest, mode = str(file["sha256"]), _mode(file)
    if text is not None:
        _write(path, text.encode(), mode, digest)
        return
    sources = [session.site.incoming / digest, *there[digest]]
    if not any(_copied(source, path, mode, digest) for source in sources):
        raise Failed(f"the content of {file['name']} is not here: it has to be received first")


def _mode(file: Mapping[str, Any]) -> int:
    return 0o755 if int(file.get("mode", 0o644)) & 0o100 else 0o644


def _write(path: Path, content: bytes, mode: int, digest: str) -> None:
    if hashlib.sha256(content).hexdigest() != digest:
        raise Failed(f"the content of {path.name} is not what its sha256 says")
    path.write_bytes(content)
    path.chmod(mode)


def _copied(source: Path, path: Path, mode: int, digest: str) -> bool:
    """Whether that source had the content; where it had other content, nothing is left of it."""
    if source.is_symlink() or not source.is_file():
        return False
    if durable.copy(source, path, mode) == digest:
        return True
    path.unlink()
    return False


def _link_out(work: Path, name: str) -> None:
    """A link to what lies in ``path`` itself."""
    path = work / name
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.symlink_to(release.way_out(name))


def _script(work: Path, python: Path) -> None:
    path = work / "bin" / "buildout"
    path.parent.mkdir(mode=0o755, exist_ok=True)
    path.write_bytes(environment.script(python, "zc.buildout.buildout", "main"))
    path.chmod(0o755)


def _install(session: Session, work: Path, before: Release | None, target: Path) -> None:
    """Give the folder its name; the staging leftover of the same content goes."""
    if before is not None:
        old = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        target.rename(old)
        shutil.rmtree(old, ignore_errors=True)
    with acting_as(session.buildout):
        work.rename(target)
        durable.sync_folder(target.parent)


def _forget(session: Session, record: Mapping[str, Any]) -> None:
    """What came for this release is in it now."""
    digests = {str(file["sha256"]) for file in record.get("files", ()) if file.get("sha256")}
    try:
        with suppress(FileNotFoundError), incoming(session.site) as folder:
            for digest in digests & set(tree.names(folder)):
                os.unlink(digest, dir_fd=folder)
    except OSError as error:
        raise storage(error, session.site.incoming) from error
