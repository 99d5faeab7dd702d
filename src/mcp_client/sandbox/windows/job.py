"""A Job Object: what holds a server and all its children together, with limits, to the last handle's close.

Limits are set before anything is in the job; the server is created in it (PROC_THREAD_ATTRIBUTE_JOB_LIST), so
there is no moment at which it stands outside. See "Job Objects" in the Windows SDK's documentation.
"""

import os
from ctypes import Structure, addressof, byref, c_void_p, sizeof
from typing import NamedTuple

from mcp_client.policy.model import Limits
from mcp_client.windows import api
from mcp_client.windows import structures as s

# A share is counted in hundredths of a percent of all processors.
_WHOLE = 10_000
_TICKS = 10_000_000
# How a process ends that is ended with its job, as if by SIGKILL.
KILLED_STATUS = 0x4D435039


class Message(NamedTuple):
    """What a job tells: one of JOB_OBJECT_MSG_*, and the process it is about."""

    kind: int
    process: int


class Used(NamedTuple):
    """Seconds of CPU of all processes, ended ones included, and the most bytes of memory at one time."""

    user_seconds: float
    system_seconds: float
    peak_memory: int


class Job:
    """One job with its completion port. The last handle's close ends what is in it; ours is the only one."""

    def __init__(self, limits: Limits, *, subprocess: bool, desktop: bool = True) -> None:
        """Make it and set what ``limits`` say. Raises OSError.

        With ``desktop`` it is kept from clipboard, windows and settings; such a job can be in no other one.
        """
        self._handle = api.Handle(api.CreateJobObjectW(None, None))
        self._port = api.Handle(api.CreateIoCompletionPort(c_void_p(-1), None, None, 1))
        self._set(s.JobObjectExtendedLimitInformation, extended_limits(limits, subprocess=subprocess))
        if desktop:
            ui = s.JOBOBJECT_BASIC_UI_RESTRICTIONS(s.JOB_OBJECT_UILIMIT_ALL)
            self._set(s.JobObjectBasicUIRestrictions, ui)
        port = s.JOBOBJECT_ASSOCIATE_COMPLETION_PORT(None, self._port.value)
        self._set(s.JobObjectAssociateCompletionPortInformation, port)
        self.capped = self._cap(limits.cpu)

    def _cap(self, millicores: int) -> bool:
        """Whether the system takes a hard cap on the rate: Windows before 8 does not, nor does Wine."""
        try:
            self._set(s.JobObjectCpuRateControlInformation, cpu_rate(millicores, os.cpu_count() or 1))
        except OSError:
            return False
        return True

    def _set(self, kind: int, structure: Structure) -> None:
        api.SetInformationJobObject(self._handle.value, kind, addressof(structure), sizeof(structure))

    @property
    def handle(self) -> int:
        """For the list of attributes of a new process."""
        return self._handle.value or 0

    def holds(self, process: int) -> bool:
        """Whether the process with this handle is in the job."""
        answer = s.BOOL()
        api.IsProcessInJob(process, self._handle.value, byref(answer))
        return bool(answer.value)

    def limits(self) -> s.JOBOBJECT_EXTENDED_LIMIT_INFORMATION:
        """What the system says that it has set."""
        found = s.JOBOBJECT_EXTENDED_LIMIT_INFORMATION()
        self._query(s.JobObjectExtendedLimitInformation, found)
        return found

    def used(self) -> Used:
        """What all its processes have used."""
        times = s.JOBOBJECT_BASIC_ACCOUNTING_INFORMATION()
        self._query(s.JobObjectBasicAccountingInformation, times)
        return Used(
            times.TotalUserTime / _TICKS, times.TotalKernelTime / _TICKS, self.limits().PeakJobMemoryUsed
        )

    def active(self) -> int:
        """How many processes live in it."""
        found = s.JOBOBJECT_BASIC_ACCOUNTING_INFORMATION()
        self._query(s.JobObjectBasicAccountingInformation, found)
        return int(found.ActiveProcesses)

    def next_message(self, milliseconds: int) -> Message | None:
        """What happened next in the job; None if nothing did in this time."""
        kind, key, about = s.DWORD(), c_void_p(), c_void_p()
        came = api.GetQueuedCompletionStatus(
            self._port.value, byref(kind), byref(key), byref(about), milliseconds
        )
        return Message(kind.value, about.value or 0) if came and kind.value else None

    def terminate(self) -> None:
        """End every process in it."""
        api.TerminateJobObject(self._handle.value, KILLED_STATUS)

    def close(self) -> None:
        """End every process in it by letting go of it (JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE)."""
        self._handle.close()
        self._port.close()

    def _query(self, kind: int, structure: Structure) -> None:
        size = s.DWORD()
        api.QueryInformationJobObject(
            self._handle.value, kind, addressof(structure), sizeof(structure), byref(size)
        )


def extended_limits(limits: Limits, *, subprocess: bool) -> s.JOBOBJECT_EXTENDED_LIMIT_INFORMATION:
    """The structure for what can be limited so: processes, memory of each and of all, and the end with us."""
    wanted = s.JOBOBJECT_EXTENDED_LIMIT_INFORMATION()
    basic = wanted.BasicLimitInformation
    basic.LimitFlags = (
        s.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
        | s.JOB_OBJECT_LIMIT_ACTIVE_PROCESS
        | s.JOB_OBJECT_LIMIT_PROCESS_MEMORY
        | s.JOB_OBJECT_LIMIT_JOB_MEMORY
        # A crash ends the process: no box on the desktop asks anybody.
        | s.JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION
    )
    basic.ActiveProcessLimit = limits.processes if subprocess else 1
    wanted.ProcessMemoryLimit = wanted.JobMemoryLimit = limits.memory
    return wanted


def cpu_rate(millicores: int, processors: int) -> s.JOBOBJECT_CPU_RATE_CONTROL_INFORMATION:
    """A hard cap: ``millicores`` thousandths of one processor, as a share of all of them."""
    share = max(1, min(_WHOLE, millicores * _WHOLE // (1000 * max(1, processors))))
    flags = s.JOB_OBJECT_CPU_RATE_CONTROL_ENABLE | s.JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP
    return s.JOBOBJECT_CPU_RATE_CONTROL_INFORMATION(flags, share)


def stands_in_a_job() -> bool:
    """Whether this process is in somebody's job itself, so that what it starts is as well."""
    answer = s.BOOL()
    api.IsProcessInJob(api.GetCurrentProcess(), None, byref(answer))
    return bool(answer.value)
