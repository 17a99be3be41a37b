"""Only the files that were tested go to a host: a real pip, a small index that does what indexes do, a lock."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import pythonfacts
from hostout import lockfile
from hostout.errors import PackagingError
from hostout.lockfile import Lock
from hostout.model import Distribution, Facts, Json, LocalBuildout, Member, Release
from hostout.packaging import repack, wheels
from hostout.packaging.tags import Target
from pythonfacts import PYTHON
from samples import Said, host, local_buildout
from smallindex import SmallIndex, serving
from wheelsamples import Wheel

CP = f"cp{sys.version_info.major}{sys.version_info.minor}"

BACKEND = """\
import zipfile
def build_wheel(to, config_settings=None, metadata_directory=None):
    name, info = "{name}-{version}-{tags}.whl", "{name}-{version}.dist-info"
    with zipfile.ZipFile(to + "/" + name, "w") as archive:
        archive.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
        archive.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: {tags}\\n")
        archive.writestr(info + "/RECORD", "")
    return name
"""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[SmallIndex]:
    with serving(tmp_path / "index") as found:
        yield found


@pytest.fixture(autouse=True)
def only_that_index(index: SmallIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"INDEX_URL": index.url, "CONFIG_FILE": "/dev/null", "CACHE_DIR": str(tmp_path / "pip")}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    for name in ("NO_INDEX", "FIND_LINKS", "EXTRA_INDEX_URL", "RETRIES", "DEFAULT_TIMEOUT"):
        monkeypatch.delenv(f"PIP_{name}", raising=False)


@pytest.fixture
def local(tmp_path: Path) -> LocalBuildout:
    lock = str(tmp_path / lockfile.NAME)
    return local_buildout(tmp_path / "buildout", lock=lock, download_cache=str(tmp_path / "cache"))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wheel(folder: Path, name: str, tags: str = "py3-none-any", text: str = "x = 1\n") -> Path:
    return Wheel(name, "1.0", f"{name}-1.0", {f"{name}.py": text}, (), tags=tags).make(folder)


def sdist(folder: Path, name: str, tags: str, requires: str = "") -> Path:
    """A source distribution that builds itself into a wheel with these tags, without a library."""
    needed = json.dumps(requires.split())
    backend = BACKEND.format(name=name, version="1.0", tags=tags)
    files = {
        "pyproject.toml": f'[build-system]\nrequires = {needed}\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": backend,
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file, content in files.items():
            about = tarfile.TarInfo(f"{name}-1.0/{file}")
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content.encode()))
    return path


def locked(local: LocalBuildout, *files: Path, others: tuple[Path, ...] = ()) -> None:
    tested, more = [tuple(lockfile.locked(path.name, sha256(path)) for path in some) for some in (files, others)]
    lockfile.write(local.lock, Lock(tested=tested, others=more))


def facts(have: dict[str, str] | None = None, **more: Json) -> Facts:
    """A host whose C library is newer than that of any wheel."""
    return pythonfacts.facts(have, **{"libc": ["glibc", "2.999"], **more})


ARM: dict[str, Json] = {"platform": "linux-aarch64", "soabi": f"cpython-{PYTHON.replace('.', '')}-aarch64-linux-gnu"}


def release(*names: str) -> Release:
    pins = tuple((name, "1.0") for name in names)
    return Release("0" * 8, host().name, "hostout-host1.cfg", PYTHON, pins, (), (), ())


def chosen(local: LocalBuildout, about: Facts, *names: str, said: Said | None = None) -> dict[str, Distribution]:
    parts, _ = wheels.choose(release(*names), local, about, said or Said())
    return {d.name: d for d in parts}


def egg_of(wheel: Path, local: LocalBuildout, origin: str = "") -> LocalBuildout:
    """The buildout with the egg that pip and zc.buildout make of a wheel in its cache of eggs."""
    name = wheel.name.split("-")[0]
    place = Path(local.eggs_directory) / f"{name}-1.0-py{PYTHON}-linux-x86_64.egg"
    argv = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(place), str(wheel)]
    subprocess.run(argv, check=True, timeout=60)
    (info,) = place.glob("*.dist-info")
    info.rename(info.with_name(f"{place.stem}.dist-info"))
    member = Member(name, "1.0", str(place), sha256=origin)
    return dataclasses.replace(local, working_set=(*local.working_set, member))


def test_each_host_gets_its_wheels_and_the_lock_remembers_them(local: LocalBuildout, index: SmallIndex) -> None:
    tags = {
        "here": f"{CP}-{CP}-manylinux_2_17_x86_64.manylinux2014_x86_64",
        "arm": f"{CP}-{CP}-manylinux_2_17_aarch64",
        "alpine": f"{CP}-{CP}-musllinux_1_2_x86_64",
        "free": "cp313-cp313t-manylinux_2_28_x86_64",
        "newer": "cp313-cp313-manylinux_2_28_x86_64",
    }
    made = {name: wheel(index.folder, "hostouttest_native", some) for name, some in tags.items()}
    locked(local, made["here"])
    hosts = {
        "here": facts(),
        "arm": facts(**ARM),
        "alpine": facts(libc=["musl", "1.2"]),
        "free": facts(version="3.13.1", soabi="cpython-313t-x86_64-linux-gnu"),
        "newer": facts(version="3.13.1", soabi="cpython-313-x86_64-linux-gnu"),
    }
    found = {name: chosen(local, about, "hostouttest_native") for name, about in hosts.items()}
    names = {name: one["hostouttest_native"].filename for name, one in found.items()}
    assert names == {name: path.name for name, path in made.items()}
    lock = lockfile.read(local.lock)
    assert {one.filename for one in lock.tested} == {made["here"].name}
    assert {one.filename for one in lock.others} == {path.name for name, path in made.items() if name != "here"}


@pytest.mark.parametrize(("wanted", "version"), [(">=3.9.2", "3.9.2"), ("!=3.9.0,!=3.9.1,>=3.8", "3.9.4+")])
def test_a_wheel_for_the_very_python_of_the_host_is_found(
    local: LocalBuildout, index: SmallIndex, wanted: str, version: str
) -> None:
    sample = Wheel("hostouttest_native", "1.0", "hostouttest_native-1.0", {}, (), "", {}, "cp39-cp39-linux_aarch64")
    dataclasses.replace(sample, python=wanted).make(index.folder)
    about = facts(version=version, platform="linux-aarch64", soabi="cpython-39-aarch64-linux-gnu")
    assert chosen(local, about, "hostouttest_native")["hostouttest_native"].filename == sample.filename


def test_all_that_the_index_has_changed_or_lost_is_named_at_once(local: LocalBuildout, index: SmallIndex) -> None:
    names = [f"hostouttest_{word}" for word in ("changed", "damaged", "lost", "good", "swapped")]
    tested = {name: wheel(index.folder, name) for name in names}
    locked(local, *(path for name, path in tested.items() if name != "hostouttest_damaged"))
    before = Path(local.lock).read_bytes()
    digest = sha256(tested["hostouttest_changed"])
    wheel(index.folder, "hostouttest_changed", text="evil = True\n")
    index.served["hostouttest_swapped-1.0-py3-none-any.whl"] = tested["hostouttest_good"].read_bytes()
    index.served["hostouttest_damaged-1.0-py3-none-any.whl"] = tested["hostouttest_damaged"].read_bytes()[:300]
    index.said["hostouttest_damaged-1.0-py3-none-any.whl"] = ""
    tested["hostouttest_lost"].unlink()
    with pytest.raises(PackagingError) as caught:
        chosen(local, facts(), *names)
    first, *lines = str(caught.value).splitlines()
    assert first == "not what was tested, and so not used:"
    assert [line.split(" = ")[0].strip() for line in lines[:3]] == [
        "hostouttest_changed",
        "hostouttest_damaged",
        "hostouttest_swapped",
    ]
    changed = sha256(index.folder / "hostouttest_changed-1.0-py3-none-any.whl")
    assert f"hostouttest_changed-1.0-py3-none-any.whl came with the sha256 {changed}" in lines[0]
    assert f"hostoutversions.cfg has hostouttest_changed-1.0-py3-none-any.whl = {digest}" in lines[0]
    assert "what the index has of it is no wheel" in lines[1]
    assert lines[3:5] == [f"no wheel for {Target.of(facts()['python'])} of:", "    hostouttest_lost = 1.0"]
    assert lines[5].startswith("looked in: ")
    assert len(lines) == 6
    assert Path(local.lock).read_bytes() == before


def test_what_is_installed_here_goes_where_the_index_has_changed(local: LocalBuildout, index: SmallIndex) -> None:
    tested = wheel(index.folder, "hostouttest_changed")
    locked(local, tested)
    local, said = egg_of(tested, local, sha256(tested)), Said()
    wheel(index.folder, "hostouttest_changed", text="evil = True\n")
    found = chosen(local, facts(), "hostouttest_changed", said=said)["hostouttest_changed"]
    assert "-0h" in found.filename
    assert any("hostouttest_changed 1.0 is not what was tested on the index" in text for text in said.texts)


def test_what_is_installed_here_goes_without_an_index(
    local: LocalBuildout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its file is known (then only that or what was made of it), or not."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    made = [wheel(tmp_path / "gone", name) for name in ("hostouttest_known", "hostouttest_unknown")]
    locked(local, made[0])
    local = egg_of(made[1], egg_of(made[0], local, sha256(made[0])))
    found = chosen(local, facts(), "hostouttest_known", "hostouttest_unknown")
    assert all("-0h" in one.filename for one in found.values())
    # the content is in the name: what somebody else compressed is as good
    have = {one.filename: "a" * 64 for one in found.values()}
    again = chosen(local, facts(have), "hostouttest_known", "hostouttest_unknown")
    assert {one.sha256 for one in again.values()} == {"a" * 64}
    wrong = {name.replace("-0h", "-0h1"): digest for name, digest in have.items()}
    assert all(one.path for one in chosen(local, facts(wrong), "hostouttest_known", "hostouttest_unknown").values())


def test_an_egg_of_another_file_than_the_lock_has_is_not_packed(
    local: LocalBuildout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    other = wheel(tmp_path / "other", "hostouttest_known", text="other = True\n")
    locked(local, wheel(tmp_path / "gone", "hostouttest_known"))
    with pytest.raises(PackagingError, match=r"no wheel for .* of:\n    hostouttest_known = 1.0\n.*no answer from"):
        chosen(egg_of(other, local, sha256(other)), facts(), "hostouttest_known")


@pytest.mark.parametrize("path", ["/simple", "/files"])
def test_an_index_that_hangs_is_given_up(
    local: LocalBuildout, index: SmallIndex, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    names = [f"hostouttest_{number}" for number in range(5)]
    for name in names:
        wheel(index.folder, name)
    index.hangs = (path,)
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "1")
    started = time.monotonic()
    with pytest.raises(PackagingError) as caught:
        chosen(local, facts(), *names)
    assert time.monotonic() - started < 55
    assert f"no answer from {index.address.removeprefix('http://')}" in str(caught.value)
    assert all(f"    {name} = 1.0\n" in str(caught.value) for name in names)


def test_a_dead_index_beside_a_good_one_does_not_cost_its_silence_for_each(
    local: LocalBuildout, index: SmallIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"hostouttest_{number}" for number in range(20)]
    for name in names:
        wheel(index.folder, name)
    # the good one gets as much, and this machine may stand still for a moment
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "3")
    with serving(tmp_path / "dead") as dead:
        dead.hangs = ("/",)
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", dead.url)
        started = time.monotonic()
        with pytest.raises(PackagingError, match=f"no answer from {dead.address.removeprefix('http://')}"):
            chosen(local, facts(), *names)
        assert time.monotonic() - started < 50


def test_what_was_yanked_is_taken_with_a_warning(local: LocalBuildout, index: SmallIndex) -> None:
    tested = wheel(index.folder, "hostouttest_yanked")
    locked(local, tested)
    index.yanked[tested.name] = "breaks <everything>"
    said = Said()
    assert chosen(local, facts(), "hostouttest_yanked", said=said)["hostouttest_yanked"].sha256 == sha256(tested)
    assert [event.text for event in said.events if event.kind == "warning"] == [
        "hostouttest_yanked 1.0 was yanked from the index (breaks <everything>): "
        "taken all the same, as it is what was tested"
    ]


def test_of_two_files_of_a_version_in_a_cache_the_tested_one_is_taken(local: LocalBuildout, tmp_path: Path) -> None:
    cache = tmp_path / "cache/dist"
    better = wheel(cache, "hostouttest_two", f"{CP}-{CP}-manylinux2014_x86_64")
    tested = wheel(cache, "hostouttest_two")
    locked(local, tested)
    assert chosen(local, facts(), "hostouttest_two")["hostouttest_two"].path == str(tested)
    locked(local, better, others=(tested,))
    assert chosen(local, facts(), "hostouttest_two")["hostouttest_two"].path == str(better)


def test_a_file_of_the_cache_that_was_not_tested_is_fetched_anew(
    local: LocalBuildout, index: SmallIndex, tmp_path: Path
) -> None:
    tested = wheel(index.folder, "hostouttest_plain")
    locked(local, tested)
    cached = wheel(tmp_path / "cache/dist", "hostouttest_plain")
    cached.write_bytes(tested.read_bytes()[:-50])
    have = {tested.name: sha256(cached)}
    found = chosen(local, facts(have), "hostouttest_plain")["hostouttest_plain"]
    assert found.sha256 == sha256(tested)
    assert found.path == f"{local.parts_directory}/hostout/dist/{tested.name}"
    index.hangs, index.folder = (), tmp_path / "cache"
    Path(found.path).unlink()
    with pytest.raises(PackagingError) as caught:
        chosen(local, facts(), "hostouttest_plain")
    said = f"    hostouttest_plain = 1.0: {cached} has the sha256 {sha256(cached)}; hostoutversions.cfg has "
    assert str(caught.value).splitlines()[1].startswith(said)


def test_a_truncated_wheel_of_which_nothing_is_known_is_left_aside(
    local: LocalBuildout, index: SmallIndex, tmp_path: Path
) -> None:
    whole = wheel(index.folder, "hostouttest_plain")
    cached = wheel(tmp_path / "cache/dist", "hostouttest_plain")
    cached.write_bytes(whole.read_bytes()[:-50])
    said = Said()
    found = chosen(local, facts(), "hostouttest_plain", said=said)["hostouttest_plain"]
    assert found.sha256 == sha256(whole)
    assert any(text.startswith(f"{cached} is no wheel, or is damaged: ") for text in said.texts)


def test_a_wheel_of_the_cache_that_differs_from_the_egg_here_is_not_taken(local: LocalBuildout, tmp_path: Path) -> None:
    local = egg_of(wheel(tmp_path / "gone", "hostouttest_plain"), local)
    other = wheel(tmp_path / "cache/dist", "hostouttest_plain", text="another = True\n")
    assert "-0h" in chosen(local, facts(), "hostouttest_plain")["hostouttest_plain"].filename
    wheel(tmp_path / "cache/dist", "hostouttest_plain")
    assert chosen(local, facts(), "hostouttest_plain")["hostouttest_plain"].path == str(other)


def test_a_cache_that_cannot_be_written_to_is_named(local: LocalBuildout, index: SmallIndex) -> None:
    wheel(index.folder, "hostouttest_plain")
    folder = Path(local.parts_directory) / "hostout/dist"
    folder.parent.mkdir(parents=True)
    folder.write_text("no folder")
    with pytest.raises(PackagingError, match=f"^{folder} cannot be written to: File exists$"):
        chosen(local, facts(), "hostouttest_plain")


FULL = """\
import resource, sys
sys.path[:0] = {path!r}
import test_tested_files as tests
from hostout.errors import PackagingError
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    tests.chosen(tests.{local!r}, tests.facts(), "hostouttest_large")
except PackagingError as error:
    print(error)
