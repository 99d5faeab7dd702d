"""The population of a sandbox without a pid namespace: everything that descends from init.

Init is their subreaper (prctl(2)): whoever loses its parent becomes init's child, so nothing leaves the
family. A child of ours keeps its process id until we reap it, so it can be killed by number; anybody else is
reached through a pidfd, since its number may belong to a stranger by then.
"""

import os
import signal
from collections.abc import Collection, Iterable, Sequence


class Descendants:
    """The server and, where it may start processes, its children and theirs."""

    def __init__(self, server: int, *, alone: bool) -> None:
        """``alone`` when the server cannot fork: nobody has to be looked for then."""
        self._server = server
        self._alone = alone

    def pids(self) -> Sequence[int]:
        """Everybody below init, parents before their children."""
        return [self._server] if self._alone else descendants_of(os.getpid())

    def signal(self, number: int) -> None:
        """One after the other, parents first."""
        family = self.pids()
        parents: set[int | None] = {os.getpid(), *family}
        for pid in family:
            _signal(pid, number, parents)

    def end(self) -> None:
        """Return when nobody is left."""
        end_children()

    def unmapped_memory(self) -> int:
        """Memory files that are not mapped cannot be seen, and other shared memory is refused."""
        return 0


class _Children:
    """Parent and child relations of the whole machine at one moment."""

    def __init__(self) -> None:
        self._children: dict[int, list[int]] = {}
        for name in os.listdir("/proc"):
            if name.isdigit() and (parent := parent_of(int(name))) is not None:
                self._children.setdefault(parent, []).append(int(name))

    def of(self, pid: int) -> list[int]:
        return self._children.get(pid, [])


def parent_of(pid: int) -> int | None:
    """The parent's process id; None for a process that is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # proc_pid_stat(5): state and ppid follow the name, which may hold anything.
            return int(file.read().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return None


def children_of(pid: int) -> list[int]:
    """Children of a process with one thread, ended ones that nobody waited for included."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(child) for child in file.read().split()]
    except FileNotFoundError:
        # Without CONFIG_PROC_CHILDREN.
        return _Children().of(pid)


def descendants_of(pid: int) -> list[int]:
    """Its children and theirs, parents before their children."""
    machine = _Children()
    found = machine.of(pid)[:]
    for one in found:
        found.extend(machine.of(one))
    return found


def end_children(spare: Iterable[int] = ()) -> None:
    """Kill and reap our children, and whoever becomes our child by that, until only ``spare`` are left."""
    spared = frozenset(spare)
    while children := [pid for pid in children_of(os.getpid()) if pid not in spared]:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        for pid in children:
            os.waitpid(pid, 0)


def _signal(pid: int, number: int, parents: Collection[int | None]) -> None:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # Looked at again now that the number cannot change hands unnoticed.
        if parent_of(pid) in parents:
            signal.pidfd_send_signal(process, number)
    except ProcessLookupError:
        # It ended.
        return
    finally:
        os.close(process)
