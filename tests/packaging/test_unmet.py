"""What a distribution needs only on the host's Python is said before anything is sent; real wheels made here."""

from __future__ import annotations

import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from hostout.errors import PackagingError
from hostout.model import Distribution, Json
from hostout.packaging import unmet
from wheelsamples import Wheel

TESTED = {**unmet.markers_here("3.11.2"), "platform_machine": "x86_64"}


def python(version: str, platform: str = "linux-x86_64", implementation: str = "cpython") -> dict[str, Json]:
    libc = ["glibc", "2.41"]
    facts: dict[str, Json] = {"version": version, "platform": platform, "implementation": implementation}
    return {**facts, "libc": libc, "soabi": None}


def needing(folder: Path, name: str, *requirements: str) -> Distribution:
    """A wheel that needs these."""
    path = Wheel(name, "1.0", f"{name.replace('-', '_')}-1.0", {}, (), requires=requirements).make(folder)
    return Distribution(name, "1.0", path.name, "", path.stat().st_size, str(path))


def test_needed_on_the_hosts_python_alone_and_not_there_is_one_line_that_names_all(tmp_path: Path) -> None:
    one = needing(tmp_path, "hostouttest-one", "hostouttest.old; python_version < '3.13'", "hostouttest-two>=1")
    two = needing(tmp_path, "hostouttest_two", "Legacy.CGI (>=2.6) ; python_version >= '3.13'", "more; extra == 'x'")
    three = needing(tmp_path, "hostouttest-three", "hostouttest-four!=2; python_full_version > '3.13.1'")
    with pytest.raises(PackagingError) as refused:
        unmet.check(TESTED, [one, two, three], python("3.13.5"))
    assert str(refused.value) == (
        "not in this buildout, but needed on the host (cpython 3.13 on linux_x86_64, glibc 2.41): "
        "hostouttest_two 1.0 needs Legacy.CGI>=2.6; hostouttest-three 1.0 needs hostouttest-four!=2; add it to the "
        "eggs of a part and run bin/buildout, or deploy from a machine of that kind"
    )


@pytest.mark.parametrize(
    ("marker", "facts"),
    [
        ("platform_machine == 'aarch64'", python("3.11.2", "linux-aarch64")),
        ("python_full_version < '3.11.2'", python("3.11.1")),
        ("implementation_name == 'pypy'", python("3.11.2", "linux-x86_64", "pypy")),
    ],
    ids=str,
)
def test_the_same_release_of_python_may_need_more_all_the_same(
    tmp_path: Path, marker: str, facts: dict[str, Json]
) -> None:
    one = needing(tmp_path, "hostouttest-one", f"hostouttest-more; {marker}")
    unmet.check(TESTED, [one], python("3.11.2"))
    with pytest.raises(PackagingError, match=r"hostouttest-one 1\.0 needs hostouttest-more;"):
        unmet.check(TESTED, [one], facts)
    unmet.check(TESTED, [one, needing(tmp_path, "hostouttest_more")], facts)


def test_what_is_not_there_here_either_is_nothing_that_is_missed(tmp_path: Path) -> None:
    one = needing(tmp_path, "hostouttest-one", "hostouttest-more", "hostouttest-old; python_version > '3'")
    unmet.check(TESTED, [one], python("3.13.5", "linux-aarch64"))


def test_markers_of_the_same_python_here_and_there_are_the_same() -> None:
    here = sysconfig.get_platform()
    assert unmet.markers_here("3.11.2") == unmet.markers(python("3.11.2", here, sys.implementation.name))


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [(">=3.11.5", False), (">=3.9", True), ("<3.11.3,>=3", True), ("!=3.11.2", False), ("three", True), ("", True)],
)
def test_wheels_that_do_not_run_with_the_very_python_of_the_host_are_named(
    tmp_path: Path, wanted: str, fits: bool
) -> None:
    one = needing(tmp_path, "hostouttest-one")
    add_header(Path(one.path), f"Requires-Python: {wanted}" if wanted else "")
    unmet.check_python("3.11.2", [one], python("3.11.2"))
    if fits:
        unmet.check_python("3.11.7", [one], python("3.11.2"))
        return
    with pytest.raises(PackagingError) as refused:
        unmet.check_python("3.11.7", [one], python("3.11.2"))
    assert str(refused.value) == (
        f"not for the host's Python 3.11.2: hostouttest-one 1.0 needs Python {wanted}; pin versions that run with it "
        "and run bin/buildout"
    )


def add_header(wheel: Path, line: str) -> None:
    """One more line of its METADATA."""
    with zipfile.ZipFile(wheel) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(wheel, "w") as archive:
        for info, content in members:
            is_metadata = info.filename.endswith(".dist-info/METADATA") and line
            archive.writestr(info, f"{line}\n".encode() + content if is_metadata else content)


def test_nothing_is_said_where_all_is_there(tmp_path: Path) -> None:
    one = needing(tmp_path, "hostouttest-one", "legacy-cgi>=2.6; python_version >= '3.13'", "not a requirement !")
    unmet.check(TESTED, [one, needing(tmp_path, "legacy_cgi")], python("3.13.5"))


def test_the_same_python_is_not_looked_at_for_buildout_resolved_for_it() -> None:
    unmet.check(TESTED, [Distribution("a", "1", "a-1-py3-none-any.whl", "", 0, "/nonexistent.whl")], python("3.11.2"))


def test_what_the_host_has_already_and_what_is_no_wheel_is_not_looked_into(tmp_path: Path) -> None:
    there = Distribution("a", "1", "a-1-py3-none-any.whl", "", 0, "")
    unmet.check(TESTED, [there, Distribution("b", "1", "b-1.zip", "", 0, str(tmp_path / "b-1.zip"))], python("3.13.5"))


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        (python("3.13.5", "linux-aarch64"), ("linux", "Linux", "aarch64", "CPython", "3.13")),
        (python("3.9.2", "macosx-11.0-arm64"), ("darwin", "Darwin", "arm64", "CPython", "3.9")),
        (python("3.10.14", "linux-x86_64", "pypy"), ("linux", "Linux", "x86_64", "PyPy", "3.10")),
    ],
    ids=str,
)
def test_markers_speak_of_the_host(facts: dict[str, Json], wanted: tuple[str, ...]) -> None:
    found = unmet.markers(facts)
    names = ("sys_platform", "platform_system", "platform_machine", "platform_python_implementation", "python_version")
    assert tuple(found[name] for name in names) == wanted
