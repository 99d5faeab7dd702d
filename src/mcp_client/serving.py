"""The part of ``mcp run`` for servers that speak HTTP: where clients find them, and what is said about it."""

from __future__ import annotations

import os
import select

from mcp_client.endpoint import EndpointRequest
from mcp_client.errors import MCPError, printable
from mcp_client.executor.client import let_go_of_output
from mcp_client.executor.listener import Place, own_names
from mcp_client.light import TYPE_CHECKING, NamedTuple, pattern
from mcp_client.plainjson import dumps

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_client.app import App
    from mcp_client.executor.front import Front, Service
    from mcp_client.executor.ingress import Ingress
    from mcp_client.manifest.model import HTTPEndpoint
    from mcp_client.reference import PackageReference

# RFC 6750, section 2.1
_TOKEN = pattern(r"[A-Za-z0-9._~+/-]+=*")
_TOKEN_VARIABLE = "MCP_HTTP_TOKEN"  # noqa: S105  a name
_LONGEST_TOKEN_FILE = 8192
_ORIGIN = pattern(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+")
_PATIENCE_MILLISECONDS = 200


class Served(NamedTuple):
    """The package that is offered."""

    reference: PackageReference
    endpoint: HTTPEndpoint


class Endpoint:
    """An address of this machine behind which the server is. The socket is there before anything runs."""

    def __init__(self, app: App, served: Served, request: EndpointRequest) -> None:
        """Raises ``listen-failed`` and ``token-invalid``."""
        place = Place(request.host, request.port)
        self._app, self._served, self._request = app, served, request
        self._given = _given_token(request)
        self._made = None
        if self._given is None and (request.token or not place.is_loopback):
            from secrets import token_urlsafe

            self._made = token_urlsafe(32)
        self._place = place
        self._listener, self._port = place.listen()
        self._origins = frozenset(_origin(text) for text in request.origins)
        if not place.is_loopback:
            app.log.warning(f"{place.address} is not loopback: whoever has the token can use the server")

    @property
    def url(self) -> str:
        """For a client on this machine."""
        return f"http://{self._place.url_host}:{self._port}{self._served.endpoint.path}"

    def to_record(self) -> dict[str, object]:
        """For the audit log."""
        return {
            "host": self._place.address,
            "port": self._port,
            "token": bool(self._given or self._made),
            "origins": sorted(self._origins),
        }

    def attend(self, channel: int | None) -> Front:
        """What the supervisor drives; ``channel`` is its end of the way in, as in open_ingress()."""
        from mcp_client.executor.http.guard import Guard
        from mcp_client.executor.http.proxy import Proxy
        from mcp_client.executor.ingress import open_ingress

        # With a token, a page that was led here by another name has nothing to show.
        names = own_names(self._port) if self._place.is_loopback else None
        if not self._request.announce:
            let_go_of_output()
        guard = Guard(names, self._origins, self._given or self._made)
        inside = self._served.endpoint.port

        ingress = open_ingress(channel, inside)

        def begin() -> Service:
            proxy = Proxy(self._listener, ingress, guard, port=inside)
            self._announce()
            return proxy

        return _front(self._app, self._served.endpoint, ingress, begin)

    def _announce(self) -> None:
        _write(2, f"mcp: {self._served.reference} is at {self.url}")
        if self._made is not None and not self._request.announce:
            _write(2, f"mcp: clients have to send Authorization: Bearer {self._made}")
        if self._request.announce:
            # Last: whoever reads it may take all that stands before for said.
            self._announce_to_program()

    def _announce_to_program(self) -> None:
        facts: dict[str, object] = {
            "package": str(self._served.reference),
            "url": self.url,
            "host": self._place.address,
            "port": self._port,
            "path": self._served.endpoint.path,
            "pid": os.getpid(),
        }
        facts |= {} if self._made is None else {"token": self._made}
        _write(1, dumps(facts))
        let_go_of_output()


class Bridged:
    """The server on our standard input and output, for a client that speaks nothing else."""

    def __init__(self, app: App, served: Served) -> None:
        """Nothing to prepare."""
        self._app, self._served = app, served

    def to_record(self) -> dict[str, object]:
        """For the audit log."""
        return {"bridge": "stdio"}

    def attend(self, channel: int | None) -> Front:
        """What the supervisor drives; ``channel`` is its end of the way in, as in open_ingress()."""
        from mcp_client.executor.bridge.bridge import Bridge
        from mcp_client.executor.ingress import open_ingress

        endpoint = self._served.endpoint
        ingress = open_ingress(channel, endpoint.port)
        bridge = Bridge(ingress, endpoint.port, endpoint.path)
        front = _front(self._app, endpoint, ingress, bridge.begin, bridge)
        bridge.on_left = front.stop
        return front


def open_door(
    app: App, reference: PackageReference, endpoint: HTTPEndpoint, request: EndpointRequest | None
) -> Endpoint | Bridged:
    """The way to the server that was asked for, before anything runs."""
    served = Served(reference, endpoint)
    if request is not None and request.stdio:
        return Bridged(app, served)
    return Endpoint(app, served, request or EndpointRequest())


def _front(
    app: App,
    endpoint: HTTPEndpoint,
    ingress: Ingress,
    begin: Callable[[], Service],
    service: Service | None = None,
) -> Front:
    from mcp_client.executor.front import Front

    executor = app.settings.executor
    return Front(
        ingress,
        begin,
        service=service,
        health=endpoint.health,
        start_timeout=executor.start_timeout,
        idle_timeout=executor.idle_timeout if service is None else None,
    )


def _given_token(request: EndpointRequest) -> str | None:
    if request.token_file is not None:
        source, text = request.token_file, _read_token(request.token_file)
    elif _TOKEN_VARIABLE in os.environ:
        source, text = _TOKEN_VARIABLE, os.environ[_TOKEN_VARIABLE]
    else:
        return None
    token = text.strip()
    if not _TOKEN.fullmatch(token):
        raise MCPError(
            "token-invalid",
            f"{printable(source)} holds no token",
            hint="a token is one line of letters, digits and -._~+/, with = at its end if at all (RFC 6750)",
        )
    return token


def _read_token(path: str) -> str:
    try:
        descriptor = 0 if path == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        data = b""
        while b"\n" not in data and len(data) <= _LONGEST_TOKEN_FILE:
            chunk = os.read(descriptor, _LONGEST_TOKEN_FILE)
            if not chunk:
                break
            data += chunk
        if descriptor:
            os.close(descriptor)
    except OSError as error:
        raise MCPError(
            "token-invalid", f"cannot read {printable(path)}: {error.strerror}", hint="check --token-file"
        ) from error
    return data.partition(b"\n")[0].decode("latin-1")


def _origin(text: str) -> str:
    """As a browser sends it (RFC 6454, section 6.2); no pattern, and not ``null``, which any page can be."""
    origin = text.lower().rstrip("/")
    if not _ORIGIN.fullmatch(origin):
        raise MCPError(
            "option-invalid",
            f"not an origin: {printable(text, 100)}",
            hint="write --allow-origin https://app.example, with the port if it is not the usual one",
        )
    return origin


def _write(descriptor: int, line: str) -> None:
    """Nobody may be reading, and nobody may keep us waiting."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    if poll.poll(_PATIENCE_MILLISECONDS):
        try:
            os.write(descriptor, f"{line}\n".encode())
        except OSError:
            # It has just gone.
            return
