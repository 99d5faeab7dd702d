"""What a registry says a reference means."""

from typing import Literal, NamedTuple

from mcp_client.digest import Digest
from mcp_client.reference import PackageReference

Status = Literal["published", "deprecated", "revoked", "quarantined"]


class Descriptor(NamedTuple):
    """Where an artifact is and how to prove it; ``size`` in bytes when the registry says so."""

    digest: Digest
    url: str
    size: int | None


class Resolution(NamedTuple):
    """The answer to one resolve request; ``registry`` is the URL it was asked at."""

    reference: PackageReference
    registry: str
    manifest: Descriptor
    bundle: Descriptor
    status: Status
    version: str | None
