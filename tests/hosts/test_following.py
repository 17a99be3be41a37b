"""A release that somebody builds, or has built, is not made once more: it is followed, taken up, and goes live."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from applications import SOON, Site

pytestmark = pytest.mark.buildout


@contextmanager
def building(
    site: Site, folder: Path, part: str, status: int = 0, where: str = "build"
) -> Iterator[subprocess.Popen[bytes]]:
    """Somebody deploys, and is at the build; it goes on when this ends, and ends with that status."""
    hold, argv = folder / "hold", [str(site.project.folder / "bin" / "hostout"), part, "deploy"]
    hold.touch()
    reached = f"touch {site.points}/{where}.reached; echo building at last"
    site.fail_at(where, f"{reached}; while test -e {hold}; do sleep 0.1; done; exit {status}")
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            argv, cwd=site.project.folder, env=site.project.variables(), stdin=subprocess.DEVNULL, stdout=said,
            stderr=said, start_new_session=True,
        )  # fmt: skip
    try:
        site.wait(site.reached(where), lambda: (folder / "said").read_text())
        yield process
    finally:
        hold.unlink(missing_ok=True)
        process.wait(SOON * 4)


def deploying(site: Site, part: str, *options: str) -> subprocess.Popen[str]:
    """A second one, in the background."""
    argv = [str(site.project.folder / "bin" / "hostout"), *options, part, "deploy"]
    return subprocess.Popen(
        argv, cwd=site.project.folder, env=site.project.variables(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("part", ["host1", "host2"])
def test_the_next_deployment_follows_the_build_that_goes_on_without_its_client(
    site: Site, tmp_path: Path, part: str
) -> None:
    before = site.current(part)
    site.greet()
    with building(site, tmp_path, part) as first:
        kill(first)
        second = deploying(site, part)
        said = ""
        assert second.stdout is not None
        while "following it" not in said:
            line = second.stdout.readline()
            assert line, said
            said += line
        if part == "host1":
            assert site.page(part), "the application runs while the release is built"
    rest = second.stdout.read()
    second.stdout.close()
    said += rest
    assert second.wait(SOON) == 0, said
    name = site.current(part).rpartition("/")[2]
    following = f"Hostout: release {name} is being built already, since .* UTC by .* on .*: following it"
    assert [line for line in said.splitlines() if re.fullmatch(following, line)]
    assert "out: building at last" in said
    assert "Hostout: upload" not in said
    assert said.endswith("Done.\n")
    assert site.current(part) != before
    assert site.greeting in site.page(part)


def test_a_build_that_fails_is_reported_to_whoever_follows(site: Site, tmp_path: Path) -> None:
    before = site.current("host1")
    site.greet()
    with building(site, tmp_path, "host1", status=7) as first:
        kill(first)
        second = deploying(site, "host1")
        assert second.stdout is not None
        while "following it" not in (line := second.stdout.readline()):
            assert line
    said = second.stdout.read()
    second.stdout.close()
    assert second.wait(SOON) == 1
    assert "Hostout: [host1] " in said and "the whole log on the host" in said
    assert site.current("host1") == before and site.page("host1")
    site.clear()
    site.project.succeed("host1", "deploy")
    assert site.greeting in site.page("host1")


def test_two_who_deploy_the_same_release_both_see_it_live(site: Site, tmp_path: Path) -> None:
    site.greet()
    with building(site, tmp_path, "host1") as first:
        second = deploying(site, "host1")
        assert second.stdout is not None
        while "following it" not in (line := second.stdout.readline()):
            assert line
    said = second.stdout.read()
    second.stdout.close()
    assert second.wait(SOON) == 0, said
    assert first.returncode == 0, (tmp_path / "said").read_text()
    assert site.greeting in site.page("host1")
    assert site.page("host1").count(site.greeting) == 1


@pytest.mark.parametrize("part", ["host1", "host2"])
def test_whoever_waited_while_the_same_release_was_deployed_has_nothing_to_do(
    site: Site, tmp_path: Path, part: str
) -> None:
    site.greet()
    with building(site, tmp_path, part, where="between") as first:
        second = deploying(site, part, "--lock-wait", "60")
        assert second.stdout is not None
        while "Running command 'predeploy'" not in (line := second.stdout.readline()):
            assert line
        time.sleep(1)
    said = second.stdout.read()
    second.stdout.close()
    assert second.wait(SOON) == 0, said
    assert first.returncode == 0, (tmp_path / "said").read_text()
    assert f"Hostout: release {site.current(part).rpartition('/')[2]} is live already" in said
    assert "Hostout: upload" not in said and "is live\n" not in said
    assert site.greeting in site.page(part)


@pytest.mark.parametrize("part", ["host1", "host2"])
def test_a_release_that_was_built_before_only_goes_live(site: Site, part: str) -> None:
    site.greet()
    site.project.succeed(part, "predeploy", "uploadeggs", "uploadbuildout", "buildout")
    built = max(p.name for p in (site.host.home / part / "releases").iterdir() if not p.name.startswith("."))
    received = site.host.received
    said = site.project.succeed(part, "deploy")
    assert f"Hostout: release {built} is built already" in said
    assert site.current(part) == f"releases/{built}"
    assert "Hostout: upload" not in said
    assert site.host.received - received < 300_000
    assert site.greeting in site.page(part)


def test_force_makes_a_release_anew_that_was_built_before(site: Site) -> None:
    site.greet()
    site.project.succeed("host1", "predeploy", "uploadeggs", "uploadbuildout", "buildout")
    built = max(p.name for p in (site.host.home / "host1" / "releases").iterdir() if not p.name.startswith("."))
    said = site.project.succeed("--force", "host1", "deploy")
    assert "is built already" not in said
    assert site.current("host1") > f"releases/{built}"


def test_a_release_that_was_staged_only_keeps_its_name(site: Site) -> None:
    site.greet()
    site.fail_at("build", "true")
    site.project.fail(1, "host1", "deploy")
    staged = max(p.name for p in (site.host.home / "host1" / "releases").iterdir() if not p.name.startswith("."))
    site.clear()
    site.project.succeed("host1", "deploy")
    assert site.current("host1") == f"releases/{staged}"


@pytest.mark.parametrize("part", ["host1", "host2"])
def test_data_in_the_live_release_is_named_before_anything_is_changed(site: Site, part: str) -> None:
    live = site.host.home / part / site.current(part)
    (live / "media").mkdir()
    (live / "media" / "photo").write_text("precious")
    site.greet()
    name, process = live.name, site.host.home / part / "var" / "hello.pid"
    runs = process.read_text()
    said = site.project.fail(1, part, "deploy")
    assert f"Hostout: [{part}] media/ is not in var or shared: it stays in release {name}\n" in said
    assert "--yes" in said and "Running command" not in said
    assert process.read_text() == runs and site.current(part) == f"releases/{name}"
    with site.project.terminal(part, "deploy") as child:
        child.expect_exact(f"media/ is not in var or shared: it stays in release {name}")
        child.expect_exact("[y/N] ")
        child.sendline("n")
        child.expect_exact("Hostout aborted")
        child.wait()
        assert child.exitstatus == 4
    assert process.read_text() == runs and site.page(part)
    site.project.succeed("--yes", part, "deploy")
    assert site.greeting in site.page(part)
    assert (live / "media" / "photo").read_text() == "precious"
    shutil.rmtree(live / "media")


def test_data_may_be_left_behind_by_whoever_says_so_on_a_terminal(site: Site) -> None:
    live = site.host.home / "host1" / site.current("host1")
    (live / "upload.txt").write_text("x")
    site.greet()
    with site.project.terminal("host1", "deploy") as child:
        child.expect_exact("upload.txt is not in var or shared")
        child.expect_exact("[y/N] ")
        child.sendline("y")
        child.expect_exact("Done.")
        child.wait()
        assert child.exitstatus == 0
    assert site.greeting in site.page("host1")
    assert (live / "upload.txt").exists()


@pytest.mark.parametrize("part", ["host1", "host2"])
def test_data_that_appears_while_it_is_built_is_not_left_behind_unasked(site: Site, part: str) -> None:
    live = site.host.home / part / site.current(part)
    site.greet()
    site.fail_at("build", f"mkdir -p {live}/media && touch {live}/media/photo; exit 0")
    said = site.project.fail(1, part, "deploy")
    line = f"media/ is not in var or shared: it stays in release {live.name}"
    assert "Running command 'postdeploy'" in said and line in said.partition("Running command 'postdeploy'")[2]
    assert site.current(part) == f"releases/{live.name}" and site.page(part)
    shutil.rmtree(live / "media")
    said = site.project.succeed("--yes", "--force", part, "deploy")
    assert line in said.partition("Running command 'postdeploy'")[2]
    assert site.greeting in site.page(part)
    assert (live / "media" / "photo").exists()
    shutil.rmtree(live / "media")
