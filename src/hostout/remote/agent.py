"""The near side of the agent: starts it on a host, sends it requests and files, turns what it says into Events.

The protocol is told in ``hostout/agent/protocol.py``. What does not belong here: what is asked of it (``deploy``).
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.ssh_exception import SSHException

from hostout.agent import protocol
from hostout.errors import HostoutError, RemoteError
from hostout.model import Emit, Event, Facts, Json, Step
from hostout.remote import outgoing, quoting, shipping
from hostout.remote.channel import BLOCK, OUT, pieces, status
from hostout.remote.connection import Connection
from hostout.remote.outgoing import Blob
from hostout.remote.sudo import SudoUnavailable, as_user, beside, new_token

__all__ = ["Agent", "Blob", "SudoUnavailable", "Unfit", "pack_meanwhile"]

PACKAGE = Path(protocol.__file__).parent
LONGEST_LINE = protocol.LONGEST_LINE
TAIL = 20
KEPT_PIECES = 50
FAREWELL = 5.0
OVERHEAD = 64
"""Bytes of a packet that paramiko keeps for itself."""

KINDS = {
    protocol.OUT: "out",
    protocol.ERR: "err",
    protocol.RUN: "run",
    protocol.SUDO: "sudo",
    protocol.NOTE: "hostout",
    protocol.WARNING: "warning",
}
"""What the agent says, and the kind of Event that it is here."""


QUESTIONS = frozenset({"facts", "follow", "log", "releases", "status", "recorded", "would_clean", "health"})
"""Actions that leave an agent nothing to end."""

LAST = frozenset({"golive", "rollback", "restart"})
"""Actions after which nothing is stopped any more: an agent that has done one has nothing left to do."""


@dataclass(frozen=True)
class Sending:
    """A Step, and the files whose bytes follow it."""

    step: Step
    blobs: Sequence[Blob] = ()

    def announced(self) -> tuple[tuple[Blob, Json], ...]:
        """Each with what the Step says of it."""
        return tuple(zip(self.blobs, self.step.args["blobs"], strict=True)) if self.blobs else ()


class Unfit(RemoteError):
    """The agent cannot run there: ``reason`` is ``no-python``, or ``old-python`` of version ``found``."""

    def __init__(self, message: str, reason: str, found: str, *, host: str) -> None:
        super().__init__(message, host=host)
        self.reason = reason
        self.found = found


def pack_meanwhile() -> None:
    """Makes what ``Agent.start`` sends, beside whatever is done until then."""
    shipping.pack_meanwhile(PACKAGE)


class Agent:
    """A running agent. Not for two threads at once: one request after the other."""

    def __init__(self, connection: Connection, channel: paramiko.Channel, emit: Emit) -> None:
        self.connection = connection
        self.channel = channel
        self.emit = emit
        self.facts = Facts({})
        self.ready = False
        self.heard = 0.0
        self._number, self._awaited, self._uploads = 0, 0, 0
        self._begun = False
        self._overheard: list[bytes] = []
        self._sender: _Sender | None = None
        self._speaking = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._rest = b""
        self._early: list[tuple[str, bytes]] = []

    @classmethod
    def start(
        cls,
        connection: Connection,
        question: Mapping[str, Json],
        *,
        become: bool,
        emit: Emit,
        package: Path = PACKAGE,
    ) -> Agent:
        """Starts the agent, as root where ``become``, and waits for its facts.

        Raises SudoUnavailable, Unfit, RemoteError (it does not start) or ConnectionFailed.
        """
        program = shipping.program(package, question, through_sudo=become and connection.user != "root")
        agent = cls(connection, connection.create_session(), emit)
        try:
            agent._begin(program, become)
        except BaseException:
            agent.channel.close()
            raise
        return agent

    def request(self, step: Step, blobs: Sequence[Blob] = (), *, after: Sequence[Sending] = ()) -> Json:
        """Has a Step done; sends the announced bytes of ``blobs`` behind it. Returns its result.

        ``after``: what is done right before it, in the same round trip; where one of these fails, nothing that follows
        is begun, and that failure is raised. Events are emitted as they come. Raises RemoteError when a Step fails or a
        file changed since it was hashed, ConnectionFailed when the host is lost.
        """
        requests = [*after, Sending(step, blobs)]
        sent = [blob for each in requests for blob in each.blobs]
        _check(sent)
        sender = self._send(requests)
        try:
            result = self._finish(requests)
        except KeyboardInterrupt:
            self._cancel(sender)
            raise
        except HostoutError as error:
            if sender.failure is not None:
                raise sender.failure from error
            if isinstance(error, RemoteError) and self._awaited <= self._uploads:
                # what arrived may not be what was announced because it is not any more
                _check(sent)
            raise
        if sender.failure is not None:
            # the end of the channel was taken for that of the bytes, and the answer was on its way already
            raise sender.failure
        return result

    def _finish(self, requests: Sequence[Sending]) -> Json:
        """The answer to the last of them."""
        first = self._number - len(requests) + 1
        for number, each in enumerate(requests, first):
            self._awaited = number
            result = self._answer()
            self._begun = self._begun and each.step.do not in LAST
        return result

    @property
    def gone(self) -> bool:
        """Whether nothing can be asked of it any more: it was left alone, or lost."""
        return bool(self.channel.closed)

    def close(self) -> None:
        """Ends the agent; one that has begun something is waited for, as it may have to start what it stopped."""
        if not self._begun or (self._sender is not None and self._sender.is_alive()):
            self.channel.close()
            return
        with contextlib.suppress(OSError, EOFError, SSHException):  # it is gone already
            self.channel.shutdown_write()
            self.channel.settimeout(FAREWELL)
            while self.channel.recv(BLOCK):
                pass
        self.channel.close()

    # -- starting

    def _begin(self, program: shipping.Program, become: bool) -> None:
        token = new_token()
        argv = as_user("root", token, program.argv) if become else list(program.argv)
        if program.beside:
            argv = beside(program.beside, argv)
        with self.connection.alive():
            self.channel.exec_command(quoting.join(argv))
        if become:
            out, err = self.connection.become(self.channel, token)
            self._early = [(OUT, out), ("err", err)]
        for message in self._messages(limit=self.connection.around.limits.start, later=program.later):
            if self._is_first(message):
                return
        raise self._ended()

    def _is_first(self, message: Json) -> bool:
        """Whether the agent is ready; what a login shell prints before is not for us."""
        kind = message["event"]
        if kind == "unfit":
            raise self._unfit(message)
        if kind == protocol.FAILED:
            self._result(message)
        if kind == protocol.READY:
            self.facts, self.ready, self.heard = Facts(message["facts"]), True, time.time()
            _Heartbeat(self.channel, self._speaking).start()
        return self.ready

    def _unfit(self, message: Json) -> Unfit:
        wanted = ".".join(map(str, shipping.OLDEST))
        found = str(message.get("found", ""))
        text = (
            f"the Python there is {found}, {wanted} is needed" if found else f"there is no Python ({wanted} is needed)"
        )
        return Unfit(text, str(message["reason"]), found, host=self.connection.part)

    # -- hearing

    def _messages(self, limit: float | None = None, later: bytes = b"") -> Iterator[Json]:
        """The messages of the agent until it ends. ``later`` is sent when the loader asks for it."""
        try:
            for line in self._lines(limit):
                if later and line.strip() == shipping.SEND.encode():
                    self.channel.sendall(later)
                elif (message := _message(line)) is not None:
                    yield message
                elif self.ready:
                    self.emit(Event("out", line.decode("utf-8", "replace"), self.connection.label))
                else:
                    # why it does not start, perhaps: no shell for this user, a password that has expired
                    self._overheard = [*self._overheard, line + b"\n"][-KEPT_PIECES:]
        except TimeoutError:
            raise self._error(f"nothing was heard of the agent for {limit:.0f} s") from None
        except (OSError, EOFError, SSHException) as error:
            raise self.connection.lost() from error

    def _lines(self, limit: float | None) -> Iterator[bytes]:
        # what came behind the answer to the last request waits here
        while self._waiting:
            yield self._waiting.popleft()
        for stream, data in self._pieces(limit):
            if stream == OUT:
                *whole, self._rest = (self._rest + data).split(b"\n")
                self._waiting.extend(whole)
            else:
                self._overheard = [*self._overheard, data][-KEPT_PIECES:]
            if len(self._rest) > LONGEST_LINE:
                raise self._error("the agent sent a line without end")
            while self._waiting:
                yield self._waiting.popleft()

    def _pieces(self, limit: float | None) -> Iterator[tuple[str, bytes]]:
        while self._early:
            yield self._early.pop(0)
        yield from pieces(self.channel, limit)

    def _emit(self, message: Json) -> None:
        kind = KINDS.get(message["event"])
        if kind is not None:
            self.emit(Event(kind, str(message.get("text", "")), self.connection.label))

    def _result(self, message: Json) -> Json:
        if message["event"] == protocol.DONE:
            return message.get("result", {})
        raise RemoteError(
            str(message.get("message", "failed")),
            host=self.connection.part,
            command=str(message.get("command") or ""),
            tail=[str(line) for line in message.get("tail") or ()],
            log=str(message.get("log") or ""),
            strays=[str(name) for name in message.get("strays") or ()],
        )

    # -- sending

    def _send(self, requests: Sequence[Sending]) -> _Sender:
        """Begins to send beside the reading, so that neither side waits for the other."""
        if self._sender is not None:
            # the agent passes over what a failed request still had to send, but has to get it
            self._sender.join()
        said = []
        for at, each in enumerate(requests):
            step = each.step
            self._begun = self._begun or step.do not in QUESTIONS
            follows = {"after": self._number} if at else {}
            self._number += 1
            args = {**step.args, **shipping.later(PACKAGE, step.do)}
            request = protocol.encode({"id": self._number, "do": step.do, "args": args, **follows})
            said.append((request, each.announced()))
            if each.blobs:
                self._uploads = self._number
        self._sender = _Sender(self.channel, said, self._speaking)
        self._sender.start()
        return self._sender

    def _answer(self, limit: float | None = None) -> Json:
        """The answer to the request that is awaited."""
        for message in self._messages(limit):
            if message["event"] in (protocol.DONE, protocol.FAILED):
                if message.get("id") in (self._awaited, None):
                    return self._result(message)
            else:
                self._emit(message)
        raise self._ended()

    def _cancel(self, sender: _Sender) -> None:
        """The user wants no more: a build or command there is ended, and what it says last is shown.

        In the middle of an upload the agent is left alone: it would hear us behind the last byte only, and many of
        them may wait on this side of a slow line when all are sent. What is behind the upload is not begun then.
        """
        uploading = self._awaited <= self._uploads
        if sender.is_alive() or (uploading and not self.channel.send_ready()):
            self.channel.close()
            return
        with contextlib.suppress(HostoutError, OSError, EOFError, SSHException):  # it ends one way or the other
            with self._speaking:
                self.channel.sendall(protocol.encode({"do": protocol.CANCEL}))
            if not uploading:
                self._awaited = self._number
                self._answer(FAREWELL)
        if uploading:
            self.channel.close()

    # -- ending

    def _ended(self) -> Exception:
        """Why the agent ended before it was to."""
        code = status(self.channel)
        # the host's word for that may still be on its way, and whoever goes on asks whether it is gone
        self.channel.close()
        if code == -1 and self.connection.broke():
            return self.connection.lost()
        how = "by a signal" if code == -1 else f"with status {code}"
        return self._error(f"the agent ended {how}" if self.ready else f"the agent did not start: it ended {how}")

    def _error(self, text: str) -> RemoteError:
        said = b"".join(self._overheard).decode("utf-8", "replace").splitlines()
        return RemoteError(text, host=self.connection.part, tail=[line for line in said if line.strip()][-TAIL:])


class _Sender(threading.Thread):
    """Sends requests, and behind each the bytes that it announced, by blob.

    ``failure`` is what went wrong on this side of the wire.
    """

    def __init__(
        self,
        channel: paramiko.Channel,
        requests: Sequence[tuple[bytes, Sequence[tuple[Blob, Json]]]],
        speaking: threading.Lock,
    ) -> None:
        super().__init__(daemon=True, name="hostout-sender")
        self.channel = channel
        self.speaking = speaking
        self.requests = requests
        self.failure: RemoteError | None = None

    def run(self) -> None:
        with self.speaking:
            self._send_all()

    def _send_all(self) -> None:
        try:
            for request, blobs in self.requests:
                self.channel.sendall(request)
                for blob, announcement in blobs:
                    self._send(blob, announcement)
        except RemoteError as error:
            # what the host waits for will not come: the channel is of no use any more
            self.failure = error
            self.channel.close()
        except (OSError, EOFError, SSHException):
            # the connection: whoever reads notices
            return

    def _send(self, blob: Blob, announcement: Json) -> None:
        due = protocol.due(announcement)
        for block in self._blocks(blob, announcement):
            due -= len(block)
            if due < 0:
                raise outgoing.changed(blob)
            self.channel.sendall(block)
        if due:
            raise outgoing.changed(blob)

    def _blocks(self, blob: Blob, announcement: Json) -> Iterator[bytes]:
        """What is sent of it, in packets as large as the host takes them: what is larger would be copied and cut."""
        if announcement.get("packed"):
            return outgoing.packed(blob)
        packet = max(self.channel.out_max_packet_size - OVERHEAD, 1)
        return outgoing.blocks(blob, int(announcement.get("offset", 0)), packet)


class _Heartbeat(threading.Thread):
    """Says between requests that we are still here, until the channel is closed; see ``agent/protocol.py``."""

    def __init__(self, channel: paramiko.Channel, speaking: threading.Lock) -> None:
        super().__init__(daemon=True, name="hostout-heartbeat")
        self.channel = channel
        self.speaking = speaking

    def run(self) -> None:
        with contextlib.suppress(OSError, EOFError, SSHException):  # it ends with the channel
            while not self.channel.closed:
                time.sleep(protocol.HEARTBEAT)
                # bytes of an upload say the same
                if not self.speaking.locked():
                    with self.speaking:
                        self.channel.sendall(b"\n")


def _check(blobs: Sequence[Blob]) -> None:
    for blob in blobs:
        outgoing.check(blob)


def _message(line: bytes) -> Json | None:
    """The message of a line; ``None`` for anything else."""
    if not line.lstrip().startswith(b"{"):
        return None
    with contextlib.suppress(ValueError):
        message = json.loads(line)
        if isinstance(message, dict) and isinstance(message.get("event"), str):
            return message
    return None
