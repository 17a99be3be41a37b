"""Python files and modules → the commands and hooks in them; every failure is one line that names file and line.

What does not belong here: in which order commands of several files run (``registry``).
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from hostout.commands.command import Command, Hook, hook
from hostout.commands.failure import described, failed_at
from hostout.commands.marks import marks
from hostout.errors import ConfigurationError, HostoutError

INJECTED = ("run", "sudo", "put", "download", "get", "cd", "local", "prompt", "abort")
"""What a fabfile in the classic style uses without an import."""

PREFIX = "hostout_fabfile_"
"""How the names of the modules begin that fabfiles are."""

FABRIC_1 = re.compile(
    r"fabric\.(api|contrib|operations|context_managers|decorators|state|utils|colors|tasks)\b"
    r"|cannot import name '(api|env|contrib|operations|context_managers|colors|state)' from 'fabric'"
)


@dataclass(frozen=True)
class Loaded:
    """What a file or module brings, in the order it is written there."""

    commands: tuple[Command, ...] = ()
    hooks: tuple[Hook, ...] = ()


def fabfile(path: str) -> Loaded:
    """Executes a fabfile, with the classic names injected. Raises ``ConfigurationError``."""
    module = ModuleType(f"{PREFIX}{re.sub(r'[^0-9A-Za-z]', '_', path)}")
    module.__file__ = path
    # loaded for fabfiles only: a listing that takes no time is a feature
    environment = importlib.import_module("hostout.commands.environment")
    vars(module).update({name: getattr(environment, name) for name in INJECTED})
    sys.modules[module.__name__] = module
    _find_neighbours(str(Path(path).parent))
    _guarded(path, lambda: _execute(path, module))
    return found(module)


def _execute(path: str, module: ModuleType) -> None:
    source = Path(path).read_bytes()
    if problems := list(_mistaken(Path(path), source)):
        raise ConfigurationError(problems)
    exec(compile(source, path, "exec"), vars(module))


def _find_neighbours(directory: str) -> None:
    """A fabfile may import what lies beside it, also later from within a function."""
    if directory not in sys.path:
        sys.path.append(directory)


def _mistaken(path: Path, source: bytes) -> Iterator[str]:
    """A line for each module beside this fabfile for which it would get another one, from beside another fabfile.

    Python has one module of a name; whoever was first would lend it to the hosts of all others.
    """
    loaded = [module.__file__ for name, module in sys.modules.items() if name.startswith(PREFIX)]
    folders = dict.fromkeys(Path(file).parent for file in loaded if file)
    for name in _imported(source, str(path)) if len(folders) > 1 else ():
        found = [file for folder in folders for file in _files_of(folder, name)]
        own = [file for file in _files_of(path.parent, name) if file.read_bytes() != found[0].read_bytes()]
        if own:
            yield f"{path}: imports {own[0]}, but another fabfile has {found[0]}: give one of them another name"


def _imported(source: bytes, path: str) -> dict[str, None]:
    """The names of the modules that it imports anywhere, without those of their packages' insides."""
    names = dict[str, None]()
    for node in ast.walk(ast.parse(source, path)):
        if isinstance(node, ast.Import):
            names.update((alias.name.partition(".")[0], None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names[node.module.partition(".")[0]] = None
    return names


def _files_of(folder: Path, name: str) -> list[Path]:
    places = (folder / name / "__init__.py", folder / f"{name}.py")
    return [place for place in places if place.is_file()]


def plugin(name: str) -> Loaded:
    """Imports the module of a plugin. Raises ``ConfigurationError``."""
    file = _guarded(name, lambda: _file_of(name))
    return found(_guarded(file, lambda: importlib.import_module(name)))


def _file_of(name: str) -> str:
    """The file of a module, else its name; a package that it is in gets imported."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        # the import says which one
        return name
    return spec.origin if spec and spec.origin else name


def _guarded(where: str, load: Callable[[], Any]) -> Any:
    """Loads somebody's code, where anything may go wrong: it becomes one line."""
    try:
        return load()
    except HostoutError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigurationError(_line(where, error)) from error


def _line(where: str, error: BaseException) -> str:
    line = failed_at(where, error)
    if isinstance(error, OSError) and not line:
        # the file itself
        return f"{where}: {error.strerror or error}"
    place = f"{where}, line {line}" if line else where
    if isinstance(error, ImportError) and (old := FABRIC_1.search(str(error))):
        return (
            f"{place}: {old.group().replace('cannot import name ', '')} is Fabric 1: delete this import, "
            f"{', '.join(INJECTED)} are there without one; or write 'from fabric import task' (Fabric 3)"
        )
    return f"{place}: {described(error)}"


def found(module: ModuleType) -> Loaded:
    """The commands and hooks of a module. Raises ``ConfigurationError`` for a hook that cannot be one."""
    public = [(name, value) for name, value in vars(module).items() if not name.startswith("_")]
    functions = [(name, value) for name, value in public if _is_own_function(value, module)]
    hooks = [hook(value, _source(module, value)) for _, value in functions if marks(value).hook]
    return Loaded(tuple(_commands(public, functions, module)), tuple(hooks))


def _commands(
    public: Iterable[tuple[str, Any]], functions: Iterable[tuple[str, Any]], module: ModuleType
) -> Iterable[Command]:
    own = dict(functions)
    for name, value in public:
        if _is_task(value):
            yield _task(name, value, module)
        elif name in own and not marks(value).hook:
            function_marks = marks(value)
            yield Command(name, value, _source(module, value), aliases=function_marks.aliases, marks=function_marks)


def _is_own_function(value: object, module: ModuleType) -> bool:
    """Defined in this file: what it imports are not its commands."""
    return isinstance(value, FunctionType) and value.__module__ == module.__name__


def _is_task(value: object) -> bool:
    """A Fabric or Invoke task. Where nobody imported Invoke, nothing can be one."""
    invoke = sys.modules.get("invoke")
    return invoke is not None and isinstance(value, invoke.Task)


def _task(name: str, task: Any, module: ModuleType) -> Command:
    aliases = tuple(task.aliases)
    if task.name != name:
        aliases += (name,)
    before, after = (tuple(_prepared(other) for other in others) for others in (task.pre, task.post))
    source = _source(module, task.body)
    return Command(task.name, task.body, source, True, aliases, marks(task), before, after)


def _prepared(other: Any) -> Callable[..., Any]:
    """What a task's ``pre`` or ``post`` names: a task, or ``invoke.call(task, …)``."""
    if hasattr(other, "task"):
        return lambda c: other.task.body(c, *other.args, **other.kwargs)
    body: Callable[..., Any] = other.body
    return body


def _source(module: ModuleType, function: Any) -> str:
    if function.__module__ == module.__name__ and module.__file__:
        return module.__file__
    return inspect.getsourcefile(function) or function.__module__
