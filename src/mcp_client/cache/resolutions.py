"""What registries said: what references resolved to, and how each registry is spoken to.

What a reference once meant is never forgotten with its artifacts: should it mean something else one day, that
is noticed. Each registry is a world of its own.
"""

from __future__ import annotations

import time

from mcp_client.digest import parse_digest
from mcp_client.errors import MCPError
from mcp_client.light import TYPE_CHECKING, NamedTuple
from mcp_client.plainjson import dumps, loads
from mcp_client.reference import parse_reference
from mcp_client.resolution import RETRY_SECONDS, Descriptor, Resolution, Standing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from mcp_client.cache.database import Database
    from mcp_client.digest import Digest
    from mcp_client.reference import PackageReference

_COLUMNS = (
    "registry, reference, manifest_digest, manifest_url, manifest_size, "
    "bundle_digest, bundle_url, bundle_size, status, version, message"
)
# Rows that cannot be true together with the named values: the same reference, two lengths of one commit, or
# one manifest with two bundles. Between releases commits may share a manifest, so those are left out there.
_CONTRADICTS = """
registry = :registry and reference >= :package || '@' and reference < :package || 'A'
and (manifest_digest <> :manifest_digest or bundle_digest <> :bundle_digest)
and (
    reference = :reference
    or (instr(:reference, '@sha:') and (instr(reference, :reference) = 1 or instr(:reference, reference) = 1))
    or (
        manifest_digest = :manifest_digest
        and not instr(:reference, '@sha:') and not instr(reference, '@sha:')
    )
)
"""
_SAME = (
    "registry = :registry and reference = :reference "
    "and manifest_digest = :manifest_digest and bundle_digest = :bundle_digest"
)
_SAME_BYTES = (
    "registry = :registry and reference >= :package || '@' and reference < :package || 'A' "
    "and manifest_digest = :manifest_digest and bundle_digest = :bundle_digest"
)
_WITHDRAWN = ("revoked", "quarantined")
# A supervisor has other duties than to wait for the database.
_PATIENCE = 0.5


class Known(NamedTuple):
    """A resolution with the manifest's validated form; None when the form cannot be read (any more)."""

    resolution: Resolution
    manifest_form: dict[str, Any] | None
    standing: Standing


