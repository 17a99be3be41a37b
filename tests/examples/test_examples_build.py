"""Both examples build with every zc.buildout that we support, and what was built works; so does the demonstration."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from buildouts import PROJECT, BuildoutEnvironment

pytestmark = pytest.mark.buildout

BUILT = shutil.ignore_patterns(".installed.cfg", "bin", "develop-eggs", "eggs", "parts", "var", "*.egg-info")


def copied(example: str, tmp_path: Path) -> Path:
    """A copy of an example: building it must leave nothing in the repository."""
    return Path(shutil.copytree(PROJECT / "examples" / example, tmp_path / example, ignore=BUILT))


def said(project: Path, *argv: str) -> str:
    return subprocess.run(argv, cwd=project, capture_output=True, text=True, timeout=60, check=True).stdout


def test_hello_builds_and_lists_its_host(buildout_env: BuildoutEnvironment, tmp_path: Path) -> None:
    project = copied("hello", tmp_path)
    buildout_env.build(project)
    assert (project / "bin/hello").exists()
    listed = buildout_env.script(project, project / "bin/hostout").stdout
    assert listed.endswith("Valid hosts are: host1\n")


def test_hello_builds_for_production_without_hostout(buildout_env: BuildoutEnvironment, tmp_path: Path) -> None:
    project = copied("hello", tmp_path)
    buildout_env.build(project, "-c", "production.cfg")
    assert (project / "bin/supervisord").exists()
    assert not (project / "bin/hostout").exists()


def test_django_builds_and_its_migrations_are_complete(buildout_env: BuildoutEnvironment, tmp_path: Path) -> None:
    project = copied("django", tmp_path)
    buildout_env.build(project, "-c", "production.cfg")
    assert "mysite.0001_initial... OK" in said(project, "bin/django", "migrate", "--noinput")
    assert said(project, "bin/django", "makemigrations", "--check") == "No changes detected\n"
    assert (project / "var/secret-key").stat().st_mode & 0o777 == 0o600
    assert "gunicorn" in said(project, "bin/gunicorn", "--version")


def test_demonstration_ends_well_and_leaves_nothing_behind(tmp_path: Path) -> None:
    argv = [sys.executable, str(PROJECT / "examples/demo.py")]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    ran = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "This is the second version of the package. Visit 2." in ran.stdout
    assert list(tmp_path.iterdir()) == []
