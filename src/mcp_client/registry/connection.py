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
_LOOPBACK = ("all://localhost", "all://127.0.0.1", "all://[::1]")


class Connection:
    """Sends requests; ``home`` is the registry itself, the only origin that ever sees the token."""

    def __init__(self, url: str, settings: RegistrySettings, token: str | None) -> None:
        """Raises ``config-invalid`` when the registry's URL must not be used."""
        self._insecure = settings.insecure
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
        self._client = httpx.Client(
            timeout=settings.timeout,
            follow_redirects=False,
            # Artifacts are hashed as they are sent, and a compressed answer could be a bomb.
            headers={"User-Agent": f"mcp-client/{__version__}", "Accept-Encoding": "identity"},
            # Cookies are credentials too, and know nothing of ports.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            # What stays on this machine is not sent through a proxy.
            mounts=dict.fromkeys(_LOOPBACK),
        )
        weakref.finalize(self, self._client.close)

    def allowed(self, url: str, origin: Location) -> Location:
        """``url``, which ``origin`` named, checked; raises ``registry-protocol`` if it must not be asked."""
        try:
            location = parse_location(url)
            httpx.URL(location.url)
        except (ValueError, httpx.InvalidURL) as error:
            problem = str(error) if type(error) is ValueError else "malformed"
            raise protocol(url, f"the registry leads to a URL that cannot be used ({problem})") from error
        if origin.scheme == "https" and location.scheme == "http":
            raise protocol(url, "the registry leads from https to plain http")
        if self._in_the_clear(location):
            raise protocol(url, "the registry leads to plain http")
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
            response = self._send(method, location.url, sent, content)
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
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> httpx.Response:
        try:
            request = self._client.build_request(method, url, headers=headers, content=content)
            return self._client.send(request, stream=True)
        except httpx.TransportError as error:
            raise Passing(unavailable(url, reason_of(error))) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise protocol(url, "the URL cannot be used") from error

    def _target(self, response: httpx.Response, location: Location) -> Location:
        given = response.headers.get("Location", "")
        try:
            target = urljoin(location.url, given)
        except ValueError:
            target = given
        if not given:
            raise protocol(location.url, f"a redirect (status {response.status_code}) to nowhere")
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
