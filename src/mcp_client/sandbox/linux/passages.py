"""What leads out of a sandbox and into it, made before the fork."""

from __future__ import annotations

from mcp_client.light import TYPE_CHECKING, NamedTuple
from mcp_client.sandbox.linux import libc

if TYPE_CHECKING:
    from mcp_client.sandbox.linux.exits import Exits
    from mcp_client.sandbox.linux.ingress import Entrance
    from mcp_client.sandbox.spec import SandboxSpec


class Passages(NamedTuple):
    """Init's ends, ``exits`` and ``entrance``, and the supervisor's as descriptors."""

    exits: Exits | None = None
    egress: int | None = None
    entrance: Entrance | None = None
    ingress: int | None = None


def make_passages(spec: SandboxSpec) -> Passages:
    """As far as ``spec`` has any. Raises OSError."""
    passages = Passages()
    if spec.way is not None:
        from mcp_client.sandbox.linux.exits import Exits

        inner, egress = libc.make_message_sockets()
        passages = passages._replace(exits=Exits(spec.way, inner), egress=egress)
    if spec.port is not None:
        from mcp_client.sandbox.linux.ingress import make_entrance

        entrance, ingress = make_entrance()
        passages = passages._replace(entrance=entrance, ingress=ingress)
    return passages
