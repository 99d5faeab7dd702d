"""The group of one server."""

from typing import NamedTuple

from mcp_client.policy.model import Limits


class Refusal(NamedTuple):
    """Why there is no group on this host, and how to mend it."""

    reason: str
    mend: str


class GroupUsage(NamedTuple):
    """Seconds, bytes; None where the kernel does not tell."""

    peak_memory: int | None
    user_seconds: float
    system_seconds: float
    oom: bool


class Group:
    """A group that holds a server."""

    controllers: frozenset[str]
    mechanism: str

    def retire(self, pid: int) -> None:
        """Move init out of the limits."""

    def kill(self) -> None:
        """End everything in it."""

    def usage(self) -> GroupUsage:
        """The figures so far."""
        raise NotImplementedError

    def remove(self) -> None:
        """Take it down."""


class Placement:
    """A group in the making."""

    def complete(self) -> Group | Refusal:
        """Wait for it."""
        return Refusal("no cgroup is used", "nothing to mend")


def begin(pid: int, limits: Limits, *, tasks: int) -> Placement:  # noqa: ARG001
    """Begin to make a group."""
    return Placement()
