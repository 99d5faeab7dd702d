"""The one exception this program raises on purpose, and the exit statuses it leads to.

Every failure has a stable ``code`` (documented in ``docs/ERRORS.md``), a message that says what happened,
what was expected and what was found, and a hint with the next thing to do. Libraries raise, only
``cli.program`` turns a failure into an exit status.
"""

from __future__ import annotations

from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_TIMEOUT = 124
EXIT_REFUSED = 125
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
EXIT_SIGNAL_BASE = 128

USAGE_CODES = frozenset({"usage", "reference-invalid", "reference-mutable"})


class MCPError(Exception):
    """A failure the user can act on.

    ``code`` is stable across releases. ``details`` holds short, printable facts for ``--json``.
    ``run_status`` is the exit status of ``mcp run``; other commands exit with 1, or 2 for a usage error.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str,
        details: Mapping[str, str | int] | None = None,
        run_status: int = EXIT_REFUSED,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.details = dict(details or {})
        self.run_status = run_status

    @property
    def command_status(self) -> int:
        """Exit status of every command but ``run``."""
        return EXIT_USAGE if self.code in USAGE_CODES else EXIT_FAILURE


def printable(text: str, limit: int = 300) -> str:
    """``text`` made safe for a terminal and cut to ``limit`` characters.

    Control characters and bidirectional overrides that came from a registry, a bundle or a server could
    otherwise rewrite what the user sees (CWE-150).
    """
    if text.isprintable() and len(text) <= limit:
        return text
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def harmless(text: str) -> bytes:
    """``text`` for a terminal, its lines kept: controls and marks of direction are shown, not obeyed."""
    shown = (c if c.isprintable() or c in "\n\r\t" else c.encode("unicode_escape").decode() for c in text)
    return "".join(shown).encode()
