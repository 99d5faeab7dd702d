"""The memo of checked configuration files: the reason a warm start imports neither yaml nor pydantic.

It holds what the files said, keyed by everything that could change it. Files hold no secrets (the schema
has no key for one). A memo is only believed when it belongs to this user and nobody else can write it, so
that under sudo the owner of the home folder cannot talk root out of ``/etc/mcp/policy.yaml``.
"""

import json
import os
import stat
import time
from typing import Any

from mcp_client import __version__
from mcp_client.errors import MCPError, printable

VERSION = f"1 {__version__}"
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
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            return None
        form = json.loads(os.read(fd, _MAX_SIZE))
        return (form["config"], form["policy"]) if form["identity"] == identity else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    finally:
        os.close(fd)


def write(path: str, identity: list[Any], config: object, policy: object) -> None:
    """Remember; a home that cannot be written costs only time, so failures are silent."""
    now = time.time_ns()
    if any(isinstance(part, list) and now - part[4] < _SETTLED_NS for part in identity):
        return
    data = json.dumps({"identity": identity, "config": config, "policy": policy}).encode()
    if len(data) > _MAX_SIZE:
        return
    staged = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        with open(fd, "wb") as file:
            file.write(data)
        os.replace(staged, path)
    except OSError:
        _discard(staged)


def _discard(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
