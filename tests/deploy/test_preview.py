"""What --dry-run prints of each Step: what the host would do, line by line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hostout.deploy import plan
from hostout.deploy.plan import Hooks
from hostout.deploy.preview import Preview
from hostout.errors import RemoteError
from hostout.model import BundleFile, Host, command_step
from planned import CLIENT, CONTENTS, HOST, LIVE, RELEASE, facts, release_fact

FULL = replace(
    HOST,
    build_commands=("apt-get install -y gcc",),
    pre_commands=("systemctl stop app",),
    migrate_commands=("bin/migrate",),
    post_commands=("systemctl start app",),
    health_check="http://127.0.0.1/",
    live_parts=("cron",),
    sudo_parts=("init",),
)
HOOKS = Hooks(
    stop=(command_step("stop", "bin/stop"),),
    start=(command_step("start", "systemctl start x", user="root"),),
    health=(command_step("ask", "bin/ask"),),
)


def preview(host: Host = FULL, **changes: object) -> Preview:
    return Preview(host, facts(**{**LIVE, **changes}), "app")


def test_every_file_to_upload_is_named_with_its_size() -> None:
    found = facts(partial={"aa": 300})
    step = plan.receive(plan.uploads(CONTENTS, found), found)
    assert preview().lines(step) == [
        "would upload 4 files, 3.5 kB",
        "\tbuildout.cfg (0.0 kB)",
        "\thello-1.0+h1-py3-none-any.whl (0.5 kB)",
        "\twaitress-3.0.2-py3-none-any.whl (1.0 kB, 0.3 kB are there already)",
        "\tzc_buildout-6.0.1-py3-none-any.whl (2.0 kB)",
    ]


def test_what_the_release_folder_would_hold_is_named() -> None:
    linked = replace(CONTENTS, files=(*CONTENTS.files, BundleFile("now", 0o644, "ff", target="etc/now")))
    step = plan.stage("0008-3f9a1c2b", replace(FULL, shared=("media",)), RELEASE, linked, facts(), CLIENT)
    assert preview().lines(step)[1:] == [
        "\tbuildout.cfg",
        "\thostout-host1.cfg",
        "\tnow -> etc/now",
        "\tvar -> /srv/host1/var",
        "\tmedia -> /srv/host1/media",
    ]


def test_a_build_shows_its_command_lines_and_who_runs_them() -> None:
    assert preview().lines(plan.build("0008-3f9a1c2b", FULL, ["-v"])) == [
        "would build release 0008-3f9a1c2b",
        "\tbuild-command as root: apt-get install -y gcc",
        "\tbuildout as app: bin/buildout -v",
    ]


def test_the_switch_shows_all_that_happens_in_its_order() -> None:
    assert preview().lines(plan.golive("0008-3f9a1c2b", FULL, HOOKS, stopped=False)) == [
        "would make release 0008-3f9a1c2b live",
        "\tpre-command as root: systemctl stop app",
        "\tstop hook as app: bin/stop",
        "\t/srv/host1/current -> releases/0008-3f9a1c2b (is 0007-3f9a1c2b now)",
        "\tlive part as app: cron",
        "\tsudo part as root: init",
        "\tmigrate-command as app: bin/migrate",
        "\tstart hook as root: systemctl start x",
        "\tpost-command as root: systemctl start app",
        "\thealth hook as app: bin/ask",
        "\thealth-check: http://127.0.0.1/ (for at most 60 s)",
        "\tkeep the newest 5 good releases, remove those before that nobody uses",
    ]


def test_what_is_stopped_already_is_not_shown_twice() -> None:
    lines = preview().lines(plan.golive("0008-3f9a1c2b", FULL, HOOKS, stopped=True))
    assert lines[1] == "\t/srv/host1/current -> releases/0008-3f9a1c2b (is 0007-3f9a1c2b now)"
    assert preview().lines(plan.stop(FULL, HOOKS))[1:] == [
        "\tpre-command as root: systemctl stop app",
        "\tstop hook as app: bin/stop",
    ]


def test_a_script_of_many_lines_is_shown_by_what_it_is_there_for() -> None:
    hooks = Hooks(start=(command_step("install the service", "cp a b\nsystemctl enable b\n", user="root"),))
    lines = preview().lines(plan.golive("0008-3f9a1c2b", FULL, hooks, stopped=True))
    assert "\tstart hook as root: install the service" in lines
    assert not any("cp a b" in line for line in lines)


def test_the_first_release_has_pre_commands_and_nothing_to_stop() -> None:
    lines = preview(live=None).lines(plan.golive("0001-3f9a1c2b", FULL, HOOKS, stopped=False))
    assert lines[1:3] == [
        "\tpre-command as root: systemctl stop app",
        "\t/srv/host1/current -> releases/0001-3f9a1c2b (is not there now)",
    ]
    assert preview(live=None).lines(plan.stop(FULL, HOOKS))[1:] == ["\tpre-command as root: systemctl stop app"]


def test_an_adoption_shows_what_would_move() -> None:
    assert preview(adopt=["bin", ".installed.cfg"]).lines(plan.layout()) == [
        "would make the folders of the buildout and of the cache",
        "\tthe buildout in /srv/host1 becomes release 0000-adopted:",
        "\tmove /srv/host1/bin to /srv/host1/releases/0000-adopted/bin",
        "\tmove /srv/host1/.installed.cfg to /srv/host1/releases/0000-adopted/.installed.cfg",
    ]


def test_the_release_that_replaces_a_buildout_of_old_stops_that() -> None:
    lines = preview(live=None, adopt=["bin"]).lines(plan.golive("0001-3f9a1c2b", FULL, HOOKS, stopped=False))
    assert lines[1:4] == [
        "\tpre-command as root: systemctl stop app",
        "\tstop hook as app: bin/stop",
        "\t/srv/host1/current -> releases/0001-3f9a1c2b (is 0000-adopted by then)",
    ]


RELEASES = [
    release_fact(4, "good"), release_fact(5, "good", "0000000a"), release_fact(6, "bad", "0000000b"),
    release_fact(7, "good"), release_fact(8, "built", "0000000c"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "force", "found"),
    [
        ("-2", False, "0004-3f9a1c2b"),
        ("5", False, "0005-0000000a"),
        ("0000000a", False, "0005-0000000a"),
        ("3f9a1c2b", False, "0007-3f9a1c2b"),
        ("6", True, "0006-0000000b"),
    ],
)
def test_a_rollback_shows_what_a_word_means(given: str, force: bool, found: str) -> None:
    shown = preview(releases=RELEASES).lines(plan.rollback(given, force, FULL, HOOKS))
    assert f"\t/srv/host1/current -> releases/{found} (is 0007-3f9a1c2b now)" in shown


@pytest.mark.parametrize(
    ("given", "force", "why"),
    [
        ("-3", False, "nothing to go back to: of the releases older than 0007-3f9a1c2b 2 are good"),
        ("6", False, "release 0006-0000000b is bad"),
        ("8", True, "release 0008-0000000c is built"),
        ("99", True, "there is no release 99 on this host"),
    ],
)
def test_a_rollback_that_the_host_would_refuse_is_refused(given: str, force: bool, why: str) -> None:
    with pytest.raises(RemoteError) as raised:
        preview(releases=RELEASES).lines(plan.rollback(given, force, FULL, HOOKS))
    assert raised.value.message == why


def test_a_rollback_shows_which_release_it_would_go_back_to() -> None:
    live = release_fact(7, "good")
    releases = [release_fact(4, "good"), release_fact(5, "good", "0000000a"), release_fact(6, "bad"), live]
    shown = preview(releases=releases).lines(plan.rollback("", False, FULL, HOOKS))
    assert "\t/srv/host1/current -> releases/0005-0000000a (is 0007-3f9a1c2b now)" in shown
    assert "\tpost-command as root: systemctl start app" in shown
    with pytest.raises(RemoteError, match="of the releases older than 0007-3f9a1c2b none are good"):
        preview(releases=[live]).lines(plan.rollback("", False, FULL, HOOKS))
