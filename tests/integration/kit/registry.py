"""A registry on loopback: the executable form of the contract, with every fault a registry can have."""

import json
import ssl
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

from kit.bundle import Package, digest_of

Dialect = Literal["post", "get"]
Place = Literal["resolve", "manifest", "bundle"]


class Fault(NamedTuple):
    """What goes wrong at one place of the contract, ``times`` often (None: always); ``then`` follows it.

    ``cut`` closes the connection at that offset of the artifact, wherever the answer began. ``delay`` waits
    that many seconds before the answer, ``drip`` waits that long between pieces of it.
    """

    status: int | None = None
    body: bytes | None = None
    headers: Mapping[str, str] = {}
    cut: int | None = None
    delay: float = 0.0
    drip: float = 0.0
    times: int | None = None
    then: "Fault | None" = None


class Request(NamedTuple):
    """One line of the registry's log."""

    method: str
    path: str
    place: str
    range: str | None
    authorization: str | None
    proxy_authorization: str | None


class Registry:
    """Serves published packages by POST (or only by GET) on 127.0.0.1 until it is closed.

    ``answers`` replaces resolve answers by reference; ``token`` is demanded when set; ``connections`` counts
    those that were made, whether or not a request came.
    """

    def __init__(
        self,
        dialect: Dialect = "post",
        *,
        address: tuple[str, int] = ("127.0.0.1", 0),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.dialect = dialect
        self.token: str | None = None
        self.log: list[Request] = []
        self.faults: dict[str, Fault] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        self.closing = threading.Event()
        self._packages: dict[str, Package] = {}
        self._artifacts: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self.connections = 0
        self._scheme = "http" if tls is None else "https"
        self._server = _Server(address, _Handler)
        self._server.registry = self
        if tls is not None:
            # The handshake is for the thread of the connection: nobody else shall wait for it.
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"{self._scheme}://{host!s}:{port}"

    def publish(self, *packages: Package) -> None:
        for one in packages:
            self._packages[one.reference] = one
            for data in (one.manifest, one.bundle):
                self._artifacts[digest_of(data)] = data

    def answer(self, reference: str) -> dict[str, Any] | None:
        """The resolve answer for ``reference``; relative urls, as most registries send."""
        if reference in self.answers:
            return self.answers[reference]
        package = self._packages.get(reference) or self._by_manifest(reference)
        if package is None:
            return None
        manifest, bundle = package.digests
        return {
            "version": package.version,
            "status": "published",
            "manifest": {
                "digest": manifest,
                "url": f"/artifacts/manifest/{manifest}",
                "size_bytes": len(package.manifest),
            },
            "bundle": {
                "digest": bundle,
                "url": f"/artifacts/bundle/{bundle}",
                "size_bytes": len(package.bundle),
            },
            "an_unknown_field": True,
        }

    def _by_manifest(self, reference: str) -> Package | None:
        """The package whose manifest has the digest of a ``digest:`` reference."""
        name, _, digest = reference.partition("@digest:")
        found = (one for one in self._packages.values() if one.digests[0] == digest)
        return next((one for one in found if f"{one.org}/{one.name}" == name), None)

    def artifact(self, digest: str) -> bytes | None:
        return self._artifacts.get(digest)

    def record(self, request: Request) -> Fault | None:
        """Log one request and take the fault that is due at its place, if any."""
        with self._lock:
            self.log.append(request)
            fault = self.faults.get(request.place)
            if fault is None or fault.times is None:
                return fault
            if fault.times <= 0:
                return fault.then
            self.faults[request.place] = fault._replace(times=fault.times - 1)
            return fault

    def requests(self, place: Place) -> list[Request]:
        with self._lock:
            return [entry for entry in self.log if entry.place == place]

    def wait_for(self, place: Place, seconds: float = 30.0) -> bool:
        """Whether something was asked for at ``place``, before too long."""
        end = time.monotonic() + seconds
        while not self.requests(place) and time.monotonic() < end:
            time.sleep(0.01)
        return bool(self.requests(place))

    def close(self) -> None:
        """Stop; requests that are being delayed end at once."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    registry: Registry

    def get_request(self) -> tuple[Any, Any]:
        self.registry.connections += 1
        return super().get_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests, not news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer goes out in two writes; the second one is not to wait for an acknowledgement of the first.
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name of the base class)
        """The registry keeps its own log."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.server.registry.dialect != "post":
            self._send(405, b"", {"Allow": "GET"})
            return
        try:
            selector = json.loads(body)["ref"]
        except (ValueError, KeyError, TypeError):
            selector = "?"
        self._resolve(urlsplit(self.path).path, selector)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path.startswith("/artifacts/"):
            self._artifact(parts.path)
        elif parts.path.endswith("/resolve") and self.server.registry.dialect == "get":
            self._resolve(parts.path, parse_qs(parts.query).get("ref", ["?"])[0])
        elif parts.path.startswith("/moved/"):
            self._note("redirect")
            self._send(302, b"", {"Location": parts.path.removeprefix("/moved")})
        else:
            self._note("other")
            self._send(404, b"not here", {"Content-Type": "text/plain"})

    def _resolve(self, path: str, selector: str) -> None:
        fault = self._note("resolve")
        registry = self.server.registry
        form = registry.answer(f"{path.removeprefix('/v1/packages/').removesuffix('/resolve')}@{selector}")
        kind = {"Content-Type": "application/json"}
        if registry.token is not None and self.headers.get("Authorization") != f"Bearer {registry.token}":
            self._fail(401, "unauthorized", "a token is needed")
        elif form is None:
            self._fail(404, "package_not_found", "no such package", fault)
        else:
            self._send(200, json.dumps(form).encode(), kind, fault)

    def _artifact(self, path: str) -> None:
        _, _, place, digest = path.split("/", 3)
        fault = self._note(place)
        data = self.server.registry.artifact(digest)
        if data is None:
            self._fail(404, "artifact_not_found", "no such artifact", fault)
            return
        headers = {
            "Content-Type": "application/octet-stream",
            "ETag": f'"{digest}"',
            "Accept-Ranges": "bytes",
        }
        asked = self.headers.get("Range")
        if asked and asked.startswith("bytes=") and asked.endswith("-"):
            start = int(asked[6:-1])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            if fault is not None and fault.cut is not None:
                fault = fault._replace(cut=max(0, fault.cut - start))
            self._send(206, data[start:], headers, fault)
        else:
            self._send(200, data, headers, fault)

    def _note(self, place: str) -> Fault | None:
        headers = self.headers
        return self.server.registry.record(
            Request(
                *(self.command, self.path, place),
                *(headers.get("Range"), headers.get("Authorization"), headers.get("Proxy-Authorization")),
            )
        )

    def _fail(self, status: int, code: str, message: str, fault: Fault | None = None) -> None:
        body = json.dumps({"error": code, "message": message, "details": {}}).encode()
        self._send(status, body, {"Content-Type": "application/json"}, fault)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], fault: Fault | None = None) -> None:
        fault = fault or Fault()
        if fault.delay and self.server.registry.closing.wait(fault.delay):
            self.close_connection = True
            return
        shown = body if fault.body is None else fault.body
        self.send_response(fault.status or status)
        for name, value in {**headers, **fault.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(shown)))
        self.end_headers()
        if fault.cut is not None:
            self.wfile.write(shown[: fault.cut])
            self.close_connection = True
        elif fault.drip:
            for start in range(0, len(shown), 1024):
                self.wfile.write(shown[start : start + 1024])
                time.sleep(fault.drip)
        else:
            self.wfile.write(shown)
