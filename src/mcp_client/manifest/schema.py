"""The schema of a manifest as publishers write it.

Edge module: imports the core of pydantic, so it is only reached when a manifest was just downloaded. Unknown
fields are ignored, since a later version of the format may have more. Every list and string is bounded.
"""

import re
from collections.abc import Callable
from typing import Any

from pydantic_core import SchemaValidator
from pydantic_core import core_schema as core
from pydantic_core.core_schema import CoreSchema

from mcp_client import platforms
from mcp_client.choices import Access, OptionType, Transport
from mcp_client.errors import MCPError
from mcp_client.manifest import constraint, expand
from mcp_client.manifest.options import CONTROL, MAX_STRING
from mcp_client.network.rules import parse_rule
from mcp_client.reference import parse_reference
from mcp_client.validation import one_of, optional, optional_or_null, part

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


def _after(schema: CoreSchema, *checks: Callable[[Any], Any]) -> CoreSchema:
    """What passes ``schema`` and then each of ``checks``, which raise ValueError."""
    for check in checks:
        schema = core.no_info_after_validator_function(check, schema)
    return schema


def _listed(items: CoreSchema, most: int = 1000) -> CoreSchema:
    return core.list_schema(items, max_length=most)


def _mapped(keys: CoreSchema, values: CoreSchema, most: int) -> CoreSchema:
    return _at_most(most, core.dict_schema(keys, values))


def _at_most(limit: int, schema: CoreSchema) -> CoreSchema:
    """Objects are counted before anyone looks inside: a million keys would make a million problems."""

    def check(value: Any) -> Any:
        if isinstance(value, dict) and len(value) > limit:
            raise ValueError(f"expected at most {limit} of them")
        return value

    return core.no_info_before_validator_function(check, schema)


def _within(least: int, most: int) -> CoreSchema:
    return core.int_schema(ge=least, le=most)


def _fits_exec(entrypoint: dict[str, Any]) -> dict[str, Any]:
    env = entrypoint["env"]
    size = sum(len(text.encode()) + 1 for text in (*entrypoint["args"], *env, *env.values()))
    if size > _MAX_ARGV:
        raise ValueError(f"expected args and env of at most {_MAX_ARGV} bytes together")
    return entrypoint


def _default_fits(option: dict[str, Any]) -> dict[str, Any]:
    default, kind = option["default"], option["type"]
    if default is None:
        return option
    if kind in ("file", "directory"):
        # A default path would let a package choose what of the host it sees.
        raise ValueError("expected no default: a path on the host is the user's to name")
    if option["multiple"] != isinstance(default, tuple):
        raise ValueError("expected a list as default of a multiple option, and a single value otherwise")
    if (kind == "boolean") != isinstance(default, bool):
        raise ValueError("expected true or false as default of a boolean option, and of no other")
    is_number = isinstance(default, int | float) and not isinstance(default, bool)
    if (kind == "number") != is_number:
        raise ValueError("expected a number as default of a number option, and of no other")
    return option


_TEXT = _after(core.str_schema(), _plain)
_WORDS = _after(core.str_schema(max_length=10_000), _unicode)
_ARGUMENT = _after(_TEXT, _with_variables)
_VARIABLE_NAME = core.str_schema(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$")
_VARIABLE_PATTERN = core.str_schema(pattern=r"^[A-Za-z0-9_*?\[\]!-]{1,256}$")
_OPTION_NAME = core.str_schema(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")
_BARE_COMMAND = _after(core.str_schema(), _bare_command)
_NETWORK_ENTRY = _after(core.str_schema(), lambda text: str(parse_rule(text)))
_URL_PATH = core.str_schema(pattern=r"^/[!-~]{0,1023}$")
_NAMED_EXPRESSIONS = _mapped(_BARE_COMMAND, _after(core.str_schema(), _expression), 16)
_BOOL = core.bool_schema()

_ENTRYPOINT = _after(
    part(
        command=_after(core.str_schema(max_length=4096), _plain, _command),
        args=optional([], _listed(_ARGUMENT)),
        env=optional({}, _mapped(_VARIABLE_NAME, _ARGUMENT, 1000)),
    ),
    _fits_exec,
)
_ENTRYPOINTS = core.no_info_before_validator_function(
    _platform_keys, core.dict_schema(core.str_schema(), _ENTRYPOINT, min_length=1)
)
_OPTION = _after(
    part(
        type=optional("string", one_of(OptionType)),
        multiple=optional(False, _BOOL),
        required=optional(False, _BOOL),
        access=optional("ro", one_of(Access)),
        default=optional(None, core.no_info_plain_validator_function(_default)),
        description=optional("", _WORDS),
    ),
    _default_fits,
)
_RESOURCES = part(
    cpu_millicores=optional_or_null(_within(1, 10_000_000)),
    memory_mb=optional_or_null(_within(1, 100_000_000)),
    max_processes=optional_or_null(_within(1, 4_194_304)),
    max_fds=optional_or_null(_within(1, 1_048_576)),
)
_HTTP = part(
    port=optional(8080, _within(1, 65_535)),
    port_env=optional_or_null(_VARIABLE_NAME),
    path=optional("/mcp", _URL_PATH),
    health=optional_or_null(_URL_PATH),
)

_MANIFEST = SchemaValidator(
    part(
        name=_after(core.str_schema(), _package),
        version=_after(core.str_schema(), _version),
        description=optional("", _WORDS),
        author=optional("", _WORDS),
        license=optional("", _WORDS),
        entrypoints=_at_most(64, _ENTRYPOINTS),
        transport=one_of(Transport),
        environment=optional(
            {},
            part(
                allowed_names=optional([], _listed(_VARIABLE_NAME)),
                deny_patterns=optional([], _listed(_VARIABLE_PATTERN)),
            ),
        ),
        network=optional({}, part(allowlist=optional([], _listed(_NETWORK_ENTRY)))),
        subprocess=optional(False, _BOOL),
        resources=optional({}, _RESOURCES),
        runtime=optional({}, _NAMED_EXPRESSIONS),
        config=optional({}, _mapped(_OPTION_NAME, _OPTION, 100)),
        filesystem=optional({}, part(data=optional(False, _BOOL))),
        requires=optional({}, part(commands=optional([], _listed(_BARE_COMMAND, 100)))),
        http=optional_or_null(_HTTP),
    )
)


def validated(document: object) -> dict[str, Any]:
    """The document with every field, a default where it is silent. Raises pydantic_core.ValidationError."""
    # Strict: "5" is no number, and 1 is not true.
    found: dict[str, Any] = _MANIFEST.validate_python(document, strict=True)
    return found
