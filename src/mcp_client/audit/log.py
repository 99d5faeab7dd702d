"""The audit log: JSON lines that only grow, each bound to the one before it.

``prev`` of a record is the SHA-256 of the line before, over rotated files too, so that a changed, removed
or inserted line shows. It is no proof against someone who may write the file and computes the chain anew,
or who cuts records off the end: for that, ship the lines elsewhere.

Writers take an exclusive flock(2) on the file itself and append with one write(2). A process killed in
between leaves at most one torn line, which the next writer closes and :meth:`AuditLog.verify` reports.
"""

from __future__ import annotations

import errno
import os
import stat
import time

from mcp_client import system
from mcp_client.errors import MCPError, printable
from mcp_client.light import TYPE_CHECKING, NamedTuple, sha256
from mcp_client.plainjson import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from mcp_client.config.settings import AuditSettings

_LOCK_SECONDS = 10.0
_BLOCK = 8192
_MAX_PROBLEMS = 100
_MODE = 0o600
_LINK = len(',"prev":"sha256:') + 64 + len('"}\n')
_FLAGS = system.O_CLOEXEC | system.O_NOFOLLOW | system.O_NONBLOCK


class VerifiedChain(NamedTuple):
    """How many records were read, and what does not hold together: file, line and reason."""

    records: int
    problems: tuple[str, ...]


