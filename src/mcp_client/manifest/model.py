"""A manifest, as the rest of the program sees it: checked, complete and immutable by convention.

``to_form`` and ``from_form`` turn it into plain JSON values and back, so that a warm start reads what was
checked once, without the checker.
"""

from __future__ import annotations

from mcp_client.light import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from mcp_client.choices import Access, OptionType, Transport


# Raised whenever a manifest becomes another form than before; forms in caches are then made anew.
FORM_VERSION = 3


class ConfigOption(NamedTuple):
    """A value the user gives with ``--set``. Only ``string``, ``number`` and ``boolean`` have a default."""

    type: OptionType = "string"
    multiple: bool = False
    required: bool = False
    access: Access = "ro"
    default: str | tuple[str, ...] | None = None
    description: str = ""


class Entrypoint(NamedTuple):
    """How to start the server. ``command`` is a host runtime's bare name or a path below the bundle."""

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = {}


class Resources(NamedTuple):
    """Limits the package asks for; ``None`` where it is silent."""

    cpu_millicores: int | None = None
    memory_mb: int | None = None
    max_processes: int | None = None
    max_fds: int | None = None


class HTTPEndpoint(NamedTuple):
    """Where an HTTP server listens inside, and the path that answers 2xx once it is ready, if it has one.

    The server is told its port in the variables PORT and MCP_PORT, and in ``port_env`` where that is given.
    """

    port: int = 8080
    port_env: str | None = None
    path: str = "/mcp"
    health: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The variables that tell the server its port."""
        names = ("PORT", "MCP_PORT", *([] if self.port_env is None else [self.port_env]))
        return dict.fromkeys(names, str(self.port))


class Manifest(NamedTuple):
    """One package at one version. Keys of ``entrypoints`` are platforms as in :mod:`mcp_client.platforms`."""

    name: str
    version: str
    description: str
    author: str
    license: str
    entrypoints: Mapping[str, Entrypoint]
    transport: Transport
    allowed_env: tuple[str, ...] = ()
    denied_env: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    subprocess: bool = False
    resources: Resources = Resources()
    runtime: Mapping[str, str] = {}
    config: Mapping[str, ConfigOption] = {}
    data_folder: bool = False
    required_commands: tuple[str, ...] = ()
    http: HTTPEndpoint | None = None


def to_form(manifest: Manifest) -> dict[str, Any]:
    """Plain JSON values that :func:`from_form` reads back to an equal manifest."""
    form = {"form": FORM_VERSION, **manifest._asdict()}
    form["entrypoints"] = {key: value._asdict() for key, value in manifest.entrypoints.items()}
    form["resources"] = manifest.resources._asdict()
    form["config"] = {key: value._asdict() for key, value in manifest.config.items()}
    form["http"] = manifest.http and manifest.http._asdict()
    return form


def is_current(form: Mapping[str, Any]) -> bool:
    """Whether this release made the form, or one that makes the same."""
    return form.get("form") == FORM_VERSION


def from_form(form: Mapping[str, Any]) -> Manifest:
    """The manifest of a current form. Nothing is checked again: a form comes from our own cache only."""
    fields = {key: value for key, value in form.items() if key != "form"}
    fields["entrypoints"] = {
        key: Entrypoint(value["command"], tuple(value["args"]), value["env"])
        for key, value in form["entrypoints"].items()
    }
    fields["resources"] = Resources(**form["resources"])
    fields["config"] = {
        key: ConfigOption(**{**value, "default": _tuple(value["default"])})
        for key, value in form["config"].items()
    }
    fields["http"] = HTTPEndpoint(**form["http"]) if form["http"] else None
    for key in ("allowed_env", "denied_env", "network", "required_commands"):
        fields[key] = tuple(form[key])
    return Manifest(**fields)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
