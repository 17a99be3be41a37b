"""The hooks of ``collective.hostout:supervisor`` with a real supervisord that a real buildout made."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from zc.buildout import UserError

from agentclient import until
from buildouts import VERSIONS, BuildoutEnvironment, environment
from hostout.commands.host import HostoutHost
from hostout.plugins import supervisor
from plugged import init_script, perform, plugged
from ports import free_port

PLUGIN = "hostout.plugins.supervisor"
CONFIGURATION = """\
[buildout]
parts = {part}
newest = false
[versions]
supervisor = 4.3.0
collective.recipe.supervisor = 2.0.0
{pins}
[{part}]
recipe = collective.recipe.supervisor
port = 127.0.0.1:{port}
user = admin
password = s3cret
{extra}
programs =
    {programs}
"""
RUNS = "10 web /bin/sleep [{0}] /tmp true"


@dataclass
class Application:
    """``path`` of a host as a deployment leaves it, with releases built by a real buildout."""

    env: BuildoutEnvironment
    path: Path
    port: int
    part: str = "supervisor"
    extra: str = ""
    options: dict[str, str] = field(default_factory=dict)
    releases: int = 0

    @property
    def host(self) -> HostoutHost:
        return plugged(self.path, PLUGIN, options={"supervisor": self.part, "health-timeout": "60", **self.options})

    def build(self, *programs: str) -> Application:
        """A new release; it goes live by the rename of a link."""
        self.releases += 1
        release = self.path / "releases" / f"{self.releases:04d}"
        (self.path / "var").mkdir(exist_ok=True)
        release.mkdir(parents=True)
        (release / "var").symlink_to("../../var")
        pins = "zc.recipe.egg = 3.0.0" if self.env.version < "6" else ""
        (release / "buildout.cfg").write_text(
            CONFIGURATION.format(
                part=self.part, port=self.port, pins=pins, extra=self.extra, programs="\n    ".join(programs)
            )
        )
        self.env.build(release)
        self._switch(release)
        return self

    def _switch(self, release: Path) -> None:
        new = self.path / "current.new"
        new.symlink_to(release.relative_to(self.path))
        new.replace(self.path / "current")
        for name in ("bin", "parts"):
            with contextlib.suppress(FileExistsError):
                (self.path / name).symlink_to(f"current/{name}")

    def do(self, *kinds: str) -> str:
        """The hooks of these kinds, one after the other; what the last one said."""
        return [perform(self.host, kind) for kind in kinds][-1]

    @property
    def pid(self) -> int:
        return int((self.path / "var" / "supervisord.pid").read_text())

    def program(self, name: str = "web") -> int:
        """The process of a program."""
        return int(self.ctl("pid", name))

    def ctl(self, *words: str) -> str:
        """What supervisorctl says."""
        argv = [str(self.path / "bin" / f"{self.part}ctl"), *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60).stdout


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    return False


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()


Make = Callable[[str], Application]


@pytest.fixture
def env(request: pytest.FixtureRequest) -> BuildoutEnvironment:
    """What supervisord does is the same whatever zc.buildout made it: only one test asks for each version."""
    return environment(getattr(request, "param", max(VERSIONS)))


@pytest.fixture
def make(env: BuildoutEnvironment, tmp_path: Path) -> Iterator[Make]:
    """Makes applications; whatever supervisord they left is gone afterwards."""
    made: list[Application] = []

    def new(name: str) -> Application:
        (tmp_path / name).mkdir()
        made.append(Application(env, tmp_path / name, free_port()))
        return made[-1]

    yield new
    for application in made:
        with contextlib.suppress(OSError, ValueError):
            _end(application.pid)


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    for _ in range(150):
        if not alive(pid):
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def application(make: Make) -> Application:
    return make("app")


def test_stopping_on_a_host_where_nothing_was_ever_deployed_is_fine(tmp_path: Path) -> None:
    assert perform(plugged(tmp_path, PLUGIN), "stop") == ""


@pytest.mark.buildout
@pytest.mark.parametrize("env", sorted(VERSIONS), indirect=True)
def test_start_runs_the_programs_and_health_prints_their_status(application: Application) -> None:
    said = application.build(RUNS.format(1001)).do("stop", "start", "health")
    assert said.split()[:2] == ["web", "RUNNING"]
    assert command_line(application.program()) == "/bin/sleep 1001"


@pytest.mark.buildout
def test_after_a_switch_the_old_supervisord_is_gone_and_the_new_release_runs(application: Application) -> None:
    application.build(RUNS.format(1001)).do("start", "health")
    old, old_program = application.pid, application.program()
    application.do("stop")
    assert not alive(old)
    assert not alive(old_program)
    application.build(RUNS.format(1002)).do("start", "health")
    assert command_line(application.program()) == "/bin/sleep 1002"


@pytest.mark.buildout
def test_start_replaces_a_supervisord_that_still_runs_another_release(application: Application) -> None:
    application.build(RUNS.format(1001)).do("start", "health")
    old = application.pid
    application.build(RUNS.format(1002)).do("start", "health")
    assert not alive(old)
    assert command_line(application.program()) == "/bin/sleep 1002"


@pytest.mark.buildout
def test_a_supervisor_part_of_another_name_is_found_and_the_old_one_stopped(application: Application) -> None:
    application.build(RUNS.format(1001)).do("start", "health")
    old = application.pid
    application.part = "web-processes"
    application.build(RUNS.format(1002)).do("stop", "start", "health")
    assert not alive(old)
    assert command_line(application.program()) == "/bin/sleep 1002"


@pytest.mark.buildout
def test_a_program_that_ends_is_a_failure_that_shows_the_status_and_its_last_words(application: Application) -> None:
    script = application.path / "broken"
    script.write_text("#!/bin/sh\necho no such table: pages >&2\nexit 1\n")
    script.chmod(0o755)
    application.build(RUNS.format(1001), f"20 broken (startretries=1) {script}").do("start")
    application.options["health-timeout"] = "300"
    begun = time.monotonic()
    with pytest.raises(subprocess.CalledProcessError) as failed:
        application.do("health")
    said = failed.value.output
    assert "no such table: pages" in said
    assert [line.split()[:2] for line in said.splitlines()[-3:-1]] == [["broken", "FATAL"], ["web", "RUNNING"]]
    assert said.splitlines()[-1] == "not all programs of supervisor are running"
    assert time.monotonic() - begun < 200, "it does not wait for what cannot come"


@pytest.mark.buildout
def test_a_program_that_exits_after_its_start_is_a_failure(application: Application) -> None:
    application.build("10 web (autorestart=false) /bin/sleep [1.5] /tmp true").do("start")
    for _ in until("it has exited"):
        if "EXITED" in application.ctl("status"):
            break
    with pytest.raises(subprocess.CalledProcessError, match="status of supervisor") as failed:
        application.do("health")
    assert "EXITED" in failed.value.output


@pytest.mark.buildout
def test_a_program_that_is_not_meant_to_start_by_itself_is_no_failure(application: Application) -> None:
    said = application.build(RUNS.format(1001), "20 tool (autostart=false) /bin/sleep [5]").do("start", "health")
    assert "RUNNING" in said
    assert "Not started" in said


@pytest.mark.buildout
def test_a_program_that_crashed_once_and_runs_again_is_no_failure(application: Application) -> None:
    application.build(RUNS.format(1001)).do("start", "health")
    crashed = application.program()
    os.kill(crashed, signal.SIGKILL)
    for _ in until("supervisord has noticed"):
        if application.program() not in (0, crashed):
            break
    assert "RUNNING" in application.do("health")


@pytest.mark.buildout
def test_without_supervisord_health_fails_when_its_time_is_over(application: Application) -> None:
    application.options["health-timeout"] = "1"
    with pytest.raises(subprocess.CalledProcessError) as failed:
        application.build(RUNS.format(1001)).do("health")
    assert "not all programs" in failed.value.output


def test_without_supervisorctl_nothing_is_well(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        perform(plugged(tmp_path, PLUGIN, options={"health-timeout": "1"}), "health")
    assert "bin/supervisorctl" in failed.value.output


@pytest.mark.buildout
def test_another_buildout_that_answers_on_the_same_port_is_left_alone(make: Make) -> None:
    other = make("other").build(RUNS.format(1001))
    other.do("start", "health")
    mine = make("mine")
    mine.port = other.port
    mine.build(RUNS.format(1002)).do("stop")
    assert alive(other.pid)
    with pytest.raises(subprocess.CalledProcessError) as failed:
        mine.do("start")
    assert "already listening" in failed.value.output


@pytest.mark.buildout
def test_a_pid_file_left_by_a_power_failure_harms_no_other_process(application: Application) -> None:
    application.build(RUNS.format(1001))
    with subprocess.Popen(["/bin/sleep", "60"]) as bystander:
        (application.path / "var" / "supervisord.pid").write_text(f"{bystander.pid}\n")
        application.do("stop", "start", "health")
        assert bystander.poll() is None
        bystander.terminate()
    assert command_line(application.program()) == "/bin/sleep 1001"


@pytest.mark.buildout
def test_supervisord_holds_nothing_of_the_process_that_started_it(application: Application) -> None:
    # perform() waits for the end of the pipe: a supervisord that kept it would make this time out
    application.build(RUNS.format(1001)).do("start", "health")
    kept = {Path(f"/proc/{application.pid}/fd/{number}").readlink() for number in (0, 1, 2)}
    assert kept == {Path("/dev/null")}


@pytest.mark.buildout
def test_a_supervisord_configured_for_the_foreground_starts_in_the_background(application: Application) -> None:
    application.extra = "nodaemon = true"
    application.build(RUNS.format(1001)).do("start", "health")
    application.do("stop")


@pytest.mark.buildout
def test_a_part_that_makes_no_supervisord_is_named(application: Application) -> None:
    application.build(RUNS.format(1001))
    application.part = "supervise"
    with pytest.raises(subprocess.CalledProcessError) as failed:
        application.do("start")
    assert "there is no bin/supervised: the option supervisor must name the part" in failed.value.output


def test_at_boot_everything_goes_through_a_service_that_names_path_and_its_user(tmp_path: Path) -> None:
    host = plugged(Path("/srv/my site"), PLUGIN, options={"init.d": "True"}, effective_user="zope")
    stop, start = host.steps("stop"), host.steps("start")
    assert [step.args["user"] for step in stop] == ["root", "owner"]
    assert [step.args["user"] for step in start] == ["owner", "root", "root"]
    install = start[1].args["line"]
    assert "name=supervisor-srv-my-site\n" in install
    assert "owner=zope\n" in install
    assert 'ExecStart="/srv/my site/bin/supervisord" -n' in install
    assert "releases" not in install


@pytest.mark.parametrize("kind", ["stop", "start", "health"])
@pytest.mark.parametrize("boot", ["true", "false"])
def test_every_line_is_one_that_a_posix_shell_understands(kind: str, boot: str, tmp_path: Path) -> None:
    for step in plugged(tmp_path, PLUGIN, options={"init.d": boot}).steps(kind):
        subprocess.run(["sh", "-n", "-c", step.args["line"]], check=True)


@pytest.mark.parametrize("file", ["systemd/system/supervisor-srv-my-site.service", "init.d/supervisor-srv-my-site"])
@pytest.mark.parametrize("kind", ["stop", "start"])
def test_the_service_of_another_path_that_makes_the_same_name_is_left_alone(
    kind: str, file: str, tmp_path: Path
) -> None:
    written = tmp_path / "etc" / file
    written.parent.mkdir(parents=True)
    if "systemd" in file:
        (tmp_path / "run" / "systemd" / "system").mkdir(parents=True)
    (tmp_path / "systemctl").write_text("#!/bin/sh\necho systemctl $*\n")
    (tmp_path / "systemctl").chmod(0o755)

    def done(path: str) -> str:
        steps = plugged(Path(path), PLUGIN, options={"init.d": "true"}).steps(kind)
        said = ""
        for step in (step for step in steps if step.args["user"] == "root"):
            line = step.args["line"].replace("/etc/", f"{tmp_path}/etc/").replace("/run/", f"{tmp_path}/run/")
            environ = {"PATH": f"{tmp_path}:/bin:/usr/bin"}
            found = subprocess.run(["sh", "-c", line], env=environ, stdout=-1, stderr=-2, text=True, check=False)
            said += found.stdout
        return said

    written.write_text("WorkingDirectory=/srv/my site%%\ncd '/srv/my site%' || exit 1\n")
    assert "belongs to another buildout" not in done("/srv/my site%")
    before = "WorkingDirectory=/srv/my-site\ncd /srv/my-site || exit 1\n"
    written.write_text(before)
    assert set(done("/srv/my/site").splitlines()) == {
        f"{written} belongs to another buildout, whose path makes the same name: this one needs another path"
    }
    assert written.read_text() == before


def test_without_systemd_the_service_is_an_init_script(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(init_script(plugged(tmp_path, PLUGIN, options={"init.d": "true"})))
    assert script.read_text().startswith("#!/bin/sh\n### BEGIN INIT INFO\n")
    subprocess.run(["sh", "-n", script], check=True)
    usage = subprocess.run(["sh", script, "dance"], capture_output=True, text=True, check=False)
    assert (usage.returncode, usage.stderr) == (2, f"Usage: {script} start|stop|restart|status\n")


def test_the_recipe_gives_defaults_and_leaves_what_the_user_wrote() -> None:
    options = {"supervisor": "web"}
    supervisor.Recipe({}, "host1", options)
    assert options == {"supervisor": "web", "init.d": "false"}


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("init.d", "ture", "init.d: must be true or false, is 'ture'"),
        ("supervisor", "", "supervisor: must be the name of a part, is ''"),
        ("supervisor", "web\nworker", r"supervisor: must be the name of a part, is 'web\nworker'"),
    ],
)
def test_a_wrong_value_is_refused_when_it_is_configured(option: str, value: str, problem: str) -> None:
    with pytest.raises(UserError) as refused:
        supervisor.Recipe({}, "host1", {option: value})
    assert str(refused.value) == problem


def test_an_emptied_option_of_boot_is_its_default() -> None:
    supervisor.Recipe({}, "host1", {"init.d": ""})


def test_starting_at_boot_without_root_is_refused_when_it_is_configured() -> None:
    with pytest.raises(UserError, match=r"^init\.d: only root .* no-sudo is set"):
        supervisor.Recipe({}, "host1", {"init.d": "yes", "no-sudo": "true"})
