"""Deployments that cross each other, and commands of a fabfile that begin one before anybody saw it coming.

What does not belong here: what interrupts one (``test_interrupted``).
"""

from __future__ import annotations

import subprocess

import pytest

from applications import WAIT, Site

pytestmark = pytest.mark.buildout

TOGETHER = """
def together():
    hostout = get("hostout")
    hostout.predeploy()
    hostout.deploy()
"""


def test_who_waits_for_another_deployment_deploys_when_that_is_done(site: Site) -> None:
    site.greet()
    site.pause_at("between")
    script = str(site.project.folder / "bin" / "hostout")
    first = subprocess.Popen(
        [script, "host1", "deploy"], cwd=site.project.folder, env=site.project.variables(),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        site.wait(site.reached("between"))
        assert first.poll() is None
        second = subprocess.Popen(
            [script, "--lock-wait", str(WAIT * 2), "host1", "deploy"], cwd=site.project.folder,
            env=site.project.variables(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        said, _ = second.communicate(timeout=WAIT * 3)
        assert first.wait(WAIT) == 0
        assert second.returncode == 0, said
    finally:
        first.kill()
        first.wait()
    assert site.greeting in site.page("host1")


def test_what_was_stopped_before_the_release_was_known_is_stopped_again(site: Site) -> None:
    site.greet()
    fabfile = site.project.folder / "fabfile.py"
    before = fabfile.read_text()
    fabfile.write_text(before + TOGETHER)
    try:
        said = site.project.succeed("host2", "together")
    finally:
        fabfile.write_text(before)
    assert site.greeting in site.page("host2"), said
