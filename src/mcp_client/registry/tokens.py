"""What can be known of a token before it is sent: whether it can have been issued, and when it ends."""

import json
from base64 import urlsafe_b64decode
from time import gmtime, strftime, time
from typing import Literal, NamedTuple
from urllib.parse import unquote

# Clocks differ. A token that ended within this many seconds is still tried (RFC 7519, 4.1.4).
_LEEWAY = 60.0
_PARTS = 3
_LONGEST_CLAIMS = 1 << 16
_LAST_END = 1 << 40
# A shorter one may well be a word that an answer has for reasons of its own.
_SHORTEST_SECRET = 12
_HIDDEN = "***"

Source = Literal["environment", "file"]


class Token(NamedTuple):
    """A registry's token and where it was found."""

    text: str
    source: Source

    def hidden(self, text: str) -> str:
        """``text`` without the token."""
        return text.replace(self.text, _HIDDEN)

    def told_in(self, text: str) -> bool:
        """Whether ``text`` holds the token, as it is or as it is written in a URL."""
        secret = len(self.text) >= _SHORTEST_SECRET
        return secret and (self.text in text or unquote(self.text) in unquote(text))

    def __repr__(self) -> str:
        return f"Token({_HIDDEN}, {self.source})"


def is_sendable(token: str) -> bool:
    """Whether ``token`` can stand in a header (RFC 9110, 5.5); libraries would quote another in an error."""
    return bool(token) and all("!" <= letter <= "~" for letter in token)


def end_of(token: str) -> float | None:
    """Seconds since the epoch when a JWT ends by its ``exp`` (RFC 7519, 4.1.4); None when it does not tell.

    Nothing is verified and nothing else is believed: whoever holds a token can only talk himself out of
    using it. Anything that is no such token, in whatever way, passes as opaque.
    """
    parts = token.split(".")
    if len(parts) != _PARTS or len(parts[1]) > _LONGEST_CLAIMS or not _claims(parts[0], "alg"):
        return None
    end = _claims(parts[1], "exp").get("exp")
    if isinstance(end, bool) or not isinstance(end, int | float) or not 0 <= end <= _LAST_END:
        return None
    return float(end)


def expired(end: float) -> bool:
    """Whether a token that ends at ``end`` is of no use any more, with allowance for other clocks."""
    return time() > end + _LEEWAY


def utc(moment: float) -> str:
    """Seconds since the epoch as people write them."""
    return strftime("%Y-%m-%d %H:%M:%S UTC", gmtime(moment))


def _claims(part: str, needed: str) -> dict[str, object]:
    """The JSON object in base64url (RFC 7515, 2) when it has the key; empty otherwise."""
    try:
        value = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) and needed in value else {}
