"""One registry, whatever it is behind: resolve a reference, fetch an artifact."""

import os
from collections.abc import Callable, Iterator
from typing import Protocol
from urllib.parse import unquote, urlsplit

from mcp_client.config.settings import RegistrySettings
from mcp_client.errors import MCPError, printable
from mcp_client.reference import PackageReference
from mcp_client.registry.credentials import Credentials
from mcp_client.registry.urls import origin_of
from mcp_client.resolution import Descriptor, Resolution

EMBEDDED = "embedded"
_EMBEDDED_FOLDER = os.path.join(os.path.dirname(os.path.dirname(__file__)), "embedded")


class Transport(Protocol):
    """How bytes come from a registry; every failure is an MCPError, also while iterating."""

    def resolve(self, reference: PackageReference) -> bytes:
        """The resolve answer, a JSON document of 1 MB at most."""

    def fetch(self, descriptor: Descriptor, limit: int) -> Iterator[bytes]:
        """The bytes of an artifact, unverified, ``limit`` of them at most."""

    def known_versions(self, package: str) -> list[str]:
        """What may stand after the ``@`` for ``org/name``, as far as the registry tells."""


class RegistryClient:
    """Resolves and fetches at one registry."""

    def __init__(self, url: str, transport: Transport) -> None:
        """``url`` is what resolutions remember as their registry."""
        self.url = url
        self._transport = transport

    def resolve(self, reference: PackageReference) -> Resolution:
        """What ``reference`` means. Raises ``package-not-found``, ``registry-*`` and their kin."""
        from mcp_client.registry.wire import parse_answer

        return parse_answer(self._transport.resolve(reference), reference, self.url)

    def fetch(self, descriptor: Descriptor, limit: int) -> Iterator[bytes]:
        """The artifact's bytes, unverified, ``limit`` of them at most."""
        return self._transport.fetch(descriptor, limit)

    def known_versions(self, package: str) -> list[str]:
        """Exact versions of ``org/name`` to suggest; empty when the registry does not list them."""
        return self._transport.known_versions(package)


def open_registry(
    url: str,
    *,
    settings: RegistrySettings,
    credentials: Credentials,
    dialect: str | None,
    on_dialect: Callable[[str], None],
) -> RegistryClient:
    """The registry at ``url``: ``embedded``, ``file:///folder`` or ``http(s)://host``.

    ``dialect`` is how it was spoken to last time; ``on_dialect`` hears of a new one. Raises ``usage`` for
    any other URL.
    """
    from mcp_client.registry.directory import DirectoryTransport

    parts = urlsplit(url)
    if url == EMBEDDED:
        return RegistryClient(url, DirectoryTransport(_EMBEDDED_FOLDER))
    if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
        return RegistryClient(url, DirectoryTransport(unquote(parts.path)))
    if parts.scheme in {"http", "https"} and parts.hostname:
        from mcp_client.registry.https import HTTPTransport

        token = settings.token or credentials.token_for(origin_of(url))
        transport = HTTPTransport(url, settings, token=token, dialect=dialect, on_dialect=on_dialect)
        return RegistryClient(url, transport)
    raise MCPError(
        "usage",
        f"not a registry: {printable(url, 200)}",
        hint="write https://host, file:///folder or embedded",
    )
