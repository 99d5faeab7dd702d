"""What a web registry can do to a request, as failures of ours; and which of them are worth another try."""

from email.utils import parsedate_to_datetime
from random import uniform
from time import time

from mcp_client.errors import MCPError
from mcp_client.registry.urls import shown
from mcp_client.registry.wire import parse_refusal

RETRIES = 3
LONGEST_WAIT = 30.0
_FIRST_WAIT = 0.5


class Passing(Exception):  # noqa: N818 it is no error yet
    """Something that may be gone at the next try; ``failure`` is what it is when it stays.

    ``wait`` are the seconds the registry asked for.
    """

    def __init__(self, failure: MCPError, wait: float = 0.0) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.wait = wait


def pause_before(attempt: int, passing: Passing) -> float:
    """Seconds until try ``attempt`` (1 is the first repeated one): exponential with full jitter.

    Raises the failure itself after the last try, or when the registry asks for more patience than we have.
    """
    if attempt > RETRIES or passing.wait > LONGEST_WAIT:
        raise passing.failure from passing.__cause__
    return max(passing.wait, uniform(0.0, _FIRST_WAIT * 2.0 ** (attempt - 1)))  # noqa: S311 no secret


def retry_after(value: str | None) -> float:
    """Seconds in a Retry-After header, a number or a date (RFC 9110, 10.2.3); 0 when there is none."""
    if value is None:
        return 0.0
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except (ValueError, OverflowError, TypeError, IndexError, AttributeError, OSError):
        return 0.0


def unavailable(url: str, problem: str) -> MCPError:
    """``registry-unavailable`` for one URL."""
    return MCPError(
        "registry-unavailable",
        f"cannot reach {shown(url)}: {problem}",
        hint="check the network and registry.url, or try again; --offline runs what is cached",
    )


def protocol(url: str, problem: str) -> MCPError:
    """``registry-protocol`` for one URL."""
    return MCPError(
        "registry-protocol",
        f"{problem}: {shown(url)}",
        hint="check the registry's URL; if it is right, its owner should know",
    )


def untrusted(url: str, problem: str) -> MCPError:
    """``registry-untrusted`` for one URL whose certificate is not believed."""
    return MCPError(
        "registry-untrusted",
        f"{shown(url)} cannot prove who it is: {problem}",
        hint="if its authority is your own, name that one's file as registry.ca_file (MCP_REGISTRY_CA_FILE)",
    )


def changed(url: str) -> MCPError:
    """``download-truncated``: what would come now belongs to another file than what is here."""
    return MCPError(
        "download-truncated",
        f"the file changed while it was downloaded: {shown(url)}",
        hint="try again; nothing was kept",
    )


def truncated(url: str, done: int, total: int | None) -> MCPError:
    """``download-truncated``; counts are bytes."""
    of = "" if total is None else f" of {total}"
    return MCPError(
        "download-truncated",
        f"the download broke off after {done}{of} bytes: {shown(url)}",
        hint="try again; if it stays, the registry serves a damaged file",
        details={"bytes": done},
    )


def refusal(status: int, url: str, body: bytes, subject: str, login: str = "mcp login") -> MCPError:
    """The failure for an HTTP status that is not the one hoped for.

    ``subject`` is what was asked for, ``login`` the hint for whoever needs a (another) token.
    """
    words = parse_refusal(body)
    said = f": {words}" if words else ""
    details: dict[str, str | int] = {"status": status}
    if status == 401:  # noqa: PLR2004 HTTP's own numbers are the clearest names
        code, message, hint = "unauthorized", f"the registry wants a token for {subject}", login
    elif status == 403:  # noqa: PLR2004
        code, message = "forbidden", f"the registry does not give you {subject}"
        hint = f"ask the registry's owner for access, or use another token: {login}"
    elif status == 404:  # noqa: PLR2004
        code, message = "package-not-found", f"the registry does not have {subject}"
        hint = "check the name, the version and registry.url"
    elif status == 429:  # noqa: PLR2004
        code, message, hint = (
            "rate-limited",
            f"too many requests for {subject}",
            "wait a little, then try again",
        )
    elif 400 <= status < 500:  # noqa: PLR2004
        code, message = "registry-rejected", f"the registry refuses {subject} with status {status}"
        hint = "check registry.url; the message is the registry's own"
    elif status >= 500:  # noqa: PLR2004
        return MCPError(
            "registry-unavailable",
            f"the registry failed with status {status} for {subject}{said} ({shown(url)})",
            hint="try again later; --offline runs what is cached",
            details=details,
        )
    else:
        return protocol(url, f"unexpected status {status}")
    return MCPError(code, f"{message}{said} ({shown(url)})", hint=hint, details=details)
