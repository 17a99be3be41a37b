"""The application that tests without machines share: deployed once, and left deployed by each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from applications import Site, deployed


@pytest.fixture(scope="session")
def shared() -> Iterator[tuple[ExitStack, list[Site]]]:
    """Where the site is kept: made by the first test that needs it, in the environment that tests have."""
    with ExitStack() as stack:
        yield stack, []


@pytest.fixture
def site(shared: tuple[ExitStack, list[Site]], tmp_path_factory: pytest.TempPathFactory) -> Site:
    """An application that runs, and nothing in its way."""
    stack, sites = shared
    if not sites:
        sites.append(stack.enter_context(deployed(tmp_path_factory.mktemp("application"))))
    sites[0].clear()
    return sites[0]
