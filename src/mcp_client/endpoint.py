"""What a user says about the way in to a server that speaks HTTP, on every system."""

from __future__ import annotations

from mcp_client.light import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class EndpointRequest(NamedTuple):
    """What the user asked for: where to listen, for whom; or ``stdio``, then nothing of that.

    ``listens`` when any option says so. ``token`` asks for one, ``token_file`` holds it (``-`` is standard
    input); ``announce`` wants the URL as a line of JSON on standard output.
    """

    host: str = "127.0.0.1"
    port: int = 0
    token: bool = False
    token_file: str | None = None
    origins: Sequence[str] = ()
    stdio: bool = False
    announce: bool = False
    listens: bool = False
