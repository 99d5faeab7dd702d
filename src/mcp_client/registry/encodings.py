"""Answers that a server compressed although it was asked not to (RFC 9110, 8.4 and 12.5.3)."""

import zlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx

from mcp_client.registry.failures import protocol

_PLAIN = frozenset({"", "identity"})
_INFLATED = frozenset({"gzip", "x-gzip", "deflate"})
_LARGEST_PIECE = 1 << 20
# Either of the formats, told by its first bytes (zlib.h, inflateInit2).
_ANY_FORMAT = 32 + zlib.MAX_WBITS


def is_encoded(response: httpx.Response, url: str, size: int | None) -> bool:
    """Whether the body must be decoded to be what was asked for; ``size`` is the artifact's, when known.

    Some servers write ``Content-Encoding: gzip`` beside a stored ``.tar.gz``, which is to be hashed as it
    is. Its length tells, or else its name. Raises ``registry-protocol`` for an encoding that is not read.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding in _PLAIN:
        return False
    length = response.headers.get("Content-Length")
    stored = urlsplit(url).path.endswith((".gz", ".tgz")) if size is None else length == str(size)
    if length is not None and stored:
        return False
    if encoding not in _INFLATED:
        raise protocol(url, "the registry sends in an encoding nobody asked for")
    return True


def decoded(chunks: Iterator[bytes], url: str) -> Iterator[bytes]:
    """``chunks`` inflated, in pieces of at most 1 MB whatever they expand to.

    Raises ``registry-protocol`` for what is not compressed, and httpx.RemoteProtocolError when it ends early.
    """
    inflater = zlib.decompressobj(_ANY_FORMAT)
    begun = False
    for chunk in chunks:
        data = chunk
        while data:
            if inflater.eof:
                inflater = zlib.decompressobj(_ANY_FORMAT)
            begun = True
            try:
                piece = inflater.decompress(data, _LARGEST_PIECE)
            except zlib.error:
                raise protocol(url, "the registry says it compresses, and does not") from None
            data = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            if piece:
                yield piece
    if begun and not inflater.eof:
        raise httpx.RemoteProtocolError("the compressed body ended early")
