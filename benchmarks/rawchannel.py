"""The quickest way of the SSH library that hostout uses: a file on a raw channel into ``cat``. Run by ``sending.py``.

    python rawchannel.py ADDRESS KEY FILE TARGET [COMMAND]

``COMMAND`` gets the name of the file when that is there: ``sync`` waits for the disk.

What does not belong here: host keys are not looked at, the file there is not checked: a measure, no example.
"""

from __future__ import annotations

import shlex
import socket
import sys
from pathlib import Path

import paramiko

BLOCK = 1 << 15
WINDOW, PACKET = 1 << 27, 1 << 18
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr")


def main(address: str, key: str, file: str, target: str, behind: str = "true") -> int:
    """Sends the file; gives the exit status of ``cat``, and of ``behind`` with the file's name."""
    with socket.create_connection((address, 22), 10) as line:
        transport = paramiko.Transport(line, default_window_size=WINDOW, default_max_packet_size=PACKET)
        transport.get_security_options().ciphers = CIPHERS
        transport.start_client(timeout=10)
        transport.auth_publickey("root", paramiko.PKey.from_path(key))
        try:
            return send(transport.open_session(), Path(file), shlex.quote(target), behind)
        finally:
            transport.close()


def send(channel: paramiko.Channel, file: Path, target: str, behind: str) -> int:
    """The file into ``cat``."""
    channel.exec_command(f"cat > {target} && {behind} {target}")
    with file.open("rb") as content:
        while block := content.read(BLOCK):
            channel.sendall(block)
    channel.shutdown_write()
    return channel.recv_exit_status()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
