"""What is wrong with a bundle, in the words of its three codes."""

from mcp_client.errors import MCPError, printable

_SHOWN = 120


def invalid(problem: str) -> MCPError:
    """``bundle-invalid``: the bytes are no whole tar.gz archive."""
    return MCPError(
        "bundle-invalid",
        f"the bundle is not a whole tar.gz archive: {printable(problem)}",
        hint="tell the package's author",
    )


def unsafe(path: str, problem: str) -> MCPError:
    """``bundle-unsafe``: the entry ``path`` is nothing a package needs and an attacker might."""
    shown = printable(path or ".", _SHOWN)
    return MCPError(
        "bundle-unsafe",
        f"the bundle cannot be unpacked safely: {shown} {problem}",
        hint="nothing was kept; tell the package's author",
        details={"entry": shown},
    )


def too_large(limit: int) -> MCPError:
    """``bundle-too-large``: more bytes than ``limit``."""
    return MCPError(
        "bundle-too-large",
        f"the bundle unpacks to more than {limit} bytes",
        hint="if you trust it, raise cache.max_unpacked",
        details={"limit": limit},
    )


def header_too_large(limit: int) -> MCPError:
    """``bundle-too-large``: a name or a header of more than ``limit`` bytes."""
    return MCPError(
        "bundle-too-large",
        f"a header in the bundle has more than {limit} bytes",
        hint="no package needs that; nothing was kept",
        details={"limit": limit},
    )


def too_many(limit: int) -> MCPError:
    """``bundle-too-large``: more entries than ``limit``."""
    return MCPError(
        "bundle-too-large",
        f"the bundle has more than {limit} entries",
        hint="if you trust it, raise cache.max_entries",
        details={"limit": limit},
    )
