"""Rules about URLs: where a token may go, what may be asked in the clear, how a URL is shown."""

from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from mcp_client.errors import MCPError, printable

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOOPBACK_NAMES = frozenset({"localhost", "::1"})


class Location(NamedTuple):
    """An absolute http or https URL that has been checked."""

    url: str
    scheme: str
    host: str
    origin: str

    @property
    def loopback(self) -> bool:
        """Whether the host is this machine, by name; nothing is looked up."""
        return self.host in _LOOPBACK_NAMES or (self.host.startswith("127.") and _dotted_quad(self.host))


def origin_of(url: str) -> str:
    """``scheme://host:port`` of a web registry, the port only when it is unusual (RFC 6454).

    The embedded registry and folders have no origin of the web; they are their own. Raises
    ``config-invalid`` for a URL that is none.
    """
    if not url.lower().startswith(("http:", "https:")):
        return url
    try:
        return parse_location(url).origin
    except ValueError as error:
        raise MCPError(
            "config-invalid",
            f"not a registry's URL: {shown(url)} ({error})",
            hint="write https://host or https://host:port/path, without a user name or password",
        ) from error


def parse_location(url: str) -> Location:
    """Check a URL that a user or a registry gave; raises ValueError with the reason, without the URL."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("characters that no URL has")
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError("neither https nor http")
    if "@" in parts.netloc:
        raise ValueError("a user name or a password in it")
    host = (parts.hostname or "").rstrip(".")
    if not host:
        raise ValueError("no host in it")
    return Location(parts._replace(fragment="").geturl(), parts.scheme, host, _origin(parts, host))


def shown(url: str) -> str:
    """``url`` fit for messages: without user, password, query and fragment, where secrets travel."""
    try:
        parts = urlsplit(url)
        netloc = parts.netloc.rpartition("@")[2]
        return printable(parts._replace(netloc=netloc, query="", fragment="").geturl(), 200)
    except ValueError:
        return "a malformed URL"


def _origin(parts: SplitResult, host: str) -> str:
    name = f"[{host}]" if ":" in host else host
    port = parts.port
    if port is None or port == _DEFAULT_PORTS[parts.scheme]:
        return f"{parts.scheme}://{name}"
    return f"{parts.scheme}://{name}:{port}"


def _dotted_quad(host: str) -> bool:
    numbers = host.split(".")
    return len(numbers) == 4 and all(part.isdecimal() and int(part) < 256 for part in numbers)  # noqa: PLR2004
