"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from mcp_client.cli.flags import LOCK_FILE

F = TypeVar("F", bound=Callable[..., Any])


def registry_option(function: F) -> F:
    """``--registry URL``; eager, so that it is known when a wrong reference is explained."""
    return click.option("--registry", metavar="URL", is_eager=True, help="Resolve at this registry.")(
        function
    )


def offline_option(function: F) -> F:
    """``--offline``, as the override of that name; eager for the same reason."""
    return click.option(
        "--offline", flag_value="on", default=None, is_flag=True, is_eager=True, help="Use the cache only."
    )(function)


def lock_options(function: F) -> F:
    """``--locked`` and ``--lock FILE``: the lock file to use, None for none."""

    def decide(ctx: click.Context, _parameter: click.Parameter, file: str | None) -> str | None:
        default = LOCK_FILE if ctx.params.pop("locked", False) else None
        return file or default

    locked = click.option(
        "--locked",
        is_flag=True,
        is_eager=True,
        help=f"Use exactly what ./{LOCK_FILE} names, and ask no registry.",
    )
    lock = click.option(
        "--lock", metavar="FILE", callback=decide, help=f"Use exactly what FILE names, not ./{LOCK_FILE}."
    )
    return locked(lock(function))


def json_option(function: F) -> F:
    """``--json``: declared for the help and the parser; ``cli.program`` acts on it."""
    return click.option(
        "--json", is_flag=True, expose_value=False, help="Print one JSON object on standard output."
    )(function)
