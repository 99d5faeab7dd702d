"""Network rules: what their text may be, and what each of them covers.

``host``, ``*.host`` (every name below, never the host itself), an IP address or a CIDR, each with ``:port``
or for every port; IPv6 with a port in brackets; ``tls:`` before a name asks for a TLS connection to that
very name. The operator may also say ``*``: every name and every public address.
"""

from __future__ import annotations

from mcp_client.light import TYPE_CHECKING, NamedTuple
from mcp_client.network.addresses import parse_network
from mcp_client.network.closed import closed_ranges

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mcp_client.network.addresses import Network

FORM = "host, *.host, IP address or CIDR, each with or without :port ([v6]:port)"
_TLS = "tls:"
_MAX_TEXT = 300
_MAX_NAME = 253
_MAX_LABEL = 63
_MAX_PORT = 65_535
_PORT_DIGITS = 5
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
_HEX = frozenset("0123456789abcdef")
# IDNA2003 maps or drops these, IDNA2008 and browsers do not (UTS 46, section 5): two programs would mean
# two hosts. The others are dots to some programs.
_AMBIGUOUS = frozenset("ßẞς\u200c\u200d\u3002\uff0e\uff61")


class Rule(NamedTuple):
    """One rule. ``name`` is in lower case with A-labels, and starts with ``*.`` for what is below a host.

    Without a ``name`` it is about ``network``; ``*`` has neither. ``port`` 0 is every port.
    """

    name: str = ""
    network: Network | None = None
    port: int = 0
    tls: bool = False

    @property
    def everything(self) -> bool:
        """Whether this is ``*``."""
        return not self.name and self.network is None

    @property
    def wildcard(self) -> bool:
        """Whether this covers the names below a host."""
        return self.name.startswith("*.")

    def covers_port(self, port: int) -> bool:
        """Whether the rule is about ``port``."""
        return self.port in (0, port)

    def __str__(self) -> str:
        host = str(self.network) if self.network else self.name or "*"
        if self.port and ":" in host:
            host = f"[{host}]"
        return (_TLS if self.tls else "") + host + (f":{self.port}" if self.port else "")


EVERYTHING = Rule()


def parse_rule(text: str) -> Rule:
    """The rule that ``text`` spells. Raises ``ValueError`` with what was expected and what is wrong."""
    try:
        return _parse(text)
    except ValueError as error:
        raise ValueError(f"expected {FORM}; {error}") from None


def parse_rules(texts: Iterable[str]) -> tuple[Rule, ...]:
    """The rules of an operator's list, each once; ``*`` is allowed. Raises ``ValueError``."""
    return tuple(dict.fromkeys(EVERYTHING if text == "*" else parse_rule(text) for text in texts))


def normal_name(text: str) -> str:
    """A host name in its one spelling: lower case, A-labels, no dot at the end. Raises ``ValueError``.

    A name whose last label is a number is none: resolvers read an address there (WHATWG URL, section 3.5).
    """
    if len(text) > _MAX_TEXT:
        raise ValueError(f"a name has at most {_MAX_NAME} characters")
    labels = [_label(label) for label in text.removesuffix(".").split(".")]
    name = ".".join(labels)
    if len(name) > _MAX_NAME:
        raise ValueError(f"a name has at most {_MAX_NAME} characters")
    if _is_numeric(labels[-1]):
        raise ValueError("this is no address (IPv4 is four decimal numbers)")
    return name


def _parse(text: str) -> Rule:
    if len(text) > _MAX_TEXT:
        raise ValueError(f"this has more than {_MAX_TEXT} characters")
    tls = text[: len(_TLS)].lower() == _TLS
    written = text[len(_TLS) :] if tls else text
    host, port = _split(written)
    if _is_address(host):
        if tls:
            raise ValueError("tls: stands before a name, since an address has no certificate's name")
        network = parse_network(host)
        for entry in closed_ranges(network):
            if entry.never:
                raise ValueError(f"nothing can be reached there ({entry.kind})")
        return Rule(network=network, port=port)
    if host.startswith("*."):
        return Rule("*." + normal_name(host[2:]), port=port, tls=tls)
    return Rule(normal_name(host), port=port, tls=tls)


def _split(text: str) -> tuple[str, int]:
    """Host and port; brackets stand around IPv6 only."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            raise ValueError("brackets stand around an IPv6 address, and :port may follow")
        return host, _port(rest[1:]) if rest else 0
    if text.count(":") > 1:
        return text, 0
    host, colon, port = text.partition(":")
    return host, _port(port) if colon else 0


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= _PORT_DIGITS and text == str(int(text)):
        port = int(text)
        if 0 < port <= _MAX_PORT:
            return port
    raise ValueError(f"a port is 1 to {_MAX_PORT}")


def _is_address(host: str) -> bool:
    last = host.removesuffix(".").rpartition(".")[2].lower()
    return "/" in host or ":" in host or _is_numeric(last)


def _is_numeric(label: str) -> bool:
    if label.startswith("0x"):
        return _HEX.issuperset(label[2:])
    return label.isascii() and label.isdigit()


def _label(text: str) -> str:
    label = text.lower() if text.isascii() else _a_label(text)
    if not label:
        raise ValueError("a label between two dots is missing")
    if len(label) > _MAX_LABEL:
        raise ValueError(f"a label has at most {_MAX_LABEL} characters")
    if not _LETTERS.issuperset(label):
        raise ValueError("a name has letters, digits, hyphens and dots; * stands only before the first dot")
    if label[0] == "-" or label[-1] == "-":
        raise ValueError("a label neither starts nor ends with a hyphen")
    return label


def _a_label(text: str) -> str:
    """A label of other scripts as DNS has it (RFC 3490, ToASCII).

    Characters that only look like ASCII ones and would become them are refused: nobody writes them in good
    faith. The label is bounded first, since the conversion takes quadratic time (CVE-2022-45061).
    """
    if len(text) > _MAX_LABEL:
        raise ValueError(f"a label has at most {_MAX_LABEL} characters")
    from encodings.idna import ToASCII  # stringprep and its tables, for the few names that need them

    if not _AMBIGUOUS.isdisjoint(text):
        raise ValueError("programs disagree about this international name; write it as xn--")
    try:
        label = ToASCII(text).decode("ascii")
    except UnicodeError:
        raise ValueError("this is no international name") from None
    if not label.startswith("xn--"):
        raise ValueError("these characters only look like ASCII ones")
    return label
