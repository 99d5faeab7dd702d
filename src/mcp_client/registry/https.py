"""A registry over HTTP: three dialects to resolve, retries, and downloads that go on where they broke."""

import time
from collections.abc import Callable, Generator
from functools import partial
from typing import TypeVar
from urllib.parse import quote

from mcp_client.config.settings import RegistrySettings
from mcp_client.reference import PackageReference
from mcp_client.registry.answers import failure_of, read_answer, read_refusal
from mcp_client.registry.connection import Connection
from mcp_client.registry.directory import file_names
from mcp_client.registry.download import Download
from mcp_client.registry.failures import Passing, pause_before, protocol, refusal
from mcp_client.registry.tokens import Token
from mcp_client.registry.urls import joined
from mcp_client.registry.wire import parse_refusal
from mcp_client.resolution import Descriptor

T = TypeVar("T")

DIALECTS = ("post", "get", "static")
_OK, _NOT_FOUND, _NO_METHOD, _NOT_IMPLEMENTED = 200, 404, 405, 501


class HTTPTransport:
    """See client.Transport. Any number of threads may fetch at once."""

    def __init__(
        self,
        url: str,
        settings: RegistrySettings,
        *,
        token: Token | None,
        dialect: str | None,
        on_dialect: Callable[[str], None],
    ) -> None:
        """Raises ``config-invalid``."""
        self._connection = Connection(url, settings, token)
        self._settings = settings
        self._base = self._connection.home.url.rstrip("/") + "/"
        self._dialect = dialect
        self._on_dialect = on_dialect

    def resolve(self, reference: PackageReference) -> bytes:
        """Ask by POST, by GET, or for a static file; first in the way that was understood last time."""
        for dialect in sorted(DIALECTS, key=lambda dialect: dialect != self._dialect):
            for url in resolve_urls(self._base, dialect, reference):
                body = _with_retries(partial(self._ask, dialect, url, reference))
                if body is not None:
                    if dialect != self._dialect:
                        self._dialect = dialect
                        self._on_dialect(dialect)
                    return body
        raise refusal(_NOT_FOUND, self._base, b"", str(reference))

    def fetch(self, descriptor: Descriptor) -> Generator[bytes, None, None]:
        """The artifact; see Download."""
        try:
            url = joined(self._base, descriptor.url)
        except ValueError as error:
            raise protocol(descriptor.url, "the registry names a URL that cannot be used") from error
        yield from Download(self._connection, self._settings, descriptor, url).chunks()

    def known_versions(self, package: str) -> list[str]:
        """The contract has no way to list versions."""
        del package
        return []

    def close(self) -> None:
        """Close every socket."""
        self._connection.close()

    def _ask(self, dialect: str, url: str, reference: PackageReference) -> bytes | None:
        """The body of a successful answer; None when the registry does not speak this dialect."""
        method, headers, content = resolve_request(dialect, reference)
        seconds, connect = self._settings.timeout, self._settings.connect_timeout
        until = time.monotonic() + connect + 2 * seconds
        with self._connection.open(method, url, headers, content, until) as (response, location):
            if response.status_code == _OK:
                return read_answer(response, location.url, seconds)
            body = read_refusal(response, seconds)
            if is_not_spoken(response.status_code, body):
                return None
            raise failure_of(response, location, body, str(reference), self._connection)


def resolve_urls(base: str, dialect: str, reference: PackageReference) -> list[str]:
    """Where to ask in this dialect; ``base`` is the registry's URL with a slash at its end."""
    package = reference.package
    if dialect == "static":
        return [
            f"{base}packages/{package}/{quote(name, safe=':')}" for name in file_names(reference.selector)
        ]
    url = f"{base}v1/packages/{package}/resolve"
    return [url if dialect == "post" else f"{url}?ref={quote(reference.selector, safe=':')}"]


def resolve_request(dialect: str, reference: PackageReference) -> tuple[str, dict[str, str], bytes | None]:
    """How to ask: method, headers and body."""
    headers = {"Accept": "application/json"}
    if dialect != "post":
        return "GET", headers, None
    headers["Content-Type"] = "application/json"
    return "POST", headers, f'{{"ref": "{reference.selector}"}}'.encode()


def is_not_spoken(status: int, body: bytes) -> bool:
    """Whether an answer that is no 200 says that the registry does not know the dialect."""
    missing = status == _NOT_FOUND and parse_refusal(body) is None
    return missing or status in {_NO_METHOD, _NOT_IMPLEMENTED}


def _with_retries(attempt: Callable[[], T]) -> T:
    failures = 0
    while True:
        try:
            return attempt()
        except Passing as passing:
            failures += 1
            time.sleep(pause_before(failures, passing))
