"""One request and all that came of it, for those who look at how a registry answers and not only what."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urljoin

import httpx

from mcp_client.config.settings import RegistrySettings
from mcp_client.errors import MCPError
from mcp_client.reference import PackageReference
from mcp_client.registry.connection import PATIENCE, Connection, reason_of
from mcp_client.registry.encodings import decoded, is_encoded
from mcp_client.registry.failures import Passing
from mcp_client.registry.https import resolve_request, resolve_urls
from mcp_client.registry.tokens import Token
from mcp_client.registry.urls import Location, shown
from mcp_client.registry.wire import LARGEST_ANSWER
from mcp_client.resolution import Descriptor

OK = 200
Taker = Callable[[bytes], object]


class Exchange(NamedTuple):
    """``body`` is empty where it went to a taker; ``received`` are its bytes, ``problem`` why it ended early.

    ``seconds`` until the end and until the first byte; ``origins`` are those that redirected, in their order.
    """

    tried: str
    status: int
    headers: httpx.Headers
    body: bytes
    received: int
    problem: str | None
    seconds: float
    first: float
    origins: tuple[str, ...]
    location: Location


class Asker:
    """Asks one registry, with one token or none, and remembers how it went. One try for each question."""

    def __init__(self, url: str, settings: RegistrySettings, token: Token | None) -> None:
        """Raises ``config-invalid`` for a URL or a token that must not be used."""
        self._connection = _Recording(url, settings, token)
        self._settings = settings
        self.home = self._connection.home
        self.base = self.home.url.rstrip("/") + "/"

    def close(self) -> None:
        """Close every socket."""
        self._connection.close()

    def resolve(self, dialect: str, reference: PackageReference) -> Exchange:
        """The answer in this dialect; of several files a static registry may have, the first that is there.

        Raises MCPError when there is no answer at all, or a redirect that must not be followed.
        """
        method, headers, content = resolve_request(dialect, reference)
        exchanges = []
        for url in resolve_urls(self.base, dialect, reference):
            exchanges.append(self._ask(method, url, headers, content, None, LARGEST_ANSWER))
            if exchanges[-1].status == OK:
                break
        return exchanges[-1]

    def get(
        self, artifact: Descriptor, take: Taker, limit: int, headers: Mapping[str, str] | None = None
    ) -> Exchange:
        """Fetch an artifact, or what ``headers`` ask of it; more than ``limit`` bytes are a problem.

        Raises as resolve() does, and ValueError for a URL that is none.
        """
        url = urljoin(self.base, artifact.url)
        return self._ask("GET", url, headers or {}, None, take, limit, artifact.size)

    @property
    def redirected(self) -> bool:
        """Whether the last question was redirected, also to where it must not go."""
        return bool(self._connection.origins)

    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None,
        take: Taker | None,
        limit: int,
        size: int | None = None,
    ) -> Exchange:
        began = time.monotonic()
        seconds = self._settings.timeout if take is None else self._settings.download_timeout
        self._connection.origins.clear()
        body = bytearray()
        try:
            with self._connection.open(method, url, headers, content, began + seconds) as (
                response,
                location,
            ):
                first = time.monotonic() - began
                # A refusal is read as an answer is, whatever was asked for.
                taker = take if take is not None and response.status_code < 300 else body.extend  # noqa: PLR2004
                response.extensions[PATIENCE].shorten(seconds)
                received, problem = _read(response, location.url, taker, limit, size)
                return Exchange(
                    f"{method} {shown(url)}" + (f" {content.decode()}" if content else ""),
                    response.status_code,
                    response.headers,
                    bytes(body),
                    received,
                    problem,
                    time.monotonic() - began,
                    first,
                    tuple(self._connection.origins),
                    location,
                )
        except Passing as passing:
            raise passing.failure from passing


class _Recording(Connection):
    """A connection that remembers who redirected, also to where it must not go."""

    def __init__(self, url: str, settings: RegistrySettings, token: Token | None) -> None:
        super().__init__(url, settings, token)
        self.origins: list[str] = []

    def _target(self, response: httpx.Response, location: Location) -> Location:
        self.origins.append(location.origin)
        return super()._target(response, location)


def _read(
    response: httpx.Response, url: str, take: Taker, limit: int, size: int | None
) -> tuple[int, str | None]:
    received = 0
    try:
        chunks = response.iter_raw()
        for chunk in decoded(chunks, url) if is_encoded(response, url, size) else chunks:
            received += len(chunk)
            if received > limit:
                return received, f"more than {limit} bytes"
            take(chunk)
    except httpx.TransportError as error:
        return received, reason_of(error)
    except MCPError as error:
        return received, error.message
    return received, None