class Resolutions:
    """The part of the database that registries filled."""

    def __init__(self, database: Database) -> None:
        """Nothing is read yet."""
        self._database = database

    def find(self, reference: PackageReference, registry_url: str) -> Known | None:
        """What the reference resolved to before, whether or not the artifacts are still here."""
        rows = self._database.select(
            f"select {_COLUMNS}, form, checked, tried, moved_manifest, moved_bundle "  # noqa: S608
            "from resolution where registry = ? and reference = ?",
            (registry_url, str(reference)),
        )
        if not rows:
            return None
        *columns, form, checked, tried, manifest, bundle = rows[0]
        try:
            manifest_form = loads(form)
        except ValueError:
            manifest_form = None
        moved = (parse_digest(manifest), parse_digest(bundle)) if manifest and bundle else None
        return Known(_to_resolution(columns), manifest_form, Standing(checked, tried, moved))

    def references(self) -> list[tuple[PackageReference, str]]:
        """Every reference that was ever resolved, with its registry, latest use first."""
        rows = self._database.select("select reference, registry from resolution order by used desc")
        return [(parse_reference(reference), registry) for reference, registry in rows]

    def contradictions(self, answer: Resolution) -> list[Resolution]:
        """What was known before and cannot be true together with ``answer``."""
        rows = self._database.select(
            f"select {_COLUMNS} from resolution where {_CONTRADICTS}",  # noqa: S608
            _values(answer),
        )
        return [_to_resolution(row) for row in rows]

    def record(
        self, resolution: Resolution, manifest_form: Mapping[str, Any], *, checked: float | None = None
    ) -> None:
        """Remember what the reference means, as of ``checked`` (now), while other processes may do so, too.

        Raises ``version-moved`` when something else is known by now.
        """
        now = time.time()
        fields = {**_values(resolution), "form": dumps(manifest_form), "now": now}
        fields["checked"] = now if checked is None else checked
        names = ", ".join(f":{name}" for name in _COLUMNS.split(", "))
        recorded = self._database.write(
            f"insert into resolution ({_COLUMNS}, form, created, used, checked, tried) "  # noqa: S608
            f"select {names}, :form, :now, :now, :checked, :checked "
            f"where not exists (select 1 from resolution where {_CONTRADICTS}) "
            "on conflict (registry, reference) do update set manifest_url = excluded.manifest_url, "
            "manifest_size = excluded.manifest_size, bundle_url = excluded.bundle_url, "
            "bundle_size = excluded.bundle_size, status = excluded.status, version = excluded.version, "
            "message = excluded.message, form = excluded.form, used = excluded.used, "
            "checked = excluded.checked, tried = excluded.tried, moved_manifest = null, moved_bundle = null",
            [fields],
        )
        if not recorded:
            raise version_moved(self.contradictions(resolution)[0], *resolution.digests)

    def renew_form(self, resolution: Resolution, manifest_form: Mapping[str, Any]) -> None:
        """Replace the form that another release made."""
        fields = {**_values(resolution), "form": dumps(manifest_form)}
        self._database.write(
            f"update resolution set form = :form where {_SAME}",  # noqa: S608
            [fields],
        )

    def forget_contradictions(self, resolution: Resolution) -> None:
        """Give up what cannot be true together with ``resolution``: somebody has decided so."""
        self._database.write(
            f"delete from resolution where {_CONTRADICTS}",  # noqa: S608
            [_values(resolution)],
        )

    def touch(self, resolution: Resolution) -> None:
        """Note a use."""
        self._database.note(
            "update resolution set used = ? where registry = ? and reference = ?",
            *(time.time(), resolution.registry, str(resolution.reference)),
        )

    # -- how it stands -------------------------------------------------------------------------------------

    def withdrawn(self, resolution: Resolution) -> Resolution | None:
        """These bytes, under whatever name, when their registry is known to have withdrawn them."""
        rows = self._database.select(
            f"select {_COLUMNS} from resolution where {_SAME_BYTES}",  # noqa: S608
            _values(resolution),
        )
        return next((known for known in map(_to_resolution, rows) if known.status in _WITHDRAWN), None)

    def claim(self, resolution: Resolution, interval: float) -> bool:
        """Whether it falls to this process to ask the registry: it does to one of them all."""
        now = time.time()
        fields = {**_values(resolution), "now": now, "retry": min(RETRY_SECONDS, interval)}
        try:
            claimed = self._database.write(
                f"update resolution set tried = :now where {_SAME} "  # noqa: S608
                # As Standing.due(); who waited for the others' writes looks back from before them.
                "and abs(:now - checked) >= :interval and abs(:now - tried) >= :retry",
                [{**fields, "interval": interval}],
                wait=_PATIENCE,
            )
        except MCPError:
            # Where nothing can be noted, everybody would ask all the time.
            return False
        return claimed == 1

    def note_answer(self, answer: Resolution) -> None:
        """The registry was asked, and says the same digests as before, with this status.

        What it withdraws is withdrawn under all its names.
        """
        fields = {**_values(answer), "now": time.time()}
        self._database.write(
            "update resolution set status = :status, message = :message, checked = :now, tried = :now, "  # noqa: S608
            f"moved_manifest = null, moved_bundle = null where {_SAME}",
            [fields],
        )
        if answer.status in _WITHDRAWN:
            self._database.write(
                f"update resolution set status = :status, message = :message where {_SAME_BYTES}",  # noqa: S608
                [fields],
            )

    def note_moved(self, answer: Resolution) -> None:
        """The registry was asked, and says other digests than before; what is known stays known."""
        self._database.write(
            "update resolution set checked = :now, tried = :now, moved_manifest = :manifest_digest, "
            "moved_bundle = :bundle_digest where registry = :registry and reference = :reference "
            "and (manifest_digest <> :manifest_digest or bundle_digest <> :bundle_digest)",
            [{**_values(answer), "now": time.time()}],
        )

    # -- registries ----------------------------------------------------------------------------------------

    def dialect(self, origin: str) -> str | None:
        """How the registry at ``origin`` was spoken to last."""
        rows = self._database.select("select dialect from dialect where origin = ?", (origin,))
        return str(rows[0][0]) if rows else None

    def remember_dialect(self, origin: str, dialect: str) -> None:
        """Note how a registry is spoken to."""
        self._database.note("insert or replace into dialect values (?, ?)", origin, dialect)


def version_moved(
    before: Resolution, manifest: Digest, bundle: Digest, *, known: str = "before", hint: str | None = None
) -> MCPError:
    """``version-moved``: ``before``, as ``known`` from somewhere, is now ``manifest`` and ``bundle``."""

    def told(kind: str, was: Digest, now: Digest) -> str:
        return f"{kind} {was} as ever" if was == now else f"{kind} was {was}, now {now}"

    return MCPError(
        "version-moved",
        f"{before.reference} means something else than {known}: "
        f"{told('manifest', before.manifest.digest, manifest)}; "
        f"{told('bundle', before.bundle.digest, bundle)}",
        hint=hint
        or "do not run it; ask the registry's owner what happened "
        f"(if it is meant: mcp pull --accept-moved {before.reference})",
        details={
            "reference": str(before.reference),
            "manifest_before": str(before.manifest.digest),
            "manifest_now": str(manifest),
            "bundle_before": str(before.bundle.digest),
            "bundle_now": str(bundle),
        },
    )


def _values(resolution: Resolution) -> dict[str, str | int | None]:
    manifest, bundle = resolution.manifest, resolution.bundle
    return {
        "registry": resolution.registry,
        "reference": str(resolution.reference),
        "package": resolution.reference.package,
        "manifest_digest": str(manifest.digest),
        "manifest_url": manifest.url,
        "manifest_size": manifest.size,
        "bundle_digest": str(bundle.digest),
        "bundle_url": bundle.url,
        "bundle_size": bundle.size,
        "status": resolution.status,
        "version": resolution.version,
        "message": resolution.message,
    }


def _to_resolution(columns: Any) -> Resolution:
    registry, reference, m_digest, m_url, m_size, b_digest, b_url, b_size, *standing = columns
    return Resolution(
        parse_reference(reference),
        registry,
        Descriptor(parse_digest(m_digest), m_url, m_size),
        Descriptor(parse_digest(b_digest), b_url, b_size),
        *standing,
    )
