"""Take down groups that nobody else takes down, also after a SIGKILL of the supervisor."""

from __future__ import annotations

import os
import select
import time

from mcp_client.light import TYPE_CHECKING, signal
from mcp_client.sandbox.linux import libc
from mcp_client.sandbox.linux.cgroups.hierarchy import passed_on, read_file, write_file

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS = 5.0
_LOOK_AGAIN_AFTER = 0.002
_WAIT_FOR_OTHERS = 0.1


class Janitor:
    """A forked process that outlives the supervisor by a moment.

    It has to be there before the folders are made. ``group`` is emptied and removed when it is told to, or
    when the supervisor ends; ``standpoint``, where the supervisor itself stands, only then.
    """

    def __init__(self, group: str, standpoint: str | None) -> None:
        """Fork it."""
        self._group, self._standpoint = group, standpoint
        read, self._hold = os.pipe()
        supervisor = os.pidfd_open(os.getpid())
        self.pid = fork_apart((read, supervisor), lambda: _clean(group, standpoint, read, supervisor))
        os.close(read)
        os.close(supervisor)

    def sweep(self) -> None:
        """Have ``group`` removed now, and wait for it; a janitor with a standpoint ends after us."""
        os.close(self._hold)
        if self._standpoint is None:
            os.waitpid(self.pid, 0)
            return
        deadline = time.monotonic() + _SECONDS
        while os.path.isdir(self._group) and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN_AFTER)


def fork_apart(kept: tuple[int, ...], work: Callable[[], None]) -> int:
    """Fork a process for ``work`` that no terminal ends and that has no descriptors but ``kept``."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            libc.close_all_but(*kept)
            work()
        finally:
            os._exit(0)
    return pid


def _clean(group: str, standpoint: str | None, told: int, supervisor: int) -> None:
    os.read(told, 1)
    remove_group(group)
    if standpoint is not None:
        poll = select.poll()
        poll.register(supervisor, select.POLLIN)
        poll.poll()
        _step_back(standpoint)


def _step_back(standpoint: str) -> None:
    """Leave the parent as it was found: with us in it, and without a standpoint beside it.

    Gives up after some seconds where somebody else has come to stand there.
    """
    parent, name = os.path.split(standpoint)
    while any(other.startswith("mcp-") and other != name for other in os.listdir(parent)):
        # Another server's group lives off the controllers that go now.
        time.sleep(_WAIT_FOR_OTHERS)
    deadline = time.monotonic() + _SECONDS
    while os.path.isdir(standpoint) and time.monotonic() < deadline:
        try:
            # All or none: the kernel refuses it as long as a group below passes one of them on.
            taken = " ".join(f"-{controller}" for controller in passed_on(parent))
            write_file(parent, "cgroup.subtree_control", taken)
            write_file(parent, "cgroup.procs", str(os.getpid()))
            os.rmdir(standpoint)
        except OSError:
            time.sleep(_LOOK_AGAIN_AFTER)


def kill_group(group: str) -> None:
    """End every process in ``group`` and below."""
    try:
        write_file(group, "cgroup.kill", "1")
    except OSError:
        # Before Linux 5.14, or nothing is there any more.
        for folder, _, _ in os.walk(group):
            for pid in read_file(folder, "cgroup.procs").split():
                _kill(int(pid))


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return


def remove_group(group: str) -> None:
    """Empty ``group`` and remove it with what is below; gives up after some seconds."""
    deadline = time.monotonic() + _SECONDS
    while os.path.isdir(group) and time.monotonic() < deadline:
        kill_group(group)
        for folder, _, _ in os.walk(group, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                # Its processes are not gone yet.
                time.sleep(_LOOK_AGAIN_AFTER)
