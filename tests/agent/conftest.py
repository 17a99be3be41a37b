"""Places to deploy to, with and without an environment that builds."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentclient import Place, agent_zip, environment, fetched, interpreters, recipe_wheel, send_files, until
from smalldisk import mounted


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent as it travels."""
    path = tmp_path_factory.mktemp("agent") / "agent.zip"
    path.write_bytes(agent_zip())
    path.parent.chmod(0o755)
    return path


@pytest.fixture(params=interpreters(), ids=lambda python: "this" if python == sys.executable else "oldest")
def python(request: pytest.FixtureRequest) -> str:
    """An interpreter that a host may have."""
    return str(request.param)


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder that every user can reach (pytest's own are the test user's only)."""
    folder = Path(tempfile.mkdtemp(prefix="agent-test-")).resolve()
    folder.chmod(0o755)
    yield folder
    # what was killed or left may just be writing its last file
    for _ in until(f"{folder} is gone"):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break


@pytest.fixture
def small_disk(root: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    with mounted(root / "srv" / "disk", megabytes=1) as disk:
        yield disk


@pytest.fixture
def place(root: Path, archive: Path) -> Iterator[Place]:
    """Nothing is there yet."""
    place = Place(root, archive)
    yield place
    place.end()


@pytest.fixture
def wheels(place: Place) -> list[Path]:
    """The same for this interpreter."""
    return fetched(place.python)


@pytest.fixture(scope="session")
def stocked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A cache with an environment, one for each interpreter, that all tests of a session share."""
    made: dict[str, Path] = {}

    def stock(python: str) -> Path:
        if python not in made:
            made[python] = _stock(Place(tmp_path_factory.mktemp("stock"), archive, python), fetched(python))
        return made[python]

    return stock


@pytest.fixture
def ready(place: Place, stocked: Callable[[str], Path]) -> Place:
    """A place that is laid out and can build (environment ``env``)."""
    place.extra["cache"] = str(stocked(place.python))
    return place


@pytest.fixture
def able(ready: Place, tmp_path: Path) -> Place:
    """A place that has the recipe."""
    agent = ready.agent()
    agent.request("layout")
    send_files(agent, [recipe_wheel(tmp_path)], "dist")
    agent.end()
    return ready


def _stock(place: Place, wheels: list[Path]) -> Path:
    agent = place.agent()
    assert agent.request("layout").result["facts"]["path"]["kind"] == "hostout"
    send_files(agent, [(wheel.read_bytes(), wheel.name) for wheel in wheels], "dist")
    assert agent.request("environment", environment("env", wheels)).result
    agent.end()
    return place.cache
