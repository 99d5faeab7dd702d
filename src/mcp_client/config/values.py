"""Single values that a file, a variable and a flag may all give; each raises ``ValueError`` when refused."""

import os
import re

from mcp_client.config.settings import LOG_LEVELS, LogLevel
from mcp_client.config.units import parse_duration

EMBEDDED = "embedded"
NOTHING = "none"
_URL_FORM = "https://host[:port][/path], file:///folder or 'embedded'"
# Patterns are compiled on use: most runs have no registry to read.
_HTTP = r"(https?)://((?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?)((?:/[^\s?#\\]*)?)"
_FILE = r"file://(?:localhost)?(/[^\s?#]*)"
_MAX_URL = 2048


def registry_url(text: str) -> str | None:
    """A registry's base URL in one spelling (no slash at the end); ``None`` for the embedded registry.

    User names, passwords and queries are refused: a secret has its place in ``mcp login``.
    """
    if text == EMBEDDED:
        return None
    if len(text) <= _MAX_URL and text.isprintable():
        if web := re.fullmatch(_HTTP, text, re.IGNORECASE):
            return f"{web[1].lower()}://{web[2].lower()}{web[3]}".rstrip("/")
        if folder := re.fullmatch(_FILE, text, re.IGNORECASE):
            return "file://" + (folder[1].rstrip("/") or "/")
    if "@" in text or "?" in text or "#" in text:
        raise ValueError(
            f"expected {_URL_FORM}, without user name, password, query or fragment (use `mcp login`)"
        )
    raise ValueError(f"expected {_URL_FORM}")


def optional_duration(value: str | float) -> float | None:
    """Seconds, or ``None`` for ``none``: no limit."""
    return None if value == NOTHING else parse_duration(value)


def log_level(text: str) -> LogLevel:
    """One of :data:`LOG_LEVELS`, in any case."""
    for level in LOG_LEVELS:
        if text.lower() == level:
            return level
    raise ValueError(f"expected one of {', '.join(LOG_LEVELS)}")


def anchored_path(text: str) -> str:
    """A path that means the same from every working folder: absolute, or from the home folder with ``~/``."""
    if not text.isprintable() or not (os.path.isabs(text) or text == "~" or text.startswith(("~/", "~\\"))):
        raise ValueError("expected an absolute path or one that starts with ~/")
    return text
