"""Requests to one registry and to where it points: origins, redirects, tokens, encryption."""

import os
import shlex
import ssl
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from math import inf
from threading import Lock

import httpx

from mcp_client import __version__
from mcp_client.config.settings import RegistrySettings
from mcp_client.errors import MCPError, printable
from mcp_client.network.addresses import Address, parse_address
from mcp_client.registry.dial import Patience
from mcp_client.registry.failures import Passing, protocol, unavailable, untrusted
from mcp_client.registry.proxies import proxy_for
from mcp_client.registry.reach import is_loopback, look_up, why_out_of_reach
from mcp_client.registry.tokens import Token, end_of, expired, is_sendable, utc
from mcp_client.registry.transport import Transport
from mcp_client.registry.trust import authorities
from mcp_client.registry.urls import Location, joined, parse_location, shown

_MOST_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# All headers of one answer, those of interim answers before it included.
_LARGEST_HEADERS = 1 << 20
_HEADERS = {
    "User-Agent": f"mcp-client/{__version__}",
    "Accept": "*/*",
    # Artifacts are hashed as they are, and a compressed answer could be a bomb.
    "Accept-Encoding": "identity",
}

# Where a response has the Patience of its body.
PATIENCE = "mcp_client.patience"

_Pool = tuple[str | None, bool, bool]


