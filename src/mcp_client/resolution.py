"""What a registry says a reference means, and how that stands since."""

from __future__ import annotations

from mcp_client.light import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mcp_client.choices import Status
    from mcp_client.digest import Digest
    from mcp_client.reference import PackageReference

RETRY_SECONDS = 300.0


class Descriptor(NamedTuple):
    """Where an artifact is and how to prove it; ``size`` in bytes when the registry says so."""

    digest: Digest
    url: str
    size: int | None


class Resolution(NamedTuple):
    """The answer to one resolve request; ``registry`` is the URL it was asked at.

    ``message`` is what the registry says about the status, printable and short.
    """

    reference: PackageReference
    registry: str
    manifest: Descriptor
    bundle: Descriptor
    status: Status
    version: str | None
    message: str | None = None

    @property
    def digests(self) -> tuple[Digest, Digest]:
        """Of manifest and bundle."""
        return self.manifest.digest, self.bundle.digest


class Standing(NamedTuple):
    """How fresh a resolution is: when its registry last answered, and when it was last asked.

    In seconds since the epoch, 0 for never. ``moved`` are the digests of manifest and bundle by now, when the
    registry names others.
    """

    checked: float = 0.0
    tried: float = 0.0
    moved: tuple[Digest, Digest] | None = None

    def due(self, now: float, interval: float | None) -> bool:
        """Whether the registry should be asked again; a time far ahead is none: a clock was set back."""
        if interval is None:
            return False
        tried_lately = abs(now - self.tried) < min(RETRY_SECONDS, interval)
        return abs(now - self.checked) >= interval and not tried_lately
