"""Bodies that are read whole: an answer, or the reason why there is none. Bounded in bytes and in time."""

from math import ceil

import httpx

from mcp_client.errors import MCPError
from mcp_client.registry.connection import PATIENCE, Connection, reason_of
from mcp_client.registry.encodings import decoded, is_encoded
from mcp_client.registry.failures import Passing, protocol, refusal, retry_after, unavailable
from mcp_client.registry.urls import Location
from mcp_client.registry.wire import LARGEST_ANSWER

_LARGEST_REFUSAL = 64 << 10
_TOO_MANY, _SERVER_ERROR = 429, 500


def read_answer(response: httpx.Response, url: str, seconds: float) -> bytes:
    """A body that must be whole. Raises Passing, or ``registry-protocol`` above 1 MB."""
    body = bytearray()
    response.extensions[PATIENCE].shorten(seconds)
    chunks = response.iter_raw()
    try:
        for chunk in decoded(chunks, url) if is_encoded(response, url, None) else chunks:
            body += chunk
            if len(body) > LARGEST_ANSWER:
                raise protocol(url, f"the registry answers with more than {LARGEST_ANSWER} bytes")
    except httpx.TransportError as error:
        raise Passing(unavailable(url, reason_of(error))) from error
    return bytes(body)


def read_refusal(response: httpx.Response, seconds: float) -> bytes:
    """What there is of an error's body; empty when it is too long or too slow: its status says enough."""
    body = bytearray()
    response.extensions[PATIENCE].shorten(seconds)
    try:
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > _LARGEST_REFUSAL:
                return b""
    except httpx.TransportError:
        return b""
    return bytes(body)


def failure_of(
    response: httpx.Response, location: Location, body: bytes, subject: str, connection: Connection
) -> MCPError | Passing:
    """What an unsuccessful status means for ``subject``; server errors and 429 are worth another try."""
    failure = refusal(response.status_code, location.url, body, subject, connection.how_to_log_in)
    if failure.code in {"unauthorized", "forbidden"} and location.origin != connection.home.origin:
        # No token of ours would help there: it is never sent.
        failure.hint = "the registry led there; try again, and if it stays tell its owner"
    if response.status_code != _TOO_MANY and response.status_code < _SERVER_ERROR:
        return failure
    wait = retry_after(response.headers.get("Retry-After"))
    if wait:
        failure.hint = f"the registry asks to try again in {ceil(wait)} seconds"
    return Passing(failure, wait)
