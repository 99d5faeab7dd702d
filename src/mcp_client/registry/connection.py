"""Requests to one registry and to where it points: origins, redirects, tokens, encryption."""

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import urljoin

import httpx

from mcp_client import __version__
from mcp_client.config.settings import RegistrySettings
from mcp_client.errors import MCPError, printable
from mcp_client.registry.failures import Passing, protocol, unavailable
from mcp_client.registry.urls import Location, parse_location, shown

_MOST_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HIDDEN = b"***"
_LOCATION = "mcp_client.location"


class Connection:
    """Sends requests; ``home`` is the registry itself, the only origin that ever sees the token."""

    def __init__(self, url: str, settings: RegistrySettings, token: str | None) -> None:
        """Raises ``config-invalid`` when the registry's URL or the token must not be used."""
        self._insecure = settings.insecure
        self._timeout = settings.timeout
        self._token = token
        try:
            self.home = parse_location(url)
        except ValueError as error:
            raise MCPError(
                "config-invalid",
                f"not a registry's URL: {shown(url)} ({error})",
                hint="write https://host or https://host:port/path",
            ) from error
        if self._in_the_clear(self.home):
            raise MCPError(
                "config-invalid",
                f"{shown(url)} is not encrypted: anyone on the way could read the token or change answers",
                hint="use https, or set registry.insecure: true for a network you trust",
            )
        if token is not None and not all("!" <= letter <= "~" for letter in token):
            # Libraries would quote it in their error.
            raise MCPError(
                "config-invalid",
                f"the token for {self.home.origin} has characters that no token has",
                hint="set MCP_REGISTRY_TOKEN to another, or run 'mcp login' again",
            )
        self._clients: dict[bool, httpx.Client] = {}
        weakref.finalize(self, _close_all, self._clients)

    def close(self) -> None:
        """Close every socket; the next request opens new ones."""
        _close_all(self._clients)

    def hidden(self, body: bytes) -> bytes:
        """``body`` without the token, should a server send back what it was sent."""
        return body.replace(self._token.encode(), _HIDDEN) if self._token else body

    def allowed(self, url: str, origin: Location) -> Location:
        """``url``, which ``origin`` named, checked; raises ``registry-protocol`` if it must not be asked."""
        try:
            location = parse_location(url)
        except ValueError as error:
            raise protocol(url, f"the registry leads to a URL that cannot be used ({error})") from error
        if origin.scheme == "https" and location.scheme == "http":
            raise protocol(url, "the registry leads from https to plain http")
        if self._in_the_clear(location):
            raise protocol(url, "the registry leads to plain http")
        if location.loopback and not origin.loopback:
            # Services of this machine trust who reaches them; a registry elsewhere must not borrow that.
            raise protocol(url, "the registry leads to this machine")
        return location

    @contextmanager
    def open(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> Iterator[tuple[httpx.Response, Location]]:
        """The response after all redirects, its body unread, and where it came from.

        A token that was left behind at another origin is not picked up again: who redirects back could
        otherwise choose what it is used for. Raises Passing for transport errors.
        """
        location = self.allowed(url, self.home)
        trusted = location.origin == self.home.origin
        for _ in range(_MOST_REDIRECTS + 1):
            sent = {
                **headers,
                **({"Authorization": f"Bearer {self._token}"} if trusted and self._token else {}),
            }
            response = self._send(method, location, sent, content)
            try:
                if response.status_code not in _REDIRECTS:
                    yield response, location
                    return
                target = self._target(response, location)
                if response.status_code == 303:  # noqa: PLR2004 see other: always GET (RFC 9110, 15.4.4)
                    method, content = "GET", None
            finally:
                response.close()
            trusted = trusted and target.origin == location.origin
            location = target
        raise protocol(url, f"more than {_MOST_REDIRECTS} redirects")

    def _send(
        self, method: str, location: Location, headers: Mapping[str, str], content: bytes | None
    ) -> httpx.Response:
        client = self._client(direct=location.loopback)
        try:
            request = client.build_request(method, location.url, headers=headers, content=content)
            return client.send(request, stream=True)
        except httpx.TransportError as error:
            raise Passing(unavailable(location.url, reason_of(error))) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise protocol(location.url, "the URL cannot be used") from error

    def _client(self, *, direct: bool) -> httpx.Client:
        """The client for hosts behind the environment's proxies, or for this machine: it needs none."""
        if direct not in self._clients:
            try:
                self._clients[direct] = httpx.Client(
                    timeout=self._timeout,
                    event_hooks={"response": [_take_location]},
                    # Artifacts are hashed as they are sent, and a compressed answer could be a bomb.
                    headers={"User-Agent": f"mcp-client/{__version__}", "Accept-Encoding": "identity"},
                    # Cookies are credentials too, and know nothing of ports.
                    cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
                    # A transport of our own is one without proxies.
                    transport=httpx.HTTPTransport() if direct else None,
                )
            except (ImportError, ValueError, httpx.InvalidURL) as error:
                # Without its words: they quote the proxy's URL, which may hold a password.
                raise MCPError(
                    "config-invalid",
                    "the proxy that the environment names cannot be used",
                    hint="set HTTPS_PROXY to http://host:port; unset ALL_PROXY if it names a SOCKS proxy",
                ) from error
            except OSError as error:
                raise MCPError(
                    "config-invalid",
                    f"cannot read the certificates to trust: {printable(str(error.strerror or error), 120)}",
                    hint="check SSL_CERT_FILE and SSL_CERT_DIR",
                ) from error
        return self._clients[direct]

    def _target(self, response: httpx.Response, location: Location) -> Location:
        given = response.extensions[_LOCATION]
        if not given:
            raise protocol(location.url, f"a redirect (status {response.status_code}) to nowhere")
        try:
            target = urljoin(location.url, given)
        except ValueError:
            target = given
        return self.allowed(target, location)

    def _in_the_clear(self, location: Location) -> bool:
        return location.scheme == "http" and not location.loopback and not self._insecure


def reason_of(error: httpx.TransportError) -> str:
    """A transport error in words; those of libraries may quote what a server sent."""
    if isinstance(error, httpx.TimeoutException):
        return "it does not answer in time"
    if isinstance(error, httpx.UnsupportedProtocol):
        return "a proxy with an unknown scheme"
    return printable(str(error), 120) or type(error).__name__


def _take_location(response: httpx.Response) -> None:
    """Keep httpx from parsing where a redirect leads: it does even when it is not to follow."""
    response.extensions[_LOCATION] = response.headers.pop("Location", "")


def _close_all(clients: dict[bool, httpx.Client]) -> None:
    while clients:
        clients.popitem()[1].close()
