"""One function that serves as a command or a hook: where it comes from, what it takes, how it is called.

What does not belong here: finding functions in files (``loading``), their order (``registry``).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hostout.commands.marks import HOOKS, Marks, marks
from hostout.errors import ConfigurationError

NO_MARKS = Marks()
TAKEN_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class Command:
    """A function of a fabfile, plugin or ours: ``name`` as people type it, ``source`` the file that defines it.

    ``task`` says that it takes a ``fabric.Connection`` first (Fabric 3's style). ``before`` and ``after`` are the
    functions that a task names as its ``pre`` and ``post``.
    """

    name: str
    function: Callable[..., Any]
    source: str
    task: bool = False
    aliases: tuple[str, ...] = ()
    marks: Marks = NO_MARKS
    before: tuple[Callable[..., Any], ...] = ()
    after: tuple[Callable[..., Any], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)

    @property
    def doc(self) -> str:
        """The first line of the docstring, empty without one."""
        lines = (inspect.getdoc(self.function) or "").strip().splitlines()
        return lines[0] if lines else ""

    @property
    def signature(self) -> inspect.Signature:
        """What is given on the command line: without the connection of a task."""
        signature = inspect.signature(self.function)
        given = list(signature.parameters.values())[1:] if self.task else list(signature.parameters.values())
        return signature.replace(parameters=given)

    @property
    def required(self) -> int:
        """How many arguments it cannot do without."""
        parameters = self.signature.parameters.values()
        return sum(p.kind in TAKEN_BY_POSITION and p.default is p.empty for p in parameters)

    def takes(self) -> str:
        """``local [remote] [more...]`` or ``no arguments``."""
        words = [_word(p) for p in self.signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        return " ".join(words) or "no arguments"

    def misfit(self, arguments: Sequence[str]) -> str | None:
        """One line that says why the arguments do not fit, ``None`` where they do."""
        try:
            self.signature.bind(*arguments)
        except TypeError:
            return (
                f"command '{self.name}' from '{self.source}' takes {self.takes()}, "
                f"not {len(arguments)} argument{'' if len(arguments) == 1 else 's'}"
            )
        return None


def _word(parameter: inspect.Parameter) -> str:
    if parameter.kind is parameter.VAR_POSITIONAL:
        return f"[{parameter.name}...]"
    if parameter.kind is parameter.KEYWORD_ONLY:
        return f"{parameter.name}=..."
    return parameter.name if parameter.default is parameter.empty else f"[{parameter.name}]"


class Hook(NamedTuple):
    """A function without arguments that takes part in every deployment at the moment ``kind``."""

    kind: str
    function: Callable[[], Any]
    source: str


def hook(function: Callable[..., Any], source: str) -> Hook:
    """The Hook, if it can be one: a known name and nothing to pass. Raises ``ConfigurationError`` that names it."""
    kind = marks(function).hook
    name = getattr(function, "__name__", "?")
    if kind not in HOOKS:
        raise ConfigurationError(f"{source}: {name} is a hook '{kind}', which does not exist: {', '.join(HOOKS)}")
    if inspect.signature(function).parameters:
        raise ConfigurationError(f"{source}: {name}, the hook '{kind}', must not take arguments")
    return Hook(kind, function, source)
