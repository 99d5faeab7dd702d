"""Options of ``mcp run`` for servers that speak HTTP."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from mcp_client.endpoint import EndpointRequest

F = TypeVar("F", bound=Callable[..., Any])

ENDPOINT_FIELDS = ("port", "host", "token", "token_file", "origins", "stdio")
_OPTIONS = (
    click.option("--port", metavar="N", type=click.IntRange(0, 65535), help="Listen there (HTTP servers)."),
    click.option("--host", metavar="ADDRESS", help="Listen at this address instead of 127.0.0.1."),
    click.option("--token", is_flag=True, help="Ask clients for a bearer token, and print a new one."),
    click.option("--token-file", metavar="FILE|-", help="Ask for this one (or set MCP_HTTP_TOKEN)."),
    click.option("--allow-origin", "origins", metavar="ORIGIN", multiple=True, help="Let web pages use it."),
    click.option("--stdio", is_flag=True, help="Offer an HTTP server on standard input and output."),
)


def endpoint_options(function: F) -> F:
    """Where to listen, and for whom."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def endpoint_request(
    *,
    port: int | None,
    host: str | None,
    token: bool,
    token_file: str | None,
    origins: Sequence[str],
    stdio: bool,
    announce: bool,
) -> "EndpointRequest | None":
    """What was asked for, None for nothing: then nothing is imported."""
    listens = port is not None or host is not None or token or token_file is not None or bool(origins)
    if not listens and not stdio and not announce:
        return None
    if stdio and listens:
        raise click.UsageError(
            "--stdio listens nowhere: leave out --port, --host, --token and --allow-origin"
        )
    from mcp_client.endpoint import EndpointRequest

    return EndpointRequest(
        host or "127.0.0.1", port or 0, token, token_file, origins, stdio, announce, listens=listens
    )
