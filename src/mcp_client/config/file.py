"""Read and check a configuration file; errors name file, line and key.

Edge module: reached only when a file has changed since the last run.
"""

import difflib
import os
import stat
from typing import Any

from pydantic import ValidationError

from mcp_client import system
from mcp_client.config.document import MAX_SIZE, Document, DocumentError, KeyPath, parse_document
from mcp_client.config.memo import unreadable
from mcp_client.config.schema import ConfigFile, PolicyFile, Section, known_keys
from mcp_client.errors import MCPError, printable

_MAX_PROBLEMS = 5
_HINT = "docs/config.example.yaml lists every key with its default"
_EXPECTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "string_pattern_mismatch": "a plain name or pattern",
}


def read_config(path: str) -> dict[str, Any]:
    """The keys given in ``config.yaml``, checked and normalised, nested as in the file."""
    return _read(path, ConfigFile)


def read_policy(path: str) -> dict[str, Any]:
    """The keys given in the operator's policy file, checked and normalised, nested as in the file."""
    return _read(path, PolicyFile)


def _read(path: str, schema: type[Section]) -> dict[str, Any]:
    data = _read_bytes(path)
    if len(data) > MAX_SIZE:
        raise _invalid(path, 1, "", f"expected at most {MAX_SIZE} bytes")
    try:
        document = parse_document(data)
    except DocumentError as error:
        raise _invalid(path, error.line, _dotted(error.path), error.message) from None
    value = _without_empty(document.value, schema)
    try:
        return schema.model_validate(value).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise _explain(path, document, error, schema) from None


def _without_empty(value: Any, schema: type[Section]) -> Any:
    """A section or list whose lines are all commented out is null in YAML; it says nothing, which is fine."""
    if not isinstance(value, dict):
        return value
    kept = {}
    for key, given in value.items():
        default = schema.model_fields[key].default if key in schema.model_fields else None
        if given is None and isinstance(default, Section | list | dict):
            continue
        kept[key] = _without_empty(given, type(default)) if isinstance(default, Section) else given
    return kept


def _read_bytes(path: str) -> bytes:
    if path == os.devnull:
        return b""
    try:
        fd = system.open_fd(path, os.O_RDONLY | system.O_CLOEXEC | system.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise unreadable(path, "not a regular file")
            return os.read(fd, MAX_SIZE + 1)
        finally:
            os.close(fd)
    except OSError as error:
        raise unreadable(path, error) from error


def _explain(path: str, document: Document, error: ValidationError, schema: type[Section]) -> MCPError:
    problems = []
    for problem in error.errors(include_url=False):
        place: KeyPath = tuple(part for part in problem["loc"] if part != "[key]")
        line = next(
            document.lines[place[:n]] for n in range(len(place), -1, -1) if place[:n] in document.lines
        )
        problems.append((line, _dotted(place), _sentence(problem), problem["type"] == "extra_forbidden"))
    problems.sort(key=lambda problem: problem[0])
    line, key, sentence, _ = problems[0]
    more = [f"; line {line}: {key}: {sentence}" for line, key, sentence, _ in problems[1:_MAX_PROBLEMS]]
    if len(problems) > _MAX_PROBLEMS:
        more.append(f"; and {len(problems) - _MAX_PROBLEMS} more")
    misspelt = next((key for _, key, _, unknown in problems if unknown), None)
    hint = (misspelt and _nearest(misspelt, known_keys(schema))) or _HINT
    return _invalid(path, line, key, sentence + "".join(more), hint)


def _sentence(problem: Any) -> str:
    kind, context, given = problem["type"], problem.get("ctx", {}), problem["input"]
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "value_error":
        expected = str(context["error"])
    elif kind in _EXPECTED:
        expected = f"expected {_EXPECTED[kind]}"
    elif kind == "literal_error":
        expected = f"expected {context['expected']}"
    else:
        expected = f"expected {problem['msg'].removeprefix('Input should be ')}"
    if isinstance(given, str) and ("@" in given or "://" in given):
        return expected  # a URL can carry a password
    return f"{expected}, got {_shown(given)}"


def _shown(given: Any) -> str:
    if isinstance(given, dict | list):
        return "keys and values" if isinstance(given, dict) else "a list"
    if given is None:
        return "nothing"
    if isinstance(given, bool):
        return str(given).lower()
    return f"'{printable(given, 60)}'" if isinstance(given, str) else str(given)[:60]


def _nearest(key: str, keys: tuple[str, ...]) -> str | None:
    """A hint with the key that was probably meant: misspelt, or right but in another section."""
    parent, _, leaf = key.rpartition(".")
    every = [*keys, *{known.rpartition(".")[0] for known in keys if "." in known}]
    siblings = {known.rpartition(".")[2]: known for known in every if known.rpartition(".")[0] == parent}
    near = [siblings[name] for name in difflib.get_close_matches(leaf, siblings, n=1)]
    near = near or [known for known in every if known.rpartition(".")[2] == leaf]
    return f"did you mean {near[0]}?" if near else None


def _dotted(path: KeyPath) -> str:
    shown = ""
    for part in path:
        shown += f"[{part}]" if isinstance(part, int) else f".{part}" if shown else part
    return printable(shown, 120)


def _invalid(path: str, line: int, key: str, sentence: str, hint: str = _HINT) -> MCPError:
    place = f"{printable(path)}, line {line}" + (f": {key}" if key else "")
    return MCPError(
        "config-invalid",
        f"{place}: {sentence}",
        hint=hint,
        details={"file": printable(path), "line": line, "key": key},
    )
