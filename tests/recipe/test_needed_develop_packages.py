"""Develop packages that only other develop packages need, which zc.buildout leaves out of its own working sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildouts import BuildoutEnvironment
from hostout import config
from hostout.packaging import bundle
from hostout.packaging.rehearsal import rehearse
from samples import Said

pytestmark = pytest.mark.buildout

SITE = """\
[buildout]
develop = src/hostouttest.first src/hostouttest.second
parts = host1 site
newest = false

[host1]
recipe = collective.hostout
host = 127.0.0.1

[site]
recipe = zc.recipe.egg
eggs = hostouttest.first

[versions]
{pins}
"""


def package(folder: Path, name: str, *needs: str) -> None:
    project = folder / "src" / name
    (project / "src" / name.replace(".", "_")).mkdir(parents=True)
    (project / "src" / name.replace(".", "_") / "__init__.py").touch()
    setup = f"setup(name='{name}', version='1.0', install_requires={needs!r}, package_dir={{'': 'src'}}, packages="
    (project / "setup.py").write_text(f"from setuptools import setup\n{setup}['{name.replace('.', '_')}'])\n")


def test_a_develop_package_that_only_another_one_needs_is_recorded_and_deployed(
    buildout_env: BuildoutEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")  # means that there is none: quicker
    package(tmp_path, "hostouttest.first", "hostouttest.second")
    package(tmp_path, "hostouttest.second")
    (tmp_path / "buildout.cfg").write_text(SITE.format(pins=buildout_env.pins))
    buildout_env.build(tmp_path)
    loaded = config.load(tmp_path / "parts" / "hostout")
    recorded = [member.name for member in loaded.local.working_set if member.develop]
    assert recorded == ["hostouttest.first", "hostouttest.second"]
    files = bundle.collect(loaded.host("host1"), loaded.local, Said())
    text = "[buildout]\nextends = buildout.cfg\n"
    found = rehearse(loaded.host("host1"), loaded.local, files, "rehearsed.cfg", text)
    assert [member.name for member in found.members if member.develop] == recorded
