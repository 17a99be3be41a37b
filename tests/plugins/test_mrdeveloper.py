"""``collective.hostout:mrdeveloper`` with real git repositories and what a real mr.developer says of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from buildouts import BuildoutEnvironment
from hostout.errors import Aborted
from hostout.plugins import mrdeveloper
from hostout.testing import EmbeddedHost
from plugged import plugged

PLUGIN = "hostout.plugins.mrdeveloper"
OPTION = "mr.developer-checkouts"
GIT = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.com",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
}


def git(where: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=where, env={**os.environ, **GIT}, stdout=subprocess.PIPE, text=True, check=True, timeout=60
    )
    return done.stdout


def upstream(folder: Path, name: str) -> Path:
    """A repository with one commit that others clone."""
    work = folder / f"{name}-work"
    work.mkdir(parents=True)
    git(work, "init", "--quiet", "--initial-branch=main")
    (work / "setup.py").write_text(f"from setuptools import setup\nsetup(name='{name}', version='1.0')\n")
    (work / ".gitignore").write_text("*.egg-info\n")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "-m", "first")
    git(work, "tag", "1.0")
    git(folder, "clone", "--quiet", "--bare", str(work), f"{name}.git")
    return folder / f"{name}.git"


@dataclass(frozen=True)
class Developer:
    """A buildout folder; ``checkouts`` are what the plugin's recipe wrote into the host part."""

    folder: Path
    checkouts: str

    def __getitem__(self, name: str) -> Path:
        """Where a package is checked out."""
        return self.folder / "src" / name

    def check(self) -> None:
        """What a deployment does before anything else; raises ``Aborted``."""
        plugged(self.folder, PLUGIN, options={OPTION: self.checkouts}).run_checks()


@pytest.fixture
def developer(tmp_path: Path) -> Developer:
    """Two clones in the places that mr.developer gives them."""
    folder = tmp_path / "buildout"
    (folder / "src").mkdir(parents=True)
    for name in ("example1", "example2"):
        git(folder / "src", "clone", "--quiet", str(upstream(tmp_path, name)), name)
    return Developer(folder, "example1 git src/example1\nexample2 git src/example2")


def refused(developer: Developer) -> str:
    with pytest.raises(Aborted) as aborted:
        developer.check()
    return aborted.value.message


def edit(checkout: Path) -> None:
    (checkout / "setup.py").write_text("raise SystemExit\n")


def commit(checkout: Path) -> None:
    edit(checkout)
    git(checkout, "commit", "--quiet", "--all", "-m", "work")


def test_clean_and_pushed_checkouts_are_deployed(developer: Developer) -> None:
    developer.check()


def test_a_buildout_without_checkouts_is_deployed(tmp_path: Path) -> None:
    Developer(tmp_path, "").check()


def test_uncommitted_work_stops_the_deployment_and_is_named(developer: Developer) -> None:
    edit(developer["example1"])
    assert refused(developer) == "Package 'example1' has been modified."


def test_each_modified_package_is_named(developer: Developer) -> None:
    edit(developer["example1"])
    commit(developer["example2"])
    assert refused(developer).splitlines() == [
        "Package 'example1' has been modified.",
        "Package 'example2' has been modified.",
    ]


def test_a_file_that_git_does_not_know_would_be_deployed_and_stops_it(developer: Developer) -> None:
    (developer["example2"] / "new.py").touch()
    git(developer["example2"], "config", "status.showUntrackedFiles", "no")
    assert refused(developer) == "Package 'example2' has been modified."


def test_a_staged_file_stops_it(developer: Developer) -> None:
    edit(developer["example1"])
    git(developer["example1"], "add", ".")
    assert "'example1'" in refused(developer)


def test_an_ignored_file_does_not(developer: Developer) -> None:
    (developer["example1"] / "example1.egg-info").mkdir()
    developer.check()


def test_a_commit_that_is_not_pushed_stops_it_until_it_is(developer: Developer) -> None:
    commit(developer["example1"])
    assert "'example1'" in refused(developer)
    git(developer["example1"], "push", "--quiet")
    developer.check()


def test_commits_on_a_branch_that_nobody_else_has_stop_it(developer: Developer) -> None:
    git(developer["example1"], "checkout", "--quiet", "-b", "ahead-of-its-time")
    developer.check()
    commit(developer["example1"])
    assert "'example1'" in refused(developer)
    git(developer["example1"], "push", "--quiet", "origin", "HEAD")
    developer.check()


def test_commits_on_no_branch_stop_it(developer: Developer) -> None:
    git(developer["example1"], "checkout", "--quiet", "--detach")
    developer.check()
    commit(developer["example1"])
    assert "'example1'" in refused(developer)


