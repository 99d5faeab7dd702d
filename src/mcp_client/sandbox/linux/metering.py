"""Limits on the whole server where no cgroup holds them: init looks, and acts.

Weaker than the kernel's own accounting: between two looks a server can use more than it may, page tables and
unmapped memory files are not seen, and a stop reaches the whole server rather than the next time slice.
"""

from __future__ import annotations

import os
import time

from mcp_client.light import TYPE_CHECKING, signal

if TYPE_CHECKING:
    from mcp_client.policy.model import Limits
    from mcp_client.sandbox.linux.population import Population
    from mcp_client.sandbox.spec import SandboxSpec

# What is held by a cgroup instead, by its controllers; one byte from the supervisor.
MEMORY, CPU, PROCESSES = 1, 2, 4
HELD = {"memory": MEMORY, "cpu": CPU, "pids": PROCESSES}

_THREADS = 256
_BUSY_INTERVAL = 0.05
_IDLE_INTERVAL = 0.5
_LARGEST_DEBT = 2.0
_WAY_SECONDS = 10.0
_BUSY_SHARE = 0.25
# PF_FORKNOEXEC among the flags of proc_pid_stat(5): nothing was executed since the fork.
_ONLY_FORKED = 0x40
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


def most_tasks(spec: SandboxSpec) -> int:
    """Processes and threads together, which is what the kernel can count: room for both."""
    return _THREADS + (spec.limits.processes if spec.subprocess else 0)


class Sample:
    """What the processes of a server use at one moment: seconds of CPU so far, bytes of memory."""

    def __init__(self, population: Population) -> None:
        """Look at each of them."""
        own = os.times()
        # What the gate costs is the server's doing.
        self.running = {1: own.user + own.system}
        self.waited_for = own.children_user + own.children_system
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
        user, system, children_user, children_system = (int(field) / _TICKS for field in fields[11:15])
        self.running[pid] = user + system
        self.waited_for += children_user + children_system
        self.private += (resident - shared) * _PAGE
        self.resident += resident * _PAGE

    def cpu_since(self, before: Sample) -> float:
        """Seconds of CPU used in between.

        The time of a process that ended is its parent's once that has waited for it, and nobody's where
        nobody waits; it must neither count twice nor take away what the others used.
        """
        used = sum(max(0.0, now - before.running.get(pid, 0.0)) for pid, now in self.running.items())
        ended = sum(time for pid, time in before.running.items() if pid not in self.running)
        return used + max(0.0, self.waited_for - before.waited_for - ended)

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


def _has_executed(pid: int) -> bool:
    """Whether it is another program than ours by now, or has ended."""
    try:
        flags = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()[6]
    except (OSError, IndexError):
        return True
    return not int(flags) & _ONLY_FORKED


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


class Meter:
    """Keeps the limits that the cgroup does not hold. Times are seconds of the monotonic clock."""

    def __init__(self, limits: Limits, held: int, population: Population, server: int) -> None:
        """``held`` is a sum of MEMORY, CPU and PROCESSES; ``population`` is who is looked at.

        ``server`` is the process of it that is to be executed: until then the memory it has is ours.
        """
        self._memory = None if held & MEMORY else limits.memory
        self._cores = None if held & CPU else limits.cpu / 1000
        self._population = population
        self._awaited: int | None = server
        self._looked_at = time.monotonic()
        self._before: Sample | None = None
        self._debt = 0.0
        self._stopped = False
        self._given_way_until = 0.0
        self.due_at: float | None = None
        self.peak = 0
        self.exceeded = False
        if self._memory is not None or self._cores is not None:
            self.due_at = self._looked_at + _BUSY_INTERVAL

    def look(self) -> None:
        """Take a sample and act: SIGKILL for memory, SIGSTOP and later SIGCONT for the processor."""
        now = time.monotonic()
        if self._awaited is not None and not _has_executed(self._awaited):
            self._looked_at, self.due_at = now, now + _BUSY_INTERVAL
            return
        self._awaited = None
        sample = Sample(self._population)
        elapsed = now - self._looked_at
        used = 0.0 if self._before is None else sample.cpu_since(self._before)
        self._looked_at, self._before = now, sample
        self.peak = max(self.peak, sample.private)
        if self._memory is not None and sample.resident > self._memory:
            self._weigh(sample, self._memory)
        self._keep_share(used, elapsed, now)
        busy = self._stopped or used > elapsed * (self._cores or 1) * _BUSY_SHARE
        self.due_at = now + (_BUSY_INTERVAL if busy else _IDLE_INTERVAL)

    def give_way(self) -> None:
        """Let the server act on a signal, whatever it owes."""
        self._given_way_until = time.monotonic() + _WAY_SECONDS
        self._let_go_on()

    def _weigh(self, sample: Sample, limit: int) -> None:
        memory = sample.exact_memory()
        self.peak = max(self.peak, memory)
        if memory > limit:
            self.exceeded = True
            self._population.signal(signal.SIGKILL)

    def _keep_share(self, used: float, elapsed: float, now: float) -> None:
        """Stop the server until it is back at its share; idle time earns nothing, and no debt is endless."""
        if self._cores is None:
            return
        self._debt = min(max(0.0, self._debt + used / self._cores - elapsed), _LARGEST_DEBT)
        if self._debt and now >= self._given_way_until:
            # Also when it was stopped before: a timer of its own can have continued it.
            self._population.signal(signal.SIGSTOP)
            self._stopped = True
        else:
            self._let_go_on()

    def _let_go_on(self) -> None:
        if self._stopped:
            self._population.signal(signal.SIGCONT)
            self._stopped = False
