"""What ``bin/hostout`` does: argv → what is run or listed; errors → one line and an exit status.

Nothing heavy is imported before a command needs it. What does not belong here: the grammar (``cmdline``), running
commands (``session``), the shape of lines (``output``).
"""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hostout import cmdline, config, output
from hostout.errors import HostoutError
from hostout.model import Event, RunOptions, Secret

if TYPE_CHECKING:
    from hostout.config import Configuration
    from hostout.session import Reach, Session

INTERRUPTED = 130
UNREAD = 141
"""What a shell sees of a program whose output nobody reads any more (128 + SIGPIPE)."""

BUG = UNWRITTEN = 1
TRACKER = "https://github.com/collective/collective.hostout/issues"


def main(records: str | Path, argv: Sequence[str] | None = None) -> int:
    """Runs the script on the records that the recipe wrote; returns the exit status."""
    # a closed descriptor is None
    stdout, stderr = (stream or io.StringIO() for stream in (sys.stdout, sys.stderr))
    output.tolerant(stdout, stderr)
    printer = output.Printer(stdout, stderr, output.Scrubber())
    return _survive(printer, lambda: _main(Path(records), sys.argv[1:] if argv is None else argv, printer))


def _survive(printer: output.Printer, run: Callable[[], int]) -> int:
    """Every end that a run can have, as an exit status."""
    try:
        return _ended(printer, run)
    finally:
        # Python looks for garbage once more before it ends: a twentieth of a second for nothing
        gc.freeze()


def _ended(printer: output.Printer, run: Callable[[], int]) -> int:
    try:
        return run()
    except HostoutError as error:
        return _refused(printer, error)
    except KeyboardInterrupt:
        return _interrupted(printer)
    except Exception as error:  # noqa: BLE001 - our own bug: shown with its traceback, secrets taken out
        printer.traceback(error)
        printer(Event("error", f"this is a bug in hostout; please report it with the lines above: {TRACKER}"))
        return BUG


def _interrupted(printer: output.Printer) -> int:
    if printer.unread:
        return UNREAD
    if printer.unwritable:
        printer(Event("error", f"the output cannot be written, so this ends here: {printer.unwritable}"))
        return UNWRITTEN
    printer(Event("error", "interrupted"))
    return INTERRUPTED


def _main(records: Path, argv: Sequence[str], printer: output.Printer) -> int:
    if cmdline.wants_json(argv):
        printer.show(RunOptions(json=True))
    call = cmdline.read(argv)
    printer.show(call.options)
    if call.shows:
        return _show(call.shows, printer)
    configuration = config.load(records)
    for line in configuration.notices():
        printer(Event("warning", line))
    if not call.words:
        return _list_hosts(configuration, printer)
    session = _session(configuration, call, printer)
    selection = session.select(call.words)
    if not selection.commands:
        return _list_commands(session, selection.hosts, printer)
    return session.run(selection)


def _session(configuration: Configuration, call: cmdline.Call, printer: output.Printer) -> Session:
    from hostout.session import Session  # noqa: PLC0415 - the list of hosts is there without

    password = os.environ.get("HOSTOUT_PASSWORD")
    if password:
        printer.scrub.register(Secret(password))
    return Session(configuration, call.options, printer, printer.report, printer.scrub.register, _reach)


def _reach(session: Session) -> Reach:
    from hostout.reach import OverSsh  # noqa: PLC0415 - Fabric, for commands that need a host only

    return OverSsh(session.configuration.local, session.options, session.emit, session.hide)


# what is shown


def _show(what: str, printer: output.Printer) -> int:
    printer(Event("listing", cmdline.help_text() if what == "help" else _version()))
    return 0


def _version() -> str:
    import importlib.metadata  # noqa: PLC0415 - only this needs it

    return f"collective.hostout {importlib.metadata.version('collective.hostout')}"


def _list_hosts(configuration: Configuration, printer: output.Printer) -> int:
    names = configuration.names
    printer(Event("listing", "\n".join([cmdline.USAGE, hosts_line(names)]), data={"hosts": list(names)}))
    return 0


def _list_commands(session: Session, hosts: Sequence[str], printer: output.Printer) -> int:
    """The listing works where a fabfile does not; the exit status says so."""
    documented = session.shared_commands(hosts)
    printer(Event("listing", "\n".join([cmdline.USAGE, *command_lines(documented)]), data={"commands": documented}))
    problems = dict.fromkeys(line for host in hosts for line in session.commands(host).problems)
    for line in problems:
        printer(Event("error", line))
    return 2 if problems else 0


def hosts_line(names: Iterable[str]) -> str:
    return " ".join(["Valid hosts are:", *names])


def command_lines(documented: Mapping[str, str]) -> list[str]:
    """A line a command, the names padded to a column; nothing behind a name without documentation."""
    width = max(map(len, documented), default=0)
    rows = (f"   {name.ljust(width)} : {doc}" if doc else f"   {name}" for name, doc in sorted(documented.items()))
    return ["Valid commands are:", *rows]


def _refused(printer: output.Printer, error: HostoutError) -> int:
    """The line of an error that ended everything, and what would have been valid."""
    printer.report(error)
    if isinstance(error, cmdline.UnknownWord):
        printer.text("\n".join(command_lines(error.valid) if error.kind == "command" else [hosts_line(error.valid)]))
    return error.status
