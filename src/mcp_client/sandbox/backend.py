"""One protocol for the sandboxes of all platforms, and the one for this host."""

import sys
from typing import Protocol

from mcp_client.errors import MCPError
from mcp_client.policy.model import Policy
from mcp_client.runtimes.command import Command
from mcp_client.sandbox.spec import Control, ProcessExit, SandboxSpec


class SandboxedProcess(Protocol):
    """A server that is built but waits; after release() it runs until its own end or kill()."""

    pid: int
    pidfd: int

    def await_ready(self) -> None:
        """Return once every control is applied."""

    def release(self) -> None:
        """Let the server execute."""

    def signal(self, number: int) -> None:
        """Pass a signal on."""

    def kill(self) -> None:
        """End the whole tree at once."""

    def collect(self) -> ProcessExit:
        """Reap; call it once ``pidfd`` is readable."""


class Backend(Protocol):
    """Plans and launches sandboxes on one operating system."""

    bundle_path: str
    data_path: str

    def plan(self, command: Command, policy: Policy, *, tree: str, data: str | None) -> SandboxSpec:
        """The complete plan of one server."""

    def controls(self, spec: SandboxSpec) -> tuple[Control, ...]:
        """What holds for that plan on this platform."""

    def launch(self, spec: SandboxSpec) -> SandboxedProcess:
        """Start building."""


def open_backend(filter_folder: str) -> Backend:
    """The sandbox of this platform. Raises ``sandbox-unavailable`` where there is none."""
    if sys.platform == "linux":
        from mcp_client.sandbox.linux.backend import LinuxBackend

        return LinuxBackend(filter_folder)
    raise MCPError(
        "sandbox-unavailable",
        f"there is no sandbox for {sys.platform} yet, and nothing runs without one",
        hint="run it on Linux",
    )
