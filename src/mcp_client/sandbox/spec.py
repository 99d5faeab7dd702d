"""The plan of one sandboxed process as data: it can be printed, compared and tested without privileges."""

from __future__ import annotations

from mcp_client.light import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from mcp_client.policy.model import Limits

    State = Literal["enforced", "degraded", "unavailable"]
    Happening = Literal["program-refused", "process-refused", "memory-exceeded", "ended"]


class Bind(NamedTuple):
    """Show ``source`` of the host at ``target``, with everything mounted below it, never setuid.

    ``granted`` marks what a user gave to the server, to be used with its owner's rights; ``identity`` is
    (st_dev, st_ino) of what was checked, where that matters.
    """

    source: str
    target: str
    writable: bool = False
    executable: bool = True
    device: bool = False
    granted: bool = False
    identity: tuple[int, int] | None = None

    def describe(self) -> str:
        """One line of the printed plan."""
        flags = ["rw" if self.writable else "ro"]
        flags += [] if self.executable else ["noexec"]
        flags += ["device"] if self.device else []
        return f"bind {self.source} -> {self.target} ({', '.join(flags)})"


class Tmpfs(NamedTuple):
    """A private, empty folder in memory with ``size`` bytes and ``inodes`` entries at most."""

    target: str
    size: int
    inodes: int
    mode: int = 0o700
    executable: bool = False
    writable: bool = True

    def describe(self) -> str:
        """One line of the printed plan."""
        flags = f"{'rw' if self.writable else 'ro'}{'' if self.executable else ', noexec'}"
        return f"tmpfs {self.target} ({flags}, {self.size >> 10} KiB, {self.inodes} inodes)"


class Proc(NamedTuple):
    """A fresh procfs of the sandbox's own pid namespace."""

    target: str

    def describe(self) -> str:
        """One line of the printed plan."""
        return f"proc {self.target}"


class File(NamedTuple):
    """A small synthetic file in the read-only root."""

    target: str
    content: str

    def describe(self) -> str:
        """One line of the printed plan."""
        return f"file {self.target} ({len(self.content)} bytes)"


class Link(NamedTuple):
    """A symbolic link in the read-only root."""

    target: str
    to: str

    def describe(self) -> str:
        """One line of the printed plan."""
        return f"link {self.target} -> {self.to}"


class Sysctl(NamedTuple):
    """Write ``value`` to a kernel setting of the sandbox's own namespaces."""

    target: str
    value: str

    def describe(self) -> str:
        """One line of the printed plan."""
        return f"set {self.target} = {self.value}"


class Freeze(NamedTuple):
    """Make the folder ``target``, which is mounted already, read-only."""

    target: str

    def describe(self) -> str:
        """One line of the printed plan."""
        return f"freeze {self.target}"


MountOperation = Bind | Tmpfs | Proc | File | Link | Sysctl | Freeze


class Way(NamedTuple):
    """What leads out of the empty network: addresses in network order, networks as (address, prefix length).

    ``names`` are those of the name service. Somebody outside still decides about each connection.
    """

    names: tuple[bytes, ...]
    networks: tuple[tuple[bytes, int], ...]


class SandboxSpec(NamedTuple):
    """Everything a launcher needs: what to execute, and the world it is executed in.

    Without a ``way`` there is nothing to connect to, not even a name service. A server with a ``port``
    listens there; its standard input is empty then, and its output goes where its errors go.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    mounts: tuple[MountOperation, ...]
    limits: Limits
    subprocess: bool
    way: Way | None = None
    port: int | None = None


class Control(NamedTuple):
    """One measure of the sandbox: what is requested, how far it holds, by what, and what would mend it."""

    name: str
    requested: str
    state: State
    mechanism: str
    mend: str | None = None


class Usage(NamedTuple):
    """What a server used: seconds of CPU, bytes of memory at the peak.

    Memory is that of the whole tree where it is accounted or sampled, else of its largest process.
    """

    user_seconds: float
    system_seconds: float
    peak_memory: int


class ProcessExit(NamedTuple):
    """How the server's process ended: one of ``status`` and ``signal`` is None.

    ``out_of_memory`` when its memory limit was what ended it; ``refused`` counts the processes or programs
    it was not allowed to start.
    """

    status: int | None
    signal: int | None
    out_of_memory: bool
    refused: int
    usage: Usage
