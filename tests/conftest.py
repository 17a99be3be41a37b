"""What every test gets: a home of its own, quick tests first, and in CI no test that is skipped without a word.

What does not belong here: machines (``machines.py``) and buildouts (``buildouts.py``), whose fixtures are plugins.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Generator
from pathlib import Path
from types import FrameType

import pytest

from faults import table

HERE = Path(__file__).parent
pytest_plugins = [name for name in ("machines", "buildouts") if (HERE / f"{name}.py").exists()]

SLOWER = ("buildout", "machine", "faults")
"""The marks of slow tests, in the order in which they run after the others."""

NOT_OURS = ("SSH_AUTH_SOCK", "SSH_ASKPASS", "BUILDOUT_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "GIT_DIR")
AUTHOR = {"NAME": "Somebody", "EMAIL": "somebody@example.com"}
NO_SKIPS = next((name for name in ("CI_NO_SKIPS", "HOSTOUT_REQUIRE_MACHINES") if os.environ.get(name)), "")
"""The variable that forbids skipped tests, if one does (looked at now: tests do not see it)."""

PIP = {"PIP_CACHE_DIR": str(HERE.parent / ".build" / "pip")}
"""What pip would look for in the home folder, where builds of tests need it: a cache, and which index to use."""

for _config in (Path("~/.config/pip/pip.conf"), Path("~/.pip/pip.conf")):
    if _config.expanduser().exists():
        PIP["PIP_CONFIG_FILE"] = str(_config.expanduser())


SEED = "HOSTOUT_SEED"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", default="", help=f"chooses the moments at which faults strike (or ${SEED})")


def pytest_report_header(config: pytest.Config) -> str:
    return f"moments of faults: --seed={chosen_seed(config)}"


def chosen_seed(config: pytest.Config) -> str:
    """The seed of this run, the same in all its processes."""
    return os.environ.setdefault(SEED, config.getoption("--seed") or str(random.SystemRandom().randrange(10_000)))


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> str:
    """From which every random choice of a test follows."""
    return CHOSEN[0]


CHOSEN: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of faults, where some were tried."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    found = [each for report in reports for each in properties(report)]
    rows = [table.Row.of(text) for name, text in found if name == table.ROW]
    lines = [text for name, text in found if name == table.LINE]
    if rows or lines:
        terminalreporter.section(f"faults, seed {CHOSEN[0]}")
        terminalreporter.write_line("\n".join([*table.printed(rows), "", *sorted(lines)]))


def properties(report: object) -> list[tuple[str, str]]:
    """What a test measured; its last report has all of it."""
    if not isinstance(report, pytest.TestReport) or report.when != "teardown":
        return []
    return [(name, str(value)) for name, value in report.user_properties]


def pytest_configure(config: pytest.Config) -> None:
    """``timeout`` and CI end us with SIGTERM: what fixtures started is ended then as it is after Ctrl-C.

    A shell lets what it starts in the background ignore Ctrl-C: tests that press it would wait for ever.
    """
    CHOSEN.append(chosen_seed(config))
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupted)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A mistake shows in the first seconds: quick tests, then those with a buildout, with machines, with faults."""
    for item in items:
        if HERE not in item.path.parents:  # the example's own tests know nothing of our marks
            item.add_marker(pytest.mark.buildout)
    items.sort(key=slowness)


def slowness(item: pytest.Item) -> int:
    return max((rank for rank, mark in enumerate(SLOWER, 1) if item.get_closest_marker(mark)), default=0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where CI says so, a test that did not run is a failure with the reason why it did not."""
    report = yield
    if report.skipped and NO_SKIPS and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but {NO_SKIPS} is set: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder: no ``~/.ssh``, ``~/.buildout`` or ``~/.gitconfig`` of the developer changes a test."""
    folder = tmp_path_factory.mktemp("home")
    for name in (*NOT_OURS, *(name for name in os.environ if name.startswith("HOSTOUT_"))):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    for name, value in PIP.items():
        monkeypatch.setenv(name, os.environ.get(name, value))
    for role in ("AUTHOR", "COMMITTER"):
        for what, value in AUTHOR.items():
            monkeypatch.setenv(f"GIT_{role}_{what}", value)
    return folder
