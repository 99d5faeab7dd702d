"""The tables of ``metadata.db``, and how a database of any release gets them."""

from __future__ import annotations

import os
import time

from mcp_client import system
from mcp_client.errors import MCPError
from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

# How long to wait for another process's transaction; they take milliseconds, a hung process takes for ever.
BUSY_SECONDS = 10.0
_POLL_SECONDS = 0.001
# Each release that needs more appends a step; a database is brought up to date from where it stands.
_SCHEMA_STEPS = (
    """
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
""",
    # When the registry was last asked about it, in seconds since the epoch.
    "alter table resolution add column checked real not null default 0;",
    # What is stored, in bytes and since when, and by what a tree is known again. The index is all that a list
    # of what is stored reads: the rows themselves hold whole manifests.
    """
create table if not exists entry (
    kind text not null, digest text not null,
    size integer not null, stored real not null, identity text not null default '',
    primary key (kind, digest)
) without rowid;
drop table if exists tree;
create index if not exists resolution_use on resolution (used, reference, manifest_digest, bundle_digest);
""",
    # When somebody last tried to ask, what the registry says about the status, and other digests it names.
    """
alter table resolution add column tried real not null default 0;
alter table resolution add column message text;
alter table resolution add column moved_manifest text;
alter table resolution add column moved_bundle text;
""",
    # What was compiled of a bundle for one interpreter (compiled.py): by what its folder is known again, and
    # the digest of all that is in it. Without an identity there is nothing, and none is made before ``due``.
    """
create table if not exists compiled (
    digest text not null, key text not null,
    identity text not null default '', content text not null default '', due real not null default 0,
    primary key (digest, key)
) without rowid;
""",
)
_SCHEMA_VERSION = len(_SCHEMA_STEPS)


def prepare(connection: sqlite3.Connection, folder: str) -> None:
    """Bring a new connection's database, which is in ``folder``, up to date.

    Raises ``cache-damaged`` for one that a newer release made, TimeoutError, OSError and sqlite3.Error.
    """
    # The last few writes may be lost in a power cut, never the database: it is not worth waiting for a disk.
    connection.execute("pragma synchronous=normal")
    if _version(connection) == _SCHEMA_VERSION:
        return
    # SQLite does not wait for others when it changes the journal's kind, so wait here.
    with alone(folder):
        version = _version(connection)
        if version > _SCHEMA_VERSION:
            raise MCPError(
                "cache-damaged",
                f"the cache in {folder} belongs to a newer version of this program",
                hint="update mcp-client, or set MCP_CACHE_DIR to another folder",
            )
        if version < _SCHEMA_VERSION:
            connection.execute("pragma journal_mode=wal")
            missing = " ".join(_SCHEMA_STEPS[version:])
            connection.executescript(
                f"begin immediate; {missing} pragma user_version={_SCHEMA_VERSION}; commit;"
            )


class alone:  # noqa: N801  reads as the statement it is used as
    """Wait until no other process creates the database or moves it aside."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        """Raises TimeoutError."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._descriptor = system.lock_folder(self._folder, system.LOCK_EX | system.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError from None
                time.sleep(_POLL_SECONDS)
            else:
                return

    def __exit__(self, *_: object) -> None:
        """Let others."""
        os.close(self._descriptor)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("pragma user_version").fetchone()[0])
