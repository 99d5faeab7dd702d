"""What a registry serves: the bytes themselves, and how they come."""

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mcp_client.errors import MCPError, printable
from mcp_client.registry.conformance.exchange import OK, Asker, Exchange
from mcp_client.registry.conformance.finding import Finding, finding, note
from mcp_client.registry.urls import shown
from mcp_client.resolution import Descriptor, Resolution

_PARTIAL = 206
_REFUSALS = frozenset({400, 401, 403})
_STRONG = re.compile(r'"[^"]*"\Z')


class Inspect(NamedTuple):
    """How a file is judged once its digest is right: each raises MCPError or tells what it saw.

    Manifests and bundles are the affair of others; here they are files.
    """

    manifest: Callable[[str, Resolution], str]
    bundle: Callable[[str], str]


def judge_bytes(
    kind: str, artifact: Descriptor, path: str, resolution: Resolution, inspect: Inspect, tried: str
) -> Iterator[Finding]:
    """Digest, size and content of what was fetched to ``path``."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    right = digest == artifact.digest.hex
    yield finding(f"digest: {kind}", right, tried, f"sha256:{digest}" + _instead(right, artifact))
    if artifact.size is not None:
        yield finding(f"size: {kind}", size == artifact.size, tried, f"{size} bytes of {artifact.size}")
    if not right:
        return
    try:
        seen = inspect.manifest(path, resolution) if kind == "manifest" else inspect.bundle(path)
        yield finding(kind, True, tried, seen)
    except MCPError as error:
        yield finding(kind, False, tried, f"{error.code}: {error.message}")


def judge_download(
    kind: str, artifact: Descriptor, asker: Asker, path: str, limit: int
) -> Iterator[Finding | Exchange]:
    """Fetch to ``path`` and judge how it came. Yields the exchange last when all bytes are there."""
    tried = f"GET {shown(artifact.url)}"
    try:
        with open(path, "wb") as file:
            exchange = asker.get(artifact, file.write, limit)
    except ValueError:
        yield finding(f"artifact url: {kind}", False, tried, "no URL")
        return
    except MCPError as error:
        check = "redirects" if asker.redirected else "artifact url"
        fetched = error.code not in {"registry-protocol", "registry-untrusted"}
        yield finding(f"{'fetch' if fetched else check}: {kind}", False, tried, error.message)
        return
    home = asker.home.origin
    away = exchange.location.origin != home
    tried = exchange.tried
    if exchange.origins:
        led = f"{len(exchange.origins)} to {exchange.location.origin}: status {exchange.status}"
        refused = away and exchange.status in _REFUSALS
        yield finding(f"redirects: {kind}", not refused, tried, led)
        if refused:
            return
    whole = exchange.status == OK and exchange.problem is None
    came = f"{exchange.status}, {exchange.received} bytes in {exchange.seconds * 1000:.0f} ms"
    yield finding(f"fetch: {kind}", whole, tried, f"{came}{_because(exchange)}")
    if exchange.status != OK:
        return
    headers = exchange.headers
    length = headers.get("Content-Length")
    yield finding(f"length: {kind}", length is not None, tried, printable(length or "no Content-Length", 60))
    encoding = headers.get("Content-Encoding", "identity").lower()
    yield finding(
        f"encoding: {kind}", encoding == "identity", tried, f"Content-Encoding: {printable(encoding, 60)}"
    )
    if whole:
        yield exchange


def judge_range(bundle: Descriptor, whole: Exchange, asker: Asker, path: str) -> Iterator[Finding]:
    """Ask for the second half of the bundle whose bytes are in ``path``."""
    with open(path, "rb") as file:
        data_size = file.seek(0, 2)
        offset = file.seek(data_size // 2)
        rest = hashlib.file_digest(file, "sha256").hexdigest()
    hasher = hashlib.sha256()
    asked = {"Range": f"bytes={offset}-"}
    tried = f"{whole.tried} with Range: {asked['Range']}"
    try:
        exchange = asker.get(bundle, hasher.update, data_size, asked)
    except MCPError as error:
        yield finding("range", False, tried, error.message)
        return
    if exchange.status == OK:
        yield finding("ranges", False, tried, "200: all of it again")
        return
    yield finding("ranges", exchange.status == _PARTIAL, tried, str(exchange.status))
    told = exchange.headers.get("Content-Range", "")
    end = f"bytes {offset}-{data_size - 1}/"
    said = told in {f"{end}{data_size}", f"{end}*"}
    same = hasher.hexdigest() == rest
    got = f"{exchange.status}, Content-Range: {printable(told or 'none', 80)}, "
    got += "the right bytes" if same else f"{exchange.received} bytes, and not those"
    yield finding("range", exchange.status == _PARTIAL and said and same, tried, got)
    tag, modified = whole.headers.get("ETag", ""), whole.headers.get("Last-Modified", "")
    validator = tag if _STRONG.match(tag) else modified
    yield finding("validator", bool(validator), whole.tried, printable(validator or tag or "neither", 80))


def urls_of(resolution: Resolution) -> Finding:
    """Which kinds of URL an answer has."""
    kinds = [
        f"{kind} {shown(artifact.url)}"
        for kind, artifact in (("manifest", resolution.manifest), ("bundle", resolution.bundle))
    ]
    return note("artifact url", "the answer", "; ".join(kinds))


def _instead(right: bool, artifact: Descriptor) -> str:
    return "" if right else f", and not {artifact.digest}"


def _because(exchange: Exchange) -> str:
    if exchange.problem is not None:
        return f": {exchange.problem}"
    return "" if exchange.status == OK else f": {printable(exchange.body.decode(errors='replace'), 200)}"
