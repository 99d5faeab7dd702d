"""Progress of downloads, on standard error and only when that is a terminal."""

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from mcp_client.app import App
from mcp_client.config.units import format_size
from mcp_client.reference import PackageReference
from mcp_client.resolution import Descriptor, Resolution

if TYPE_CHECKING:
    from mcp_client.registry.client import RegistryClient

_SECONDS_BETWEEN = 0.1
_ERASE = "\r\x1b[K"


def watch_downloads(app: App) -> None:
    """From now on, show how far each download of ``app`` is."""
    if sys.stderr is not None and sys.stderr.isatty():
        app.registry = cast("RegistryClient", _Watched(app.registry))


class _Watched:
    """A registry client that counts the bytes that pass."""

    def __init__(self, client: "RegistryClient") -> None:
        self._client = client
        self._subject = ""

    def resolve(self, reference: PackageReference) -> Resolution:
        self._subject = str(reference)
        _draw(f"{self._subject}: resolving")
        try:
            return self._client.resolve(reference)
        finally:
            _draw("")

    def fetch(self, descriptor: Descriptor, limit: int) -> Iterator[bytes]:
        total = "" if descriptor.size is None else f" of {format_size(descriptor.size)}"
        done, due = 0, 0.0
        try:
            for chunk in self._client.fetch(descriptor, limit):
                yield chunk
                done += len(chunk)
                now = time.monotonic()
                if now >= due:
                    due = now + _SECONDS_BETWEEN
                    _draw(f"{self._subject}: {format_size(done)}{total}")
        finally:
            _draw("")

    def known_versions(self, package: str) -> list[str]:
        return self._client.known_versions(package)

    def close(self) -> None:
        self._client.close()


def _draw(text: str) -> None:
    sys.stderr.write(_ERASE + text)
    sys.stderr.flush()
