"""Files and folders to and from a host, over SFTP.

Every file is written to a temporary name beside its place and renamed, so that nobody ever meets half a file. Modes and
links are kept. What does not belong here: what is copied, and what is remembered of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import paramiko
from paramiko.sftp import CMD_EXTENDED, CMD_EXTENDED_REPLY
from paramiko.ssh_exception import SSHException

from hostout.errors import HostoutError, RemoteError
from hostout.model import Event

if TYPE_CHECKING:
    from hostout.remote.connection import Connection

PERMISSIONS = 0o777
BLOCK = 1 << 15
PACKETS, OVERHEAD = 4, 400
"""How many packets of the connection a request of an upload fills where the host takes that (more is slower there), and
the bytes of each that are left for what stands around a block; a file's handle is up to 256."""

UNSAID = "the host says only that it failed"

LIMITS, WORTH_ASKING = "limits@openssh.com", 1 << 20
"""The request that tells how much a host takes (see the file PROTOCOL of OpenSSH), and how large a file has to be for
that, in bytes."""

FAILURE, NOT_WRITTEN = "Failure", "it cannot be written: is the disk full?"
"""All that OpenSSH says of most mistakes (version 3 of SFTP knows no more), and what to say of it where bytes are
written: a disk or quota is full."""

WINDOW = 1 << 24
"""How many bytes of a download are asked for at once, in requests of ``BLOCK``; so many may wait in memory."""


def put(connection: Connection, local: str | Path, remote: str) -> str:
    """Copies a file or a folder to the host; returns the path that it has there.

    ``remote`` is relative to the home of the login user unless absolute. Where it names an existing folder (or ends in
    ``/``) the copy goes into it under its own name, as ``cp -r`` does, but a folder onto one of the same name: a second
    ``put`` of it brings it up to date. A link to a file stays, the file is replaced. Raises RemoteError with one line,
    ConnectionFailed when the host is lost.
    """
    local = Path(local)
    if not local.exists() and not local.is_symlink():
        raise RemoteError(f"put: there is no {local} here", host=connection.part)
    with _explained(connection, "put", remote), connection.files() as sftp:
        target = _place(sftp, remote, local)
        connection.say("put", " -> ".join((str(local), target)))
        _Upload(connection, sftp).anything(local, target)
    return target


def get(connection: Connection, remote: str, local: str | Path) -> Path:
    """Copies a file or a folder from the host; returns the path that it has here. The mirror of ``put``."""
    with _explained(connection, "get", remote), connection.files() as sftp:
        found = sftp.stat(remote)
        target = Path(local)
        name = posixpath.basename(posixpath.normpath(remote))
        onto = stat.S_ISDIR(found.st_mode or 0) and target.name == name
        if str(local).endswith("/") or (target.is_dir() and not onto):
            target = target / name
        connection.say("get", " -> ".join((remote, str(target))))
        _Download(connection, sftp).anything(remote, found, target)
    return target


def _place(sftp: paramiko.SFTPClient, remote: str, local: Path) -> str:
    """The path that a copy gets, with a link to a file followed."""
    name = local.resolve().name
    onto = local.is_dir() and posixpath.basename(remote) == name
    if remote.endswith("/") or (_is_folder(sftp, remote) and not onto):
        remote = posixpath.join(remote, name)
    return (sftp.normalize(remote) or remote) if _is_link_to_file(sftp, remote) else remote


def _is_link_to_file(sftp: paramiko.SFTPClient, path: str) -> bool:
    try:
        return stat.S_ISLNK(sftp.lstat(path).st_mode or 0) and stat.S_ISREG(sftp.stat(path).st_mode or 0)
    except OSError:
        # not there, or a link to nowhere, which is replaced
        return False


def _is_folder(sftp: paramiko.SFTPClient, path: str) -> bool:
    try:
        return stat.S_ISDIR(sftp.stat(path).st_mode or 0)
    except OSError:
        # not there, or not to be seen: what is done next says which
        return False


def _exists(sftp: paramiko.SFTPClient, path: str) -> bool:
    try:
        sftp.lstat(path)
    except OSError:
        return False
    return True


def _write(target: paramiko.SFTPFile, data: bytes) -> None:
    try:
        target.write(data)
    except OSError as error:
        if error.args != (FAILURE,):
            raise
        raise OSError(errno.EIO, NOT_WRITTEN) from error


def _temporary(name: str) -> str:
    # not longer than any file system takes, in bytes
    return f".hostout-{secrets.token_hex(4)}-" + name.encode("utf-8", "replace")[:150].decode("utf-8", "ignore")


