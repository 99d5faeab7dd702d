"""One registry, whatever it is behind: resolve a reference, fetch an artifact."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Protocol

from mcp_client.config.settings import RegistrySettings
from mcp_client.errors import MCPError
from mcp_client.reference import PackageReference
from mcp_client.registry.credentials import Credentials
from mcp_client.registry.tokens import Token
from mcp_client.registry.urls import origin_of, shown
from mcp_client.resolution import Descriptor, Resolution

EMBEDDED = "embedded"
_EMBEDDED_FOLDER = os.path.join(os.path.dirname(os.path.dirname(__file__)), "embedded")


class Transport(Protocol):
    """How bytes come from a registry; every failure is an MCPError, also while iterating."""

    def resolve(self, reference: PackageReference) -> bytes:
        """The resolve answer, a JSON document of 1 MB at most."""

    def fetch(self, descriptor: Descriptor) -> Generator[bytes, None, None]:
        """The bytes of an artifact, unverified and without an end if the registry wants so."""

    def known_versions(self, package: str) -> list[str]:
        """What may stand after the ``@`` for ``org/name``, as far as the registry tells."""

    def close(self) -> None:
        """Let go of connections; the next request opens new ones."""


class RegistryClient:
    """Resolves and fetches at one registry."""

    def __init__(self, url: str, transport: Transport, token: Token | None = None) -> None:
        """``url`` is what resolutions remember as their registry; ``token`` is what no error may tell."""
        self.url = url
        self._transport = transport
        self._token = token

    def resolve(self, reference: PackageReference) -> Resolution:
        """What ``reference`` means. Raises ``package-not-found``, ``registry-*`` and their kin."""
        from mcp_client.registry.wire import parse_answer

        with self._without_token():
            resolution = parse_answer(self._transport.resolve(reference), reference, self.url)
        told = (resolution.manifest.url, resolution.bundle.url, resolution.version or "")
        if self._token is not None and any(map(self._token.told_in, told)):
            # It would be stored in the cache, and sent to wherever the URL leads.
            raise MCPError(
                "registry-protocol",
                f"the answer for {reference} holds the token that was sent to the registry",
                hint="nothing was kept of it; tell the registry's owner",
            )
        return resolution

    def fetch(self, descriptor: Descriptor, limit: int) -> Iterator[bytes]:
        """The artifact's bytes, of an unverified digest but of the promised size.

        Raises ``download-too-large`` above ``limit`` bytes, ``digest-mismatch`` for another size than the
        descriptor's, and whatever the registry has to refuse.
        """
        size, received = descriptor.size, 0
        if size is not None and size > limit:
            raise _too_large(descriptor, limit)
        with self._without_token(), closing(self._transport.fetch(descriptor)) as chunks:
            for chunk in chunks:
                received += len(chunk)
                if received > limit:
                    raise _too_large(descriptor, limit)
                if size is not None and received > size:
                    raise _wrong_size(descriptor, f"more than {size}")
                yield chunk
        if size is not None and received != size:
            raise _wrong_size(descriptor, str(received))

    def known_versions(self, package: str) -> list[str]:
        """Exact versions of ``org/name`` to suggest; empty when the registry does not list them."""
        return self._transport.known_versions(package)

    @contextmanager
    def _without_token(self) -> Iterator[None]:
        """Take the token out of errors: a registry may quote what it was sent."""
        try:
            yield
        except MCPError as error:
            if self._token is None:
                raise
            hidden = self._token.hidden
            details = {name: hidden(v) if isinstance(v, str) else v for name, v in error.details.items()}
            message, hint = hidden(error.message), hidden(error.hint)
            if (message, hint, details) == (error.message, error.hint, error.details):
                raise
            # Without a cause: that one has it as well.
            raise MCPError(
                error.code, message, hint=hint, details=details, run_status=error.run_status
            ) from None

    def close(self) -> None:
        """Let go of idle connections. The client can be used again; it then opens new ones."""
        self._transport.close()


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
    any other kind of URL and ``config-invalid`` for one that must not be used.
    """
    from mcp_client.registry.directory import DirectoryTransport, folder_of

    kind = url.partition(":")[0].lower()
    if url == EMBEDDED:
        return RegistryClient(url, DirectoryTransport(_EMBEDDED_FOLDER))
    if kind == "file":
        return RegistryClient(url, DirectoryTransport(folder_of(url)))
    if kind in {"http", "https"}:
        from mcp_client.registry.https import HTTPTransport

        token = token_for(url, settings, credentials)
        transport = HTTPTransport(url, settings, token=token, dialect=dialect, on_dialect=on_dialect)
        return RegistryClient(url, transport, token)
    raise MCPError(
        "usage",
        f"not a registry: {shown(url)}",
        hint="write https://host, file:///folder or embedded",
    )


def token_for(url: str, settings: RegistrySettings, credentials: Credentials) -> Token | None:
    """The environment's token when the registry at ``url`` is the configured one, else what is stored for it.

    Whoever may name a registry (a flag in a client's settings, a lock file in a repository) must not thereby
    name who gets MCP_REGISTRY_TOKEN.
    """
    origin = origin_of(url)
    if settings.token and settings.configured and origin_of(settings.configured) == origin:
        return Token(settings.token, "environment")
    stored = credentials.token_for(origin)
    return Token(stored, "file") if stored else None


def _too_large(descriptor: Descriptor, limit: int) -> MCPError:
    return MCPError(
        "download-too-large",
        f"{shown(descriptor.url)} has more than {limit} bytes",
        hint="if you trust it, raise the limit under registry in the configuration",
        details={"limit": limit},
    )


def _wrong_size(descriptor: Descriptor, got: str) -> MCPError:
    return MCPError(
        "digest-mismatch",
        f"{shown(descriptor.url)} is not what the registry promised as {descriptor.digest}: "
        f"expected {descriptor.size} bytes, got {got}",
        hint="it was damaged or changed on the way, or the registry is wrong about its size_bytes; try again",
        details={"expected": str(descriptor.digest), "expected_bytes": str(descriptor.size), "bytes": got},
    )
