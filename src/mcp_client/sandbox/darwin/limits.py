"""Limits that XNU keeps for each process (setrlimit(2)), and which it does not.

RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_CORE, RLIMIT_MEMLOCK and RLIMIT_NPROC are kept; the last one counts every
process of the user, so it is only a bound for a flood between two looks. RLIMIT_AS was stored and ignored
until macOS 12; since then it, and RLIMIT_DATA with it, bound the whole address space (vm_map_set_size_limit
in bsd/kern/kern_resource.c), of which a process has hundreds of GB before its first instruction. Neither can
hold a server's memory, so that is polled. RLIMIT_CPU sends SIGXCPU, which can be caught, and kills nobody.
There are no RLIMIT_NICE and RLIMIT_SIGPENDING.
"""

import resource
import sys
from collections.abc import Mapping

from mcp_client.sandbox.spec import SandboxSpec

_MAX_FILE = 4 << 30
_MAX_LOCKED = 64 << 10
# The user's own programs start and end while the server runs.
_ROOM_FOR_OTHERS = 256


def resource_limits(spec: SandboxSpec, processes: int) -> Mapping[int, int]:
    """RLIMIT_* -> soft and hard value; ``processes`` is how many the user has by now."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: min(_MAX_LOCKED, _hard(resource.RLIMIT_MEMLOCK)),
        resource.RLIMIT_NOFILE: min(spec.limits.files, _hard(resource.RLIMIT_NOFILE)),
        resource.RLIMIT_FSIZE: min(_MAX_FILE, _hard(resource.RLIMIT_FSIZE)),
    }
    if spec.subprocess:
        most = processes + spec.limits.processes + _ROOM_FOR_OTHERS
        limits[resource.RLIMIT_NPROC] = min(most, _hard(resource.RLIMIT_NPROC))
    return limits


def _hard(limit: int) -> int:
    hard = resource.getrlimit(limit)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard
