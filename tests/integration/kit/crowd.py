"""Many servers at once or one after the other, and what of them must not be left or grow."""

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from kit import processes
from kit.command import Mcp, Running

_GROUPS = "/sys/fs/cgroup"
_LINE = b'{"jsonrpc": "2.0", "id": 1, "method": "initialize"}\n'


class Remains(NamedTuple):
    """What a run could leave: files below the home with their sizes, mounts, temporary files, cgroups."""

    files: dict[str, int]
    mounts: set[str]
    temporary: set[str]
    groups: set[str]


def remains(mcp: Mcp) -> Remains:
    """What there is now; the audit log, which is to grow, is left out."""
    sizes = {
        path: os.lstat(os.path.join(mcp.home, path)).st_size
        for path in processes.files_below(mcp.home)
        if not os.path.basename(path).startswith("audit.log")
    }
    return Remains(sizes, processes.mounts(), own_temporary(mcp), groups())


def own_temporary(mcp: Mcp) -> set[str]:
    """Everything in the temporary folder that the runs were given."""
    return set(processes.files_below(mcp.temporary))


def groups() -> set[str]:
    """Every cgroup that could be ours by its name."""
    return {
        os.path.join(parent, name)
        for parent, folders, _ in os.walk(_GROUPS)
        for name in folders
        if name.startswith("mcp-")
    }


def start_crowd(mcp: Mcp, count: int, *command: str) -> list[Running]:
    """Start ``mcp`` so often at once; each has been sent its first line."""
    # No pipe for standard error: nobody would read fifty of them.
    crowd = [mcp.start(*command, stderr=subprocess.DEVNULL) for _ in range(count)]
    for one in crowd:
        assert one.stdin is not None
        one.stdin.write(_LINE)
        one.stdin.flush()
    return crowd


def answers(crowd: Sequence[Running]) -> list[bytes]:
    """The first line of each, waited for."""
    lines = []
    for one in crowd:
        assert one.stdout is not None
        lines.append(one.stdout.readline())
    return lines


def memory_of_ours(crowd: Sequence[Running]) -> int | None:
    """PSS in bytes of every process from the commands to the servers, which are left out; None if hidden."""
    sizes = [processes.proportional_memory(pid) for one in crowd for pid in processes.chain(one.pid)[:-1]]
    return None if None in sizes else sum(size or 0 for size in sizes)


def terminate(crowd: Sequence[Running], seconds: float = 60) -> list[int]:
    """Send SIGTERM to all, as a client that quits does; their statuses."""
    for one in crowd:
        one.send_signal(signal.SIGTERM)
    statuses = [one.wait(seconds) for one in crowd]
    for one in crowd:
        for stream in (one.stdin, one.stdout):
            if stream is not None:
                stream.close()
    return statuses


def records(mcp: Mcp) -> list[str]:
    """The events of the newest file of the audit log, in order."""
    with open(os.path.join(mcp.home, "audit.log"), encoding="utf-8") as file:
        return [json.loads(line)["event"] for line in file]
