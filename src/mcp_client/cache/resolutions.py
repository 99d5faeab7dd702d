"""What registries said: what references resolved to, and how each registry is spoken to.

What a reference once meant is never forgotten with its artifacts: should it mean something else one day, that
is noticed.
"""

import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from mcp_client.cache.database import Database
from mcp_client.digest import parse_digest
from mcp_client.reference import PackageReference, parse_reference
from mcp_client.resolution import Descriptor, Resolution

_COLUMNS = (
    "registry, reference, manifest_digest, manifest_url, manifest_size, "
    "bundle_digest, bundle_url, bundle_size, status, version"
)


class Known(NamedTuple):
    """A resolution with the manifest's validated form; None when the form cannot be read (any more)."""

    resolution: Resolution
    manifest_form: dict[str, Any] | None


class Resolutions:
    """The part of the database that registries filled."""

    def __init__(self, database: Database) -> None:
        """Nothing is read yet."""
        self._database = database

    def find(self, reference: PackageReference, registry_url: str) -> Known | None:
        """What the reference resolved to before, whether or not the artifacts are still here."""
        rows = self._database.select(
            f"select {_COLUMNS}, form from resolution where registry = ? and reference = ?",  # noqa: S608
            (registry_url, str(reference)),
        )
        if not rows:
            return None
        *columns, form = rows[0]
        try:
            manifest_form = json.loads(form)
        except ValueError:
            manifest_form = None
        return Known(_to_resolution(columns), manifest_form)

    def references(self) -> list[tuple[PackageReference, str]]:
        """Every reference that was ever resolved, with its registry, latest use first."""
        rows = self._database.select("select reference, registry from resolution order by used desc")
        return [(parse_reference(reference), registry) for reference, registry in rows]

    def record(self, resolution: Resolution, manifest_form: Mapping[str, Any]) -> None:
        """Remember what the reference means and that it is ready."""
        now = time.time()
        manifest, bundle = resolution.manifest, resolution.bundle
        row = (
            resolution.registry,
            str(resolution.reference),
            *(str(manifest.digest), manifest.url, manifest.size),
            *(str(bundle.digest), bundle.url, bundle.size),
            *(resolution.status, resolution.version),
            *(json.dumps(manifest_form), now, now, now),
        )
        self._database.write(
            f"insert or replace into resolution ({_COLUMNS}, form, created, used, checked) "  # noqa: S608
            f"values ({', '.join('?' * len(row))})",
            [row],
        )

    def touch(self, resolution: Resolution) -> None:
        """Note a use."""
        self._database.note(
            "update resolution set used = ? where registry = ? and reference = ?",
            *(time.time(), resolution.registry, str(resolution.reference)),
        )

    def dialect(self, origin: str) -> str | None:
        """How the registry at ``origin`` was spoken to last."""
        rows = self._database.select("select dialect from dialect where origin = ?", (origin,))
        return str(rows[0][0]) if rows else None

    def remember_dialect(self, origin: str, dialect: str) -> None:
        """Note how a registry is spoken to."""
        self._database.note("insert or replace into dialect values (?, ?)", origin, dialect)


def _to_resolution(columns: Any) -> Resolution:
    registry, reference, m_digest, m_url, m_size, b_digest, b_url, b_size, status, version = columns
    return Resolution(
        reference=parse_reference(reference),
        registry=registry,
        manifest=Descriptor(parse_digest(m_digest), m_url, m_size),
        bundle=Descriptor(parse_digest(b_digest), b_url, b_size),
        status=status,
        version=version,
    )
