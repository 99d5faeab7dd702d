"""``metadata.db``: what references resolved to, when artifacts were used, and how registries are spoken to.

SQLite in WAL mode: readers never wait for a writer. Everything in here can be had again from a registry but
one thing, what a reference first resolved to; so a database that cannot be read is moved aside, not deleted.
"""

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mcp_client.errors import MCPError

_SCHEMA_VERSION = 1
_BUSY_SECONDS = 30
_SCHEMA = """
create table if not exists resolution (
    registry text not null,
    reference text not null,
    manifest_digest text not null, manifest_url text not null, manifest_size integer,
    bundle_digest text not null, bundle_url text not null, bundle_size integer,
    status text not null, version text,
    form text not null,
    created real not null, used real not null,
    primary key (registry, reference)
) without rowid;
create table if not exists tree (digest text primary key, size integer not null) without rowid;
create table if not exists dialect (origin text primary key, dialect text not null) without rowid;
"""


class Database:
    """One connection, opened when first needed."""

    def __init__(self, path: str) -> None:
        """``path`` is the file; its folder need not exist until something is written."""
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def select(self, query: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows; none when there is no database yet. A read-only folder is fine."""
        if self._connection is None and not os.path.exists(self._path):
            return []
        try:
            return self._open().execute(query, arguments).fetchall()
        except sqlite3.OperationalError as error:
            raise _unusable(self._path, error) from error
        except sqlite3.DatabaseError:
            self._set_aside()
            return []

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its beginning. Raises ``cache-unwritable``."""
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        try:
            connection = self._open()
            connection.execute("begin immediate")
        except sqlite3.OperationalError as error:
            raise _unusable(self._path, error) from error
        except sqlite3.DatabaseError:
            self._set_aside()
            connection = self._open()
            connection.execute("begin immediate")
        try:
            yield connection
            connection.execute("commit")
        except sqlite3.Error as error:
            raise _unusable(self._path, error) from error
        finally:
            if connection.in_transaction:
                connection.execute("rollback")

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
            try:
                _prepare(connection)
            except sqlite3.Error:
                connection.close()
                if os.access(self._path, os.W_OK) and os.access(os.path.dirname(self._path), os.W_OK):
                    raise
                # A cache on a read-only medium: nobody writes, so no lock and no journal are needed.
                quoted = self._path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
                connection = sqlite3.connect(f"file:{quoted}?immutable=1", uri=True, isolation_level=None)
            self._connection = connection
        return self._connection

    def _set_aside(self) -> None:
        """Move a file that is no database out of the way."""
        self.close()
        damaged = f"{self._path}.damaged-{time.time_ns()}"
        try:
            os.replace(self._path, damaged)
            for suffix in ("-wal", "-shm"):
                if os.path.exists(self._path + suffix):
                    os.replace(self._path + suffix, damaged + suffix)
        except OSError as error:
            raise MCPError(
                "cache-damaged",
                f"{self._path} is damaged and cannot be moved aside: {error.strerror}",
                hint="remove it by hand; packages are fetched again",
            ) from error


def _prepare(connection: sqlite3.Connection) -> None:
    if connection.execute("pragma user_version").fetchone()[0] == _SCHEMA_VERSION:
        return
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=normal")
    connection.executescript(f"begin immediate; {_SCHEMA} pragma user_version={_SCHEMA_VERSION}; commit;")


def _unusable(path: str, error: sqlite3.Error) -> MCPError:
    full = "full" in str(error)
    return MCPError(
        "disk-full" if full else "cache-unwritable",
        f"cannot use {path}: {error}",
        hint="free some space" if full else "check the folder's owner and mode, or set MCP_CACHE_DIR",
    )
