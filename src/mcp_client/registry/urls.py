"""Rules about URLs: where a token may go, what may be asked in the clear, how a URL is shown."""

import re
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

from mcp_client.errors import MCPError, printable
from mcp_client.network.addresses import parse_address
from mcp_client.registry.reach import is_loopback

_DEFAULT_PORTS = {"http": 80, "https": 443}
_IPV6 = re.compile(r"\[[0-9a-f:.]+\](?::[0-9]*)?\Z", re.IGNORECASE)
_NUMERIC = re.compile(r"(?:\A|\.)(?:[0-9]+|0x[0-9a-f]*)\Z")
_HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?\Z")


class Location(NamedTuple):
    """An absolute http or https URL that has been checked; ``url`` is spelled as ``origin`` is."""

    url: str
    scheme: str
    host: str
    port: int
    origin: str

    @property
    def loopback(self) -> bool:
        """Whether the host is this machine, by name or by address; nothing is looked up."""
        return is_loopback(self.host)


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


def leads_here(url: str) -> bool:
    """Whether a registry's URL is one of the web and leads to this machine."""
    try:
        return parse_location(url).loopback
    except ValueError:
        return False


def parse_location(url: str) -> Location:
    """Check a URL that a user or a registry gave; raises ValueError with the reason, without the URL."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("characters that no URL has")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("malformed") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError("neither https nor http")
    if "@" in parts.netloc:
        raise ValueError("a user name or a password in it")
    if port == 0:
        raise ValueError("a port that no server has")
    host = _host(parts)
    # What is asked is rebuilt from what was checked: no other parser can see another host in it.
    netloc = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
        netloc = f"{netloc}:{port}"
    asked = parts._replace(netloc=netloc, fragment="").geturl()
    port = port or _DEFAULT_PORTS[parts.scheme]
    return Location(asked, parts.scheme, host, port, f"{parts.scheme}://{netloc}")


def joined(base: str, url: str) -> str:
    """``url`` as seen from ``base`` (RFC 3986, 5.2); raises ValueError for what readers of URLs disagree on.

    ``http:x`` and ``http:///x`` are relative to some and name a host to others.
    """
    parts = urlsplit(url)
    if not parts.netloc and (parts.scheme in _DEFAULT_PORTS or url.startswith("//")):
        raise ValueError("no host in it")
    return urljoin(base, url)


def shown(url: str) -> str:
    """``url`` fit for messages: without user, password, query and fragment, where secrets travel."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a malformed URL"
    if not parts.netloc and "@" in parts.path:
        return "a malformed URL"
    netloc = parts.netloc.rpartition("@")[2]
    return printable(parts._replace(netloc=netloc, query="", fragment="").geturl(), 200)


def _host(parts: SplitResult) -> str:
    host = (parts.hostname or "").rstrip(".")
    if not host:
        raise ValueError("no host in it")
    if "[" in parts.netloc:
        # Not every Python's urlsplit() minds what stands around the brackets.
        try:
            return str(ip_address(host if _IPV6.match(parts.netloc) else ""))
        except ValueError:
            raise ValueError("malformed") from None
    if not _HOST_NAME.match(host):
        raise ValueError("a host with characters that no host has")
    if _NUMERIC.search(host) and parse_address(host) is None:
        # The C library reads 127.1, 2130706433 and 0x7f.1 as addresses, others as names (URL Standard, 3.5).
        raise ValueError("an address in an unusual spelling")
    return host
