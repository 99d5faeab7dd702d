"""A group of our own where a part of the hierarchy is ours: in a delegated unit, in a container, as root."""

import os
from typing import NamedTuple

from mcp_client.sandbox.linux.cgroups.hierarchy import (
    available,
    own_group,
    passed_on,
    read_file,
    write_file,
)
from mcp_client.sandbox.linux.cgroups.janitor import Janitor


class OwnGroup(NamedTuple):
    """The new group's folder, and who removes it."""

    folder: str
    janitor: Janitor


def make_group(pid: int, mount: str) -> OwnGroup | None:
    """A new group for ``pid`` below the nearest place where that is possible; None where there is none.

    A process may be moved by whoever may write to the nearest common group, and a group passes controllers
    on only while no process stands in it (cgroups(7), "Delegation", "The no internal processes rule").
    """
    own = own_group(mount=mount)
    place = own
    while place is not None and place.startswith(mount):
        if _is_ours(place) and available(place):
            made = _make_below(place, alone=place == own and _stand_alone(place, pid))
            if made is not None:
                return made
        place = os.path.dirname(place) if place != mount else None
    return None


def _is_ours(group: str) -> bool:
    return all(os.access(path, os.W_OK) for path in (group, f"{group}/cgroup.procs"))


def _may_pass_on(group: str) -> bool:
    """Whether no process stands in it; the machine's own root, which has no type, is free of that rule."""
    return not os.path.exists(f"{group}/cgroup.type") or not read_file(group, "cgroup.procs")


def _stand_alone(group: str, pid: int) -> bool:
    """Whether only this process and ``pid`` stand in it, both of which may step aside."""
    return set(read_file(group, "cgroup.procs").split()) <= {str(os.getpid()), str(pid)}


def _make_below(place: str, *, alone: bool) -> OwnGroup | None:
    name = f"{os.getpid()}-{os.urandom(4).hex()}"
    folder, standpoint = f"{place}/mcp-{name}", f"{place}/mcp-supervisor-{name}"
    steps_aside = alone and not passed_on(place)
    if not steps_aside and not passed_on(place) and not _may_pass_on(place):
        return None
    janitor = Janitor(folder, standpoint if steps_aside else None)
    try:
        if steps_aside:
            os.mkdir(standpoint)
            for aside in (os.getpid(), janitor.pid):
                write_file(standpoint, "cgroup.procs", str(aside))
        os.mkdir(folder)
    except OSError:
        janitor.sweep()
        return None
    return OwnGroup(folder, janitor)
