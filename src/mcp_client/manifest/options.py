"""The values a user gives with ``--set NAME=VALUE``, checked against what the manifest declares."""

from __future__ import annotations

import os

from mcp_client.errors import MCPError, printable
from mcp_client.light import TYPE_CHECKING, pattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp_client.manifest.model import ConfigOption, Manifest

Value = str | tuple[str, ...]

# One string of argv or environ is at most 32 pages, its NUL included (execve(2), MAX_ARG_STRLEN).
MAX_STRING = 131_071
# Surrogates but those of surrogateescape (PEP 383) name no bytes at all.
CONTROL = pattern(r"[\x00-\x1f\x7f-\x9f\ud800-\udc7f\udd00-\udfff]")
_MAX_VALUES = 1000
_HOW = "'mcp info' shows the package's options and their types"
_NUMBER = pattern(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")
_BOOLEANS = {"true": "true", "yes": "true", "1": "true", "false": "false", "no": "false", "0": "false"}


def check_options(manifest: Manifest, given: Sequence[tuple[str, str]]) -> Mapping[str, Value]:
    """Every option of the manifest with its value: a string, or a tuple for a ``multiple`` one.

    An option that was not given has its default, or ``()``. Files and folders must exist and become
    absolute paths. Raises ``option-invalid`` (unknown, given twice, wrong type) and ``option-missing``.
    """
    collected: dict[str, list[str]] = {}
    for name, text in given:
        option = manifest.config.get(name)
        if option is None:
            raise _invalid(name, "the package has no such option", _there_are(manifest))
        values = collected.setdefault(name, [])
        if values and not option.multiple:
            raise _invalid(name, "given twice, and it takes one value")
        if len(values) == _MAX_VALUES:
            raise _invalid(name, f"more than {_MAX_VALUES} values")
        values.append(_check(name, option, text))
    result: dict[str, Value] = {}
    for name, option in manifest.config.items():
        if name in collected:
            result[name] = tuple(collected[name]) if option.multiple else collected[name][0]
        elif option.default is not None:
            result[name] = option.default
        elif option.required:
            raise MCPError(
                "option-missing",
                f"{manifest.name} needs --set {name}=<{option.type}>"
                + (f": {printable(option.description, 120)}" if option.description else ""),
                hint=f"add --set {name}="
                + ("/path/to/" if option.type in ("file", "directory") else "")
                + option.type,
                details={"option": name, "type": option.type},
            )
        else:
            result[name] = ()
    return result


def _check(name: str, option: ConfigOption, text: str) -> str:
    if CONTROL.search(text) or len(os.fsencode(text)) > MAX_STRING:
        raise _invalid(name, "a value is at most 128 KB, without control characters")
    if option.type == "number" and not _NUMBER.fullmatch(text):
        raise _invalid(name, f"expected a number, got '{printable(text, 80)}'")
    if option.type == "boolean":
        if text.lower() not in _BOOLEANS:
            raise _invalid(name, f"expected true or false, got '{printable(text, 80)}'")
        return _BOOLEANS[text.lower()]
    if option.type in ("file", "directory"):
        return _existing(name, option, text)
    return text


def _existing(name: str, option: ConfigOption, text: str) -> str:
    path = os.path.abspath(os.path.expanduser(text)) if text else ""
    exists = os.path.isdir if option.type == "directory" else os.path.isfile
    if not path or not exists(path):
        raise _invalid(name, f"expected an existing {option.type}, got '{printable(text, 200)}'")
    return path


def _there_are(manifest: Manifest) -> str:
    return f"it has {printable(', '.join(manifest.config))}" if manifest.config else "it takes none"


def _invalid(name: str, problem: str, hint: str = _HOW) -> MCPError:
    shown = printable(name, 60)
    return MCPError("option-invalid", f"--set {shown}: {problem}", hint=hint, details={"option": shown})
