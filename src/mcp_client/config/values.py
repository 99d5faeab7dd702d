"""Single values that a file, a variable and a flag may all give; each raises ``ValueError`` when refused."""

from __future__ import annotations

import os

from mcp_client.config.settings import LOG_LEVELS
from mcp_client.config.units import parse_duration
from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from mcp_client.choices import LogLevel

EMBEDDED = "embedded"
NOTHING = "none"
NEVER = "never"
_URL_FORM = "https://host[:port][/path], file:///folder or 'embedded'"
# Patterns are compiled on use: most runs have no registry to read.
_HTTP = r"(https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?((?:/[^\s?#\\]*)?)"
_FILE = r"file://(?:localhost)?(/[^\s?#]*)"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-/")
_PORT_DIGITS = 5
_MAX_URL = 2048
_DEFAULT_PORTS = {"http": 80, "https": 443}
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def registry_url(text: str) -> str | None:
    """A registry's base URL in one spelling; ``None`` for the embedded registry.

    What is remembered of a registry is found by this text: there is no slash at the end, no default port, no
    capital and no full stop after the host, and an IPv6 address is written as in RFC 5952.
    User names, passwords and queries are refused: a secret has its place in ``mcp login``.
    """
    if text == EMBEDDED:
        return None
    if plain := _plain_registry(text):
        return plain
    import re

    if len(text) <= _MAX_URL and text.isprintable():
        if web := re.fullmatch(_HTTP, text, re.IGNORECASE):
            return _web_registry(web[1].lower(), web[2].lower(), web[3], web[4])
        if folder := re.fullmatch(_FILE, text, re.IGNORECASE):
            return "file://" + (re.sub("//+", "/", folder[1]).rstrip("/") or "/")
    if "@" in text or "?" in text or "#" in text:
        raise ValueError(
            f"expected {_URL_FORM}, without user name, password, query or fragment (use `mcp login`)"
        )
    raise ValueError(f"expected {_URL_FORM}")


def _plain_registry(text: str) -> str | None:
    """The same for the usual ``https://host:port/path`` in its one spelling already, without patterns."""
    scheme, _, rest = text.partition("://")
    place, slash, path = rest.partition("/")
    host, colon, port = place.partition(":")
    if (
        scheme in _DEFAULT_PORTS
        and host
        and _PLAIN.issuperset(host + path)
        and len(text) <= _MAX_URL
        and (not colon or (port.isascii() and port.isdecimal() and len(port) <= _PORT_DIGITS))
    ):
        return _web_registry(scheme, host, port or None, slash + path)
    return None


def _web_registry(scheme: str, host: str, port: str | None, path: str) -> str:
    if host.startswith("["):
        # Slow to import, and few have such a registry.
        from ipaddress import AddressValueError, IPv6Address

        try:
            host = f"[{IPv6Address(host[1:-1])}]"
        except AddressValueError:
            raise ValueError(f"expected {_URL_FORM}") from None
    else:
        host = host.rstrip(".")
    if not host:
        raise ValueError(f"expected {_URL_FORM}")
    usual = port is None or int(port) == _DEFAULT_PORTS[scheme]
    return f"{scheme}://{host}{'' if usual else f':{int(port or 0)}'}{path}".rstrip("/")


def switch(text: str) -> bool:
    """A variable that is on or off."""
    if text.lower() not in _YES + _NO:
        raise ValueError(f"expected one of {', '.join(_YES + _NO)}")
    return text.lower() in _YES


def optional_duration(value: str | float) -> float | None:
    """Seconds, or ``None`` for ``none``: no limit."""
    return None if value == NOTHING else parse_duration(value)


def revalidation_interval(value: str | float) -> float | None:
    """Seconds, or ``None`` for ``never``."""
    return None if value == NEVER else parse_duration(value)


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
