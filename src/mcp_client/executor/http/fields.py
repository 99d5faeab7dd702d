"""What the head of a request may look like beyond what h11 asks, and which header fields go through.

RFC 9110, 7.6.1, names those that end at a proxy; RFC 9112, 6.3 and 11.2, the framing that must be refused.
"""

import re
from typing import NamedTuple

import h11

Field = tuple[bytes, bytes]

LONGEST_HEAD = 64 << 10
LONGEST_LINE = 16 << 10
METHODS = frozenset({b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PATCH", b"POST", b"PUT"})
_KNOWN_ELSEWHERE = frozenset({b"CONNECT", b"TRACE"})
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)
# Connection cannot name these away: without them a message would be another one.
_ESSENTIAL = frozenset({b"content-length", b"host"})
_NO_TRAILERS = _HOP_BY_HOP | {b"authorization", b"content-length", b"host", b"origin", b"trailer"}
_CORS = b"access-control-"
# Bare line feeds, folded lines, control characters, bare carriage returns (RFC 9112, 2.2 and 5.2).
_UNACCEPTABLE = re.compile(rb"[^\r]\n|\n[ \t]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r[^\n]")
_STATUSES_WITHOUT_LENGTH = frozenset({204})
STATUSES_WITHOUT_BODY = frozenset({204, 304})
_FIRST_FINAL_STATUS = 200


class Refusal(NamedTuple):
    """An answer of ours: ``reason`` is for the audit record, ``text`` for people."""

    status: int
    reason: str
    text: str
    fields: tuple[Field, ...] = ()


def check_head(head: bytes | bytearray, request: h11.Request) -> Refusal | None:
    """Why this request is not passed on, as far as its form goes; ``head`` is all that h11 made it of."""
    return check_partial_head(head) or _check_framing(head, request) or _check_line(request)


def check_partial_head(head: bytes | bytearray) -> Refusal | None:
    """Why a head that may be incomplete will never be one that we accept."""
    if len(head) > LONGEST_LINE and head.find(b"\n", 0, LONGEST_LINE + 1) < 0:
        return Refusal(414, "line too long", f"the request line is longer than {LONGEST_LINE} bytes")
    if len(head) > LONGEST_HEAD:
        return Refusal(431, "head too large", f"the head is larger than {LONGEST_HEAD} bytes")
    return None


def _check_framing(head: bytes | bytearray, request: h11.Request) -> Refusal | None:
    if request.http_version not in {b"1.0", b"1.1"}:
        return Refusal(505, "version", "only HTTP/1.1 and HTTP/1.0 are spoken here")
    if _UNACCEPTABLE.search(head):
        return Refusal(400, "malformed", "the head has a control character, or a line is not ended by CR LF")
    if values(request, b"transfer-encoding") and (
        values(request, b"content-length") or request.http_version == b"1.0"
    ):
        return Refusal(400, "framing", "the length of the body is ambiguous")
    return None


def _check_line(request: h11.Request) -> Refusal | None:
    if request.method in _KNOWN_ELSEWHERE:
        allowed = (b"Allow", b", ".join(sorted(METHODS)))
        return Refusal(405, "method", "this method is not passed on", (allowed,))
    if request.method not in METHODS:
        return Refusal(501, "method", "this method is not known")
    if not request.target.startswith(b"/") or b"#" in request.target:
        return Refusal(400, "target", "the request target is not a path")
    return None


def values(message: h11.Request | h11.Response | h11.InformationalResponse, name: bytes) -> list[bytes]:
    """All values of a field, ``name`` in lower case."""
    return [value for found, value in message.headers.raw_items() if found.lower() == name]


def known_length(message: h11.Request | h11.Response) -> int | None:
    """Bytes of the body, if there is one and its length is given; h11 has checked that it is one number."""
    lengths = values(message, b"content-length")
    return int(lengths[0]) if lengths and not values(message, b"transfer-encoding") else None


def has_chunks(message: h11.Request | h11.Response) -> bool:
    """Whether its body, if it has one, comes in chunks: h11 knows no other coding."""
    return bool(values(message, b"transfer-encoding"))


def is_feed(answer: h11.Response) -> bool:
    """Whether it is a stream of events: to a GET, one without an end (MCP 2025-11-25, transports)."""
    types = values(answer, b"content-type")
    return bool(types) and types[0].partition(b";")[0].strip().lower() == b"text/event-stream"


def request_fields(request: h11.Request, port: int, *, has_token: bool) -> list[Field]:
    """What the server gets: it is asked by a local client of its own port, whoever asked us.

    Duplicates, order and spelling stay. Authorization goes through unless it was for us.
    """
    dropped = _hop_by_hop(request) | {b"host", b"origin"}
    if has_token:
        dropped |= {b"authorization"}
    if request.http_version == b"1.0":
        # Its client would not understand the 100 (RFC 9110, 10.1.1).
        dropped |= {b"expect"}
    fields = [(b"Host", b"localhost:%d" % port), *_without(request, dropped)]
    if values(request, b"transfer-encoding"):
        fields.append((b"Transfer-Encoding", b"chunked"))
    return fields


def answer_fields(answer: h11.Response | h11.InformationalResponse) -> list[Field]:
    """What the client gets; what the server says about other origins is not its to say, see ``guard``."""
    dropped = _hop_by_hop(answer)
    if (
        answer.status_code < _FIRST_FINAL_STATUS
        or answer.status_code in _STATUSES_WITHOUT_LENGTH
        or values(answer, b"transfer-encoding")
    ):
        # RFC 9110, 8.6, and RFC 9112, 6.3: there is no length, or it does not count.
        dropped |= {b"content-length"}
    return [field for field in _without(answer, dropped) if not field[0].lower().startswith(_CORS)]


def trailer_fields(end: h11.EndOfMessage) -> list[Field]:
    """Those that may follow a body (RFC 9110, 6.5.1)."""
    return _without(end, _NO_TRAILERS)


def _hop_by_hop(message: h11.Request | h11.Response | h11.InformationalResponse) -> frozenset[bytes]:
    named: set[bytes] = set()
    for value in values(message, b"connection"):
        named.update(name.strip().lower() for name in value.split(b","))
    return _HOP_BY_HOP | (named - _ESSENTIAL) if named else _HOP_BY_HOP


def _without(
    message: h11.Request | h11.Response | h11.InformationalResponse | h11.EndOfMessage,
    dropped: frozenset[bytes],
) -> list[Field]:
    return [field for field in message.headers.raw_items() if field[0].lower() not in dropped]
