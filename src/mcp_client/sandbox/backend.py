"""One protocol for the sandboxes of all platforms, and the one for this host."""

from __future__ import annotations

import os
import sys

from mcp_client.errors import MCPError
from mcp_client.light import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mcp_client.choices import OnMissing
    from mcp_client.policy.model import Policy
    from mcp_client.runtimes.command import Command
    from mcp_client.sandbox.spec import Control, Happening, ProcessExit, SandboxSpec

    if sys.platform == "linux":
        from mcp_client.sandbox.linux.early import HeadStart as HeadStart  # noqa: PLC0414  for others, too
    else:

        class HeadStart(Protocol):
            """A sandbox that is being built before it is known for whom."""

            def advance(self) -> None:
                """Go on, as far as that takes no waiting."""

            def drop(self) -> None:
                """It is not needed."""


class SandboxedProcess(Protocol):
    """A server that is built but waits; after release() it runs until its own end or kill().

    ``events`` is readable (on Windows: an event, and signalled) when next_event() has something to say,
    ``diagnostics`` when the server wrote to its standard error; ``controls`` is there after await_ready().
    ``egress`` is a socket that brings what the server wants to reach, where anything leads out; ``secret`` is
    what has to be shown there, where others can reach it as well. ``ingress`` is a socket that gives sockets
    in the server's network, where it listens in one of its own.
    """

    pid: int
    events: int
    diagnostics: int
    egress: int | None
    ingress: int | None
    secret: str | None
    controls: tuple[Control, ...]

    def await_ready(self) -> None:
        """Return once every control is applied."""

    def release(self) -> None:
        """Let the server execute."""

    def signal(self, number: int) -> None:
        """Pass a signal on."""

    def kill(self) -> None:
        """End the whole tree at once."""

    def next_event(self) -> Happening:
        """What happened; "ended" is the last."""

    def collect(self) -> ProcessExit:
        """Reap; call it once, after the event "ended"."""


class Backend(Protocol):
    """Plans and launches sandboxes on one operating system."""

    def bundle_path(self, tree: str) -> str:
        """Where a server sees the unpacked bundle that is ``tree`` on the host."""

    def data_path(self, data: str) -> str:
        """Where a server sees its persistent folder that is ``data`` on the host."""

    def compiled_path(self, compiled: str) -> str:
        """Where a server sees the folder ``compiled`` of the host."""

    def listening_port(self, port: int) -> int:
        """Where a server is to listen whose manifest says ``port``."""

    def plan(
        self,
        command: Command,
        policy: Policy,
        *,
        tree: str,
        data: str | None,
        port: int | None = None,
        compiled: str | None = None,
    ) -> SandboxSpec:
        """The complete plan of one server, which listens inside where it has a ``port``.

        ``compiled`` is a further folder that it may read.
        """

    def forecast(self, policy: Policy, port: int | None = None) -> tuple[Control, ...]:
        """What would hold on this host, found out by trying: for those who ask before anything runs."""

    def launch(self, spec: SandboxSpec) -> SandboxedProcess:
        """Start building."""


def open_backend(filter_folder: str, on_missing: OnMissing, head_start: HeadStart | None = None) -> Backend:
    """The sandbox of this platform. Raises ``sandbox-unavailable`` where there is none.

    ``filter_folder`` keeps compiled system call filters; with a ``head_start`` building has begun. The
    weaker sandbox of a platform is only looked at with "degrade".
    """
    if sys.platform == "linux":
        from mcp_client.sandbox.linux.backend import LinuxBackend

        if on_missing == "degrade":
            from mcp_client.sandbox.linux.probes import full_sandbox_obstacle

            obstacle = full_sandbox_obstacle()
            if obstacle is not None:
                from mcp_client.sandbox.linux.restricted.backend import RestrictedBackend

                return RestrictedBackend(filter_folder, obstacle)
        return LinuxBackend(filter_folder, head_start)
    if sys.platform == "darwin":
        from mcp_client.sandbox.darwin.backend import DarwinBackend

        return DarwinBackend(os.path.dirname(filter_folder))
    if sys.platform == "win32":
        from mcp_client.sandbox.windows.backend import WindowsBackend

        return WindowsBackend(os.path.dirname(filter_folder))
    raise MCPError(
        "sandbox-unavailable",
        f"there is no sandbox for {sys.platform} yet, and nothing runs without one",
        hint="run it on Linux",
    )
