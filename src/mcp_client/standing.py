"""May a package still run: what its registry says now, held against what it said before."""

from __future__ import annotations

from mcp_client.cache.resolutions import version_moved
from mcp_client.errors import MCPError, printable
from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from mcp_client.cache.resolutions import Resolutions
    from mcp_client.cache.store import CachedPackage
    from mcp_client.resolution import Resolution


def refuse_unfit(package: CachedPackage) -> None:
    """Raise ``package-revoked`` or ``version-moved`` when the last answer about a cached package was so."""
    if package.standing.moved is not None:
        raise version_moved(package.resolution, *package.standing.moved)
    refuse_status(package.resolution)


def refuse_status(resolution: Resolution) -> None:
    """Raise ``package-revoked`` for what is revoked or quarantined."""
    if resolution.status in {"revoked", "quarantined"}:
        raise MCPError(
            "package-revoked",
            f"{_is_what(resolution)} by its registry{_words(resolution)}",
            hint="use another version; to ask whether it is still so: "
            f"mcp pull --refresh {resolution.reference}",
        )


def refuse_moved(resolutions: Resolutions, answer: Resolution) -> None:
    """Raise ``version-moved`` for an answer that cannot be true together with an earlier one, and note it."""
    contradictions = resolutions.contradictions(answer)
    if contradictions:
        resolutions.note_moved(answer)
        same = [known for known in contradictions if known.reference == answer.reference]
        raise version_moved((same or contradictions)[0], *answer.digests)


def weigh(resolutions: Resolutions, answer: Resolution) -> None:
    """Note an answer about something known, then raise what it means: ``version-moved``, ``package-revoked``.

    Nothing is noted of what is not known yet.
    """
    refuse_moved(resolutions, answer)
    resolutions.note_answer(answer)
    refuse_status(answer)


def deprecation(resolution: Resolution) -> str:
    """What to warn of before a deprecated package runs."""
    return f"{_is_what(resolution)}{_words(resolution)}"


def _is_what(resolution: Resolution) -> str:
    """``org/name@1.2.3 is deprecated``."""
    return f"{resolution.reference} is {resolution.status}"


def _words(resolution: Resolution) -> str:
    return f": {printable(resolution.message)}" if resolution.message else ""
