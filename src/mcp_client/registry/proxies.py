"""Which proxy the environment names for a URL, in the way curl reads it.

``https_proxy``, ``http_proxy``, ``all_proxy`` and ``no_proxy``, in lower or upper case; the lower wins.
"""

from collections.abc import Mapping

from mcp_client.network.addresses import parse_address, parse_network
from mcp_client.registry.urls import Location


def proxy_for(location: Location, environ: Mapping[str, str]) -> str | None:
    """The proxy's URL as it is given, perhaps with a password in it; None to connect directly.

    What stays on this machine needs none, and must not leave it.
    """
    if location.loopback:
        return None
    proxy = _given(f"{location.scheme}_proxy", environ) or _given("all_proxy", environ)
    if not proxy or _is_exempt(location, _given("no_proxy", environ)):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _given(name: str, environ: Mapping[str, str]) -> str:
    # Whoever sends a CGI program a `Proxy:` header sets HTTP_PROXY in it (CVE-2016-5385).
    upper = "" if name == "http_proxy" and "REQUEST_METHOD" in environ else environ.get(name.upper(), "")
    return (environ.get(name) or upper).strip()


def _is_exempt(location: Location, listed: str) -> bool:
    return any(_matches(entry, location) for entry in listed.lower().replace(",", " ").split())


def _matches(entry: str, location: Location) -> bool:
    """One entry of NO_PROXY: ``*``, a name with those below it, an address or a network, each with a port."""
    if entry == "*":
        return True
    entry = entry.rpartition("://")[2]
    name, colon, port = entry.rpartition(":")
    if colon and port.isdecimal() and (":" not in name or name.endswith("]")):
        if int(port) != location.port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*").strip(".")
    address = parse_address(location.host)
    if address is not None:
        try:
            return parse_network(entry).holds(address)
        except ValueError:
            return False
    return bool(entry) and f".{location.host}".endswith(f".{entry}")
