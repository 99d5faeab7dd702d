"""A registry over HTTP: three dialects to resolve, retries, and downloads that go on where they broke."""

import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from math import ceil
from typing import TypeVar
from urllib.parse import quote, urljoin

import httpx

from mcp_client.config.settings import RegistrySettings
from mcp_client.errors import MCPError
from mcp_client.reference import PackageReference
from mcp_client.registry.connection import Connection, reason_of
from mcp_client.registry.directory import file_names
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
from mcp_client.registry.wire import LARGEST_ANSWER, parse_refusal
from mcp_client.resolution import Descriptor

T = TypeVar("T")

DIALECTS = ("post", "get", "static")
_LARGEST_REFUSAL = 64 << 10
# A break after this many bytes begins a new count of retries: large downloads meet more than three breaks.
_REAL_PROGRESS = 1 << 20
# Fewer bytes than this within one time-out are none.
_SLOWEST = 1024
_OK, _PARTIAL = 200, 206
_NOT_FOUND, _NO_METHOD, _NO_RANGE, _NOT_IMPLEMENTED = 404, 405, 416, 501
_TOO_MANY, _SERVER_ERROR = 429, 500
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)\Z")


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
        """``settings.timeout`` bounds each connect and read, and each whole answer, in seconds.

        Raises ``config-invalid``.
        """
        self._connection = Connection(url, settings, token)
        self._base = self._connection.home.url.rstrip("/") + "/"
        self._timeout = settings.timeout
        self._dialect = dialect
        self._on_dialect = on_dialect

    def resolve(self, reference: PackageReference) -> bytes:
        """Ask by POST, by GET, or for a static file; first in the way that was understood last time."""
        for dialect in sorted(DIALECTS, key=lambda dialect: dialect != self._dialect):
            for url in self._urls(dialect, reference):
                body = _with_retries(partial(self._ask, dialect, url, reference))
                if body is not None:
                    if dialect != self._dialect:
                        self._dialect = dialect
                        self._on_dialect(dialect)
                    return body
        raise refusal(_NOT_FOUND, self._base, b"", str(reference))

    def fetch(self, descriptor: Descriptor) -> Generator[bytes, None, None]:
        """The artifact; a broken download is resumed, but not for ever by crumbs."""
        received, failures = 0, 0
        while True:
            before = received
            try:
                for chunk in self._download(descriptor, received):
                    received += len(chunk)
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

    def close(self) -> None:
        """Close every socket."""
        self._connection.close()

    def _urls(self, dialect: str, reference: PackageReference) -> list[str]:
        package = reference.package
        if dialect == "static":
            names = file_names(reference.selector)
            return [f"{self._base}packages/{package}/{quote(name, safe=':')}" for name in names]
        url = f"{self._base}v1/packages/{package}/resolve"
        return [url if dialect == "post" else f"{url}?ref={quote(reference.selector, safe=':')}"]

    def _ask(self, dialect: str, url: str, reference: PackageReference) -> bytes | None:
        """The body of a successful answer; None when the registry does not speak this dialect."""
        method, headers, content = "GET", {"Accept": "application/json"}, None
        if dialect == "post":
            method, content = "POST", f'{{"ref": "{reference.selector}"}}'.encode()
            headers = {**headers, "Content-Type": "application/json"}
        with self._connection.open(method, url, headers, content) as (response, location):
            if response.status_code == _OK:
                return self._answer(response, location.url)
            body = self._refusal(response)
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
            if response.status_code == _NO_RANGE and offset:
                # It broke off after the last byte; if not, the digest will tell.
                return
            if response.status_code not in {_OK, _PARTIAL}:
                raise _failure(response, location.url, self._refusal(response), shown(descriptor.url))
            resumed = response.status_code == _PARTIAL
            total = _promised(response, location.url, offset, descriptor.size)
            # A server without ranges begins anew: what came before is the same, or the digest will tell.
            skip, done = (0, offset) if resumed else (offset, 0)
            try:
                for chunk in self._paced(response, location.url):
                    done += len(chunk)
                    if skip < len(chunk):
                        yield chunk[skip:]
                    skip = max(0, skip - len(chunk))
            except httpx.TimeoutException as error:
                raise Passing(unavailable(location.url, reason_of(error))) from error
            except httpx.TransportError as error:
                raise Passing(truncated(location.url, done, descriptor.size)) from error
            if total is not None and done < total:
                raise Passing(truncated(location.url, done, total))

    def _paced(self, response: httpx.Response, url: str) -> Iterator[bytes]:
        """The body as it comes; a trickle that would take for ever is taken for silence."""
        began, received = time.monotonic(), 0
        for chunk in response.iter_raw():
            yield chunk
            received += len(chunk)
            if time.monotonic() - began > self._timeout:
                if received < _SLOWEST:
                    raise Passing(unavailable(url, f"only {received} bytes came in {self._timeout:g} s"))
                began, received = time.monotonic(), 0

    def _answer(self, response: httpx.Response, url: str) -> bytes:
        """A body that must be whole, in bounded time: no trickle keeps ``mcp`` waiting for ever."""
        body, deadline = bytearray(), time.monotonic() + self._timeout
        try:
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > LARGEST_ANSWER:
                    raise protocol(url, f"the registry answers with more than {LARGEST_ANSWER} bytes")
                if time.monotonic() > deadline:
                    raise Passing(unavailable(url, "it does not answer in time"))
        except httpx.TransportError as error:
            raise Passing(unavailable(url, reason_of(error))) from error
        return bytes(body)

    def _refusal(self, response: httpx.Response) -> bytes:
        """What there is of an error's body; its status alone says enough."""
        body, deadline = bytearray(), time.monotonic() + self._timeout
        try:
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > _LARGEST_REFUSAL or time.monotonic() > deadline:
                    return b""
        except httpx.TransportError:
            return b""
        return self._connection.hidden(bytes(body))


def _with_retries(attempt: Callable[[], T]) -> T:
    failures = 0
    while True:
        try:
            return attempt()
        except Passing as passing:
            failures += 1
            time.sleep(pause_before(failures, passing))


def _promised(response: httpx.Response, url: str, offset: int, size: int | None) -> int | None:
    """The whole artifact's bytes, when the end of the connection alone does not tell that it is there."""
    if response.status_code == _PARTIAL:
        match = _RANGE.match(response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != offset:
            raise protocol(url, "the registry answers with another range than the one asked for")
        return size if match[2] == "*" else int(match[2])
    framed = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
    return None if framed else size


def _failure(response: httpx.Response, url: str, body: bytes, subject: str) -> MCPError | Passing:
    """What an unsuccessful status means; server errors and 429 are worth another try."""
    failure = refusal(response.status_code, url, body, subject)
    if response.status_code != _TOO_MANY and response.status_code < _SERVER_ERROR:
        return failure
    wait = retry_after(response.headers.get("Retry-After"))
    if wait:
        failure.hint = f"the registry asks to try again in {ceil(wait)} seconds"
    return Passing(failure, wait)
