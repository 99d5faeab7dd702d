"""A manifest's bytes to a :class:`Manifest`. The bytes come from a stranger; so does every word in them.

Edge module: imports the core of pydantic by way of the schema.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from pydantic_core import ValidationError

from mcp_client.errors import MCPError, printable
from mcp_client.manifest.expand import variables
from mcp_client.manifest.model import ConfigOption, Entrypoint, HTTPEndpoint, Manifest, Resources
from mcp_client.manifest.schema import validated

_MAX_PROBLEMS = 5
_HINT = "report it to the publisher of the package; docs/OVERVIEW.md describes the format"
_EXPECTED = {
    "missing": "a value, and there is none",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "string_type": "text",
    "string_unicode": "Unicode text",
    "list_type": "a list",
    "dict_type": "an object",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "string_too_long": "at most {max_length} characters",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "string_pattern_mismatch": "a plain name, as docs/OVERVIEW.md describes it",
}


class _RefusedError(Exception):
    """JSON that :mod:`json` would let pass."""


def parse_manifest(data: bytes) -> Manifest:
    """Parse and check a manifest; raises ``manifest-invalid`` naming the JSON path of up to five problems."""
    document = _parse_json(data)
    try:
        part = validated(document)
    except ValidationError as error:
        raise _invalid(_problems(error)) from None
    _check_variables(part)
    return _manifest(part)


def _parse_json(data: bytes) -> Any:
    try:
        # Strict UTF-8: json.loads alone would guess UTF-16 and 32.
        return json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise _invalid([f"expected UTF-8 text, got another byte at offset {error.start}"]) from None
    except json.JSONDecodeError as error:
        raise _invalid([f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}"]) from None
    except RecursionError:
        raise _invalid(["nested too deeply"]) from None
    except _RefusedError as error:
        raise _invalid([str(error)]) from None
    except ValueError:
        raise _invalid(["a number of thousands of digits"]) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _RefusedError(f"the key '{printable(twice, 60)}' is given twice in one object")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise _RefusedError(f"not JSON: {name}")


def _problems(error: ValidationError) -> list[str]:
    found: list[str] = []
    for problem in error.errors(include_url=False):
        kind, given, context = problem["type"], problem["input"], problem.get("ctx", {})
        if kind == "value_error":
            expected = str(context["error"])
        elif kind == "literal_error":
            expected = f"expected {context['expected']}"
        elif kind in _EXPECTED:
            expected = f"expected {_EXPECTED[kind]}".format(**context)
        else:
            message = problem["msg"].removeprefix("Input should be ")
            expected = f"expected {message[0].lower()}{message[1:]}"
        got = "" if kind == "missing" else f", got {_shown(given)}"
        found.append(f"{_path(problem['loc'])}: {expected}{got}")
    return found


def _path(location: Iterable[str | int]) -> str:
    shown = ""
    for part in location:
        if isinstance(part, int):
            shown += f"[{part}]"
        elif part != "[key]":
            shown += f".{part}" if shown else part
    return printable(shown, 120) or "the document"


def _shown(given: Any) -> str:
    if isinstance(given, dict | list):
        return "an object" if isinstance(given, dict) else f"a list of {len(given)}"
    if isinstance(given, str):
        return f"'{printable(given, 60)}'"
    return json.dumps(given)[:60]


def _check_variables(part: Mapping[str, Any]) -> None:
    """Every variable an entrypoint uses is one that the launcher will have a value for."""
    known = {"bundle", *(f"config.{name}" for name in part["config"])}
    if part["filesystem"]["data"]:
        known.add("data")
    problems = []
    for platform, entrypoint in part["entrypoints"].items():
        texts = [(f"args[{index}]", text) for index, text in enumerate(entrypoint["args"])]
        texts += [(f"env.{name}", text) for name, text in entrypoint["env"].items()]
        problems += [
            f"entrypoints.{platform}.{place}: unknown variable '${{{printable(name, 60)}}}'"
            + (" (filesystem.data is not true)" if name == "data" else "")
            for place, text in texts
            for name in variables(text)
            if name not in known
        ]
    if problems:
        raise _invalid(problems)


def _manifest(part: Mapping[str, Any]) -> Manifest:
    return Manifest(
        name=part["name"],
        version=part["version"],
        description=part["description"],
        author=part["author"],
        license=part["license"],
        entrypoints={
            platform: Entrypoint(given["command"], tuple(given["args"]), given["env"])
            for platform, given in part["entrypoints"].items()
        },
        transport=part["transport"],
        allowed_env=_unique(part["environment"]["allowed_names"]),
        denied_env=_unique(part["environment"]["deny_patterns"]),
        network=_unique(part["network"]["allowlist"]),
        subprocess=part["subprocess"],
        resources=Resources(**part["resources"]),
        runtime=part["runtime"],
        config={name: _option(option) for name, option in part["config"].items()},
        data_folder=part["filesystem"]["data"],
        required_commands=_unique(part["requires"]["commands"]),
        http=HTTPEndpoint(**(part["http"] or {})) if part["transport"] == "http" else None,
    )


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _option(part: Mapping[str, Any]) -> ConfigOption:
    default = part["default"]
    text = default if default is None or isinstance(default, str | tuple) else json.dumps(default)
    return ConfigOption(**{**part, "default": text})


def _invalid(problems: list[str]) -> MCPError:
    shown = "; ".join(problems[:_MAX_PROBLEMS])
    if len(problems) > _MAX_PROBLEMS:
        shown += f"; and {len(problems) - _MAX_PROBLEMS} more"
    return MCPError("manifest-invalid", f"the manifest is not valid: {shown}", hint=_HINT)
