"""Compiled forms of trees, by bundle and interpreter: derived data, which is made anew rather than mended.

``compiled/<bundle>/<key>/`` is what a server starts from, or reads beside its tree. Each ``key`` stands for
exactly one interpreter. A warm run does a SELECT and a few stats here; compiled_publish.py makes them.
"""

from __future__ import annotations

import os
import time

from mcp_client.cache.identity import is_same
from mcp_client.errors import MCPError
from mcp_client.light import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mcp_client.cache.store import Cache
    from mcp_client.digest import Digest

COMPILED = "compiled"
# How long one of all processes has for an attempt before another one may try.
_CLAIM_SECONDS = 300.0
# A supervisor has other duties than to wait for the database.
_PATIENCE = 0.5


class Found(NamedTuple):
    """A ``folder`` that is kept from being removed while ``hold`` is open, or none.

    ``wanted`` when it is time to make one.
    """

    folder: str | None = None
    hold: int = -1
    wanted: bool = False


def compiled_folder(cache: Cache, digest: Digest) -> str:
    """Where everything that was compiled of a bundle is, or would be."""
    return os.path.join(cache.folder, COMPILED, digest.folder_name)


def find_compiled(cache: Cache, digest: Digest, key: str) -> Found:
    """What was compiled of the bundle for ``key``, if nobody touched it since."""
    rows = cache.database.select(
        "select identity, due from compiled where digest = ? and key = ?", (str(digest), key)
    )
    if not rows:
        return Found(wanted=True)
    identity, due = rows[0]
    parent = compiled_folder(cache, digest)
    folder = os.path.join(parent, key)
    if identity:
        try:
            hold = cache.hold(parent)
        except MCPError:
            return Found(wanted=due <= time.time())
        if is_same(folder, identity):
            return Found(folder, hold)
        os.close(hold)
    return Found(wanted=due <= time.time())


def claim_compilation(cache: Cache, digest: Digest, key: str) -> bool:
    """Whether it falls to this process to compile: it does to one of them all, for some minutes."""
    now = time.time()
    try:
        claimed = cache.database.write(
            "insert into compiled (digest, key, due) values (:digest, :key, :until) "
            "on conflict (digest, key) do update set due = excluded.due where due <= :now",
            [{"digest": str(digest), "key": key, "now": now, "until": now + _CLAIM_SECONDS}],
            wait=_PATIENCE,
        )
    except MCPError:
        # Where nothing can be noted, everybody would compile all the time.
        return False
    return claimed == 1


def postpone_compilation(cache: Cache, digest: Digest, key: str, seconds: float) -> None:
    """Let nobody try again for so long."""
    cache.database.note(
        "update compiled set due = ? where digest = ? and key = ?", time.time() + seconds, str(digest), key
    )