def test_a_tag_that_is_on_no_branch_any_more_is_pushed_work(developer: Developer, tmp_path: Path) -> None:
    work = tmp_path / "example1-work"
    commit(work)
    git(work, "tag", "1.1")
    git(work, "push", "--quiet", str(tmp_path / "example1.git"), "1.1")
    git(developer["example1"], "fetch", "--quiet", "--tags")
    git(developer["example1"], "checkout", "--quiet", "1.1")
    developer.check()


def test_a_tag_does_not_make_a_branch_pushed(developer: Developer) -> None:
    commit(developer["example1"])
    git(developer["example1"], "tag", "1.1")
    assert "'example1'" in refused(developer)


@pytest.fixture
def vendored(developer: Developer, tmp_path: Path) -> Path:
    """A submodule of example1 of which ``git status`` is told to keep quiet; all of it is pushed."""
    outer = developer["example1"]
    source = str(upstream(tmp_path, "vendored"))
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", source, "vendored")
    git(outer, "config", "--file", ".gitmodules", "submodule.vendored.ignore", "all")
    git(outer, "commit", "--quiet", "--all", "-m", "vendored")
    git(outer, "push", "--quiet")
    developer.check()
    return outer / "vendored"


def test_uncommitted_work_in_a_submodule_stops_it(developer: Developer, vendored: Path) -> None:
    edit(vendored)
    assert refused(developer) == "Package 'example1' has been modified."


def test_a_pushed_commit_that_names_one_of_a_submodule_that_is_not_stops_it(
    developer: Developer, vendored: Path
) -> None:
    commit(vendored)
    git(developer["example1"], "add", "--force", "vendored")
    git(developer["example1"], "commit", "--quiet", "-m", "newer")
    git(developer["example1"], "push", "--quiet")
    assert refused(developer) == "Package 'example1' has been modified."
    git(vendored, "push", "--quiet")
    developer.check()


def test_a_checkout_that_git_cannot_look_at_stops_it(developer: Developer) -> None:
    (developer["example1"] / ".git" / "HEAD").unlink()
    assert refused(developer).startswith("Package 'example1': fatal: not a git repository")


def test_the_repository_around_a_checkout_is_not_asked_about_it(developer: Developer) -> None:
    git(developer.folder, "init", "--quiet")
    (developer.folder / ".gitignore").write_text("*\n")
    git(developer.folder, "commit", "--quiet", "--allow-empty", "-m", "first")
    git(developer.folder, "update-ref", "refs/remotes/origin/main", "HEAD")
    (developer["example1"] / ".git" / "HEAD").unlink()
    edit(developer["example1"])
    assert refused(developer).startswith("Package 'example1': fatal: not a git repository")


def test_a_checkout_that_is_gone_stops_it(tmp_path: Path) -> None:
    gone = f"Package 'example1': {tmp_path}/src/example1: No such file or directory"
    assert refused(Developer(tmp_path, "example1 git src/example1")).startswith(gone)


def test_a_checkout_that_takes_too_long_to_look_through_stops_it(
    developer: Developer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mrdeveloper, "SECONDS", 0)
    assert refused(developer).startswith("Package 'example1': git has not looked through ")


HG = """\
#!/bin/sh
# a checkout whose newest changeset is secret, as Mercurial 7 tells of it
case "$*" in
*"not public()"*) echo 'changeset:   1:f62e0a6a3b24' ;;
esac
"""


