"""Who may ask: no page of another site, by way of DNS rebinding or not, and only holders of a token.

The MCP specification, Streamable HTTP, asks servers to check Origin and to answer 403; a Host that is not
ours is what a rebound name leaves behind. CORS (fetch standard) is answered here alone, for chosen origins.
"""

from hmac import compare_digest
from typing import NamedTuple

import h11

from mcp_client.executor.http.fields import METHODS, Field, Refusal, values

_BEARER = b"bearer "
# What a page may read of an answer beside the few headers it always may.
_EXPOSED = b"Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate"
_PREFLIGHT_SECONDS = b"600"


class Guard(NamedTuple):
    """``hosts`` are the Host values that are ours, ``origins`` whose pages may ask, all in lower case.

    Without ``hosts`` any one will do: whoever was led here by a wrong name has no token.
    """

    hosts: frozenset[str] | None
    origins: frozenset[str]
    token: str | None

    def check(self, request: h11.Request) -> Refusal | None:
        """Why ``request`` is not passed on; the answer to a CORS preflight is one reason."""
        hosts = values(request, b"host")
        if len(hosts) != 1 or (self.hosts is not None and _text(hosts[0]) not in self.hosts):
            return Refusal(403, "host", "the Host header is not that of this endpoint")
        origins = values(request, b"origin")
        # The endpoint's own origin is no other site: the official conformance suite asks for it.
        ours = {*self.origins, f"http://{_text(hosts[0])}"}
        if origins and (len(origins) > 1 or _text(origins[0]) not in ours):
            return Refusal(403, "origin", "this Origin is not allowed")
        if origins and request.method == b"OPTIONS" and values(request, b"access-control-request-method"):
            return Refusal(204, "", "", _preflight(request))
        if self.token is not None and not self._knows_token(values(request, b"authorization")):
            challenge = (b"WWW-Authenticate", b"Bearer")
            return Refusal(401, "token", "the bearer token is missing or wrong", (challenge,))
        return None

    def answer_fields(self, request: h11.Request) -> list[Field]:
        """What every answer to ``request`` says about other origins."""
        if not self.origins:
            return []
        fields = [(b"Vary", b"Origin")]
        origins = values(request, b"origin")
        if len(origins) == 1 and _text(origins[0]) in self.origins:
            fields.append((b"Access-Control-Allow-Origin", origins[0]))
            fields.append((b"Access-Control-Expose-Headers", _EXPOSED))
        return fields

    def _knows_token(self, given: list[bytes]) -> bool:
        if len(given) != 1 or self.token is None:
            return False
        scheme, token = given[0][: len(_BEARER)], given[0][len(_BEARER) :].strip()
        return scheme.lower() == _BEARER and compare_digest(token, self.token.encode())


def _preflight(request: h11.Request) -> tuple[Field, ...]:
    # Which headers there can be depends on the server's tools (Mcp-Param-*).
    wanted = b", ".join(values(request, b"access-control-request-headers"))
    return (
        (b"Access-Control-Allow-Methods", b", ".join(sorted(METHODS))),
        *([(b"Access-Control-Allow-Headers", wanted)] if wanted else []),
        (b"Access-Control-Max-Age", _PREFLIGHT_SECONDS),
    )


def _text(value: bytes) -> str:
    return value.decode("latin-1").lower()
