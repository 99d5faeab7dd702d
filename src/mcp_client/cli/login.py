"""``mcp login`` and ``mcp logout``: a registry's token, stored per origin."""

import sys

import click

from mcp_client.app import EMBEDDED_REGISTRY, App
from mcp_client.cli.options import json_option, registry_option
from mcp_client.cli.output import Report
from mcp_client.errors import MCPError, printable

_LONGEST_TOKEN = 65_536


@click.command(short_help="Store a registry's token.")
@registry_option
@click.option("--token", help="The token; other users can see it in the process list.")
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input.")
@json_option
@click.pass_obj
def login(app: App, registry: str | None, token: str | None, token_stdin: bool) -> Report:
    """Store the token for the configured registry, or for the one of --registry.

    Without --token and --token-stdin it is asked for, and not shown. It is kept in ~/.mcp/auth.json, which
    only you can read, and sent to this registry alone.

    \b
    Examples:
      mcp login
      mcp login --token-stdin < token.txt
      mcp login --registry https://registry.example.com
    """  # noqa: D301  \b is click's mark for text that must not be wrapped
    app = app.with_overrides({"registry": registry})
    origin = _origin(app)
    if token is not None and token_stdin:
        raise MCPError("usage", "--token and --token-stdin are both given", hint="use one of them")
    if token is not None:
        app.log.warning("a token on the command line shows in process lists; --token-stdin does not")
    accepted = _checked(_given(token, origin, from_stdin=token_stdin))
    ends = _end_of(accepted, origin)
    app.credentials.store(origin, accepted)
    if _outdone_by_environment(app):
        app.log.warning("MCP_REGISTRY_TOKEN is set, and is used instead of the stored token")
    until = f"; it ends at {ends}" if ends else ""
    return Report({"registry": origin, "ends": ends}, f"token for {printable(origin)} stored{until}")


@click.command(short_help="Forget a registry's token.")
@registry_option
@json_option
@click.pass_obj
def logout(app: App, registry: str | None) -> Report:
    """Forget the token for the configured registry, or for the one of --registry.

    \b
    Examples:
      mcp logout
      mcp logout --registry https://registry.example.com
    """  # noqa: D301  \b is click's mark for text that must not be wrapped
    app = app.with_overrides({"registry": registry})
    origin = _origin(app)
    removed = app.credentials.remove(origin)
    text = f"token for {printable(origin)} removed" if removed else f"no token for {printable(origin)}"
    return Report({"registry": origin, "removed": removed}, text)


def _origin(app: App) -> str:
    url = app.registry_url
    if url == EMBEDDED_REGISTRY or url.startswith("file:"):
        kind = "embedded registry" if url == EMBEDDED_REGISTRY else "registry in a folder"
        raise MCPError(
            "usage",
            f"the {kind} takes no token",
            hint="name the registry with --registry https://..., or as registry.url in the configuration",
        )
    from mcp_client.registry.urls import origin_of

    return origin_of(url)


def _given(token: str | None, origin: str, *, from_stdin: bool) -> str:
    if token is not None:
        return token
    if from_stdin:
        return sys.stdin.read(_LONGEST_TOKEN + 1)
    if not sys.stdin.isatty():
        raise MCPError(
            "usage",
            "there is no terminal to ask for the token at",
            hint="give it with --token-stdin",
        )
    answer: str = click.prompt(f"Token for {printable(origin)}", hide_input=True, err=True)
    return answer


def _end_of(token: str, origin: str) -> str | None:
    """When the token ends, if it tells (UTC). Raises ``token-expired`` for one that nobody would take."""
    from mcp_client.registry.tokens import end_of, expired, utc

    end = end_of(token)
    if end is not None and expired(end):
        raise MCPError(
            "token-expired",
            f"the token for {printable(origin)} ended at {utc(end)}; it was not stored",
            hint="get a new one from the registry, and check this machine's clock",
        )
    return None if end is None else utc(end)


def _outdone_by_environment(app: App) -> bool:
    from mcp_client.registry.client import token_for

    token = token_for(app.registry_url, app.settings.registry, app.credentials)
    return token is not None and token.source == "environment"


def _checked(token: str) -> str:
    """The token without blanks around it; inside, it must be fit for an HTTP header (RFC 9110, 5.5)."""
    token = token.strip()
    if not token or len(token) > _LONGEST_TOKEN or not all("!" <= letter <= "~" for letter in token):
        raise MCPError(
            "usage",
            "the token is empty, too long, or has characters that no token has",
            hint="a token is one line of printable ASCII without blanks",
        )
    return token
