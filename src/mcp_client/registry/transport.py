"""Requests as httpx knows them, over connections of our own making.

Edge module. There is no ``httpx.Client`` above it: what that adds to a request (cookies, credentials of
``.netrc`` and of URLs, redirects, decoding) is what a registry must not get, or must not decide.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpcore
import httpx
import socksio

from mcp_client.registry.dial import Check, Dialer

_LARGE = 256 << 10
_READ_AT_ONCE = 1 << 20
_LONGEST_LENGTH = 16

_FAILURES: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (httpcore.TimeoutException, httpx.TimeoutException),
    (httpcore.ProxyError, httpx.ProxyError),
    (httpcore.UnsupportedProtocol, httpx.UnsupportedProtocol),
    (httpcore.NetworkError, httpx.NetworkError),
    (httpcore.ProtocolError, httpx.ProtocolError),
)


class Transport(httpx.BaseTransport):
    """A pool of connections, direct or by way of one proxy. Every failure is an httpx.TransportError."""

    def __init__(self, proxy: str | None, trust: ssl.SSLContext | None, check: Check | None) -> None:
        """``trust`` may be None where nothing is encrypted; ``check`` is the Dialer's.

        Raises ValueError or httpx.InvalidURL for a proxy that cannot be used; their words may quote its
        password.
        """
        self._pool = _pool(proxy, trust, Dialer(check))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it; the answer's body is still to be read."""
        url = request.url
        with _as_httpx():
            answer = self._pool.handle_request(
                httpcore.Request(
                    request.method,
                    httpcore.URL(
                        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        timeout = request.extensions["timeout"]["read"]
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer, timeout))

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    """The bytes after the header. Those of a large plain body do not pass through the HTTP parser.

    It would copy each byte three times: 100 MB from this machine take three times the processor.
    """

    def __init__(self, answer: httpcore.Response, timeout: float) -> None:
        self._answer = answer
        self._timeout = timeout

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx():
            # Held to the end: it closes the connection when it goes.
            parsed = self._answer.iter_stream()
            left = self._plain_length()
            for chunk in parsed:
                left -= len(chunk)
                yield chunk
                # The parser keeps nothing back of a plain body: what it has not seen is in the socket.
                if left >= _LARGE:
                    break
            else:
                return
            stream: httpcore.NetworkStream = self._answer.extensions["network_stream"]
            while left > 0:
                chunk = stream.read(min(left, _READ_AT_ONCE), self._timeout)
                if not chunk:
                    raise httpcore.RemoteProtocolError("the connection ended before the body")
                left -= len(chunk)
                yield chunk

    def close(self) -> None:
        with _as_httpx():
            self._answer.close()

    def _plain_length(self) -> int:
        """Bytes of a body that comes as it is; 0 when only the parser knows."""
        framing = [
            (name.lower(), value)
            for name, value in self._answer.headers
            if name.lower() in {b"content-length", b"transfer-encoding"}
        ]
        if len(framing) != 1 or framing[0][0] != b"content-length":
            return 0
        value = framing[0][1]
        return int(value) if value.isdigit() and len(value) < _LONGEST_LENGTH else 0


class _SOCKSProxy(httpcore.SOCKSProxy):
    """What it answers against its protocol is a ProxyError: httpcore asserts, socksio has its own errors."""

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        try:
            return super().handle_request(request)
        except (AssertionError, socksio.ProtocolError) as error:
            raise httpcore.ProxyError(str(error)) from error


def _pool(
    proxy: str | None, trust: ssl.SSLContext | None, dialer: Dialer
) -> httpcore.ConnectionPool | httpcore.HTTPProxy | httpcore.SOCKSProxy:
    if proxy is None:
        return httpcore.ConnectionPool(ssl_context=trust, max_connections=None, network_backend=dialer)
    # httpx takes user and password out of the URL, and the percents out of them.
    given = httpx.Proxy(proxy)
    url = httpcore.URL(scheme=given.url.raw_scheme, host=given.url.raw_host, port=given.url.port, target=b"/")
    if given.url.scheme in {"socks5", "socks5h"}:
        return _SOCKSProxy(
            url, proxy_auth=given.raw_auth, ssl_context=trust, max_connections=None, network_backend=dialer
        )
    return httpcore.HTTPProxy(
        url,
        proxy_auth=given.raw_auth,
        ssl_context=trust,
        proxy_ssl_context=trust if given.url.scheme == "https" else None,
        max_connections=None,
        network_backend=dialer,
    )


@contextmanager
def _as_httpx() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        for theirs, ours in _FAILURES:
            if isinstance(error, theirs):
                raise ours(str(error)) from error
        raise