@contextmanager
def _explained(connection: Connection, verb: str, remote: str) -> Iterator[None]:
    """Whatever goes wrong is one line, and a lost connection is one."""
    try:
        yield
    except HostoutError:
        raise
    except UnicodeError as error:
        # what was no UTF-8 in a name: SFTP knows nothing else
        name = repr(error.object) if isinstance(error, (UnicodeEncodeError, UnicodeDecodeError)) else remote
        raise RemoteError(f"{verb}: the name {name} is not UTF-8", host=connection.part) from error
    except (OSError, EOFError, SSHException) as error:
        if connection.broke(error):
            raise connection.lost() from error
        raise RemoteError(f"{verb}: {_reason(error, remote)}", host=connection.part) from error


def _reason(error: Exception, remote: str) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no {error.filename or remote}"
    if isinstance(error, PermissionError):
        return f"no permission for {error.filename or remote}"
    text = error.strerror if isinstance(error, OSError) else None
    said = " ".join(map(str, error.args))
    return f"{getattr(error, 'filename', None) or remote}: {text or (UNSAID if said == FAILURE else said)}"


class _Upload:
    """Copies one thing to the host."""

    def __init__(self, connection: Connection, sftp: paramiko.SFTPClient) -> None:
        self.connection = connection
        self.sftp = sftp

    def anything(self, local: Path, remote: str, *, top: bool = True) -> None:
        """A file, a folder, or (below the top) a link as it is."""
        if local.is_symlink() and not top:
            self._replace(remote, lambda name: self.sftp.symlink(os.fspath(local.readlink()), name))
        elif local.is_dir():
            self._folder(local, remote)
        elif local.is_file():
            self._file(local, remote)
        else:
            _skip(self.connection, local)

    def _folder(self, local: Path, remote: str) -> None:
        with _about(remote):
            if not _is_folder(self.sftp, remote):
                self._make_folder(remote)
        for entry in sorted(local.iterdir()):
            self.anything(entry, posixpath.join(remote, entry.name), top=False)
        with _about(remote):
            self.sftp.chmod(remote, _mode(local.stat()))

    def _make_folder(self, remote: str) -> None:
        try:
            self.sftp.mkdir(remote)
        except OSError as error:
            if _exists(self.sftp, remote):
                raise NotADirectoryError(errno.ENOTDIR, "is there and is no folder", remote) from error
            raise

    def _file(self, local: Path, remote: str) -> None:
        def write(name: str) -> None:
            with local.open("rb") as source:
                size = self._content(source, name)
                if self.sftp.stat(name).st_size != size:
                    raise OSError(errno.EIO, NOT_WRITTEN, remote)
                self.sftp.chmod(name, _mode(os.fstat(source.fileno())))

        self._replace(remote, write)

    def _content(self, source: BinaryIO, name: str) -> int:
        """Writes the new file ``name``; returns its length in bytes.

        Requests fill packets: one as large as paramiko's own would go in two, a large one and a tiny one.
        """
        channel = self.sftp.get_channel()
        packet = channel.out_max_packet_size if channel else BLOCK
        large = os.fstat(source.fileno()).st_size > WORTH_ASKING and self._largest >= PACKETS * packet
        block = max((PACKETS if large else 1) * packet - OVERHEAD, 1)
        with self.sftp.open(name, "wb") as target:
            target.MAX_REQUEST_SIZE = block
            data = source.read(block)
            while data:
                following = source.read(block)
                # with the last one, the answers to all are waited for: a block in the middle may have failed
                target.set_pipelined(bool(following))
                _write(target, data)
                data = following
        return source.tell()

    @cached_property
    def _largest(self) -> int:
        """Bytes that may be written at once; 0 where the host does not say."""
        sftp: Any = self.sftp
        try:
            kind, answer = sftp._request(CMD_EXTENDED, LIMITS)
        except OSError:
            # it does not know the question
            return 0
        if kind != CMD_EXTENDED_REPLY:
            return 0
        _packet, _read, write = (answer.get_int64() for _ in range(3))
        return int(write)

    def _replace(self, remote: str, write: _Write) -> None:
        """Writes to a temporary name and renames; nothing is left when that fails."""
        folder, name = posixpath.split(remote)
        temporary = posixpath.join(folder, _temporary(name))
        with _about(remote):
            try:
                write(temporary)
                self._rename(temporary, remote)
            except BaseException as error:
                if isinstance(error, FileNotFoundError) and error.filename is None:
                    # what is missing is the folder that it was to come into
                    error.filename = folder or remote
                with contextlib.suppress(OSError, EOFError, SSHException):  # the first error is the one to tell
                    self.sftp.remove(temporary)
                raise

    def _rename(self, old: str, new: str) -> None:
        """Over what is there, in one step; a server that cannot do that gets two."""
        try:
            self.sftp.posix_rename(old, new)
        except OSError as error:
            if "unsupported" not in str(error).lower():
                raise self._why_not(error, new) from error
            with contextlib.suppress(FileNotFoundError):
                self.sftp.remove(new)
            self.sftp.rename(old, new)

    def _why_not(self, error: OSError, new: str) -> OSError:
        """What the server may not have said."""
        if _is_folder(self.sftp, new):
            return IsADirectoryError(errno.EISDIR, "is a folder there", new)
        return error


