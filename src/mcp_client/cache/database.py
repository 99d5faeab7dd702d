"""``metadata.db``: what references resolved to, when artifacts were used, and how registries are spoken to.

SQLite in WAL mode: readers never wait for a writer. Everything in here can be had again from a registry but
one thing, what a reference first resolved to; so a database that cannot be read is moved aside, not deleted,
and what can still be read of that is taken over.
"""

from __future__ import annotations

import os
import time

from mcp_client import system
from mcp_client.cache.schema import BUSY_SECONDS, alone, prepare
from mcp_client.errors import MCPError
from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, TypeVar

    _Result = TypeVar("_Result")
else:
    from mcp_client.light import load_sqlite3

    sqlite3 = load_sqlite3()

# A note only saves time later, so it is not worth more than this of it.
_NOTE_SECONDS = 0.5


class Database:
    """One connection, opened when first needed."""

    def __init__(self, path: str) -> None:
        """``path`` is the file; its folder need not exist until something is written."""
        self._connection: sqlite3.Connection | None = None
        self._path = path
        self._folder = os.path.dirname(path)
        self._identity: tuple[int, int] | None = None
        self._immutable = False

    def select(self, query: str, arguments: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        """All rows; none when there is no database yet. A read-only folder is fine."""
        if self._connection is None and not os.path.exists(self._path):
            return []

        def rows(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
            try:
                return connection.execute(query, arguments).fetchall()
            except sqlite3.OperationalError as error:
                # An older release, or a writer that never got far, made what may only be read here.
                if self._immutable and str(error).startswith("no such"):
                    return []
                raise

        return self._run(rows)

    def write(
        self,
        statement: str,
        rows: Iterable[Sequence[Any] | Mapping[str, Any]],
        *,
        wait: float = BUSY_SECONDS,
    ) -> int:
        """Carry out ``statement`` for each of ``rows``, for all or none of them; how many rows it changed.

        Others are waited for at most ``wait`` seconds. Raises ``disk-full``, ``cache-busy`` and
        ``cache-unwritable``.
        """
        rows = list(rows)
        if not os.path.isdir(self._folder):
            from mcp_client.cache.staging import make_folder

            make_folder(self._folder)

        def transaction(connection: sqlite3.Connection) -> int:
            if self._immutable:
                raise sqlite3.OperationalError("it can only be read here")
            connection.execute(f"pragma busy_timeout={round(wait * 1000)}")
            connection.execute("begin immediate")
            try:
                changed = connection.executemany(statement, rows).rowcount
                connection.execute("commit")
            finally:
                if connection.in_transaction:
                    connection.execute("rollback")
            return changed

        return self._run(transaction)

    def note(self, statement: str, *row: str | float) -> None:
        """Write what saves time later; a cache that cannot be written is none the worse without it."""
        self.note_all(statement, [row])

    def note_all(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """note() for several rows at once."""
        try:
            self.write(statement, rows, wait=_NOTE_SECONDS)
        except MCPError:
            return

    def check(self) -> list[str]:
        """What SQLite finds wrong with the file; a damaged one is set aside, and that is all it says."""
        before = self._identity if self._connection is not None else _identity(self._path)
        rows = self.select("pragma integrity_check")
        if before is not None and before != self._identity:
            return ["it was damaged, and was set aside"]
        return [str(row[0]) for row in rows if row[0] != "ok"]

    @property
    def writable(self) -> bool:
        """Whether this user may write the file and make journals beside it."""
        return os.access(self._folder, os.W_OK) and (
            os.access(self._path, os.W_OK) or not os.path.exists(self._path)
        )

    def __del__(self) -> None:
        """A forgotten connection is closed without a warning."""
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _run(self, action: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Do ``action``, on an empty database if the one there is damaged."""
        try:
            return action(self._open())
        except (sqlite3.Error, OSError) as error:
            if not _is_damage(error):
                raise self._unusable(error) from error
        damaged = self._set_aside()
        try:
            connection = self._open()
            if damaged is not None:
                from mcp_client.cache.salvage import salvage

                salvage(damaged, connection)
            return action(connection)
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._identity = _identity(self._path)
            self._immutable = False
            # Not to be waited for: a file system without locks answers as if somebody had one.
            connection = self._prepared(wait=0.0)
            if connection is None:
                if self.writable and system.has_record_locks(self._path):
                    connection = self._prepared(wait=BUSY_SECONDS)
                if connection is None:
                    # Nobody can write here, so no lock and no journal are needed.
                    quoted = self._path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
                    connection = _connect(f"file:{quoted}?immutable=1", uri=True)
                    self._immutable = True
            self._connection = connection
        return self._connection

    def _prepared(self, wait: float) -> sqlite3.Connection | None:
        """A connection; None when the file is busy, or the place does not let it be used as usual."""
        connection = _connect(self._path, wait)
        try:
            prepare(connection, self._folder)
            connection.execute(f"pragma busy_timeout={round(BUSY_SECONDS * 1000)}")
        except BaseException as error:
            connection.close()
            if not isinstance(error, sqlite3.OperationalError):
                raise
            is_last = wait > 0 or not _is_busy(error)
            if is_last and self.writable and system.has_record_locks(self._path):
                raise
            return None
        return connection

    def _set_aside(self) -> str | None:
        """Move a file that is no database out of the way; where to, None if another process just did."""
        self.close()
        damaged = f"{self._path}.damaged-{time.time_ns()}"
        try:
            with alone(self._folder):
                if _identity(self._path) != self._identity:
                    return None
                # The journal first: an empty database beside it would take it for its own.
                for suffix in ("-wal", "-shm", ""):
                    if os.path.exists(self._path + suffix):
                        os.rename(self._path + suffix, damaged + suffix)
        except OSError as error:
            raise MCPError(
                "cache-damaged",
                f"{self._path} is damaged and cannot be moved aside: {error.strerror}",
                hint="remove it by hand; packages are fetched again",
            ) from error
        return damaged

    def _unusable(self, error: Exception) -> MCPError:
        code = getattr(error, "sqlite_errorcode", 0)
        if _is_busy(error) or isinstance(error, TimeoutError):
            return MCPError(
                "cache-busy",
                f"another process keeps {self._path} locked",
                hint=f"end the one that hangs (fuser -v {self._path}), or set MCP_CACHE_DIR to a local disk",
            )
        full = code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
        return MCPError(
            "disk-full" if full else "cache-unwritable",
            f"cannot use {self._path}: {error}",
            hint="free some space" if full else "check the folder's owner and mode, or set MCP_CACHE_DIR",
        )


def _connect(place: str, wait: float = 0.0, *, uri: bool = False) -> sqlite3.Connection:
    # One thread uses it, but any thread may be the one in which the collector finds it forgotten.
    return sqlite3.connect(place, timeout=wait, isolation_level=None, check_same_thread=False, uri=uri)


def _is_busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_damage(error: Exception) -> bool:
    """Whether the file is no database, or lacks a table of ours."""
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return primary in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} or str(error).startswith("no such")
