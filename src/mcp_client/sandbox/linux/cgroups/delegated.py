"""A group of our own where a part of the hierarchy is ours: in a delegated unit, in a container, as root."""

from __future__ import annotations

import os

from mcp_client.light import TYPE_CHECKING, NamedTuple
from mcp_client.sandbox.linux.cgroups.hierarchy import available, passed_on, read_file, write_file
from mcp_client.sandbox.linux.cgroups.janitor import Janitor

if TYPE_CHECKING:
    from collections.abc import Iterator


class Place(NamedTuple):
    """A group below which one can be made; ``steps_aside`` when we stand in it and must not."""

    folder: str
    steps_aside: bool


class OwnGroup(NamedTuple):
    """The new group's folder, and who removes it."""

    folder: str
    janitor: Janitor


def make_group(pid: int, own: str, mount: str) -> OwnGroup | None:
    """A new group for ``pid``, near the group ``own`` that we stand in; None where there is no place.

    Raises OSError where not even a janitor can be had.
    """
    for place in usable_places(pid, own, mount):
        made = _make_below(place)
        if made is not None:
            return made
    return None


def usable_places(pid: int, own: str, mount: str) -> Iterator[Place]:
    """The nearest first, up to ``mount``.

    A process may be moved by whoever may write to the nearest common group, and a group passes controllers
    on only while no process stands in it (cgroups(7), "Delegation", "The no internal processes rule").
    """
    place = own
    while _is_in(place, mount):
        if _may_write(place, "", "cgroup.procs") and available(place):
            if passed_on(place):
                yield Place(place, steps_aside=False)
            elif _may_write(place, "cgroup.subtree_control"):
                if _may_pass_on(place):
                    yield Place(place, steps_aside=False)
                elif place == own and _stand_alone(place, pid):
                    yield Place(place, steps_aside=True)
        place = os.path.dirname(place)


def _is_in(group: str, mount: str) -> bool:
    return group == mount or group.startswith(f"{mount}/")


def _may_write(group: str, *names: str) -> bool:
    return all(os.access(f"{group}/{name}", os.W_OK) for name in names)


def _may_pass_on(group: str) -> bool:
    """Whether no process stands in it; the machine's own root, which has no type, is free of that rule."""
    return not os.path.exists(f"{group}/cgroup.type") or not read_file(group, "cgroup.procs")


def _stand_alone(group: str, pid: int) -> bool:
    """Whether only this process and ``pid`` stand in it, both of which may step aside."""
    return set(read_file(group, "cgroup.procs").split()) <= {str(os.getpid()), str(pid)}


def _make_below(place: Place) -> OwnGroup | None:
    name = f"{os.getpid()}-{os.urandom(4).hex()}"
    folder, standpoint = f"{place.folder}/mcp-{name}", f"{place.folder}/mcp-supervisor-{name}"
    janitor = Janitor(folder, standpoint if place.steps_aside else None)
    try:
        if place.steps_aside:
            os.mkdir(standpoint)
            for aside in (os.getpid(), janitor.pid):
                write_file(standpoint, "cgroup.procs", str(aside))
        os.mkdir(folder)
    except OSError:
        janitor.sweep()
        return None
    return OwnGroup(folder, janitor)
