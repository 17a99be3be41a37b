"""What git tells the programs that it starts, a hook for one: where its repository is, whatever folder they work in.

What does not belong here: calling git.
"""

from __future__ import annotations

from collections.abc import Mapping

REDIRECTIONS = frozenset(
    {
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_NAMESPACE"),
        *("GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH"),
        *("GIT_SHALLOW_FILE", "GIT_GRAFT_FILE"),
    }
)
"""Those of ``git rev-parse --local-env-vars`` that name a repository; settings (``GIT_CONFIG_…``) are the user's."""


def without_redirections(environment: Mapping[str, str]) -> dict[str, str]:
    """What lets git find the repository of the folder that it is called in."""
    return {name: value for name, value in environment.items() if name not in REDIRECTIONS}
