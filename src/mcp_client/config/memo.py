"""The memo of checked configuration files: the reason a warm start imports neither yaml nor pydantic.

It holds what the files said, keyed by everything that could change it. Files hold no secrets (the schema
has no key for one).
"""

from __future__ import annotations

import os
import time

from mcp_client import __version__
from mcp_client.errors import MCPError, printable
from mcp_client.light import TYPE_CHECKING
from mcp_client.plainjson import dumps, loads
from mcp_client.private import read_private, write_private

if TYPE_CHECKING:
    from typing import Any

VERSION = f"2 {__version__}"
_MAX_SIZE = 1_000_000
# A file written again within one tick of its clock can keep its time and size: too young to be remembered.
_SETTLED_NS = 20_000_000

Identity = list[int]


def identify(path: str) -> Identity | None:
    """Numbers that change when the file does, ``None`` without one; raises ``config-unreadable``."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    return [found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def unreadable(path: str, error: Exception | str) -> MCPError:
    """``config-unreadable`` for ``path``."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return MCPError(
        "config-unreadable",
        f"cannot read the configuration file {printable(path)}: {reason}",
        hint="mend its permissions, or name another file with --config",
    )


def read(path: str, identity: list[Any]) -> tuple[Any, Any] | None:
    """The remembered contents (configuration, policy) for ``identity``; ``None`` when they must be read."""
    data = read_private(path, _MAX_SIZE)
    if data is None:
        return None
    try:
        form = loads(data)
        return (form["config"], form["policy"]) if form["identity"] == identity else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def write(path: str, identity: list[Any], config: object, policy: object) -> None:
    """Remember; a home that cannot be written costs only time, so failures are silent."""
    now = time.time_ns()
    if any(isinstance(part, list) and now - part[4] < _SETTLED_NS for part in identity):
        return
    data = dumps({"identity": identity, "config": config, "policy": policy}).encode()
    if len(data) <= _MAX_SIZE:
        write_private(path, data)
