"""What only the deployed files need is found out and locked when bin/buildout runs, and a deployment knows it."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildouts import BuildoutEnvironment
from hostout import config, lockfile, packaging
from hostout.lockfile import Lock, locked
from hostout.model import Release
from hostout.packaging import wheels
from indexsite import WHEELS, Site
from pythonfacts import facts
from samples import Said
from smallindex import serving
from wheelsamples import Wheel

pytestmark = pytest.mark.buildout

PRODUCTION = """\
[buildout]
extends = buildout.cfg
parts += more

[more]
recipe = hostouttest-recipe
eggs = {eggs}
"""
SECOND = """\
[host2]
<= host1
recipe = collective.hostout
host = other.example.com
"""
MORE = Wheel(
    "hostouttest-production",
    "1.0",
    "hostouttest_production-1.0",
    {"hostouttest_production.py": "", "{info}/top_level.txt": "hostouttest_production\n"},
    ("hostouttest_production.py",),
)


@pytest.fixture
def site(tmp_path: Path, buildout_env: BuildoutEnvironment) -> Iterator[Site]:
    with serving(tmp_path / "index") as index:
        for wheel in (*WHEELS, MORE):
            wheel.make(index.folder)
        found = Site(tmp_path, buildout_env, index)
        production(found, "hostouttest-production")
        found.configure(deployed="production.cfg")
        yield found


def production(site: Site, eggs: str) -> None:
    (site.folder / "production.cfg").write_text(PRODUCTION.format(eggs=eggs))


def file_of(site: Site) -> tuple[str, str]:
    path = site.index.folder / MORE.filename
    return path.name, hashlib.sha256(path.read_bytes()).hexdigest()


def locked_files(site: Site) -> set[tuple[str, str]]:
    return {(one.filename, one.sha256) for one in lockfile.read(site.lock).tested}


def prepared(site: Site) -> Release:
    found = config.load(site.folder / "parts" / "hostout")
    return packaging.prepare(found.host("host1"), found.local, Said())


def wheels_of(site: Site) -> dict[str, int]:
    """When those were made that are kept for deployments."""
    found = (site.folder / "parts" / "hostout" / "dist").glob("*.whl")
    return {path.name: path.stat().st_mtime_ns for path in found if "hostouttest" not in path.name}


def looked(site: Site) -> list[int]:
    """When the deployed files were resolved, by the logs of that."""
    logs = sorted((site.folder / "parts" / "hostout" / "logs").glob("*.rehearsal.log"))
    return [log.stat().st_mtime_ns for log in logs]


def test_it_is_locked_like_everything_else_and_nobody_is_asked_again(site: Site) -> None:
    said = site.build()
    assert said.count("Wrote hostoutversions.cfg: commit it.") == 1
    assert file_of(site) in locked_files(site)
    assert lockfile.read(site.lock).pins.count(("hostouttest-production", "1.0")) == 1
    assert "hostouttest-production" not in site.members()

    before, files, asked = looked(site), site.written(), len(site.index.asked)
    release = prepared(site)
    assert ("hostouttest-production", "1.0") in release.requirements
    assert "Wrote" not in site.build()
    assert {name: site.written()[name] for name in files} == files
    assert looked(site) == before
    assert len(site.index.asked) == asked

    # what nobody deploys any more is nobody's
    production(site, "")
    site.build()
    assert file_of(site) not in locked_files(site)
    assert "hostouttest-production" not in dict(lockfile.read(site.lock).pins)


def test_another_version_of_what_only_production_needs_is_named(site: Site) -> None:
    site.build()
    dataclasses.replace(MORE, version="1.1", base="hostouttest_production-1.1").make(site.index.folder)
    for path in (*site.egg(MORE), site.folder / "parts" / "hostout"):
        shutil.rmtree(path)
    changed = f"{lockfile.NAME} has no say in versions as long as no extends names it: {MORE.name} 1.1 (was 1.0)"
    assert changed in site.build()
    assert "has no say" not in site.build()


def test_the_lock_of_somebody_else_holds_where_nothing_may_be_asked(site: Site) -> None:
    # offline, buildout itself takes no eggs
    config_file = site.folder / "buildout.cfg"
    config_file.write_text(config_file.read_text().replace("late host1", "host1"))
    site.build()
    assert file_of(site) in locked_files(site)
    before = site.lock.read_bytes()
    (site.folder / "parts" / "hostout" / ".resolved.json").unlink()
    (site.folder / "parts" / "hostout" / "host1.rehearsal.json").unlink()
    asked = len(site.index.asked)
    assert "Resolving" not in site.build("-o")
    assert site.lock.read_bytes() == before
    assert len(site.index.asked) == asked


def test_a_file_that_changed_is_refused_before_it_is_unpacked_and_the_rest_of_the_run_counts(site: Site) -> None:
    name, right = file_of(site)
    lockfile.write(site.lock, Lock((locked(name, "a" * 64),)))
    (site.folder / "downloads").mkdir()
    site.configure("download-cache = downloads", deployed="production.cfg")
    said = site.build()
    assert "[host1] buildout: production.cfg cannot be resolved here" in said
    assert f"{name} is not the file that was tested: its sha256 is {right}" in said
    assert "Traceback" not in said
    assert not site.egg(MORE)
    assert not (site.folder / "downloads" / "dist" / name).exists()
    assert (name, "a" * 64) in locked_files(site)
    assert config.load(site.folder / "parts" / "hostout").local.working_set


def test_what_buildout_itself_consists_of_is_packed_for_the_first_deployment(site: Site) -> None:
    site.build()
    packed = wheels_of(site)
    release, local = prepared(site), config.load(site.folder / "parts" / "hostout").local
    _, environment = wheels.choose(release, local, facts(), Said())
    assert {Path(one.path).name for one in environment} == packed.keys() != set()
    assert wheels_of(site) == packed


def test_no_room_for_what_is_packed_ahead_is_no_matter_of_the_run(site: Site) -> None:
    site.build()
    folder = site.folder / "parts" / "hostout" / "dist"
    shutil.rmtree(folder)
    folder.write_text("in the way")
    before = site.written()
    site.build()
    assert folder.read_text() == "in the way"
    assert site.written() == before


def test_what_cannot_be_had_is_said_and_left_to_the_deployment(site: Site) -> None:
    production(site, "hostouttest-nowhere")
    assert "Couldn't find a distribution for 'hostouttest-nowhere'" in site.build()

    # an index that buildout itself may not ask is not asked for this either
    production(site, "hostouttest-production")
    (site.folder / "downloads" / "dist").mkdir(parents=True)
    site.configure("download-cache = downloads\ninstall-from-cache = true", deployed="production.cfg")
    asked = len(site.index.asked)
    assert "[host1] buildout: production.cfg cannot be resolved here" in site.build()
    assert len(site.index.asked) == asked
    MORE.make(site.folder / "downloads" / "dist")
    assert "cannot be resolved" not in site.build()
    assert file_of(site) in locked_files(site)
    assert len(site.index.asked) == asked


def test_hosts_that_need_the_same_are_resolved_once(site: Site) -> None:
    with (site.folder / "buildout.cfg").open("a") as file:
        file.write("\n" + SECOND)
    text = (site.folder / "buildout.cfg").read_text()
    (site.folder / "buildout.cfg").write_text(text.replace("late host1", "late host1 host2"))
    site.build()
    assert len(looked(site)) == 1
    assert (site.folder / "parts" / "hostout" / "host2.rehearsal.json").exists()
