"""What develop packages are built in is kept: an edited package is built again without asking for anything."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import samples
from hostout.errors import PackagingError
from hostout.packaging.develop import Package
from samples import build_one, local_buildout, write


def build(folder: Path, name: str = "example", **files: str) -> str:
    """Released once more, with these modules changed; gives what was said."""
    package = write(folder / "src" / name, {**samples.SETUP_CFG, **{f"example/{n}.py": t for n, t in files.items()}})
    try:
        assert build_one(Package(name, "1.2", package), local_buildout(folder)).built
    finally:
        said = (folder / "parts/hostout/logs" / f"{name}.log").read_text()
    return said


def environments(folder: Path) -> list[Path]:
    return sorted((folder / "parts/hostout/build").glob("build-env-*"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("buildout").resolve()


@pytest.fixture
def folder(shared: Path) -> Path:
    """A buildout with a package that was built, and that those of these tests build again which this process runs."""
    if not environments(shared):
        build(shared)
    return shared


def test_edited_package_is_built_in_the_environment_of_the_last_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = environments(folder)
    # nothing that is asked of an index from here on would be answered
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    build(folder, changed="x = 1")
    assert len(kept) == 1 and environments(folder) == kept


def test_what_no_longer_works_is_made_anew(folder: Path) -> None:
    (kept,) = environments(folder)
    for path in kept.glob("lib/python*/site-packages/setuptools/build_meta.py"):
        path.unlink()
    build(folder, changed="x = 2")
    assert len(environments(folder)) == 2


def test_failure_is_that_of_the_package_and_names_its_lines(folder: Path) -> None:
    with pytest.raises(PackagingError, match="does not build") as caught:
        build(folder, changed="x = 3", **{"../setup": "raise ValueError('wrong here')"})
    assert "wrong here" in str(caught.value)
    (folder / "src/example/setup.py").unlink()


def test_old_environments_go(folder: Path) -> None:
    then = time.time() - 15 * 86400
    old = environments(folder)
    for path in (folder / "parts/hostout/build").iterdir():
        os.utime(path, (then, then), follow_symlinks=False)
    build(folder, changed="x = 4")
    assert len(environments(folder)) == 1 and not set(environments(folder)) & set(old)
