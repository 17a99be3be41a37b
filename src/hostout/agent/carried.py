"""The door of the agent where it arrives: a program of one file that has its modules with it, as text.

It travels first, with a call of ``start`` behind it (``shipping.py`` on the other side). Not as a zip: to import from
one, Python compiles each module twice, which was a third of the agent's time until it is ready. What does not belong
here: what the agent does.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn


class Carried:
    """Finder and loader of a package's modules (PEP 451, PEP 302); ``sources`` are texts by their files' names."""

    def __init__(self, package: str, sources: Mapping[str, str]) -> None:
        self._package = package
        self._sources = sources

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        file = self._file(name)
        if file not in self._sources:
            return None
        whole = name == self._package
        spec = ModuleSpec(name, self, origin=f"{self._package}/{file}", is_package=whole)  # type: ignore[arg-type]
        spec.has_location = True
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """As Python makes them."""

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.get_source(module.__name__), str(module.__file__), "exec"), module.__dict__)

    def get_source(self, name: str) -> str:
        """Also for the lines of a traceback."""
        return self._sources[self._file(name)]

    def get_data(self, path: str) -> bytes:
        """The file of a module, for ``pkgutil.get_data``."""
        return self._sources[path.rpartition("/")[2]].encode()

    def _file(self, name: str) -> str:
        package, _, module = name.rpartition(".")
        if name == self._package:
            return "__init__.py"
        return f"{module}.py" if package == self._package else ""


def start(package: str, sources: Mapping[str, str]) -> NoReturn:
    """Serves the question in the file that is the first argument; ends with the agent's status."""
    sys.meta_path.insert(0, Carried(package, sources))
    with open(sys.argv[1]) as question:  # noqa: PTH123 - one import less before the agent is ready
        text = question.read()
    sys.exit(import_module(f"{package}.serve").main(text))
