"""Limits on the whole server: the keeper looks at every member of the family, and acts.

Between two looks a server can use more than it may. Memory is the physical footprint, in which compressed and
purgeable pages count as the system's own tools count them.
"""

import signal
import time

from mcp_client.policy.model import Limits
from mcp_client.sandbox.darwin.family import Family
from mcp_client.sandbox.darwin.table import ProcessTable, Used

_BUSY_INTERVAL = 0.05
_IDLE_INTERVAL = 0.5
_LARGEST_DEBT = 2.0
_WAY_SECONDS = 10.0
_BUSY_SHARE = 0.25
# A flood of processes is looked at this often, and so is memory that grows.
_NEAR = 0.5


class Meter:
    """Keeps memory, processor and processes. Times are seconds of the monotonic clock."""

    def __init__(self, limits: Limits, family: Family, table: ProcessTable, *, processes: int | None) -> None:
        """``processes`` is None where nobody can fork."""
        self._memory, self._cores, self._processes = limits.memory, limits.cpu / 1000, processes
        self._family, self._table = family, table
        self._looked_at = time.monotonic()
        self._before: dict[int, Used] | None = None
        self._debt = 0.0
        self._stopped = False
        self._given_way_until = 0.0
        self.due_at: float | None = self._looked_at + _BUSY_INTERVAL
        self.peak = 0
        self.memory_exceeded = self.processes_exceeded = False

    def look(self) -> None:
        """Take a sample and act: SIGKILL for memory and processes, SIGSTOP and SIGCONT for the processor."""
        now = time.monotonic()
        members = self._family.members()
        used = {member.unique: self._table.use(member.pid) for member in members}
        sample = {unique: usage for unique, usage in used.items() if usage is not None}
        memory = sum(usage.memory for usage in sample.values())
        self.peak = max(self.peak, memory)
        self.memory_exceeded = memory > self._memory
        self.processes_exceeded = self._processes is not None and len(members) > self._processes
        if self.memory_exceeded or self.processes_exceeded:
            self.due_at = None
            self._family.end()
            return
        elapsed = now - self._looked_at
        seconds = 0.0 if self._before is None else _seconds_since(self._before, sample)
        self._looked_at, self._before = now, sample
        self._keep_share(seconds, elapsed, now)
        busy = self._stopped or seconds > elapsed * self._cores * _BUSY_SHARE
        busy = busy or memory > self._memory * _NEAR or self._is_crowded(len(members))
        self.due_at = now + (_BUSY_INTERVAL if busy else _IDLE_INTERVAL)

    def give_way(self) -> None:
        """Let the server act on a signal, whatever it owes."""
        self._given_way_until = time.monotonic() + _WAY_SECONDS
        self._let_go_on()

    def _is_crowded(self, members: int) -> bool:
        return self._processes is not None and members > self._processes * _NEAR

    def _keep_share(self, used: float, elapsed: float, now: float) -> None:
        """Stop the server until it is back at its share; idle time earns nothing, and no debt is endless."""
        self._debt = min(max(0.0, self._debt + used / self._cores - elapsed), _LARGEST_DEBT)
        if self._debt and now >= self._given_way_until:
            # Also when it was stopped before: a member can have continued it.
            self._family.signal(signal.SIGSTOP)
            self._stopped = True
        else:
            self._let_go_on()

    def _let_go_on(self) -> None:
        if self._stopped:
            self._family.signal(signal.SIGCONT)
            self._stopped = False


def _seconds_since(before: dict[int, Used], now: dict[int, Used]) -> float:
    """Seconds of CPU in between.

    What a process used that ended is its parent's once that has waited for it, and nobody's otherwise; it
    must neither count twice nor take away what the others used.
    """
    used = sum(
        max(0.0, usage.seconds - before[unique].seconds if unique in before else usage.seconds)
        for unique, usage in now.items()
    )
    ended = sum(usage.seconds for unique, usage in before.items() if unique not in now)
    waited = sum(
        usage.waited_for - (before[unique].waited_for if unique in before else 0.0)
        for unique, usage in now.items()
    )
    return used + max(0.0, waited - ended)
