"""Who lives in the sandbox: counted, signalled and ended together by init."""

from __future__ import annotations

import os

from mcp_client.light import TYPE_CHECKING, Protocol, signal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Population(Protocol):
    """All processes of one server; init is not among them."""

    def pids(self) -> Sequence[int]:
        """Processes, not threads, as init sees them."""

    def signal(self, number: int) -> None:
        """Send a signal to all of them."""

    def end(self) -> None:
        """Kill all of them; the server itself has ended already."""

    def unmapped_memory(self) -> int:
        """Bytes that they hold outside of any process."""


class Namespace:
    """Everything in init's own pid namespace. Its end with init is the kernel's work."""

    def __init__(self, scratch: Iterable[str]) -> None:
        """``scratch`` are the file systems in memory that can be filled."""
        self._scratch = tuple(scratch)

    def pids(self) -> Sequence[int]:
        """Everything in /proc but ourselves."""
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]

    def signal(self, number: int) -> None:
        """Reach every process at once: nothing can fork past it (kill(2))."""
        try:
            os.kill(-1, number)
        except ProcessLookupError:
            # Nothing is left.
            return

    def end(self) -> None:
        """Nobody has to wait: what dies slowly dies with the namespace."""
        self.signal(signal.SIGKILL)

    def unmapped_memory(self) -> int:
        """Files in memory and System V segments."""
        return sum(map(_used_bytes, self._scratch)) + _system_v_memory()


def _used_bytes(folder: str) -> int:
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def _system_v_memory() -> int:
    """proc_sysvipc(5): the column ``rss`` of each segment, in bytes."""
    try:
        with open("/proc/sysvipc/shm", "rb") as file:
            heading, *segments = file.read().splitlines()
    except OSError:
        return 0
    column = heading.split().index(b"rss")
    return sum(int(segment.split()[column]) for segment in segments)
