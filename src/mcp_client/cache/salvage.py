"""What a damaged database still tells about what references resolved to.

Only what a registry's next answer is held against is taken over. Manifests' forms are not: what decides about
a run is made anew from verified bytes.
"""

import os
import sqlite3
from contextlib import closing, suppress
from typing import Any

from mcp_client.digest import parse_digest
from mcp_client.errors import MCPError
from mcp_client.reference import parse_reference

_COLUMNS = "registry, reference, manifest_digest, bundle_digest, status"
_STATUS = frozenset({"published", "deprecated", "revoked", "quarantined"})
_NO_FORM = "null"


def salvage(damaged: str, connection: sqlite3.Connection) -> int:
    """Copy the rows of the file ``damaged`` that can be read into a new database; how many those are."""
    rows: dict[tuple[str, str], tuple[Any, ...]] = {}
    # What was written last may still be in the journal, and that may be what is damaged.
    ways = ("mode=ro", "immutable=1") if os.path.exists(f"{damaged}-wal") else ("immutable=1",)
    # From both ends: a scan stops at the first page that is broken.
    for order in ("asc", "desc"):
        for options in ways:
            with suppress(sqlite3.Error):
                _read(damaged, options, order, rows)
    with suppress(sqlite3.Error):
        connection.executemany(
            f"insert or ignore into resolution ({_COLUMNS}, manifest_url, bundle_url, form, created, used) "  # noqa: S608
            f"values (?, ?, ?, ?, ?, '', '', '{_NO_FORM}', 0, 0)",
            list(rows.values()),
        )
    return len(rows)


def _read(damaged: str, options: str, order: str, rows: dict[tuple[str, str], tuple[Any, ...]]) -> None:
    quoted = damaged.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    with closing(sqlite3.connect(f"file:{quoted}?{options}", uri=True)) as source:
        query = f"select {_COLUMNS} from resolution order by registry {order}, reference {order}"  # noqa: S608
        for row in source.execute(query):
            if _is_whole(row):
                rows.setdefault((row[0], row[1]), row)


def _is_whole(row: tuple[Any, ...]) -> bool:
    """Whether damage has left the values what they were, as far as their form tells."""
    if not all(isinstance(value, str) for value in row):
        return False
    _, reference, manifest, bundle, status = row
    try:
        parse_reference(reference), parse_digest(manifest), parse_digest(bundle)
    except MCPError:
        return False
    return status in _STATUS
