"""Events → what people and scripts read: plain lines, or JSON lines; with every known secret taken out.

Without a terminal the plain lines are the interface that scripts rely on. What does not belong here: deciding
what is said (whoever emits the Event does), and asking questions (``terminal``).
"""

from __future__ import annotations

import _thread
import contextlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TextIO

from hostout.errors import Aborted, ConfigurationError, HostoutError, NotReady, RemoteError
from hostout.model import Event, Json, RunOptions, Secret

FROM_HOST = frozenset({"out", "err", "run", "sudo"})
ON_STDERR = frozenset({"warning", "error", "aborted"})
QUIET = frozenset({"out", "err", "listing"}) | ON_STDERR - {"warning"}
"""What ``--quiet`` still prints."""

SHORTEST_SECRET = 4
"""A shorter value would turn ordinary words into asterisks, and say so which letters it has."""

SPECIAL_IN_DOUBLE_QUOTES = re.compile(r'([\\"$`])')

HIDDEN = "***"


class Scrubber:
    """Takes known secrets out of text: the last resort, behind everything that keeps them out of it."""

    def __init__(self) -> None:
        self._values: tuple[str, ...] = ()

    def register(self, secret: Secret) -> None:
        """From now on this value, line by line and as a shell would quote it, is never printed."""
        lines = [line for line in secret.reveal().splitlines() if len(line.strip()) >= SHORTEST_SECRET]
        forms = {form for line in lines for form in _forms(line)}
        self._values = tuple(sorted({*self._values, *forms}, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return text

    def event(self, event: Event) -> Event:
        """The Event without secrets. Who logs in where stays: a user called like the password gives nothing away."""
        if event.kind == "login" or not self._values:
            return event
        return replace(event, text=self(event.text), data=self._json(event.data))

    def _json(self, value: Json) -> Json:
        if isinstance(value, Mapping):
            return {name: self._json(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._json(item) for item in value]
        return self(value) if isinstance(value, str) else value


def _forms(text: str) -> Iterator[str]:
    """A text as it is printed: as it is, and within a shell line, which may be quoted for another shell."""
    yield repr(text)[1:-1]
    for line in (text, *_within_quotes(text)):
        yield from (line, *_within_quotes(line))


def _within_quotes(text: str) -> tuple[str, str]:
    return text.replace("'", "'\"'\"'"), SPECIAL_IN_DOUBLE_QUOTES.sub(r"\\\1", text)


def plain(event: Event) -> list[str]:
    """The lines of an Event as they are printed without a terminal."""
    if event.kind in FROM_HOST:
        return [f"[{event.host}] {event.kind}: {line}" for line in event.text.split("\n")]
    if event.kind == "login":
        heading = f"Logging into the following hosts as {event.data['user']}:"
        return [heading, *(f"    {host}" for host in event.data["hosts"])]
    if event.kind in ("line", "listing"):
        of_host = f"[{event.host}] " if event.host and event.kind == "listing" else ""
        return [of_host + line for line in event.text.split("\n")]
    if event.kind in FIXED:
        return [FIXED[event.kind]]
    return _said(event)


FIXED = {"done": "Done.", "aborted": "Hostout aborted"}


def _said(event: Event) -> list[str]:
    """``Hostout: text``, of warnings and errors ``Hostout: [host1] text``; further lines are indented below."""
    first, *further = event.text.split("\n")
    label = f"[{event.host}] "
    if event.host and event.kind in ON_STDERR and not first.startswith(label):
        first = label + first
    warning = "warning: " if event.kind == "warning" else ""
    return [f"Hostout: {warning}{first}", *(f"    {line}" for line in further)]


def as_json(event: Event) -> str:
    """The Event as one JSON object in one line."""
    fields = {"event": event.kind, "text": event.text, "host": event.host, **event.data}
    return json.dumps({name: value for name, value in fields.items() if value != ""}, default=str)


def explained(error: HostoutError) -> list[Event]:
    """What people are told about an error: all that is wrong in a configuration or on a host, a command's end."""
    host = error.host or ""
    if isinstance(error, (ConfigurationError, NotReady)):
        return [Event("error", problem, host) for problem in error.problems]
    if isinstance(error, RemoteError):
        return [Event("error", "\n".join(_failure(error)), host, {"command": error.command, "log": error.log})]
    events = [Event("error", error.message, host)] if error.message else []
    return [*events, Event("aborted", host=host)] if isinstance(error, Aborted) else events


def _failure(error: RemoteError) -> Iterable[str]:
    yield error.message
    if error.command and error.command not in error.message:
        yield f"command: {error.command}"
    yield from error.tail
    if error.log:
        yield f"the whole log on the host: {error.log}"


class Printer:
    """An Emit: writes Events to two streams, one after the other whatever thread they come from.

    When nobody reads the output any more (``| head``), ``unread`` is set and the main thread is interrupted as by
    Ctrl-C, so that whatever runs is ended the same way. So it is when it cannot be written; ``unwritable`` says why.
    """

    def __init__(self, stdout: TextIO, stderr: TextIO, scrub: Scrubber) -> None:
        self.stdout = stdout
        self.stderr = stderr
        self.scrub = scrub
        self.quiet = False
        self.json = False
        self.verbose = False
        self.unread = False
        self.unwritable = ""
        self._lock = threading.RLock()

    def show(self, options: RunOptions) -> None:
        """How much is shown, and how."""
        self.quiet, self.json, self.verbose = options.quiet, options.json, options.verbose

    def __call__(self, event: Event) -> None:
        event = self.scrub.event(event)
        with self._lock:
            if self.json:
                self._write(self.stdout, [as_json(event)])
            if event.kind in ON_STDERR:
                self._write(self.stderr, self._shown(event))
            elif not self.json:
                self._write(self.stdout, self._shown(event))

    def _shown(self, event: Event) -> list[str]:
        return [] if self.quiet and event.kind not in QUIET else plain(event)

    def report(self, error: HostoutError) -> None:
        """Says what went wrong; ``verbose``: with the traceback of a fabfile that failed."""
        for event in explained(error):
            self(event)
        if self.verbose and error.__cause__ is not None:
            self.traceback(error.__cause__)

    def traceback(self, error: BaseException) -> None:
        """An error as Python shows it."""
        import traceback  # noqa: PLC0415 - a listing does not need it

        self.text("".join(traceback.format_exception(error)))

    def text(self, text: str) -> None:
        """Text of any length for people, to standard error (a traceback, say)."""
        with self._lock:
            self._write(self.stderr, self.scrub(text).rstrip("\n").split("\n"))

    def _write(self, stream: TextIO, lines: list[str]) -> None:
        if not lines:
            return
        _waits(stream)
        try:
            stream.write("\n".join(lines) + "\n")
            stream.flush()
        except OSError as error:
            self._give_up(stream, error)

    def _give_up(self, stream: TextIO, error: OSError) -> None:
        """What follows goes nowhere; the main thread ends as after Ctrl-C."""
        _to_nowhere(stream)
        if self.unread or self.unwritable:
            return
        if isinstance(error, BrokenPipeError):
            self.unread = True
        else:
            self.unwritable = error.strerror or str(error)
        _interrupt_main_thread()


def _waits(stream: TextIO) -> None:
    """A pipe that is full is waited for: whoever shares it with us (ssh as a ProxyCommand) may have it fail instead."""
    with contextlib.suppress(OSError, ValueError):  # no file, or closed: writing says so
        if not os.get_blocking(stream.fileno()):
            os.set_blocking(stream.fileno(), True)


def _to_nowhere(stream: TextIO) -> None:
    """Points the stream's descriptor at the null device, so that a later flush (Python's own, at exit) succeeds."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _interrupt_main_thread() -> None:
    if threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt
    _thread.interrupt_main()


def tolerant(*streams: TextIO) -> None:
    """What a stream's encoding cannot say is written as an escape, never an error (ASCII terminals, odd bytes)."""
    for stream in streams:
        reconfigure: Callable[..., None] | None = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
