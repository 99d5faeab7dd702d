"""SHA-256 digests, parsed once at the edge."""

from __future__ import annotations

import sys

from mcp_client.errors import MCPError
from mcp_client.light import NamedTuple

_PREFIX = "sha256:"
_LENGTH = 64
_DIGITS = frozenset("0123456789abcdef")


class Digest(NamedTuple):
    """A SHA-256 digest; ``hex`` is 64 lower-case hexadecimal digits."""

    hex: str

    def __str__(self) -> str:
        return f"sha256:{self.hex}"

    @property
    def file_name(self) -> str:
        """The digest as the name of a file or folder; Windows forbids the colon."""
        return self.folder_name if sys.platform == "win32" else f"sha256:{self.hex}"

    @property
    def folder_name(self) -> str:
        """The digest as the name of a folder that a server sees: a colon would divide its PYTHONPATH."""
        return f"sha256-{self.hex}"


def parse_digest(text: str) -> Digest:
    """Parse ``sha256:<64 hex>``; anything else, a path above all, raises ``digest-invalid``."""
    digits = text.removeprefix(_PREFIX)
    if not text.startswith(_PREFIX) or len(digits) != _LENGTH or not _DIGITS.issuperset(digits):
        raise MCPError(
            "digest-invalid",
            f"not a SHA-256 digest: {text[:80]!r}",
            hint="a digest is 'sha256:' and 64 lower-case hexadecimal digits",
        )
    return Digest(digits)
