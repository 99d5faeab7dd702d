"""The supervisor's side of a launch on macOS: fork the keeper, wait until all is tried and set, let go."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from mcp_client.errors import EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, MCPError
from mcp_client.sandbox.channel import ENDED, Channel, Event, Launched
from mcp_client.sandbox.darwin.controls import list_controls
from mcp_client.sandbox.darwin.family import Family
from mcp_client.sandbox.darwin.keeper import run_keeper
from mcp_client.sandbox.darwin.trial import try_profile
from mcp_client.sandbox.spec import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mcp_client.sandbox.darwin.folders import Folders
    from mcp_client.sandbox.darwin.profile import Profile
    from mcp_client.sandbox.darwin.server import Start
    from mcp_client.sandbox.darwin.table import ProcessTable
    from mcp_client.sandbox.spec import Control, ProcessExit, SandboxSpec


class WayOut(NamedTuple):
    """The listening socket of the proxy, its port, and what a client has to show there."""

    listener: int
    port: int
    secret: str


class Launch(NamedTuple):
    """Everything that was prepared for one server; ``launcher`` is the path of sandbox-exec."""

    spec: SandboxSpec
    profile: Profile
    start: Start
    folders: Folders
    launcher: str
    table: ProcessTable
    way_out: WayOut | None


class DarwinProcess(Launched):
    """A server that is built but waits: exec happens at release().

    ``pid`` is the keeper's. Where anything leads out, ``egress`` is the socket that the proxy listens on and
    ``secret`` what it asks for. Where the server listens there is no channel: its port is on this machine.
    """

    _guardian = "keeper"
    _hint = "run 'mcp doctor'"
    controls: tuple[Control, ...]
    ingress: int | None = None

    def __init__(self, launch: Launch) -> None:
        """Fork keeper and server. Raises ``sandbox-setup-failed``."""
        self._launch = launch
        setup_read, setup_write = os.pipe()
        events_read, events_write = os.pipe()
        gate_read, gate_write = os.pipe()
        life_read, life_write = os.pipe()
        diagnostics_read, diagnostics_write = os.pipe()
        os.set_blocking(diagnostics_read, False)
        child = os.fork()
        if child == 0:
            _close((setup_read, events_read, gate_write, life_write, diagnostics_read))
            channel = Channel(setup_write, events_write, gate_read, diagnostics_write)
            mark = launch.folders.mark
            run_keeper(launch.spec, launch.start, channel, life_read, launch.table, mark)
        _close((setup_write, events_write, gate_read, life_read, diagnostics_write))
        self._setup, self._gate, self._life = setup_read, gate_write, life_write
        self._open = {setup_read, gate_write, life_write, events_read}
        self._released = self._gone = False
        self._family: Family | None = None
        self.events = events_read
        self.diagnostics = diagnostics_read
        self.pid = child
        way_out = launch.way_out
        self.egress = None if way_out is None else way_out.listener
        self.secret = None if way_out is None else way_out.secret

    def await_ready(self) -> None:
        """Try the profile, and wait until only exec is left. Raises ``sandbox-unavailable`` and others."""
        launch = self._launch
        try:
            folders = launch.folders
            try_profile(
                launch.launcher, launch.profile, open_file=folders.open_file, sealed_file=folders.sealed_file
            )
            os.unlink(folders.open_file)
            server = int(self._expect("init")[0])
            self._family = Family(launch.table, server, folders.mark, alone=not launch.spec.subprocess)
            self._expect("ready")
        except BaseException:
            self._abandon()
            raise
        self.controls = list_controls(
            launch.spec, proxy=None if launch.way_out is None else launch.way_out.port
        )

    def release(self) -> None:
        """Let the server execute. Raises ``sandbox-unavailable`` where sandbox-exec cannot be."""
        self._released = True
        try:
            os.write(self._gate, b"\0")
            line = self._read_line()
        except BaseException:
            self._abandon()
            raise
        if line is not None:
            self._abandon()
            self._raise_failure(line)
        self._shut(self._setup, self._gate)

    def signal(self, number: int) -> None:
        """Send a signal to the server, by way of the keeper."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            # It ended by itself; collect() says how.
            return

    def kill(self) -> None:
        """End the whole family: at once before the release, by the keeper's hand afterwards."""
        if self._released:
            self._shut(self._life)
        else:
            self._abandon()

    def collect(self) -> ProcessExit:
        """Reap after the event "ended", and tell how the server ended and what it used.

        Raises ``sandbox-failed`` where it was ended because the keeper could not go on.
        """
        self._shut(self._life)
        _, status, own = os.wait4(self.pid, 0)
        self._gone = True
        if self._last is None and self._family is not None:
            # Whoever killed the keeper left the server to us.
            self._family.end()
        self._shut(*self._open)
        self._launch.folders.remove()
        self._refuse_fault(status)
        last = self._last or Event(ENDED, status, own.ru_utime, own.ru_stime)
        usage = Usage(last.user_seconds, last.system_seconds, max(last.largest, last.tree))
        return self._describe_end(last, usage, out_of_memory=self._memory_exceeded)

    def _explain(self, stage: str, code: int, detail: str) -> MCPError:
        if stage == "exec" and code == errno.E2BIG:
            return MCPError(
                "env-refused",
                "the server's variables and arguments are too large",
                hint="all together may have 1 MB (getconf ARG_MAX)",
            )
        if stage == "exec":
            missing = code == errno.ENOENT
            return MCPError(
                "sandbox-unavailable",
                f"sandbox-exec could not be executed: {detail}",
                hint="it belongs to macOS; nothing runs without it",
                run_status=EXIT_NOT_FOUND if missing else EXIT_NOT_EXECUTABLE,
            )
        return MCPError(
            "sandbox-setup-failed",
            f"could not {stage}: {detail}",
            hint="nothing was started; 'mcp doctor' tries each control by itself",
        )

    def _abandon(self) -> None:
        if self._gone:
            return
        self._gone = True
        # The server is our own code still, and ends when nobody can let it go any more.
        self._shut(self._gate, self._life)
        os.waitpid(self.pid, 0)
        if self._family is not None:
            self._family.end()
        self._shut(*self._open, self.diagnostics)
        if self.egress is not None:
            os.close(self.egress)
        self._launch.folders.remove()

    def _shut(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            if descriptor in self._open or descriptor == self.diagnostics:
                self._open.discard(descriptor)
                os.close(descriptor)


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