def stand_in(program: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that answers as one does that is not on every machine."""
    program.parent.mkdir()
    program.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def test_a_changeset_that_mercurial_never_pushes_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path / "bin" / "hg", HG, monkeypatch)
    assert refused(Developer(tmp_path, "example1 hg .")) == "Package 'example1' has been modified."


SVN = """\
#!/bin/sh
if [ "$1" = status ]; then
  echo "svn: E000013: Can't open directory 'secret': Permission denied" >&2
  exit 1
fi
"""


def test_a_checkout_that_svn_cannot_look_through_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path / "bin" / "svn", SVN, monkeypatch)
    assert refused(Developer(tmp_path, "example1 svn .")).startswith("Package 'example1': svn: E000013: Can't open")


@pytest.mark.parametrize(("status", "modified"), [("", False), ("X  external", False), ("X  external\nM  a", True)])
def test_what_svn_says_of_externals_is_no_work(
    status: str, modified: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path / "bin" / "svn", f"#!/bin/sh\n[ $1 = info ] || printf %s '{status}'\n", monkeypatch)
    with pytest.raises(Aborted) if modified else nullcontext():
        Developer(tmp_path, "example1 svn .").check()


def test_a_kind_that_nobody_can_look_at_stops_it(tmp_path: Path) -> None:
    assert "kind 'cvs'" in refused(Developer(tmp_path, "example1 cvs src/example1"))


def test_a_folder_without_version_control_has_nothing_to_push(tmp_path: Path) -> None:
    Developer(tmp_path, "example1 fs src/example1").check()


def test_a_deployment_started_by_a_git_hook_looks_at_the_right_repository(
    developer: Developer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(developer["example2"] / ".git"))
    edit(developer["example1"])
    assert refused(developer) == "Package 'example1' has been modified."


# what mr.developer says

RECIPE = """\
from hostout.plugins.mrdeveloper import Recipe as Plugin

class Recipe:
    def __init__(self, buildout, name, options):
        Plugin(buildout, name, options)
        self.options = options
    def install(self):
        print("CHECKOUTS<" + self.options["mr.developer-checkouts"] + ">")
        return ()
    update = install
"""
SETUP = """\
from setuptools import setup
setup(name="probe", version="1.0", py_modules=["probe"], entry_points={"zc.buildout": ["default = probe:Recipe"]})
"""
BUILDOUT = """\
[buildout]
extensions = mr.developer
develop = probe
parts = host1
auto-checkout =
{checkout}
[sources]
example1 = git {upstream}/example1.git branch=main
example2 = git {upstream}/example2.git branch=main
theme = git {upstream}/theme.git branch=main egg=false path=${{buildout:directory}}/themes
idle = git {upstream}/idle.git branch=main
[host1]
recipe = probe
[versions]
mr.developer = 3.0.0
{pins}
"""


@pytest.fixture
def build(buildout_env: BuildoutEnvironment, tmp_path: Path) -> Callable[..., list[str]]:
    """Builds with these packages as ``auto-checkout``; gives what the plugin's recipe wrote down."""
    for name in ("example1", "example2", "theme", "idle"):
        upstream(tmp_path, name)
    folder = tmp_path / "buildout"
    (folder / "probe").mkdir(parents=True)
    (folder / "probe" / "probe.py").write_text(RECIPE)
    (folder / "probe" / "setup.py").write_text(SETUP)

    def build(*checkout: str) -> list[str]:
        pins = "zc.recipe.egg = 3.0.0" if buildout_env.version < "6" else ""
        lines = "\n".join(f"    {name}" for name in checkout)
        (folder / "buildout.cfg").write_text(BUILDOUT.format(checkout=lines, upstream=tmp_path, pins=pins))
        said: str = buildout_env.build(folder)
        return said.split("CHECKOUTS<")[1].split(">")[0].splitlines()

    return build


@pytest.mark.buildout
def test_the_checkouts_in_use_are_those_that_mr_developer_says(
    build: Callable[..., list[str]], buildout_env: BuildoutEnvironment, tmp_path: Path
) -> None:
    folder = tmp_path / "buildout"
    both = ["example1 git src/example1", "theme git themes/theme"]
    assert build("example1", "theme") == both
    buildout_env.script(folder, folder / "bin" / "develop", "checkout", "example2")
    assert build("example1", "theme") == [both[0], "example2 git src/example2", both[1]]
    buildout_env.script(folder, folder / "bin" / "develop", "deactivate", "example2")
    assert build("example1", "theme") == both
    assert build("theme") == [both[1]], "a checkout that is left over is not in use"
    Developer(folder, "\n".join(both)).check()


@pytest.mark.buildout
def test_a_buildout_that_does_not_use_mr_developer_has_no_checkouts(
    buildout_env: BuildoutEnvironment, build: Callable[..., list[str]], tmp_path: Path
) -> None:
    folder = tmp_path / "buildout"
    (folder / "buildout.cfg").write_text("[buildout]\nparts = host1\ndevelop = probe\n[host1]\nrecipe = probe\n")
    assert "CHECKOUTS<>" in buildout_env.build(folder)


DEPLOYED = """\
[buildout]
extensions = mr.developer
parts = host1
auto-checkout = example1
[sources]
example1 = git {upstream}/example1.git branch=main
[host1]
recipe = collective.hostout
extends =
    collective.hostout:supervisor
    collective.hostout:mrdeveloper
host = {host.address}:{host.port}
path = /srv/app
host-key = {host.fingerprint}
downtime = deploy
[versions]
mr.developer = 3.0.0
{pins}
"""


@pytest.mark.buildout
def test_a_deployment_with_modified_checkouts_does_not_even_log_in(
    buildout_env: BuildoutEnvironment, tmp_path: Path
) -> None:
    upstream(tmp_path, "example1")
    folder = tmp_path / "buildout"
    folder.mkdir()
    pins = "zc.recipe.egg = 3.0.0" if buildout_env.version < "6" else ""
    with EmbeddedHost(tmp_path / "host", password="s3cret") as host:
        (folder / "buildout.cfg").write_text(DEPLOYED.format(upstream=tmp_path, host=host, pins=pins))
        buildout_env.build(folder)
        edit(folder / "src" / "example1")
        done = buildout_env.script(folder, folder / "bin" / "hostout", "host1", "deploy")
        assert done.returncode == 4, done.stdout
        assert "Package 'example1' has been modified." in done.stdout
        assert done.stdout.endswith("Hostout aborted\n")
        assert host.connections == 0
