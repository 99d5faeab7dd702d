"""The schema of a manifest as publishers write it.

Edge module: imports pydantic, so it is only reached when a manifest was just downloaded. Unknown fields
are ignored, since a later version of the format may have more. Every list and string is bounded.
"""

import re
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    model_validator,
)

from mcp_client import platforms
from mcp_client.choices import Access, OptionType, Transport
from mcp_client.errors import MCPError
from mcp_client.manifest import constraint, expand
from mcp_client.manifest.options import CONTROL, MAX_STRING
from mcp_client.network.rules import parse_rule
from mcp_client.reference import parse_reference

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_MAX_ARGV = 1_000_000
_MAX_VALUES = 1000
_PLATFORM = re.compile(r"([a-z0-9]{1,20})-([A-Za-z0-9_]{1,20})")
_COMMAND = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


def _unicode(text: str) -> str:
    r"""JSON can spell half a surrogate pair (``"\ud800"``), which nothing can print or store."""
    if not text.isascii() and _SURROGATE.search(text):
        raise ValueError("expected Unicode text")
    return text


def _plain(text: str) -> str:
    """No control characters: they have no place in argv or a variable, and NUL ends a C string."""
    if CONTROL.search(text):
        raise ValueError("expected text without control characters")
    if len(_unicode(text).encode()) > MAX_STRING:
        raise ValueError(f"expected at most {MAX_STRING} bytes")
    return text


def _package(text: str) -> str:
    try:
        parse_reference(f"{text}@0.0.0")
    except MCPError:
        raise ValueError("expected org/name in lower case") from None
    return text


def _version(text: str) -> str:
    try:
        exact = parse_reference(f"org/name@{text}").kind == "version"
    except MCPError:
        exact = False
    if not exact:
        raise ValueError("expected an exact semantic version such as 1.2.3")
    return text


def _command(text: str) -> str:
    if "${" in text:
        raise ValueError("expected a command without variables; a path is relative to the bundle")
    if "/" not in text and "\\" not in text:
        if not _COMMAND.fullmatch(text):
            raise ValueError("expected the bare name of a host runtime, or a path below the bundle")
        return text
    parts = text.split("/")
    if "\\" in text or not parts[0] or ".." in parts or re.match("[A-Za-z]:", text) or parts[-1] in ("", "."):
        raise ValueError("expected a path to a file below the bundle, relative and without ..")
    return text


def _bare_command(text: str) -> str:
    if not _COMMAND.fullmatch(text):
        raise ValueError("expected the bare name of a command")
    return text


def _expression(text: str) -> str:
    try:
        constraint.matches((0,), text)
    except MCPError:
        raise ValueError("expected a version constraint such as >=3.11,<3.12") from None
    return text


def _with_variables(text: str) -> str:
    try:
        expand.variables(text)
    except MCPError as error:
        raise ValueError(f"expected ${{name}} or $${{, found {error.message}") from None
    return text


def _default(value: Any) -> Any:
    texts = value if isinstance(value, list) else [value]
    if isinstance(value, list) and not (
        len(value) <= _MAX_VALUES and all(isinstance(text, str) for text in value)
    ):
        raise ValueError(f"expected at most {_MAX_VALUES} texts")
    for text in texts:
        if isinstance(text, str):
            _plain(text)
        elif text is not None and not isinstance(text, bool | int | float):
            raise ValueError("expected text, a number, true or false, or a list of texts")
    return tuple(value) if isinstance(value, list) else value


def _at_most(limit: int) -> BeforeValidator:
    """Objects are counted before anyone looks inside: a million keys would make a million problems."""

    def check(value: Any) -> Any:
        if isinstance(value, dict) and len(value) > limit:
            raise ValueError(f"expected at most {limit} of them")
        return value

    return BeforeValidator(check)


def _platform_keys(value: Any) -> Any:
    """Entrypoints under one spelling of each platform: ``linux-x86_64`` is ``linux-amd64``."""
    if not isinstance(value, dict):
        return value
    result: dict[str, Any] = {}
    for key, entrypoint in value.items():
        match = _PLATFORM.fullmatch(key)
        if match is None:
            raise ValueError(f"expected <os>-<arch> as key, such as linux-amd64, got {key[:60]!r}")
        name = platforms.normalise(match[1], match[2])
        if name in result:
            raise ValueError(f"expected one entrypoint for {name}, got two")
        result[name] = entrypoint
    return result


