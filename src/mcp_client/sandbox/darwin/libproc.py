"""The process table of XNU by libproc(3), without a library of its own.

Layouts are those of <sys/proc_info.h> and <sys/resource.h>; PROC_PIDUNIQIDENTIFIERINFO is declared in the
kernel's private header, and has had its size since OS X 10.9. A process's unique id is never given twice
until the machine restarts, and that of the process that forked it stays when its parent ends: by these a
process is known again, however its number is reused and wherever it went.
"""

import ctypes
import os
from typing import TYPE_CHECKING

from mcp_client.sandbox.darwin.table import Seen, Used

if TYPE_CHECKING:
    from collections.abc import Callable

_PROC_UID_ONLY = 4
_PROC_PIDTBSDINFO = 3
_PROC_PIDUNIQIDENTIFIERINFO = 17
_RUSAGE_INFO_V4 = 4
_SANDBOX_FILTER_PATH = 1
_ALLOWED, _DENIED = 0, 1
_ROOM = 64
# Where the private call does not answer: a start time in microseconds and a number, packed into one.
_PID_BITS = 24


class ProcBsdInfo(ctypes.Structure):
    """``struct proc_bsdinfo``."""

    _fields_ = [
        *(
            (name, ctypes.c_uint32)
            for name in "flags status xstatus pid ppid uid gid ruid rgid svuid svgid reserved".split()
        ),
        ("comm", ctypes.c_char * 16),
        ("name", ctypes.c_char * 32),
        *((name, ctypes.c_uint32) for name in ("files", "pgid", "jobc", "tdev", "tpgid")),
        ("nice", ctypes.c_int32),
        ("start_seconds", ctypes.c_uint64),
        ("start_microseconds", ctypes.c_uint64),
    ]


class ProcUniqueIdentifierInfo(ctypes.Structure):
    """``struct proc_uniqidentifierinfo``."""

    _fields_ = [
        ("uuid", ctypes.c_uint8 * 16),
        ("unique", ctypes.c_uint64),
        ("parent", ctypes.c_uint64),
        ("version", ctypes.c_int32),
        ("parent_version", ctypes.c_int32),
        ("reserved", ctypes.c_uint64 * 2),
    ]


class RusageInfoV4(ctypes.Structure):
    """``struct rusage_info_v4``; times are in units of mach_absolute_time(), sizes in bytes."""

    _fields_ = [
        ("uuid", ctypes.c_uint8 * 16),
        *(
            (name, ctypes.c_uint64)
            for name in (
                "user system idle_wakeups interrupt_wakeups pageins wired resident footprint started exited "
                "child_user child_system child_idle_wakeups child_interrupt_wakeups child_pageins "
                "child_elapsed disk_read disk_written qos_default qos_maintenance qos_background qos_utility "
                "qos_legacy qos_user_initiated qos_user_interactive billed_system serviced_system "
                "logical_writes lifetime_max_footprint instructions cycles billed_energy serviced_energy "
                "interval_max_footprint runnable"
            ).split()
        ),
    ]


class MachTimebaseInfo(ctypes.Structure):
    """``struct mach_timebase_info``: nanoseconds for one unit of mach_absolute_time(), as a fraction."""

    _fields_ = [("numerator", ctypes.c_uint32), ("denominator", ctypes.c_uint32)]


# A call that is given another size answers nothing, or writes beyond the end.
SIZES = {ProcBsdInfo: 136, ProcUniqueIdentifierInfo: 56, RusageInfoV4: 296, MachTimebaseInfo: 8}
for _structure, _size in SIZES.items():
    if ctypes.sizeof(_structure) != _size:
        raise AssertionError(f"{_structure.__name__} has {ctypes.sizeof(_structure)} bytes, not {_size}")


class LibprocTable:
    """See :class:`mcp_client.sandbox.darwin.table.ProcessTable`."""

    def __init__(self) -> None:
        """Everything is looked up now, so that nothing has to be loaded after a fork."""
        library = ctypes.CDLL("/usr/lib/libproc.dylib", use_errno=True)
        self._list_pids = library.proc_listpids
        self._list_pids.argtypes = [ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_int]
        self._info = library.proc_pidinfo
        self._info.argtypes = [
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_uint64,
            ctypes.c_void_p,
            ctypes.c_int,
        ]
        self._rusage = library.proc_pid_rusage
        self._rusage.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
        system = ctypes.CDLL(None)
        timebase = MachTimebaseInfo()
        system.mach_timebase_info(ctypes.byref(timebase))
        self._seconds = timebase.numerator / max(1, timebase.denominator) / 1e9
        self._check: Callable[..., int] | None = None
        try:
            check = system.sandbox_check
            self._quiet = ctypes.c_int.in_dll(system, "SANDBOX_CHECK_NO_REPORT").value
        except (AttributeError, ValueError):
            return
        # Variadic: arm64 passes what follows these on the stack.
        check.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
        self._check = check

    def processes(self) -> list[Seen]:
        """All processes of this user."""
        seen = (self.look(pid) for pid in self._pids())
        return [process for process in seen if process is not None]

    def look(self, pid: int) -> Seen | None:
        """One of them. A zombie is none: it is not found unless asked for with an argument of 1."""
        basic = ProcBsdInfo()
        if not self._fill(pid, _PROC_PIDTBSDINFO, basic):
            return None
        identity = ProcUniqueIdentifierInfo()
        if self._fill(pid, _PROC_PIDUNIQIDENTIFIERINFO, identity):
            return Seen(pid, identity.unique, identity.parent, basic.pgid)
        parent = ProcBsdInfo()
        known = self._fill(basic.ppid, _PROC_PIDTBSDINFO, parent)
        return Seen(pid, _stamp(basic), _stamp(parent) if known else 0, basic.pgid)

    def use(self, pid: int) -> Used | None:
        """By proc_pid_rusage(): the physical footprint is what the system's own tools call memory."""
        usage = RusageInfoV4()
        if self._rusage(pid, _RUSAGE_INFO_V4, ctypes.byref(usage)) != 0:
            return None
        return Used(
            (usage.user + usage.system) * self._seconds,
            (usage.child_user + usage.child_system) * self._seconds,
            usage.footprint,
        )

    def is_confined(self, pid: int, inside: str, outside: str) -> bool:
        """By sandbox_check(), which is no public call; False where there is none."""
        if self._check is None:
            return False
        kind = _SANDBOX_FILTER_PATH | self._quiet
        paths = (ctypes.c_char_p(os.fsencode(path)) for path in (inside, outside))
        return [self._check(pid, b"file-write-data", kind, path) for path in paths] == [_ALLOWED, _DENIED]

    def _pids(self) -> list[int]:
        uid = os.geteuid()
        while True:
            # In bytes; more may start in between.
            room = self._list_pids(_PROC_UID_ONLY, uid, None, 0) // 4 + _ROOM
            found = (ctypes.c_int * room)()
            size = self._list_pids(_PROC_UID_ONLY, uid, found, ctypes.sizeof(found))
            if size < ctypes.sizeof(found):
                return [pid for pid in found[: max(0, size) // 4] if pid > 0]

    def _fill(self, pid: int, flavour: int, into: ctypes.Structure) -> bool:
        size = ctypes.sizeof(into)
        return bool(self._info(pid, flavour, 0, ctypes.byref(into), size) == size)


def _stamp(info: ProcBsdInfo) -> int:
    """A start time and a number together name a process as well, to the microsecond."""
    started = int(info.start_seconds) * 1_000_000 + int(info.start_microseconds)
    return started << _PID_BITS | int(info.pid)