"""


def test_a_file_that_there_is_no_room_for_is_one_line(local: LocalBuildout, index: SmallIndex) -> None:
    random = "".join(hashlib.sha256(bytes([n % 256, n // 256])).hexdigest() for n in range(2000))
    wheel(index.folder, "hostouttest_large", text=random)
    code = FULL.format(path=sys.path, local=local)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("pip could not write: [Errno 27] File too large")
    assert len(done.stdout.splitlines()) == 1


def test_a_source_distribution_becomes_one_wheel_for_everybody(
    local: LocalBuildout, index: SmallIndex, tmp_path: Path
) -> None:
    source = sdist(index.folder, "hostouttest_source", "py3-none-any")
    locked(local, source)
    found = chosen(local, facts(**ARM), "hostouttest_source")["hostouttest_source"]
    assert found.filename == f"hostouttest_source-1.0-{repack.source_tag([sha256(source)])}-py3-none-any.whl"
    other = dataclasses.replace(local, parts_directory=str(tmp_path / "other"))
    have = {found.filename: "a" * 64}
    assert chosen(other, facts(have), "hostouttest_source")["hostouttest_source"].sha256 == "a" * 64
    assert lockfile.read(local.lock).others == ()


@pytest.mark.parametrize("kind", ["0h", "0s"])
def test_a_damaged_wheel_that_was_made_here_is_named_and_made_again(
    local: LocalBuildout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    name = "hostouttest_made"
    if kind == "0h":
        local = egg_of(wheel(tmp_path / "gone", name), local)
    else:
        locked(local, sdist(tmp_path / "cache/dist", name, "py3-none-any"))
    made = chosen(local, facts(), name)[name]
    assert f"-{kind}" in made.filename
    Path(made.path).write_bytes(Path(made.path).read_bytes()[:40])
    said = Said()
    again = chosen(local, facts(), name, said=said)[name]
    assert (again.path, again.size) == (made.path, made.size)
    assert [text for text in said.texts if text.startswith(f"{made.path} is no wheel, or is damaged: ")]
    assert chosen(local, facts(), name)[name].sha256 == again.sha256


OLDER = [["glibc", "2.5"], ["musl", "1.2"]]


@pytest.mark.parametrize("libc", OLDER, ids=str)
def test_what_was_compiled_and_packed_here_does_not_go_to_an_older_system(
    local: LocalBuildout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, libc: list[str]
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    name = "hostouttest_native"
    local = egg_of(wheel(tmp_path / "gone", name, f"{CP}-{CP}-linux_x86_64"), local)
    assert "-0h" in chosen(local, facts(), name)[name].filename
    with pytest.raises(PackagingError, match=f"no wheel for .* of:\n    {name} = 1.0\n"):
        chosen(local, facts(libc=libc), name)


@pytest.mark.parametrize("libc", OLDER, ids=str)
def test_what_was_compiled_here_of_a_source_goes_to_an_older_system_as_that_source(
    local: LocalBuildout, tmp_path: Path, libc: list[str]
) -> None:
    name = "hostouttest_native"
    source = sdist(tmp_path / "cache/dist", name, f"{CP}-{CP}-linux_x86_64")
    locked(local, source)
    assert "-0s" in chosen(local, facts(), name)[name].filename
    assert chosen(local, facts(libc=libc), name)[name].filename == source.name


@pytest.mark.parametrize("spelt", ["2024.7.4", "2024.07.04", "2.0a1"])
def test_of_a_version_and_a_local_one_of_it_the_pinned_is_taken(
    local: LocalBuildout, index: SmallIndex, spelt: str
) -> None:
    name = "hostouttest_local"
    for version in (spelt, f"{spelt}+cpu"):
        Wheel(name, version, f"{name}-{version}", {f"{name}.py": ""}, ()).make(index.folder)
    for pinned in (spelt, lockfile.plain(spelt), f"{spelt}+cpu"):
        of = dataclasses.replace(release(), requirements=((name, pinned),))
        ((found,), _) = wheels.choose(of, local, facts(), Said())
        assert ("+cpu" in found.filename) is ("+cpu" in pinned)


def test_a_source_that_has_two_folders_at_its_top_is_named(local: LocalBuildout, tmp_path: Path) -> None:
    source = sdist(tmp_path / "cache/dist", "hostouttest_native", f"{CP}-{CP}-linux_x86_64")
    with tarfile.open(source, "w:gz") as archive:
        for folder in ("hostouttest_native-1.0", "other"):
            archive.add(tmp_path / "index", f"{folder}/x")
    locked(local, source)
    with pytest.raises(PackagingError) as caught:
        chosen(local, facts(**ARM), "hostouttest_native")
    folders = "one folder at its top (here: hostouttest_native-1.0, other)"
    assert str(caught.value).startswith(f"{source} is no source distribution, which has {folders}; ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_source_that_is_damaged_is_named(local: LocalBuildout, tmp_path: Path, share: float) -> None:
    source = sdist(tmp_path / "cache/dist", "hostouttest_native", f"{CP}-{CP}-linux_x86_64")
    content = source.read_bytes()
    source.write_bytes(content[: int(len(content) * share)])
    locked(local, source)
    with pytest.raises(PackagingError) as caught:
        chosen(local, facts(**ARM), "hostouttest_native")
    assert str(caught.value).startswith(f"{source} is damaged: ")
    assert "\n" not in str(caught.value)


def test_what_has_to_be_compiled_travels_as_source_with_what_that_takes(
    local: LocalBuildout, index: SmallIndex, tmp_path: Path
) -> None:
    backend = wheel(index.folder, "hostouttest_backend")
    requires = "hostouttest_backend"
    source = sdist(tmp_path / "cache/dist", "hostouttest_native", f"{CP}-{CP}-linux_x86_64", requires)
    locked(local, source)
    assert len(chosen(local, facts(), "hostouttest_native")) == 1, "it runs where it was built"
    said = Said()
    parts, _ = wheels.choose(release("hostouttest_native"), local, facts(**ARM), said)
    assert [(d.filename, d.sha256) for d in parts] == [(p.name, sha256(p)) for p in (source, backend)]
    assert any("built on the host: hostouttest_native = 1.0" in text for text in said.texts)
    backend.unlink()
    index.asked.clear()
    said.events.clear()
    again, _ = wheels.choose(release("hostouttest_native"), local, facts(**ARM), said)
    assert again == parts
    assert not index.asked and not any("Fetching" in text for text in said.texts), "nor is it tried to build it here"
    (Path(local.parts_directory) / "hostout/dist" / backend.name).unlink()
    with pytest.raises(PackagingError, match="has to be built on the host, and what that takes cannot be had"):
        wheels.choose(release("hostouttest_native"), local, facts(**ARM), said)
