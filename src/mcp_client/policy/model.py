"""What a server may do, once everybody was asked."""

from __future__ import annotations

from mcp_client.light import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_client.network.rules import Rule


class Limits(NamedTuple):
    """Upper bounds for one run: memory in bytes, thousandths of a core, processes, files per process."""

    memory: int
    cpu: int
    processes: int
    files: int


# For a manifest that is silent: room for Node, which needs 11 threads and more than 128 descriptors.
DEFAULT_LIMITS = Limits(memory=512 << 20, cpu=1000, processes=64, files=256)

# What a manifest may ask for where the operator set no cap of his own: it is a stranger's text.
HIGHEST_LIMITS = Limits(memory=4 << 30, cpu=1_000_000, processes=512, files=4096)


class Folder(NamedTuple):
    """A file or folder of the host that the server may see, at the path ``inside``.

    ``identity`` is (st_dev, st_ino) of what was checked: a path can be exchanged between check and use.
    """

    host: str
    inside: str
    writable: bool
    identity: tuple[int, int] | None = None


class NetworkPolicy(NamedTuple):
    """What the server may connect to: a destination that is in ``allow`` and not in ``deny``.

    ``bound`` is what a further grant would have to keep to, ``None`` where nothing binds it.
    """

    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()
    bound: tuple[Rule, ...] | None = None


class Policy(NamedTuple):
    """The effective policy: manifest ∩ operator, plus the user's grants.

    ``environment`` holds only what was granted by name; ``closed_hosts`` are network entries the manifest
    asked for and does not get.
    """

    environment: Mapping[str, str]
    subprocess: bool
    limits: Limits
    folders: tuple[Folder, ...]
    closed_hosts: tuple[str, ...]
    network: NetworkPolicy = NetworkPolicy()

    def to_record(self) -> dict[str, object]:
        """The policy for the audit log and the printed plan: names of variables, never their values."""
        return {
            "environment": sorted(self.environment),
            "subprocess": self.subprocess,
            "memory_bytes": self.limits.memory,
            "cpu_millicores": self.limits.cpu,
            "processes": self.limits.processes,
            "files": self.limits.files,
            "network": [str(rule) for rule in self.network.allow],
            "network_denied": [str(rule) for rule in self.network.deny],
            "network_closed": list(self.closed_hosts),
            "folders": [f"{f.host}:{f.inside}:{'rw' if f.writable else 'ro'}" for f in self.folders],
        }
