"""The spelling of network entries: a host, ``*.host``, an address or a network, each with or without port."""

import ipaddress
import re

_FORM = "host, *.host, IP address or CIDR, each with or without :port ([v6]:port)"
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
# To resolvers a last label of digits, or 0x and hex digits, makes an IPv4 address (WHATWG URL, section 3.5).
_NUMERIC_END = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")
_MAX_HOST = 253
_MAX_PORT = 65_535


def normal_entry(text: str) -> str:
    """``text`` in one spelling (lower case, compressed addresses); ``ValueError`` says what was expected."""
    lowered = text.lower()
    if lowered.startswith("["):
        address, bracket, rest = lowered[1:].partition("]")
        if not bracket or ":" not in address or (rest and not rest.startswith(":")):
            raise ValueError(f"expected {_FORM}")
        return f"[{_address(address)}]:{_port(rest[1:])}" if rest else _address(address)
    if lowered.count(":") > 1:
        return _address(lowered)
    host, colon, port = lowered.partition(":")
    shown = _address(host) if _is_numeric(host) else _host(host)
    return f"{shown}:{_port(port)}" if colon else shown


def _is_numeric(host: str) -> bool:
    return "/" in host or _NUMERIC_END.search(host.rpartition(".")[2]) is not None


def _address(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        reason = "has host bits set" if "host bits" in str(error) else "is no address"
        raise ValueError(f"expected {_FORM}; this {reason}") from None
    return str(network) if "/" in text else str(network.network_address)


def _host(text: str) -> str:
    if len(text) > _MAX_HOST or not _HOST.fullmatch(text):
        raise ValueError(f"expected {_FORM}; international names as xn--")
    return text


def _port(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text) or int(text) > _MAX_PORT:
        raise ValueError(f"expected {_FORM}; a port is 1 to {_MAX_PORT}")
    return int(text)