class AuditLog:
    """The log in ``settings.file`` and its rotated files, ``.1`` (the newest) to ``.keep``."""

    def __init__(self, settings: AuditSettings) -> None:
        self._file = settings.file
        self._max_size = settings.max_size
        self._keep = max(1, settings.keep)

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record with its ``prev``; raises ``audit-unwritable`` and then leaves the log as it was.

        Waits at most ten seconds for another writer. The record is in the kernel's hands afterwards: it
        outlives this process, but not a power cut in the next seconds.
        """
        try:
            own = {key: value for key, value in record.items() if key != "prev"}
            body = dumps({**own, "prev": None})
            self._make_folder()
            fd = self._open_to_write(len(body) + _LINK)
            try:
                self._write(fd, body)
            finally:
                os.close(fd)
        except (OSError, ValueError, TypeError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise MCPError(
                "audit-unwritable",
                f"cannot write the audit log {printable(self._file)}: {reason}",
                hint="mend its permissions or free space, or set audit.file; nothing runs without a record",
                details={"file": printable(self._file)},
            ) from error

    def verify(self) -> VerifiedChain:
        """Follow the chain from the oldest file on. Problems are reported, never raised."""
        walk = _Walk()
        try:
            fd = self._open_to_read()
            try:
                for path in self._files():
                    walk.read(path)
            finally:
                if fd is not None:
                    os.close(fd)
        except OSError as error:
            walk.problems.append(f"{self._file}: {error.strerror}")
        return VerifiedChain(walk.records, tuple(walk.problems))

    def _make_folder(self) -> None:
        folder = os.path.dirname(self._file)
        if not os.path.isdir(folder):
            os.makedirs(folder, mode=0o700, exist_ok=True)

    def _open_to_write(self, size: int) -> int:
        """The log, open and locked, with room for ``size`` more bytes before it must be rotated."""
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            fd = system.open_fd(self._file, os.O_RDWR | os.O_APPEND | os.O_CREAT | _FLAGS, _MODE)
            try:
                if self._is_ready(fd, size, deadline):
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _is_ready(self, fd: int, size: int, deadline: float) -> bool:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        _lock(fd, system.LOCK_EX, deadline)
        if not _is_still(fd, self._file):
            return False
        found = os.fstat(fd)
        if found.st_size and found.st_size + size > self._max_size:
            self._rotate()
            return False
        if stat.S_IMODE(found.st_mode) != _MODE and system.is_own(fd):
            system.fchmod(fd, 0o600)
        return True

    def _open_to_read(self) -> int | None:
        """The log, locked: no record is half written and nothing is rotated meanwhile. None without one."""
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fd = system.open_fd(self._file, os.O_RDONLY | _FLAGS)
            except FileNotFoundError:
                return None
            try:
                _lock(fd, system.LOCK_SH, deadline)
                if _is_still(fd, self._file):
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _rotate(self) -> None:
        """Under the lock, the oldest first: being killed in between only leaves a gap in the numbers."""
        for number in range(self._keep, 0, -1):
            older = f"{self._file}.{number}"
            newer = f"{self._file}.{number - 1}" if number > 1 else self._file
            try:
                system.replace(newer, older)
            except FileNotFoundError:
                continue

    def _files(self) -> list[str]:
        """Every file there is, oldest first."""
        folder, base = os.path.split(self._file)
        numbers = []
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return []
        for name in names:
            number = name.removeprefix(f"{base}.")
            if number != name and number.isdecimal() and number.isascii():
                numbers.append(int(number))
        files = [f"{self._file}.{number}" for number in sorted(numbers, reverse=True)]
        return [*files, self._file] if base in names else files

    def _write(self, fd: int, body: str) -> None:
        size = os.fstat(fd).st_size
        last, torn = _last_line(fd, size)
        if last is None:
            last = self._last_rotated_line()
        link = "null" if last is None else f'"{_hash(last)}"'
        line = body.removesuffix("null}").encode() + link.encode() + b"}\n"
        data = b"\n" + line if torn else line
        try:
            written = os.write(fd, data)
            if written != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301 - one clean-up for both
        except OSError:
            # Half a record is none; the lock is ours, so nobody has written after it.
            os.ftruncate(fd, size)
            raise

    def _last_rotated_line(self) -> bytes | None:
        try:
            fd = system.open_fd(f"{self._file}.1", os.O_RDONLY | _FLAGS)
        except FileNotFoundError:
            return None
        try:
            return _last_line(fd, os.fstat(fd).st_size)[0]
        finally:
            os.close(fd)


class _Walk:
    """One pass over the lines of all files."""

    def __init__(self) -> None:
        self.records = 0
        self.problems: list[str] = []
        self._last: str | None = None
        self._first = True

    def read(self, path: str) -> None:
        """Follow the chain through one file."""
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                problem = self._line(line.removesuffix(b"\n"))
                if problem and len(self.problems) < _MAX_PROBLEMS:
                    self.problems.append(f"{os.path.basename(path)}, line {number}: {problem}")

    def _line(self, line: bytes) -> str | None:
        expected, first = self._last, self._first
        self._last, self._first = _hash(line), False
        try:
            record = loads(line)
        except (ValueError, RecursionError):
            return "not a record: torn by a crash, or changed"
        if not isinstance(record, dict):
            return "not a record"
        self.records += 1
        # What the very first line binds to was rotated away, or never was.
        if not first and record.get("prev") != expected:
            return "does not follow the line before it: one was changed, removed or inserted"
        return None


def _hash(line: bytes) -> str:
    return f"sha256:{sha256(line).hexdigest()}"


def _lock(fd: int, kind: int, deadline: float) -> None:
    """Take the lock, polling: a writer that was stopped (SIGSTOP) must not stop everyone for good."""
    while True:
        try:
            system.flock(fd, kind | system.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise OSError(errno.EAGAIN, "locked by another process") from None
            time.sleep(0.002)
        else:
            return


def _is_still(fd: int, path: str) -> bool:
    """Whether ``path`` still names the open file; another process may have rotated it while we waited."""
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False


def _last_line(fd: int, size: int) -> tuple[bytes | None, bool]:
    """The last line without its newline, ``None`` in an empty file, and whether the newline is missing."""
    if not size:
        return None, False
    tail = b""
    start = size
    while start and b"\n" not in tail[:-1]:
        step = min(_BLOCK, start)
        start -= step
        tail = system.pread(fd, step, start) + tail
    torn = not tail.endswith(b"\n")
    return (tail if torn else tail[:-1]).rpartition(b"\n")[2], torn
