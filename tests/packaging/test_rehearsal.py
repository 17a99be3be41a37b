"""What the deployed configuration needs, asked of real zc.buildouts; and that a build with it fetches nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import samples
from buildouts import BuildoutEnvironment
from hostout import packaging
from hostout.errors import PackagingError
from hostout.model import Facts, Host, Json, LocalBuildout, Member, Release
from hostout.packaging import rehearsal, wheels
from hostout.packaging.rehearsal import unpack
from samples import Said, host, local_buildout, write
from smalldisk import mounted

pytestmark = pytest.mark.buildout

BUILDOUT = """\
[buildout]
parts = app host1
develop = src/example
versions = pins

[app]
recipe = zc.recipe.egg
eggs = my.example
user = ${host1:effective-user}

[host1]
recipe = collective.hostout
effective-user = app
password = secret

[pins]
waitress = 3.0.1
zc-recipe-egg = 4.0.0
"""

PROD = """\
[buildout]
extends = buildout.cfg
extensions = mr.developer my.example
auto-checkout = *
sources = sources
parts += supervisor conf

[sources]
my.example = git nowhere

[supervisor]
recipe = collective.recipe.supervisor
programs = 10 app ${buildout:bin-directory}/hello

[conf]
recipe = collective.recipe.template
inline = user ${app:user}
output = ${buildout:parts-directory}/app.conf
"""


@pytest.fixture
def buildout(tmp_path: Path, buildout_env: BuildoutEnvironment) -> Path:
    """A working buildout in which a develop package is used."""
    folder = write(tmp_path / "buildout", {"buildout.cfg": BUILDOUT, "prod.cfg": PROD})
    write(folder / "src/example", samples.RECIPE_IN_SRC)
    # zc.buildout does not see the pin as it is spelt here
    buildout_env.build(folder, "buildout:parts=app", "pins:zc.recipe.egg=4.0.0")
    return folder


@pytest.fixture
def local(buildout: Path, buildout_env: BuildoutEnvironment) -> LocalBuildout:
    """Its record, as the recipe would write it."""
    environment = samples.environment(buildout_env.python)
    source = str(buildout / "src/example")
    return local_buildout(
        buildout,
        eggs_directory=str(buildout_env.caches / "eggs/v5"),
        download_cache=str(buildout_env.caches / "downloads"),
        executable=str(buildout_env.python),
        develop=(source,),
        pins={"waitress": "3.0.1", "zc-recipe-egg": "4.0.0"},
        versions_section="pins",
        working_set=(
            Member("my.example", "1.2.dev0", f"{source}/src", develop=True, source=source),
            Member("waitress", "3.0.1", ""),
            Member("zc.recipe.egg", "4.0.0", ""),
        ),
        environment=environment,
        environment_path=tuple(sorted({member.location for member in environment})),
    )


def moved_to(folder: Path, local: LocalBuildout) -> LocalBuildout:
    """The same buildout in another folder."""
    text = json.dumps(dataclasses.asdict(local)).replace(local.directory, str(folder))
    found = json.loads(text)
    members = {name: tuple(Member(**m) for m in found[name]) for name in ("working_set", "environment")}
    lists = {name: tuple(value) for name, value in found.items() if isinstance(value, list)}
    return LocalBuildout(**{**found, **lists, **members})


def test_what_is_in_the_way_of_what_is_made_here_is_one_line(local: LocalBuildout) -> None:
    root = Path(local.parts_directory, "hostout")
    shutil.rmtree(root, ignore_errors=True)
    for name in ("host1.rehearsal.json", "dist", "host1.cfg"):
        (root / name).mkdir(parents=True) if name != "dist" else (root / name).write_text("no folder")
        with pytest.raises(PackagingError) as refused:
            prepared(host(), local)
        problem = re.escape(str(root / name))
        assert re.fullmatch(f"{problem}: (File exists|Is a directory|Not a directory)", str(refused.value))
        (root / name).rmdir() if name != "dist" else (root / name).unlink()
    assert prepared(host(), local)[0].develop


def test_a_full_disk_here_is_one_line_and_there_is_a_release_when_it_has_room(local: LocalBuildout) -> None:
    root = Path(local.parts_directory, "hostout")
    with mounted(root, 64):
        filler = root / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(bytes(4096))
        with pytest.raises(PackagingError, match=r"^/\S+( or /\S+)?: No space left on device$"):
            prepared(host(), local)
        filler.unlink()
        assert prepared(host(), local)[0].develop


def prepared(of: Host, local: LocalBuildout) -> tuple[Release, Said]:
    said = Said()
    return packaging.prepare(of, local, said), said


def test_a_release_pins_everything_that_the_local_buildout_uses(local: LocalBuildout) -> None:
    release, said = prepared(host(), local)
    assert release.requirements == (
        ("my.example", release.develop[0].version),
        ("waitress", "3.0.1"),
        ("zc.recipe.egg", "4.0.0"),
    )
    pins = dict(release.settings.pins)
    assert {pins["zc.recipe.egg"], pins["zc-recipe-egg"]} == {"4.0.0"}
    assert pins["zc.buildout"] == dict(release.environment)["zc.buildout"]
    assert release.settings.parts == ("app",)
    assert said.texts == []


def test_the_messages_are_what_uploadeggs_prints(local: LocalBuildout) -> None:
    first, _ = prepared(host(), local)
    again, _ = prepared(host(), local)
    digest = first.develop[0].version.partition("+h")[2]
    assert first.messages == (
        "Preparing eggs for transport",
        f"Develop egg {local.directory}/src/example changed. Releasing with hash {digest}",
        "Eggs to transport:",
        f"\tmy.example = 1.2.dev0+h{digest}",
        f"Wrote versions to {local.parts_directory}/hostout/host1.cfg",
    )
    assert again.messages == (*first.messages[:1], *first.messages[2:])
    assert again.id == first.id


def test_what_only_the_deployed_files_need_is_found_named_and_not_installed(local: LocalBuildout) -> None:
    release, said = prepared(host(buildout=("prod.cfg",)), local)
    names = [name for name, _ in release.requirements]
    assert {"supervisor", "collective.recipe.supervisor", "collective.recipe.template", "my.example"} <= {*names}
    assert "mr.developer" not in names
    supervisor = dict(release.requirements)["supervisor"]
    assert f"not in this buildout: supervisor = {supervisor}" in said.texts
    assert release.settings.parts == ("app", "supervisor", "conf")
    assert release.settings.extensions == ("my.example",)
    assert not (Path(local.bin_directory) / "supervisord").exists()
    assert not (Path(local.directory) / "var").exists()


def test_only_the_parts_that_are_asked_for_are_resolved(local: LocalBuildout) -> None:
    release, _ = prepared(host(buildout=("prod.cfg",), parts=("conf",)), local)
    assert release.settings.parts == ("conf",)
    assert "supervisor" not in dict(release.requirements)


def test_parts_that_are_built_after_the_switch_are_resolved_wherever_they_are_listed(local: LocalBuildout) -> None:
    later = host(buildout=("prod.cfg",), parts=("app",), live_parts=("conf",), sudo_parts=("supervisor",))
    release, _ = prepared(later, local)
    assert (release.settings.parts, release.settings.later_parts) == (("app",), ("conf", "supervisor"))
    assert {"supervisor", "collective.recipe.template"} <= {name for name, _ in release.requirements}


def test_what_was_found_is_kept_until_a_file_changes(local: LocalBuildout) -> None:
    first, _ = prepared(host(), local)
    (Path(local.parts_directory) / "hostout/logs/host1.rehearsal.log").unlink()
    assert prepared(host(), local)[0].requirements == first.requirements
    assert not (Path(local.parts_directory) / "hostout/logs/host1.rehearsal.log").exists()
    config = Path(local.directory, "buildout.cfg")
    config.write_text(config.read_text().replace("waitress = 3.0.1", "waitress = 3.0.2"))
    assert dict(prepared(host(), local)[0].requirements)["waitress"] == "3.0.2"


def test_the_password_of_an_index_is_neither_shown_nor_in_the_log(local: LocalBuildout) -> None:
    config = Path(local.directory, "buildout.cfg")
    config.write_text(config.read_text().replace("waitress = 3.0.1", "waitress = 0.0.1"))
    log = Path(local.parts_directory) / "hostout/logs/host1.rehearsal.log"
    with pytest.raises(PackagingError) as caught:
        prepared(host(), dataclasses.replace(local, index="http://bob:SECRET@127.0.0.1:9/simple"))
    assert "http://127.0.0.1:9/simple" in log.read_text(), "buildout speaks of it"
    assert "SECRET" not in f"{caught.value} {log.read_text()}"


def test_a_configuration_that_cannot_be_resolved_shows_what_buildout_said(local: LocalBuildout) -> None:
    write(Path(local.directory), {"bad.cfg": "[buildout]\nextends = buildout.cfg\nparts = missing\n"})
    with pytest.raises(PackagingError) as caught:
        prepared(host(buildout=("bad.cfg",)), local)
    assert str(caught.value).startswith("[host1] buildout: bad.cfg cannot be resolved here:\n")
    assert "missing" in str(caught.value)
    assert f"{local.parts_directory}/hostout/logs/host1.rehearsal.log" in str(caught.value)


def test_a_file_named_like_the_generated_one_is_refused(local: LocalBuildout) -> None:
    write(Path(local.directory), {"hostout-host1.cfg": "[buildout]\nparts =\n"})
    with pytest.raises(Exception, match=r"hostout-host1\.cfg is what the generated configuration is called"):
        prepared(host(buildout=("hostout-host1.cfg",)), local)


def test_a_dependency_added_after_bin_buildout_ran_is_named(local: LocalBuildout) -> None:
    project = Path(local.directory, "src/example/pyproject.toml")
    project.write_text(project.read_text().replace('["waitress"]', '["waitress", "webob; python_version > \'3\'"]'))
    with pytest.raises(
        PackagingError, match=r"my\.example needs webob, which this buildout has not got\nrun bin/buildout"
    ):
        prepared(host(), local)


def test_the_id_is_the_same_on_another_machine_and_another_for_other_options(
    local: LocalBuildout, buildout: Path, tmp_path: Path
) -> None:
    first, _ = prepared(host(options={"pre-commands": f"{buildout}/bin/x", "host": "one"}), local)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(buildout, elsewhere, symlinks=True)
    moved = moved_to(elsewhere, local)
    for link in (elsewhere / "develop-eggs").glob("*"):
        if link.is_file():
            link.write_text(link.read_text().replace(str(buildout), str(elsewhere)))
    second, _ = prepared(host(options={"pre-commands": f"{elsewhere}/bin/x", "host": "two"}), moved)
    assert second.id == first.id
    assert prepared(host(path="/srv/other"), local)[0].id != first.id
    assert prepared(host(post_commands=("true",)), local)[0].id != first.id


# recipes that install in the scratch folder

INSTALLING = """\
import os, time
import zc.buildout, zc.buildout.easy_install

