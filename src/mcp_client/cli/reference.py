"""References on the command line: parsed as they are read, completed from what is known."""

import os
from typing import TYPE_CHECKING

import click

from mcp_client.app import EMBEDDED_REGISTRY, App
from mcp_client.errors import MCPError
from mcp_client.reference import PackageReference, parse_reference

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    _ParamType = click.ParamType[PackageReference]
else:
    # Older releases of click have no type parameter.
    _ParamType = click.ParamType

_MOST_VERSIONS = 5


class ReferenceType(_ParamType):
    """``org/name@selector``. Raises ``reference-invalid`` and ``reference-mutable`` as they are."""

    name = "reference"

    def convert(
        self, value: str | PackageReference, param: click.Parameter | None, ctx: click.Context | None
    ) -> PackageReference:
        """Parse; the hint about a mutable reference names the exact versions that are known."""
        del param
        if isinstance(value, PackageReference):
            return value
        try:
            return parse_reference(value)
        except MCPError as error:
            package = error.details.get("package")
            if isinstance(package, str) and (versions := _known_versions(ctx, package)):
                named = " ".join(f"{package}@{version}" for version in versions[:_MOST_VERSIONS])
                error.hint = f"name an exact version, such as {named}"
            raise

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """References in the cache, and those of the embedded registry while it is the one in use."""
        from click.shell_completion import CompletionItem

        del param
        known = sorted(_known_references(_app(ctx)))
        return [CompletionItem(text) for text in known if text.startswith(incomplete)]


REFERENCE = ReferenceType()


def _app(ctx: click.Context | None) -> App:
    """The program's parts as far as the command line is parsed; completion has no App of its own."""
    app = ctx.find_object(App) if ctx else None
    if app is None:
        app = App().with_overrides({"config": _given(ctx.find_root(), "config")} if ctx else {})
    given = ("registry", "offline")
    return app.with_overrides({name: _given(ctx, name) for name in given}) if ctx else app


def _given(ctx: click.Context, name: str) -> str | None:
    """An option's value; while others are still parsed, click may hold a placeholder of its own there."""
    value = ctx.params.get(name)
    return value if isinstance(value, str) else None


def _known_versions(ctx: click.Context | None, package: str) -> list[str]:
    """Exact versions of ``package``, newest first; what cannot be found out is left out of a hint."""
    app = _app(ctx)
    prefix = f"{package}@"
    cached = [text.removeprefix(prefix) for text in _cached_references(app) if text.startswith(prefix)]
    try:
        published = [] if app.settings.registry.offline else app.registry.known_versions(package)
    except MCPError:
        published = []
    versions = {text for text in (*published, *cached) if ":" not in text}
    return sorted(versions, key=_precedence, reverse=True)


def _precedence(version: str) -> tuple[tuple[int, ...], bool, str]:
    """Near enough to Semantic Versioning for a hint: numbers as numbers, releases after their previews."""
    core, _, preview = version.partition("+")[0].partition("-")
    return tuple(int(part) if part.isdecimal() else 0 for part in core.split(".")), not preview, preview


def _known_references(app: App) -> set[str]:
    known = set(_cached_references(app))
    try:
        embedded = app.registry_url == EMBEDDED_REGISTRY
    except MCPError:
        embedded = False
    return known | set(_embedded_references()) if embedded else known


def _cached_references(app: App) -> list[str]:
    """What was resolved at the registry in use before."""
    try:
        url = app.registry_url
        known = app.cache.resolutions.references()
        return [str(reference) for reference, registry in known if registry == url]
    except MCPError:
        return []


def _embedded_references() -> list[str]:
    import mcp_client

    folder = os.path.join(os.path.dirname(mcp_client.__file__), "embedded", "packages")
    found = []
    for org in os.listdir(folder):
        for name in os.listdir(os.path.join(folder, org)):
            answers = os.listdir(os.path.join(folder, org, name))
            found += [f"{org}/{name}@{text[:-5]}" for text in answers if text.endswith(".json")]
    return found
