"""Which entrypoint a platform gets."""

from __future__ import annotations

from mcp_client.errors import MCPError, printable
from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from mcp_client.manifest.model import Entrypoint, Manifest

_BUNDLE = "${bundle}/"


def files_of(manifest: Manifest) -> tuple[str, ...]:
    """Paths in the bundle that entrypoints name: a command with a slash, and ``${bundle}/...`` arguments."""
    words = [
        word
        for entrypoint in manifest.entrypoints.values()
        for word in (*([entrypoint.command] if "/" in entrypoint.command else []), *entrypoint.args)
        if word.startswith(_BUNDLE) or word == entrypoint.command
    ]
    return tuple(dict.fromkeys(word.removeprefix(_BUNDLE).removeprefix("./") for word in words))


def select_entrypoint(manifest: Manifest, platform: str) -> Entrypoint:
    """The entrypoint for ``platform`` (as :func:`mcp_client.platforms.current` writes it).

    Raises ``platform-unsupported`` with the platforms there are. Nothing is emulated or guessed.
    """
    entrypoint = manifest.entrypoints.get(platform)
    if entrypoint is None:
        there_are = ", ".join(sorted(manifest.entrypoints))
        raise MCPError(
            "platform-unsupported",
            f"{manifest.name}@{manifest.version} has no entrypoint for {printable(platform, 60)}",
            hint=f"it runs on {printable(there_are)}",
            details={"platform": platform, "platforms": there_are},
        )
    return entrypoint