class _Ahead(paramiko.SFTPFile):
    """A file of which whole windows are asked for before the first block is read.

    paramiko asks in a thread of its own, for which every answer that comes early waits in a busy loop: on a fast line
    that made downloads fifty times slower.
    """

    def _start_prefetch(self, chunks: Sequence[tuple[int, int]], max_concurrent_requests: int | None = None) -> None:
        self._prefetching = True
        self._prefetch_done = False
        paramiko_file: Any = self
        paramiko_file._prefetch_thread(chunks, None)


class _Download:
    """Copies one thing from the host, which is not trusted with names."""

    def __init__(self, connection: Connection, sftp: paramiko.SFTPClient) -> None:
        self.connection = connection
        self.sftp = sftp

    def anything(self, remote: str, found: paramiko.SFTPAttributes, local: Path) -> None:
        """A file, a folder, or a link as it is."""
        mode = found.st_mode or 0
        if stat.S_ISLNK(mode):
            target = self.sftp.readlink(remote) or ""
            self._replace(local, lambda name: name.symlink_to(target))
        elif stat.S_ISDIR(mode):
            self._folder(remote, mode, local)
        elif stat.S_ISREG(mode):
            self._file(remote, found, local)
        else:
            _skip(self.connection, remote)

    def _folder(self, remote: str, mode: int, local: Path) -> None:
        if local.is_symlink() or not local.is_dir():
            local.mkdir(mode=0o700, parents=True)
        seen: set[str] = set()
        for entry in sorted(self.sftp.listdir_attr(remote), key=lambda e: e.filename):
            _trust(entry.filename, seen)
            self.anything(posixpath.join(remote, entry.filename), entry, local / entry.filename)
        local.chmod(mode & PERMISSIONS)

    def _file(self, remote: str, found: paramiko.SFTPAttributes, local: Path) -> None:
        def write(name: Path) -> None:
            with self.sftp.open(remote, "rb") as source, name.open("xb") as target:
                source.__class__ = _Ahead
                for window in _windows(found.st_size or 0):
                    target.writelines(source.readv(window))
                if target.tell() != (found.st_size or 0):
                    raise OSError(errno.EIO, "changed while it was copied", remote)
            name.chmod((found.st_mode or 0o644) & PERMISSIONS)

        local.parent.mkdir(parents=True, exist_ok=True)
        self._replace(local, write)

    def _replace(self, local: Path, write: _WriteHere) -> None:
        temporary = local.with_name(_temporary(local.name))
        try:
            write(temporary)
            temporary.replace(local)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


if TYPE_CHECKING:
    from collections.abc import Callable

    _Write = Callable[[str], object]
    _WriteHere = Callable[[Path], object]


def _windows(size: int) -> Iterator[list[tuple[int, int]]]:
    """(offset, length) of all blocks of a file, in groups that are asked for together."""
    for start in range(0, size, WINDOW):
        end = min(start + WINDOW, size)
        yield [(at, min(BLOCK, end - at)) for at in range(start, end, BLOCK)]


def _trust(name: str, seen: set[str]) -> None:
    """A host must not lead us out of the folder that we fill."""
    if "/" in name or name in ("", ".", "..") or name in seen:
        raise RemoteError(f"get: the host names a file {name!r}")
    seen.add(name)


def _mode(found: os.stat_result) -> int:
    return stat.S_IMODE(found.st_mode) & PERMISSIONS


@contextmanager
def _about(path: str) -> Iterator[None]:
    """SFTP's errors do not say which file they are about."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = path
        raise


def _skip(connection: Connection, path: object) -> None:
    connection.emit(Event("warning", f"{path} is neither a file nor a folder nor a link: left out", connection.label))