class Recipe:
    def __init__(self, buildout, name, options):
        self.options = buildout["buildout"]

    def install(self):
        def fetch():
            zc.buildout.easy_install.install(["no-such-egg"], None, index=os.getcwd(), path=[])
        {body}
        return ()
"""

AWKWARD = {
    "waits for what never comes": """
        while True:
            try:
                open("/etc/hostout-test", "w")
            except Exception:
                time.sleep(0.05)""",
    "can do without an egg": """
        try:
            fetch()
        except zc.buildout.UserError:
            pass""",
    "adds to a crontab": "os.system('crontab -r')",
    "gives up": "raise SystemExit(1)",
}


def with_recipe(local: LocalBuildout, body: str) -> Release:
    """A release of a configuration with a part whose recipe, a develop package, does ``body`` when it installs."""
    recipe = Path(local.directory, "src/example/src/my/example/__init__.py")
    recipe.write_text(INSTALLING.format(body=body) + "\ndef hello(): ...\n")
    files = {"more.cfg": "[buildout]\nextends = buildout.cfg\nparts += own\n[own]\nrecipe = my.example\n"}
    write(Path(local.directory), files)
    return prepared(host(buildout=("more.cfg",)), local)[0]


@pytest.mark.parametrize("body", AWKWARD.values(), ids=AWKWARD.keys())
def test_a_recipe_that_cannot_install_here_does_not_stand_in_the_way(
    local: LocalBuildout, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "PART_TIMEOUT", 1.0)
    monkeypatch.setattr(rehearsal, "TIMEOUT", 300.0)
    assert with_recipe(local, body).settings.parts == ("app", "own")


def test_an_egg_that_a_recipe_cannot_do_without_is_named(local: LocalBuildout) -> None:
    with pytest.raises(PackagingError, match="no-such-egg"):
        with_recipe(local, "fetch()")


# the build on a host


@pytest.fixture
def release_folder(local: LocalBuildout, tmp_path: Path) -> Iterator[Path]:
    """What a host gets: the files of the release, the chosen distributions in an empty cache."""
    release, _ = prepared(host(buildout=("prod.cfg",)), local)
    parts, _ = wheels.choose(release, local, Facts({"python": this_python(), "have": {}}), Said())
    cache, folder = tmp_path / "cache", tmp_path / "releases/0001"
    (cache / "downloads/dist").mkdir(parents=True)
    for dist in parts:
        shutil.copy(dist.path, cache / "downloads/dist" / dist.filename)
    unpack([*release.files, packaging.configuration_file(release, str(cache))], folder)
    (folder / "var").mkdir()
    yield folder


def this_python() -> Json:
    asked = (
        "import json, platform, sys, sysconfig; print(json.dumps({'version': platform.python_version(),"
        "'implementation': sys.implementation.name, 'platform': sysconfig.get_platform(),"
        "'libc': platform.libc_ver(), 'soabi': sysconfig.get_config_var('SOABI')}))"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True, timeout=60)
    found: Json = json.loads(done.stdout)
    return found


def test_a_release_is_built_from_its_files_alone(
    release_folder: Path, buildout_env: BuildoutEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in [n for n in os.environ if n.startswith("PIP_")]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    output = buildout_env.build(release_folder, "-U", "-c", "hostout-host1.cfg", home=tmp_path / "home")
    assert "Download" not in output
    assert "secret" not in "".join(p.read_text() for p in release_folder.glob("*.cfg"))
    assert (release_folder / "parts/app.conf").read_text().strip() == "user app"
    said = buildout_env.script(release_folder, release_folder / "bin/hello")
    assert said.stdout.strip() == "hello"
    assert "+h" in (release_folder / "bin/hello").read_text()
    assert (release_folder / "bin/supervisord").exists()
