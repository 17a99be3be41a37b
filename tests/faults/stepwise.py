"""Runs ``bin/hostout`` and lets something happen at an exact place of its way: between two Steps, or in an upload.

    python stepwise.py bin/hostout host1 deploy

``FAULTS_STEPS`` is a file that the names of all Steps go to. ``FAULTS_KILL=3`` kills the process behind the third
request (0: the question is answered, nothing was requested yet). ``FAULTS_UPLOAD=die:100000`` kills it when so many
bytes of files were sent; ``FAULTS_UPLOAD=flip:100000`` changes, then, what follows in the file that is being sent.

Runs with the Python of the buildout, and imports nothing of the tests. What does not belong here: any other change to
what the script does.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def main(script: Path, words: list[str]) -> None:
    code = compile(script.read_text(), str(script), "exec")
    # puts what the script needs on the path
    exec(code, {"__name__": "prelude", "__file__": str(script)})
    at_steps()
    at_uploads()
    sys.argv = [str(script), *words]
    exec(code, {"__name__": "__main__", "__file__": str(script)})


def at_steps() -> None:
    """Counts requests, and dies behind one of them."""
    from hostout.remote.agent import Agent  # noqa: PLC0415 - the script says where it lies

    steps, last = os.environ.get("FAULTS_STEPS", os.devnull), int(os.environ.get("FAULTS_KILL", -1))
    request, count = Agent.request, 0

    def counted(agent: Any, step: Any, *args: Any, **more: Any) -> Any:
        nonlocal count
        if count == last:
            die()
        result = request(agent, step, *args, **more)
        count += 1
        with Path(steps).open("a") as file:
            file.write(f"{step.do}\n")
        if count == last:
            die()
        return result

    setattr(Agent, "request", counted)  # noqa: B010 - what we do is not what its type says


def at_uploads() -> None:
    """Lets something happen in the middle of what is sent."""
    from hostout.remote import agent  # noqa: PLC0415

    what, _, after = os.environ.get("FAULTS_UPLOAD", "").partition(":")
    blocks, sent = agent._Sender._blocks, 0

    def watched(sender: Any, blob: Any, announcement: Any) -> Iterator[bytes]:
        nonlocal sent, what
        at = int(announcement.get("offset", 0))
        for block in blocks(sender, blob, announcement):
            for start in range(0, len(block), 4096):
                if what and sent >= int(after):
                    happens(what, blob, at)
                    what = ""
                piece = block[start : start + 4096]
                yield piece
                at, sent = at + len(piece), sent + len(piece)

    if what:
        setattr(agent._Sender, "_blocks", watched)  # noqa: B010


def happens(what: str, blob: Any, at: int) -> None:
    """``die``, or ``flip`` the bytes that follow: the block that was read already is sent as it was."""
    if what == "die":
        die()
    with Path(blob.path).open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 0xFF]))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