Text = Annotated[str, AfterValidator(_plain)]
Words = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(_unicode)]
Argument = Annotated[Text, AfterValidator(_with_variables)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$")]
VariablePattern = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_*?\[\]!-]{1,256}$")]
OptionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
BareCommand = Annotated[str, AfterValidator(_bare_command)]
NetworkEntry = Annotated[str, AfterValidator(lambda text: str(parse_rule(text)))]
URLPath = Annotated[str, StringConstraints(pattern=r"^/[!-~]{0,1023}$")]
Default = Annotated[str | bool | int | float | tuple[str, ...] | None, PlainValidator(_default)]
Port = Annotated[int, Field(ge=1, le=65_535)]


class Part(BaseModel):
    """An object in a manifest."""

    model_config = ConfigDict(extra="ignore", strict=True)


class EntrypointPart(Part):
    """``entrypoints.<platform>``."""

    command: Annotated[Text, StringConstraints(max_length=4096), AfterValidator(_command)]
    args: Annotated[list[Argument], Field(max_length=1000)] = []
    env: Annotated[dict[VariableName, Argument], _at_most(1000)] = {}

    @model_validator(mode="after")
    def _fits_exec(self) -> Self:
        size = sum(len(text.encode()) + 1 for text in (*self.args, *self.env, *self.env.values()))
        if size > _MAX_ARGV:
            raise ValueError(f"expected args and env of at most {_MAX_ARGV} bytes together")
        return self


class EnvironmentPart(Part):
    """``environment``."""

    allowed_names: Annotated[list[VariableName], Field(max_length=1000)] = []
    deny_patterns: Annotated[list[VariablePattern], Field(max_length=1000)] = []


class NetworkPart(Part):
    """``network``."""

    allowlist: Annotated[list[NetworkEntry], Field(max_length=1000)] = []


class ResourcesPart(Part):
    """``resources``."""

    cpu_millicores: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    memory_mb: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    max_processes: Annotated[int, Field(ge=1, le=4_194_304)] | None = None
    max_fds: Annotated[int, Field(ge=1, le=1_048_576)] | None = None


class OptionPart(Part):
    """``config.<name>``."""

    type: OptionType = "string"
    multiple: bool = False
    required: bool = False
    access: Access = "ro"
    default: Default = None
    description: Words = ""

    @model_validator(mode="after")
    def _default_fits(self) -> Self:
        if self.default is None:
            return self
        if self.type in ("file", "directory"):
            # A default path would let a package choose what of the host it sees.
            raise ValueError("expected no default: a path on the host is the user's to name")
        if self.multiple != isinstance(self.default, tuple):
            raise ValueError("expected a list as default of a multiple option, and a single value otherwise")
        if (self.type == "boolean") != isinstance(self.default, bool):
            raise ValueError("expected true or false as default of a boolean option, and of no other")
        is_number = isinstance(self.default, int | float) and not isinstance(self.default, bool)
        if (self.type == "number") != is_number:
            raise ValueError("expected a number as default of a number option, and of no other")
        return self


class FilesystemPart(Part):
    """``filesystem``."""

    data: bool = False


class RequiresPart(Part):
    """``requires``."""

    commands: Annotated[list[BareCommand], Field(max_length=100)] = []


class HTTPPart(Part):
    """``http``."""

    port: Port = 8080
    port_env: VariableName | None = None
    path: URLPath = "/mcp"
    health: URLPath | None = None


class ManifestPart(Part):
    """The whole document."""

    name: Annotated[str, AfterValidator(_package)]
    version: Annotated[str, AfterValidator(_version)]
    description: Words = ""
    author: Words = ""
    license: Words = ""
    entrypoints: Annotated[
        dict[str, EntrypointPart], BeforeValidator(_platform_keys), _at_most(64), Field(min_length=1)
    ]
    transport: Transport
    environment: EnvironmentPart = EnvironmentPart()
    network: NetworkPart = NetworkPart()
    subprocess: bool = False
    resources: ResourcesPart = ResourcesPart()
    runtime: Annotated[dict[BareCommand, Annotated[str, AfterValidator(_expression)]], _at_most(16)] = {}
    config: Annotated[dict[OptionName, OptionPart], _at_most(100)] = {}
    filesystem: FilesystemPart = FilesystemPart()
    requires: RequiresPart = RequiresPart()
    http: HTTPPart | None = None
