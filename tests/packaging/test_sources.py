"""Which files of a develop package count, and when its hash changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hostout.packaging.sources import content_hash, copy, sources
from samples import write
from wheelsamples import Wheel

FILES = {"setup.py": "setup", "src/example/__init__.py": "", "src/example/data.txt": "data"}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write(tmp_path / "example", FILES)


def hashed(package: Path, *ignore: str) -> str:
    return content_hash(sources(package), ignore)


def test_the_same_files_elsewhere_have_the_same_hash(package: Path, tmp_path: Path) -> None:
    assert hashed(package) == hashed(write(tmp_path / "other" / "place", FILES))


@pytest.mark.parametrize(
    "name",
    [
        ".git/HEAD",
        ".svn/entries",
        ".hg/store",
        "build/lib/x.py",
        "dist/x.whl",
        "src/example.egg-info/PKG-INFO",
        "src/example/__pycache__/x.cpython-311.pyc",
        "src/example/x.pyc",
        "src/example/x.py~",
        "src/example/.x.py.swp",
        "src/example/.x.py.swo",
        "src/example/.#x.py",
        "src/example/#x.py#",
        "venv/pyvenv.cfg",
    ],
)
def test_what_is_no_source_does_not_count_and_is_not_copied(package: Path, tmp_path: Path, name: str) -> None:
    before = hashed(package)
    write(package, {name: "rubbish"})
    assert hashed(package) == before
    copy(sources(package), tmp_path / "copy")
    assert not (tmp_path / "copy" / name).exists()


@pytest.mark.parametrize("name", ["src/example/build/__init__.py", "build/__init__.py", "src/dist/x.py", "notes.txt"])
def test_every_other_file_counts(package: Path, name: str) -> None:
    before = hashed(package)
    write(package, {name: ""})
    assert hashed(package) != before


def test_bytes_names_and_the_executable_bit_count(package: Path) -> None:
    seen = {hashed(package)}
    data = package / "src/example/data.txt"
    data.write_text("other")
    seen.add(hashed(package))
    data.chmod(0o755)
    seen.add(hashed(package))
    data.rename(data.with_name("renamed.txt"))
    seen.add(hashed(package))
    assert len(seen) == 4


def test_group_and_world_bits_do_not_count(package: Path) -> None:
    (package / "setup.py").chmod(0o644)
    before = hashed(package)
    (package / "setup.py").chmod(0o600)
    assert hashed(package) == before


@pytest.mark.parametrize("pattern", ["docs", "docs/", "docs/*", "*.rst", "index.rst", "docs/index.rst"])
def test_hash_ignore_patterns_do_not_count_but_are_copied(package: Path, tmp_path: Path, pattern: str) -> None:
    before = hashed(package, pattern)
    write(package, {"docs/index.rst": "words"})
    assert hashed(package, pattern) == before
    assert hashed(package) != before
    copy(sources(package), tmp_path / "copy")
    assert (tmp_path / "copy/docs/index.rst").exists()


def test_links_inside_stay_links_and_links_outside_are_followed(package: Path, tmp_path: Path) -> None:
    write(tmp_path / "outside", {"far.txt": "far", "deep/deeper.txt": "deeper"})
    (package / "near").symlink_to("setup.py")
    (package / "far").symlink_to(tmp_path / "outside/far.txt")
    (package / "folder").symlink_to("../outside/deep")
    (package / "loop").symlink_to(package.parent)
    copy(sources(package), tmp_path / "copy")
    assert (tmp_path / "copy/near").readlink() == Path("setup.py")
    assert (tmp_path / "copy/far").read_text() == "far"
    assert not (tmp_path / "copy/far").is_symlink()
    assert (tmp_path / "copy/folder/deeper.txt").read_text() == "deeper"
    before = hashed(package)
    (tmp_path / "outside/far.txt").write_text("farther")
    assert hashed(package) != before


def test_what_buildout_makes_is_no_content_of_a_package_in_the_buildout_folder(package: Path) -> None:
    before = content_hash(sources(package))
    write(package, {"parts/app/x.cfg": "made", "eggs/v5/x": "made"})
    assert content_hash(sources(package, [package / "parts", package / "eggs"])) == before


def test_a_virtual_environment_in_the_folder_of_the_package_is_no_content(package: Path, tmp_path: Path) -> None:
    """Whatever is installed there, and whoever made it."""
    write(package, {"lib/own.js": "", "include/own.h": "", "share/man/man1/own.1": "", "src/example/bin/run": ""})
    before = [source.name for source in sources(package)]
    subprocess.run([sys.executable, "-m", "venv", str(package)], check=True, timeout=120)
    content = {"hostouttest_tool.py": "", "{data}/data/share/man/man1/tool.1": "", "{data}/headers/tool.h": ""}
    wheel = Wheel("hostouttest-tool", "1.0", "hostouttest_tool-1.0", content, ()).make(tmp_path)
    pip = [str(package / "bin/python"), "-m", "pip", "install", "-q", "--no-index", str(wheel)]
    subprocess.run(pip, check=True, timeout=120)
    # newer Pythons do that
    write(package, {".gitignore": "# Created by venv\n*\n"})
    assert (package / "share/man/man1/tool.1").exists()
    assert [source.name for source in sources(package)] == before
    write(package, {".gitignore": "*.pyc\n"})
    assert [source.name for source in sources(package)] == [".gitignore", *before]


def test_a_buildout_that_is_known_by_two_paths_is_one(package: Path) -> None:
    write(package, {"parts/app/x.cfg": "made"})
    other = package.with_name("other")
    other.symlink_to(package)
    names = [source.name for source in sources(package, [other / "parts"])]
    assert names == [source.name for source in sources(other, [package / "parts"])] == sorted(FILES)
