"""A short-lived process of ours beside a running server, and its turns in the supervisor's loop.

The supervisor stays as long as the server and has to stay small, so what needs more is a process of its own.
It has no part in the session: neither its streams nor its descriptors, nor its terminal.
"""

from __future__ import annotations

import os
import sys

from mcp_client import plainjson
from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

GIVEN = "_MCP_GIVEN"
# The path of this very program, since an isolated interpreter has its own idea of it.
_BOOT = (
    f"import json, os, sys; given = json.loads(os.environ.pop({GIVEN!r})); sys.path[:] = given['path']; "
    "from {} import main; main(given)"
)
# A session may be shorter than the work takes. Clients that close our input give us two seconds to leave.
_LAST_SECONDS = 1.0


if sys.platform == "win32":
    from mcp_client.windows.processes import Helper, leave_with_parent

    class Background:
        """One process under way; needs no turns in the supervisor's loop, and ends with it at the latest."""

        due_at: float | None = None

        def __init__(self, process: Helper) -> None:
            """``process`` is a child of ours."""
            self._process = process

        def finish(self, signals: int | None) -> None:
            """After the session: a last second, or until ``signals`` is signalled; None gives it none."""
            self._process.finish(signals, _LAST_SECONDS)

    def _spawn(code: str, environment: Mapping[str, str]) -> Background:
        return Background(Helper(code, environment))

    def settle(parent: int, *, seconds: int, memory: int, nicer: int) -> None:  # noqa: ARG001
        """In the new process: die with the session, never take long."""
        leave_with_parent(seconds)

else:
    import select

    from mcp_client.executor.client import stop_watching, watch_process
    from mcp_client.light import signal

    class Background:
        """One process under way; it ends with the session at the latest."""

        due_at: float | None = None

        def __init__(self, process: int) -> None:
            """``process`` is a child of ours."""
            self.was_killed = False
            self._process: int | None = process
            self._end = watch_process(process)

        def watch(self, poll: select.poll) -> None:
            """Register the process's end."""
            if self._end is not None:
                poll.register(self._end, select.POLLIN)

        def move(self, poll: select.poll, ready: dict[int, int]) -> None:
            """Reap it once it has ended."""
            if self._end is not None and self._end in ready:
                poll.unregister(self._end)
                self._reap()

        def finish(self, signals: int | None) -> None:
            """After the session: a last second, or until ``signals`` is readable; None gives it none."""
            if self._end is not None and signals is not None:
                poll = select.poll()
                poll.register(self._end, select.POLLIN)
                poll.register(signals, select.POLLIN)
                poll.poll(_LAST_SECONDS * 1000)
            if self._process is not None:
                os.kill(self._process, signal.SIGKILL)
                self._reap()

        def _reap(self) -> None:
            if self._process is not None:
                _, status = os.waitpid(self._process, 0)
                self.was_killed = os.WIFSIGNALED(status)
            if self._end is not None:
                stop_watching(self._end)
            self._process = self._end = None

    def _spawn(code: str, environment: Mapping[str, str]) -> Background:
        process = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-c", code],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            ],
        )
        return Background(process)

    def settle(parent: int, *, seconds: int, memory: int, nicer: int) -> None:
        """In the new process: hold nothing of the session but standard error, die with it, end soon."""
        import resource

        if sys.platform == "linux":
            from mcp_client.sandbox.linux import libc

            libc.close_all_but(0, 1, 2)
            libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        for number in (signal.SIGINT, signal.SIGALRM):
            # Silent: an interrupted interpreter would print where it was.
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        signal.alarm(seconds)
        os.nice(nicer)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if sys.platform != "darwin":
            # There it would bound the address space, which is larger from the start.
            hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
            if hard == resource.RLIM_INFINITY or hard > memory:
                resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        if os.getppid() != parent:
            # It ended before its death could be heard of.
            sys.exit(0)


def start_background(module: str, given: Mapping[str, Any]) -> Background | None:
    """Call ``main(given)`` of ``module`` in a new process; None where none can be started.

    It gets ``path`` and ``parent`` as well; what is given must fit into one variable (128 KiB).
    """
    if not sys.executable:
        return None
    path = [os.path.abspath(folder) for folder in sys.path if folder]
    form = plainjson.dumps({**given, "path": path, "parent": os.getpid()})
    try:
        return _spawn(_BOOT.format(module), {**os.environ, GIVEN: form})
    except OSError:
        # Out of processes: the server matters more.
        return None
