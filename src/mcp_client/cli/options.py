"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def registry_option(function: F) -> F:
    """``--registry URL``; eager, so that it is known when a wrong reference is explained."""
    return click.option("--registry", metavar="URL", is_eager=True, help="Resolve at this registry.")(
        function
    )


def json_option(function: F) -> F:
    """``--json``: declared for the help and the parser; ``cli.program`` acts on it."""
    return click.option(
        "--json", is_flag=True, expose_value=False, help="Print one JSON object on standard output."
    )(function)
