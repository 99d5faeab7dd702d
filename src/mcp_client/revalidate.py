"""Beside a running server: a short-lived process asks the registry how the package stands by now.

The supervisor stays as long as the server and has to stay small, so what speaks HTTP is a process of its own
(recheck.py). It has no part in the session: neither its streams nor its descriptors, nor its terminal.
"""

import json
import os
import sys
from collections.abc import Mapping

from mcp_client.app import App
from mcp_client.resolution import Resolution

GIVEN = "_MCP_RECHECK"
# The path of this very program, since an isolated interpreter has its own idea of it.
_BOOT = (
    f"import json, os, sys; given = json.loads(os.environ.pop({GIVEN!r})); sys.path[:] = given['path']; "
    "from mcp_client.recheck import main; main(given)"
)
# A session may be shorter than a question takes. Clients that close our input give us two seconds to leave.
_LAST_SECONDS = 1.0


if sys.platform == "win32":
    from mcp_client.windows.processes import Helper

    class Revalidation:
        """One question under way; needs no turns in the supervisor's loop, and ends with it at the latest."""

        def __init__(self, process: Helper) -> None:
            """``process`` is a child of ours."""
            self._process = process

        def finish(self, signals: int | None) -> None:
            """After the session: a last second, or until ``signals`` is signalled; None gives it none."""
            self._process.finish(signals, _LAST_SECONDS)

    def _spawn(environment: Mapping[str, str]) -> Revalidation:
        return Revalidation(Helper(_BOOT, environment))

else:
    import select

    class Revalidation:
        """One question under way; has its turns in the supervisor's loop, and ends with it at the latest."""

        due_at: float | None = None

        def __init__(self, process: int) -> None:
            """``process`` is a child of ours."""
            self._process: int | None = process
            self._end = _watch(process)

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
                os.kill(self._process, 9)
                self._reap()

        def _reap(self) -> None:
            if self._process is not None:
                os.waitpid(self._process, 0)
            if self._end is not None:
                os.close(self._end)
            self._process = self._end = None

    def _spawn(environment: Mapping[str, str]) -> Revalidation:
        process = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-c", _BOOT],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            ],
        )
        return Revalidation(process)

    def _watch(process: int) -> int | None:
        """A descriptor that becomes readable when the child ends, where there is such a thing."""
        if sys.platform != "linux":
            return None
        try:
            return os.pidfd_open(process)
        except OSError:
            return None


def begin(app: App, resolution: Resolution, run_id: str) -> Revalidation | None:
    """Ask how ``resolution`` stands, unless it falls to another process, or none can be started."""
    interval = app.settings.registry.revalidate
    if interval is None or not sys.executable or not app.cache.resolutions.claim(resolution, interval):
        return None
    given = {
        "path": [os.path.abspath(folder) for folder in sys.path if folder],
        "overrides": app.overrides,
        "reference": str(resolution.reference),
        "run_id": run_id,
        "parent": os.getpid(),
    }
    try:
        return _spawn({**os.environ, GIVEN: json.dumps(given)})
    except OSError:
        # Out of processes: the server matters more.
        return None
