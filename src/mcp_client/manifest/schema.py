"""The schema of a manifest as publishers write it.

Edge module, only reached when a manifest was just downloaded. It imports the core of pydantic, which is what
validates: pydantic's classes only describe schemas to it, and importing them took a fifth of a pull's start.
Unknown fields are ignored, since a later version of the format may have more. Every list and string is
bounded.
"""

import re
from collections.abc import Callable
from typing import Any, get_args

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


def _one_of(words: object) -> CoreSchema:
    return core.literal_schema(list(get_args(words)))


def _or(default: object, schema: CoreSchema) -> CoreSchema:
    """A field that may be left out."""
    return core.with_default_schema(schema, default=default, validate_default=True)


def _part(**fields: CoreSchema) -> CoreSchema:
    """An object in a manifest."""
    return core.typed_dict_schema(
        {
            name: core.typed_dict_field(schema, required=schema["type"] != "default")
            for name, schema in fields.items()
        }
    )


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
    _part(
        command=_after(core.str_schema(max_length=4096), _plain, _command),
        args=_or([], _listed(_ARGUMENT)),
        env=_or({}, _mapped(_VARIABLE_NAME, _ARGUMENT, 1000)),
    ),
    _fits_exec,
)
_ENTRYPOINTS = core.no_info_before_validator_function(
    _platform_keys, core.dict_schema(core.str_schema(), _ENTRYPOINT, min_length=1)
)
_OPTION = _after(
    _part(
        type=_or("string", _one_of(OptionType)),
        multiple=_or(False, _BOOL),
        required=_or(False, _BOOL),
        access=_or("ro", _one_of(Access)),
        default=_or(None, core.no_info_plain_validator_function(_default)),
        description=_or("", _WORDS),
    ),
    _default_fits,
)
_RESOURCES = _part(
    cpu_millicores=_or(None, core.nullable_schema(_within(1, 10_000_000))),
    memory_mb=_or(None, core.nullable_schema(_within(1, 100_000_000))),
    max_processes=_or(None, core.nullable_schema(_within(1, 4_194_304))),
    max_fds=_or(None, core.nullable_schema(_within(1, 1_048_576))),
)
_HTTP = _part(
    port=_or(8080, _within(1, 65_535)),
    port_env=_or(None, core.nullable_schema(_VARIABLE_NAME)),
    path=_or("/mcp", _URL_PATH),
    health=_or(None, core.nullable_schema(_URL_PATH)),
)

_MANIFEST = SchemaValidator(
    _part(
        name=_after(core.str_schema(), _package),
        version=_after(core.str_schema(), _version),
        description=_or("", _WORDS),
        author=_or("", _WORDS),
        license=_or("", _WORDS),
        entrypoints=_at_most(64, _ENTRYPOINTS),
        transport=_one_of(Transport),
        environment=_or(
            {},
            _part(
                allowed_names=_or([], _listed(_VARIABLE_NAME)),
                deny_patterns=_or([], _listed(_VARIABLE_PATTERN)),
            ),
        ),
        network=_or({}, _part(allowlist=_or([], _listed(_NETWORK_ENTRY)))),
        subprocess=_or(False, _BOOL),
        resources=_or({}, _RESOURCES),
        runtime=_or({}, _NAMED_EXPRESSIONS),
        config=_or({}, _mapped(_OPTION_NAME, _OPTION, 100)),
        filesystem=_or({}, _part(data=_or(False, _BOOL))),
        requires=_or({}, _part(commands=_or([], _listed(_BARE_COMMAND, 100)))),
        http=_or(None, core.nullable_schema(_HTTP)),
    )
)


def validated(document: object) -> dict[str, Any]:
    """The document with every field, a default where it is silent. Raises pydantic_core.ValidationError."""
    # Strict: "5" is no number, and 1 is not true.
    found: dict[str, Any] = _MANIFEST.validate_python(document, strict=True)
    return found
