"""Limits on the whole server where no cgroup holds them: init looks, and acts.

Weaker than the kernel's own accounting: between two looks a server can use more than it may, page tables and
unmapped memory files are not seen, and a stop reaches the whole server rather than the next time slice.
"""

import os
import signal
import time

from mcp_client.policy.model import Limits
from mcp_client.sandbox.linux.population import Population

# What is held by a cgroup instead; one byte from the supervisor.
MEMORY, CPU, PROCESSES = 1, 2, 4

_BUSY_INTERVAL = 0.05
_IDLE_INTERVAL = 0.5
_LONGEST_STOP = 1.0
_BUSY_SHARE = 0.25
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


class Sample:
    """What the processes of a server use at one moment: seconds of CPU so far, bytes of memory."""

    def __init__(self, population: Population) -> None:
        """Look at each of them."""
        # What the gate costs is the server's doing, and so is the time of those that were reaped.
        self.cpu = sum(os.times()[:4])
        self.private = self.resident = 0
        self._pids = population.pids()
        for pid in self._pids:
            try:
                self._add(pid)
            except (OSError, ValueError, IndexError):
                # It ended while it was looked at; its time is its parent's by now.
                continue
        self._unmapped = population.unmapped_memory()
        self.private += self._unmapped
        self.resident += self._unmapped

    def _add(self, pid: int) -> None:
        _, resident, shared, *_ = map(int, _read(f"/proc/{pid}/statm").split())
        # proc_pid_stat(5): utime, stime, cutime and cstime, counted after the name, which may hold anything.
        fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        self.cpu += sum(map(int, fields[11:15])) / _TICKS
        self.private += (resident - shared) * _PAGE
        self.resident += resident * _PAGE

    def exact_memory(self) -> int:
        """Bytes, pages that processes share counted once, files in the page cache not at all."""
        return self._unmapped + sum(map(_proportional, self._pids))


def _proportional(pid: int) -> int:
    try:
        lines = _read(f"/proc/{pid}/smaps_rollup").splitlines()
        fields = dict(line.split(":", 1) for line in lines[1:])
        return sum(int(fields[name].split()[0]) << 10 for name in ("Pss_Anon", "Pss_Shmem"))
    except (OSError, ValueError, KeyError):
        return _resident(pid)


def _resident(pid: int) -> int:
    """For a process that does not let itself be looked at, or a kernel that tells no more."""
    try:
        return int(_read(f"/proc/{pid}/statm").split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


class Meter:
    """Keeps the limits that the cgroup does not hold. Times are seconds of the monotonic clock."""

    def __init__(self, limits: Limits, held: int, population: Population) -> None:
        """``held`` is a sum of MEMORY, CPU and PROCESSES; ``population`` is who is looked at."""
        self._memory = None if held & MEMORY else limits.memory
        self._cores = None if held & CPU else limits.cpu / 1000
        self._population = population
        self._looked_at = time.monotonic()
        self._cpu = 0.0
        self._debt = 0.0
        self._stopped = False
        self.due_at: float | None = None
        self.peak = 0
        self.exceeded = False
        if self._memory is not None or self._cores is not None:
            self.due_at = self._looked_at + _BUSY_INTERVAL

    def look(self) -> None:
        """Take a sample and act: SIGKILL for memory, SIGSTOP and later SIGCONT for the processor."""
        now = time.monotonic()
        if self._stopped:
            self._population.signal(signal.SIGCONT)
            self._stopped = False
        sample = Sample(self._population)
        # The time of a process that nobody waited for is lost with it.
        elapsed, used = now - self._looked_at, max(0.0, sample.cpu - self._cpu)
        self._looked_at, self._cpu = now, sample.cpu
        self.peak = max(self.peak, sample.private)
        if self._memory is not None and sample.resident > self._memory:
            self._weigh(sample, self._memory)
        pause = self._pause(used, elapsed)
        if pause:
            self._population.signal(signal.SIGSTOP)
            self._stopped = True
        busy = used > elapsed * (self._cores or 1) * _BUSY_SHARE
        self.due_at = now + (pause or (_BUSY_INTERVAL if busy else _IDLE_INTERVAL))

    def _weigh(self, sample: Sample, limit: int) -> None:
        memory = sample.exact_memory()
        self.peak = max(self.peak, memory)
        if memory > limit:
            self.exceeded = True
            self._population.signal(signal.SIGKILL)

    def _pause(self, used: float, elapsed: float) -> float:
        """Seconds to stand still until the server is back at its share; idle time earns nothing."""
        if self._cores is None:
            return 0.0
        self._debt = max(0.0, self._debt + used / self._cores - elapsed)
        return min(self._debt, _LONGEST_STOP)