class Connection:
    """Sends requests, for any number of threads.

    ``home`` is the registry itself, the only origin that ever sees the token.
    """

    def __init__(self, url: str, settings: RegistrySettings, token: Token | None) -> None:
        """Raises ``config-invalid`` when the registry's URL or the token must not be used."""
        self._settings = settings
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
        if token is not None and not is_sendable(token.text):
            raise MCPError(
                "config-invalid",
                f"the token for {self.home.origin} has characters that no token has",
                hint=self.how_to_log_in,
            )
        self._transports: dict[_Pool, Transport] = {}
        self._opening = Lock()
        weakref.finalize(self, _close_all, self._transports)

    def close(self) -> None:
        """Close every socket; the next request opens new ones."""
        _close_all(self._transports)

    @cached_property
    def how_to_log_in(self) -> str:
        """The hint for whoever needs another token than the one that was used, if any."""
        configured = self._settings.configured
        default = configured is not None and _origin_or_none(configured) == self.home.origin
        command = "mcp login" if default else f"mcp login --registry {shlex.quote(self.home.origin)}"
        if self._token is not None and self._token.source == "environment":
            return f"set MCP_REGISTRY_TOKEN to a new token, or unset it and run: {command}"
        if self._settings.token and self._token is None:
            return f"{command} (MCP_REGISTRY_TOKEN is only for the registry that MCP_REGISTRY_URL names)"
        return command

    def allowed(self, url: str, origin: Location) -> Location:
        """``url``, which ``origin`` named, checked; raises ``registry-protocol`` if it must not be asked."""
        try:
            location = parse_location(url)
        except ValueError as error:
            raise protocol(url, f"the registry leads to a URL that cannot be used ({error})") from error
        if self._token is not None and self._token.told_in(url):
            raise protocol(location.origin, "the registry writes the token it was sent into a URL")
        if origin.scheme == "https" and location.scheme == "http":
            raise protocol(url, "the registry leads from https to plain http")
        if self._in_the_clear(location):
            raise protocol(url, "the registry leads to plain http")
        if location.origin != self.home.origin:
            if location.loopback and not origin.loopback:
                # Services of this machine trust who reaches them; a registry elsewhere must not borrow that.
                raise protocol(url, "the registry leads to this machine")
            address = parse_address(location.host)
            if address is not None:
                encrypted = location.scheme == "https"
                self._check_address(location.host, address, at_home=False, encrypted=encrypted)
        return location

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None,
        until: float,
    ) -> Iterator[tuple[httpx.Response, Location]]:
        """The response after all redirects, its body unread, and where it came from.

        A token that was left behind at another origin is not picked up again: who redirects back could
        otherwise choose what it is used for. ``until`` (``time.monotonic()``) ends everything, the body
        included. Raises Passing for transport errors, ``token-expired``, ``registry-untrusted``.
        """
        location = self.allowed(url, self.home)
        trusted = location.origin == self.home.origin
        for _ in range(_MOST_REDIRECTS + 1):
            sent = {**_HEADERS, **headers, **(self._authorization() if trusted else {})}
            response = self._send(method, location, sent, content, until)
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

    def _authorization(self) -> dict[str, str]:
        """The header with the token. Raises ``token-expired``: the registry could only say less about it."""
        if self._token is None:
            return {}
        end = end_of(self._token.text)
        if end is not None and expired(end):
            raise MCPError(
                "token-expired",
                f"the token for {self.home.origin} ended at {utc(end)}, so it was not sent",
                hint=self.how_to_log_in,
            )
        return {"Authorization": f"Bearer {self._token.text}"}

    def _send(
        self, method: str, location: Location, headers: Mapping[str, str], content: bytes | None, until: float
    ) -> httpx.Response:
        seconds = self._settings.timeout
        waiting = Patience(seconds)
        waiting.until = min(until, time.monotonic() + self._settings.connect_timeout + seconds)
        waiting.budget = _LARGEST_HEADERS
        connecting = Patience(self._settings.connect_timeout)
        connecting.until = until
        patience = {"connect": connecting, "read": waiting, "write": waiting, "pool": waiting}
        try:
            request = httpx.Request(
                method, location.url, headers=headers, content=content, extensions={"timeout": patience}
            )
            asked = request.url.raw_host.decode("ascii"), request.url.port or location.port
            if asked != (location.host, location.port):
                raise protocol(location.url, "the URL can be read in two ways")
            response = self._transport(location).handle_request(request)
        except httpx.TransportError as error:
            cause = _certificate_problem(error)
            if cause is not None:
                raise untrusted(location.url, cause) from error
            raise Passing(unavailable(location.url, reason_of(error) + _way_to(location))) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise protocol(location.url, "the URL cannot be used") from error
        # From here on the body is read: by those who bound its size, each read in time, until the end.
        waiting.until, waiting.budget = until, inf
        response.extensions[PATIENCE] = waiting
        return response

    def _transport(self, location: Location) -> Transport:
        """The pool of connections for where ``location`` is and how it is reached."""
        proxy = proxy_for(location, os.environ)
        at_home, encrypted = location.origin == self.home.origin, location.scheme == "https"
        key = (proxy, at_home, encrypted)
        with self._opening:
            if key not in self._transports:
                self._transports[key] = self._open(*key)
            return self._transports[key]

    def _open(self, proxy: str | None, at_home: bool, encrypted: bool) -> Transport:
        check = None if proxy else partial(self._check_address, at_home=at_home, encrypted=encrypted)
        secured = encrypted or (proxy or "").lower().startswith("https:")
        try:
            return Transport(proxy, self._trust if secured else None, check)
        except (ValueError, httpx.InvalidURL):
            # Without a cause: that one quotes the proxy's URL, which may hold a password.
            raise MCPError(
                "config-invalid",
                "the proxy that the environment names cannot be used",
                hint="set HTTPS_PROXY or ALL_PROXY to http://host:port or socks5://host:port",
            ) from None

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        return authorities(self._settings.ca_file, os.environ)

    def _check_address(self, host: str, address: Address, *, at_home: bool, encrypted: bool) -> None:
        """What the Dialer asks about each address before it connects. Raises ``registry-protocol``."""
        if is_loopback(host) and not is_loopback(str(address)):
            # Only this machine may be asked in the clear, whatever its table of hosts says.
            raise protocol(f"//{host}", f"the name of this machine leads elsewhere, to {address}")
        if at_home:
            return
        problem = why_out_of_reach(address, encrypted=encrypted, home=self._home_addresses)
        if problem is not None:
            raise protocol(f"//{host}", f"the registry leads to {problem}, at {address}")

    def _home_addresses(self) -> list[Address]:
        return look_up(self.home.host)

    def _target(self, response: httpx.Response, location: Location) -> Location:
        given = response.headers.get("Location", "")
        if not given:
            raise protocol(location.url, f"a redirect (status {response.status_code}) to nowhere")
        try:
            target = joined(location.url, given)
        except ValueError as error:
            raise protocol(given, f"the registry leads to a URL that cannot be used ({error})") from error
        return self.allowed(target, location)

    def _in_the_clear(self, location: Location) -> bool:
        return location.scheme == "http" and not location.loopback and not self._settings.insecure


def reason_of(error: httpx.TransportError) -> str:
    """A transport error in words; those of libraries may quote what a server sent."""
    if isinstance(error, httpx.TimeoutException):
        return "it does not answer in time"
    if isinstance(error, httpx.ProxyError):
        said = printable(str(error), 120)
        return f"the proxy says {said}" if said else "the proxy does not answer as its kind does"
    return printable(str(error), 120) or type(error).__name__


def _way_to(location: Location) -> str:
    """The proxy on the way, as an addition to a problem: it may be its own."""
    proxy = proxy_for(location, os.environ)
    return "" if proxy is None else f" (by way of the proxy {httpx.URL(proxy).netloc.decode('ascii')})"


def _certificate_problem(error: BaseException) -> str | None:
    """Why the other side's certificate was refused, if it was."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return printable(cause.verify_message or str(cause), 120)
        cause = cause.__cause__ or cause.__context__
    return None


def _origin_or_none(url: str) -> str | None:
    try:
        return parse_location(url).origin
    except ValueError:
        return None


def _close_all(transports: dict[_Pool, Transport]) -> None:
    while transports:
        transports.popitem()[1].close()
