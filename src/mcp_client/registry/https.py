"""A registry over HTTP: three dialects to resolve, retries, and downloads that go on where they broke."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar
from urllib.parse import quote, urljoin

import httpx

from mcp_client.config.settings import RegistrySettings
from mcp_client.errors import MCPError
from mcp_client.reference import PackageReference
from mcp_client.registry.connection import Connection, reason_of
from mcp_client.registry.directory import LARGEST_ANSWER
from mcp_client.registry.failures import (
    Passing,
    pause_before,
    protocol,
    refusal,
    retry_after,
    truncated,
    unavailable,
)
from mcp_client.registry.urls import shown
from mcp_client.registry.wire import parse_refusal
from mcp_client.resolution import Descriptor

T = TypeVar("T")

DIALECTS = ("post", "get", "static")
_LARGEST_REFUSAL = 64 << 10
# A break after this many bytes begins a new count of retries: large downloads meet more than three breaks.
_REAL_PROGRESS = 1 << 20
_OK, _PARTIAL = 200, 206
_NOT_FOUND, _NO_METHOD, _NOT_IMPLEMENTED = 404, 405, 501
_TOO_MANY, _SERVER_ERROR = 429, 500


class HTTPTransport:
    """See client.Transport. One connection pool, used by one process and one thread."""

    def __init__(
        self,
        url: str,
        settings: RegistrySettings,
        *,
        token: str | None,
        dialect: str | None,
        on_dialect: Callable[[str], None],
    ) -> None:
        """``settings.timeout`` bounds each connect and each read, in seconds. Raises ``config-invalid``."""
        self._connection = Connection(url, settings, token)
        self._base = self._connection.home.url.rstrip("/") + "/"
        self._dialects = DIALECTS[DIALECTS.index(dialect) :] if dialect in DIALECTS else DIALECTS
        self._known_dialect = dialect
        self._on_dialect = on_dialect

    def resolve(self, reference: PackageReference) -> bytes:
        """Ask by POST, by GET, or for a static file, whichever this registry speaks."""
        for dialect in self._dialects:
            body = _with_retries(lambda dialect=dialect: self._ask(dialect, reference))  # type: ignore[misc]
            if body is not None:
                if dialect != self._known_dialect:
                    self._on_dialect(dialect)
                return body
        raise refusal(_NOT_FOUND, self._base, b"", str(reference))

    def fetch(self, descriptor: Descriptor, limit: int) -> Iterator[bytes]:
        """The artifact; a broken download is resumed, but not for ever by crumbs."""
        received, failures = 0, 0
        while True:
            before = received
            try:
                for chunk in self._download(descriptor, received):
                    received += len(chunk)
                    if received > limit:
                        raise _too_large(descriptor.url, limit)
                    yield chunk
            except Passing as passing:
                failures = 1 if received - before >= _REAL_PROGRESS else failures + 1
                time.sleep(pause_before(failures, passing))
            else:
                return

    def known_versions(self, package: str) -> list[str]:
        """The contract has no way to list versions."""
        del package
        return []

    def _ask(self, dialect: str, reference: PackageReference) -> bytes | None:
        """The body of a successful answer; None when the registry does not speak this dialect."""
        package, selector = reference.package, quote(reference.selector, safe=":")
        method, headers, content = "GET", {"Accept": "application/json"}, None
        url = f"{self._base}v1/packages/{package}/resolve"
        if dialect == "post":
            method, content = "POST", f'{{"ref": "{reference.selector}"}}'.encode()
            headers = {**headers, "Content-Type": "application/json"}
        elif dialect == "get":
            url += f"?ref={selector}"
        else:
            url = f"{self._base}packages/{package}/{selector}.json"
        with self._connection.open(method, url, headers, content) as (response, location):
            if response.status_code == _OK:
                return _body(response, location.url, LARGEST_ANSWER)
            body = _body(response, location.url, _LARGEST_REFUSAL)
            missing = response.status_code == _NOT_FOUND and parse_refusal(body) is None
            if missing or response.status_code in {_NO_METHOD, _NOT_IMPLEMENTED}:
                return None
            raise _failure(response, location.url, body, str(reference))

    def _download(self, descriptor: Descriptor, offset: int) -> Iterator[bytes]:
        """The bytes from ``offset`` on. Raises Passing when the connection breaks."""
        try:
            url = urljoin(self._base, descriptor.url)
        except ValueError as error:
            raise protocol(descriptor.url, "the registry names a URL that cannot be used") from error
        headers: Mapping[str, str] = {"Range": f"bytes={offset}-"} if offset else {}
        with self._connection.open("GET", url, headers, None) as (response, location):
            if response.status_code not in {_OK, _PARTIAL}:
                body = _body(response, location.url, _LARGEST_REFUSAL)
                raise _failure(response, location.url, body, shown(descriptor.url))
            resumed = response.status_code == _PARTIAL
            if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
                raise protocol(location.url, "the registry answers with another range than the one asked for")
            # A server without ranges begins anew: what came before is the same, or the digest will tell.
            skip, done = (0, offset) if resumed else (offset, 0)
            try:
                for chunk in response.iter_raw():
                    done += len(chunk)
                    if skip < len(chunk):
                        yield chunk[skip:]
                    skip = max(0, skip - len(chunk))
            except httpx.RemoteProtocolError as error:
                raise Passing(truncated(location.url, done, descriptor.size)) from error
            except httpx.TransportError as error:
                raise Passing(unavailable(location.url, reason_of(error))) from error


def _with_retries(attempt: Callable[[], T]) -> T:
    failures = 0
    while True:
        try:
            return attempt()
        except Passing as passing:
            failures += 1
            time.sleep(pause_before(failures, passing))


def _body(response: httpx.Response, url: str, limit: int) -> bytes:
    body = bytearray()
    try:
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > limit:
                raise protocol(url, f"the registry answers with more than {limit} bytes")
    except httpx.TransportError as error:
        raise Passing(unavailable(url, reason_of(error))) from error
    return bytes(body)


def _failure(response: httpx.Response, url: str, body: bytes, subject: str) -> MCPError | Passing:
    """What an unsuccessful status means; server errors and 429 are worth another try."""
    failure = refusal(response.status_code, url, body, subject)
    if response.status_code == _TOO_MANY or response.status_code >= _SERVER_ERROR:
        return Passing(failure, retry_after(response.headers.get("Retry-After")))
    return failure


def _too_large(url: str, limit: int) -> MCPError:
    return MCPError(
        "download-too-large",
        f"{shown(url)} has more than {limit} bytes",
        hint="if you trust it, raise the limit under registry in the configuration",
        details={"limit": limit},
    )
