"""One artifact over HTTP: tries that go on where the last one broke, within one time for all of them."""

import re
import time
from collections.abc import Generator, Iterator
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import httpx

from mcp_client.config.settings import RegistrySettings
from mcp_client.registry.answers import failure_of, read_refusal
from mcp_client.registry.connection import Connection, reason_of
from mcp_client.registry.encodings import decoded, is_encoded
from mcp_client.registry.failures import Passing, changed, pause_before, protocol, truncated, unavailable
from mcp_client.registry.urls import Location, shown
from mcp_client.resolution import Descriptor

# A break after this many bytes begins a new count of retries: large downloads meet more than three breaks.
_REAL_PROGRESS = 1 << 20
# Fewer bytes than this within one time-out are none.
_SLOWEST = 1024
_OK, _PARTIAL, _NO_RANGE = 200, 206, 416
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)\Z")
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]{0,256}"\Z')
_DATE = re.compile(r"[A-Za-z0-9 ,:]{1,64}\Z")


class _Version(NamedTuple):
    """What a server says that is another for another file; None where it does not say. ``total`` in bytes."""

    tag: str | None = None
    modified: str | None = None
    total: int | None = None

    @property
    def condition(self) -> str | None:
        """For If-Range: then a server whose file has changed sends all of it (RFC 9110, 13.1.5)."""
        return self.tag or self.modified

    def or_else(self, other: "_Version") -> "_Version":
        """What this one tells, and what only the other does."""
        told = {name: value for name, value in self._asdict().items() if value is not None}
        return other._replace(**told)

    def differs_from(self, other: "_Version") -> bool:
        """Whether both tell, and not the same."""
        return any(one is not None is not two and one != two for one, two in zip(self, other, strict=True))


class Download:
    """The bytes of one descriptor. Used once, by one thread."""

    def __init__(
        self, connection: Connection, settings: RegistrySettings, descriptor: Descriptor, url: str
    ) -> None:
        """``url`` is the descriptor's, absolute."""
        self._connection = connection
        self._settings = settings
        self._descriptor = descriptor
        self._url = url
        self._until = time.monotonic() + settings.download_timeout
        self._received = 0
        self._version = _Version()
        self._place = ""
        self._resumable = True

    def chunks(self) -> Generator[bytes, None, None]:
        """The artifact from its beginning to its end. Resumed when it breaks, but not for ever by crumbs."""
        failures = 0
        while True:
            before = self._received
            try:
                for chunk in self._try():
                    self._received += len(chunk)
                    yield chunk
            except Passing as passing:
                failures = 1 if self._received - before >= _REAL_PROGRESS else failures + 1
                pause = pause_before(failures, passing)
                if time.monotonic() + pause >= self._until:
                    within = f"not all of it came within {self._settings.download_timeout:g} s"
                    failure = passing.failure if passing.wait else unavailable(self._url, within)
                    raise failure from passing.__cause__
                time.sleep(pause)
            else:
                return

    def _try(self) -> Iterator[bytes]:
        """The bytes that are still missing, from one request. Raises Passing when the connection breaks."""
        offset, headers = self._received, {}
        if offset and self._resumable:
            headers["Range"] = f"bytes={offset}-"
            if self._version.condition is not None:
                headers["If-Range"] = self._version.condition
        with self._connection.open("GET", self._url, headers, None, self._until) as (response, location):
            if response.status_code == _NO_RANGE and headers:
                # It broke off after the last byte; if not, the digest will tell.
                return
            if response.status_code not in {_OK, _PARTIAL}:
                body = read_refusal(response, self._settings.timeout)
                subject = shown(self._descriptor.url)
                raise failure_of(response, location, body, subject, self._connection)
            yield from self._rest(response, location, offset)

    def _rest(self, response: httpx.Response, location: Location, offset: int) -> Iterator[bytes]:
        resumed = response.status_code == _PARTIAL
        size = self._descriptor.size
        encoded = is_encoded(response, location.url, size)
        if encoded and resumed:
            raise protocol(location.url, "the registry answers with a part of a compressed artifact")
        version = _version_of(response, location.url, offset)
        # One mirror's tag says nothing about another's; a presigned query is another one each time.
        place = location.url.partition("?")[0]
        if place != self._place:
            self._place, self._version = place, version
        elif self._received and self._version.differs_from(version):
            raise changed(location.url)
        else:
            self._version = self._version.or_else(version)
        self._resumable = not encoded
        # What a server sends again is the same, or the digest will tell.
        skip, done = (0, offset) if resumed else (offset, 0)
        body = self._paced(response.iter_raw(), location.url)
        try:
            for chunk in decoded(body, location.url) if encoded else body:
                done += len(chunk)
                if skip < len(chunk):
                    yield chunk[skip:] if skip else chunk
                skip = max(0, skip - len(chunk))
        except httpx.TimeoutException as error:
            raise Passing(unavailable(location.url, reason_of(error))) from error
        except httpx.TransportError as error:
            raise Passing(truncated(location.url, done, size)) from error
        # A part may be shorter than what was asked for, and a body without a length ends with its connection.
        total = size if version.total is None or encoded else version.total
        if total is not None and done < total and (resumed or not _is_framed(response)):
            raise Passing(truncated(location.url, done, total))

    def _paced(self, chunks: Iterator[bytes], url: str) -> Iterator[bytes]:
        """The body as it comes; a trickle is taken for silence."""
        seconds = self._settings.timeout
        began, received = time.monotonic(), 0
        for chunk in chunks:
            yield chunk
            received += len(chunk)
            now = time.monotonic()
            if now - began > seconds:
                if received < _SLOWEST:
                    raise Passing(unavailable(url, f"only {received} bytes came in {seconds:g} s"))
                began, received = now, 0


def _version_of(response: httpx.Response, url: str, offset: int) -> _Version:
    """Raises ``registry-protocol`` for another range than the one from ``offset`` on."""
    if response.status_code == _PARTIAL:
        match = _RANGE.match(response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != offset or not offset:
            raise protocol(url, "the registry answers with another range than the one asked for")
        total = match[2]
    else:
        total = response.headers.get("Content-Length", "*")
    tag = response.headers.get("ETag", "")
    return _Version(
        tag if _STRONG_TAG.match(tag) else None,
        _modified(response),
        int(total) if total.isascii() and total.isdecimal() and len(total) <= len("9" * 18) else None,
    )


def _modified(response: httpx.Response) -> str | None:
    """When the file was last changed, if it can have changed only once since (RFC 9110, 8.8.2.2)."""
    modified, now = response.headers.get("Last-Modified", ""), response.headers.get("Date", "")
    if not _DATE.match(modified) or not _DATE.match(now):
        return None
    try:
        age = parsedate_to_datetime(now) - parsedate_to_datetime(modified)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return modified if age.total_seconds() >= 1 else None


def _is_framed(response: httpx.Response) -> bool:
    """Whether the end of the body is told by more than the end of the connection."""
    return "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
