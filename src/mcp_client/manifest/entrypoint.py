"""Which entrypoint a platform gets."""

from mcp_client.errors import MCPError, printable
from mcp_client.manifest.model import Entrypoint, Manifest


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
