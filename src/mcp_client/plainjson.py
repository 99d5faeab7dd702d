"""JSON for a warm start: what ``json`` is built on, without the ``re`` and ``enum`` that it imports."""

from __future__ import annotations

from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_INFINITY = float("inf")
_WORDS = {None: "null", True: "true", False: "false"}


class _Options:
    """The context of the scanner, as json.JSONDecoder is by default."""

    strict = True
    object_hook = object_pairs_hook = array_hook = None
    parse_float, parse_int, parse_constant = float, int, float
    memo: dict[str, str] = {}  # noqa: RUF012  the scanner's own


_scan: Callable[[str, int], tuple[Any, int]] | None
try:
    from _json import encode_basestring_ascii, make_scanner

    _scan = make_scanner(_Options())  # type: ignore[arg-type]
except (ImportError, AttributeError, TypeError):
    # Another implementation of Python, or a later release of this one.
    from json.encoder import py_encode_basestring_ascii as encode_basestring_ascii

    _scan = None


def loads(text: str | bytes) -> Any:
    """As json.loads(); raises ValueError and RecursionError as that does."""
    if _scan is not None:
        try:
            shown = text if isinstance(text, str) else text.decode()
            value, end = _scan(shown, 0)
        except (StopIteration, ValueError):
            pass
        else:
            if end == len(shown):
                return value
    import json

    return json.loads(text)


def dumps(value: Any) -> str:
    """Compact JSON in ASCII of plain values. Raises TypeError for others, ValueError for NaN and infinity."""
    if isinstance(value, str):
        return str(encode_basestring_ascii(value))
    if value is None or value is True or value is False:
        return _WORDS[value]
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        if not -_INFINITY < value < _INFINITY:
            raise ValueError(f"Out of range float values are not JSON compliant: {value!r}")
        return float.__repr__(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(dumps, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{_key(name)}:{dumps(item)}' for name, item in value.items())}}}"
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _key(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"keys must be str, not {type(name).__name__}")
    return str(encode_basestring_ascii(name))
