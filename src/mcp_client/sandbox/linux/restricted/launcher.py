"""The supervisor's side of a launch without namespaces."""

import os
import signal
from typing import NoReturn

from mcp_client.sandbox.channel import Channel
from mcp_client.sandbox.linux.enforcement import Obtained
from mcp_client.sandbox.linux.filters import Filters
from mcp_client.sandbox.linux.launcher import LinuxProcess
from mcp_client.sandbox.linux.restricted.descendants import children_of, end_children
from mcp_client.sandbox.linux.restricted.init import run_child
from mcp_client.sandbox.linux.restricted.report import list_restricted_controls
from mcp_client.sandbox.scratch import make_scratch, remove_scratch
from mcp_client.sandbox.spec import Control, ProcessExit, SandboxSpec


class RestrictedProcess(LinuxProcess):
    """A server in the restricted sandbox. Init must outlive what it keeps: it is asked to end, not killed."""

    def __init__(self, spec: SandboxSpec, filters: Filters, scratch: str, mend: str | None) -> None:
        """``scratch`` is made here and removed at the end; ``mend`` is what allows the full sandbox."""
        self._scratch: tuple[str, int] | None = (scratch, make_scratch(scratch))
        self._scratch_path = scratch
        self._mend = mend
        self._released = False
        # Children of ours that have nothing to do with this server.
        self._others = children_of(os.getpid())
        super().__init__(spec, filters)

    def _run_child(self, channel: Channel, supervisor: int) -> NoReturn:
        run_child(self._spec, self._filters, channel, supervisor, self._scratch_path)

    def _map_porter(self) -> None:
        """There are no namespaces."""

    def _meet_init(self) -> None:
        self._user = int(self._expect("init")[0])

    def _list_controls(self, obtained: Obtained) -> tuple[Control, ...]:
        # Again, now that the cgroup has its janitor; the server could not leave anybody behind yet.
        self._others = [pid for pid in children_of(os.getpid()) if pid != self.pid]
        return list_restricted_controls(self._spec, obtained, self._user, self._mend)

    def release(self) -> None:
        """Let the server execute. Raises ``entrypoint-missing`` or ``entrypoint-not-executable``."""
        self._released = True
        super().release()

    def kill(self) -> None:
        """End every process of the sandbox: before the release at once, afterwards by init's hand."""
        if self._group is not None:
            self._group.kill()
        if self._released:
            self._hang_up()
        else:
            # The server is our own code still, and dies with init.
            self.signal(signal.SIGKILL)
            self._remove_scratch()

    def collect(self) -> ProcessExit:
        """Reap, and look that nobody is left where init ended before its time."""
        try:
            return super().collect()
        finally:
            if self._last is None:
                end_children(self._others)
            self._remove_scratch()

    def _abandon(self) -> None:
        super()._abandon()
        # Whoever lost init became our child, dead or dying.
        end_children(self._others)
        self._remove_scratch()

    def _remove_scratch(self) -> None:
        if self._scratch is not None:
            remove_scratch(*self._scratch)
            self._scratch = None
