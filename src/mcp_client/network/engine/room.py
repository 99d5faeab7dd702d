"""How much the engine carries at a time: what it likes to, within the descriptors there are."""

from __future__ import annotations

import resource

from mcp_client.light import NamedTuple

MOST_CONNECTIONS = 1024
_MOST_LISTENERS = 512
_MOST_DIALLING = 128
_OWN_DESCRIPTORS = 128


class Room(NamedTuple):
    """How many of each there are descriptors for."""

    connections: int
    listeners: int
    dialling: int


def make_room() -> Room:
    """Raise our own limit as far as it helps: two descriptors for each connection, one for each attempt."""
    wanted = _OWN_DESCRIPTORS + _MOST_LISTENERS + _MOST_DIALLING + 2 * MOST_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    free = soft - min(_OWN_DESCRIPTORS, soft // 2)
    # Where the host is tight, all have their share of what there is.
    listeners = max(1, min(_MOST_LISTENERS, free // 4))
    dialling = max(1, min(_MOST_DIALLING, free // 8))
    return Room(max(1, min(MOST_CONNECTIONS, (free - listeners - dialling) // 2)), listeners, dialling)
