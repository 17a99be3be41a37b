"""A file for every pinned distribution that fits the host: found there, here, or fetched; real pip, no index."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from hostout.errors import PackagingError
from hostout.model import Distribution, Facts, Json, LocalBuildout, Release
from hostout.packaging import fetching, wheels
from pythonfacts import PYTHON, facts
from samples import Said, host, local_buildout

CP = f"cp{sys.version_info.major}{sys.version_info.minor}"


def wheel(folder: Path, name: str, version: str, tags: str = "py3-none-any", text: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tags}.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", text)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tags}\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def sdist(folder: Path, name: str, version: str) -> Path:
    """A source distribution with a build backend of its own, so that building it needs nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    backend = (
        "import zipfile\n"
        f"def build_wheel(to, config_settings=None, metadata_directory=None):\n"
        f"    name, info = '{name}-{version}-py3-none-any.whl', '{name}-{version}.dist-info'\n"
        "    with zipfile.ZipFile(to + '/' + name, 'w') as a:\n"
        f"        a.writestr(info + '/METADATA', 'Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n')\n"
        "        a.writestr(info + '/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
        "        a.writestr(info + '/RECORD', '')\n"
        "    return name\n"
    )
    files = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": backend,
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
    }
    path = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file, text in files.items():
            info = tarfile.TarInfo(f"{name}-{version}/{file}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


@pytest.fixture(autouse=True)
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """What pip finds; a page of links, for a folder would be looked into without pip."""
    return tmp_path / "index"


@pytest.fixture
def local(tmp_path: Path, index: Path) -> LocalBuildout:
    return local_buildout(tmp_path, download_cache=str(tmp_path / "cache"), find_links=(f"{index.as_uri()}/page.html",))


def page(index: Path) -> None:
    links = "".join(f'<a href="{path.name}">{path.name}</a>\n' for path in sorted(index.glob("*-*")))
    (index / "page.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")


def release(
    *requirements: tuple[str, str],
    environment: tuple[tuple[str, str], ...] = (),
    develop: tuple[Distribution, ...] = (),
) -> Release:
    return Release("0" * 8, host().name, "hostout-host1.cfg", PYTHON, requirements, environment, develop, ())


def chosen(of: Release, local: LocalBuildout, about: Facts | None = None) -> dict[str, Distribution]:
    parts, environment = wheels.choose(of, local, about or facts(), Said())
    return {d.name: d for d in (*parts, *environment)}


def test_the_best_fitting_wheel_of_the_download_cache_is_taken(local: LocalBuildout, tmp_path: Path) -> None:
    folder = tmp_path / "cache/dist"
    wheel(folder, "some", "1.0")
    wheel(folder, "some", "1.0", f"{CP}-{CP}-manylinux_2_99_x86_64")
    best = wheel(folder, "some", "1.0", f"{CP}-{CP}-manylinux_2_28_x86_64")
    found = chosen(release(("Some", "1.0")), local)["Some"]
    assert (found.path, found.filename, found.size) == (str(best), best.name, best.stat().st_size)
    assert found.sha256 == hashlib.sha256(best.read_bytes()).hexdigest()


def test_names_and_versions_are_compared_normalised(local: LocalBuildout, tmp_path: Path) -> None:
    wheel(tmp_path / "cache/dist", "foo_bar", "2024.7.4")
    assert chosen(release(("foo.bar", "2024.07.04")), local)["foo.bar"].filename == "foo_bar-2024.7.4-py3-none-any.whl"


def test_what_the_host_has_is_not_looked_for_here(local: LocalBuildout) -> None:
    have = {"some-1.0-py3-none-any.whl": "a" * 64, "some-1.0-cp27-cp27m-linux_x86_64.whl": "b" * 64}
    found = chosen(release(("some", "1.0")), local, facts(have))["some"]
    assert (found.sha256, found.path) == ("a" * 64, "")
    assert not fetching.log(local).exists()


def test_what_the_host_has_is_not_taken_where_what_is_here_is_another(local: LocalBuildout, tmp_path: Path) -> None:
    here = wheel(tmp_path / "cache/dist", "some", "1.0")
    found = chosen(release(("some", "1.0")), local, facts({here.name: "a" * 64}))["some"]
    assert found.path == str(here)
    again = chosen(release(("some", "1.0")), local, facts({here.name: hashlib.sha256(here.read_bytes()).hexdigest()}))
    assert again["some"].path == ""


def test_missing_wheels_are_fetched_for_the_python_of_the_host(local: LocalBuildout, index: Path) -> None:
    wheel(index, "pure", "1.0")
    wheel(index, "native", "1.0", "cp313-cp313-manylinux_2_17_aarch64")
    wheel(index, "native", "1.0", "cp313-cp313-manylinux_2_17_x86_64")
    page(index)
    arm = facts(version="3.13.1", platform="linux-aarch64", soabi="cpython-313-aarch64-linux-gnu")
    found = chosen(release(("pure", "1.0"), ("native", "1.0")), local, arm)
    assert found["native"].filename == "native-1.0-cp313-cp313-manylinux_2_17_aarch64.whl"
    assert found["pure"].path.startswith(f"{local.parts_directory}/hostout/dist/")


def test_what_the_index_of_the_buildout_has_is_not_taken_from_another(
    local: LocalBuildout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tested = wheel(tmp_path / "ours/private", "private", "1.0", text="ours")
    wheel(tmp_path / "others/private", "private", "1.0", text="not ours, and of the same name")
    wheel(tmp_path / "others/public", "public", "1.0")
    for project in tmp_path.glob("*/*"):
        links = "".join(f'<a href="{path.name}">{path.name}</a>\n' for path in project.glob("*.whl"))
        (project / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "others").as_uri())
    of_its_own = dataclasses.replace(local, index=(tmp_path / "ours").as_uri(), find_links=())
    found = chosen(release(("private", "1.0"), ("public", "1.0")), of_its_own)
    assert found["private"].sha256 == hashlib.sha256(tested.read_bytes()).hexdigest()
    assert found["public"].size


def test_a_source_distribution_becomes_a_wheel(local: LocalBuildout, index: Path) -> None:
    wheel(index, "pure", "1.0")
    sdist(index, "sourced", "2.0")
    page(index)
    found = chosen(release(("pure", "1.0"), ("sourced", "2.0")), local)
    assert re.fullmatch(r"sourced-2\.0-0h[0-9a-f]{16}-py3-none-any\.whl", found["sourced"].filename)
    assert found["pure"].filename == "pure-1.0-py3-none-any.whl"


def test_all_that_is_missing_is_named_at_once(local: LocalBuildout, index: Path) -> None:
    wheel(index, "pure", "1.0")
    wheel(index, "native", "1.0", "cp39-cp39-win_amd64")
    page(index)
    with pytest.raises(PackagingError) as caught:
        chosen(release(("pure", "1.0"), ("native", "1.0"), ("nowhere", "3")), local)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"no wheel for cpython {PYTHON} on linux_x86_64, glibc 2.36 of:"
    assert sorted(lines[1:3]) == ["    native = 1.0", "    nowhere = 3"]
    assert "cache/dist" in lines[3]
    assert str(fetching.log(local)) in lines[3]


def test_two_versions_for_parts_and_environment_are_both_found(local: LocalBuildout, tmp_path: Path) -> None:
    for version in ("79.0", "84.0"):
        wheel(tmp_path / "cache/dist", "setuptools", version)
    of = release(("setuptools", "79.0"), environment=(("setuptools", "84.0"),))
    parts, environment = wheels.choose(of, local, facts(), Said())
    assert [d.version for d in (*parts, *environment)] == ["79.0", "84.0"]


@pytest.mark.parametrize(
    "other", [{"platform": "linux-aarch64"}, {"libc": ["glibc", "2.5"]}, {"libc": ["musl", "1.2"]}], ids=str
)
def test_a_develop_package_compiled_for_another_kind_of_host_is_refused(
    local: LocalBuildout, other: dict[str, Json]
) -> None:
    name = f"mine-1.0+h0123456789-{CP}-{CP}-linux_x86_64.whl"
    mine = Distribution("mine", "1.0+h0123456789", name, "c" * 64, 1, f"/x/{name}", develop=True)
    of = release(("mine", mine.version), develop=(mine,))
    assert chosen(of, local, facts(libc=["glibc", "2.999"]))["mine"] == mine
    with pytest.raises(PackagingError, match=rf"compiled here and so not for the host \(.*\): {re.escape(name)}; "):
        chosen(of, local, facts(**other))


def test_a_pip_that_hangs_is_ended(local: LocalBuildout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hang/pip").mkdir(parents=True)
    (tmp_path / "hang/pip/__init__.py").touch()
    (tmp_path / "hang/pip/__main__.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(fetching, "TIMEOUT", 1.0)
    with pytest.raises(PackagingError, match="pip has not finished after 1 seconds"):
        chosen(release(("some", "1")), local_buildout(tmp_path, environment_path=(str(tmp_path / "hang"),)))
