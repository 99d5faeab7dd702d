"""JSON-RPC messages, as far as a transport must know what they are. What is passed on is never made anew."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

PARSE_ERROR, INVALID_REQUEST, CONNECTION_CLOSED = -32700, -32600, -32000
INITIALIZE, CANCELLED = "initialize", "notifications/cancelled"

# The type belongs to it: 1, "1" and true are three.
Key = tuple[str, Any]


class Message(NamedTuple):
    """``raw`` is the line, ``parts`` what it holds: one object, or those of a batch (2025-03-26)."""

    raw: bytes
    parts: tuple[Mapping[str, Any], ...]

    @property
    def ids(self) -> dict[Key, Any]:
        """Of the requests inside, whose answers are waited for."""
        return {key_of(part["id"]): part["id"] for part in self.parts if is_request(part)}

    @property
    def method(self) -> str:
        """Of a single request or notification; empty for an answer and a batch."""
        method = self.parts[0].get("method") if len(self.parts) == 1 else None
        return method if isinstance(method, str) else ""

    @property
    def params(self) -> Mapping[str, Any]:
        """Of a single request or notification."""
        return mapping(self.parts[0].get("params")) if len(self.parts) == 1 else {}

    @property
    def is_answer(self) -> bool:
        """Whether all of it are answers to what the server asked."""
        return all("method" not in part for part in self.parts)


def parse(raw: bytes) -> Message | None:
    """The message in ``raw``; None for what is none."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    parts = value if isinstance(value, list) else [value]
    if not parts or not all(isinstance(part, dict) for part in parts):
        return None
    return Message(raw.strip(), tuple(parts))


def is_request(part: Mapping[str, Any]) -> bool:
    """Whether somebody waits for the answer."""
    return "method" in part and part.get("id") is not None


def answered(message: Message) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """The answers inside: what they answer, and they themselves."""
    for part in message.parts:
        if "method" not in part and ("result" in part or "error" in part):
            yield key_of(part.get("id")), part


def key_of(identifier: object) -> Key:
    """Something that compares as JSON does."""
    return type(identifier).__name__, identifier if isinstance(identifier, str | int | float) else None


def error(identifier: object, code: int, text: str) -> bytes:
    """An answer of ours."""
    value = {"jsonrpc": "2.0", "id": identifier, "error": {"code": code, "message": text}}
    return json.dumps(value).encode()


def with_id(part: Mapping[str, Any], identifier: object) -> bytes:
    """``part`` as the answer to ``identifier``: servers answer null to what they did not come to read."""
    return json.dumps({**part, "id": identifier}, ensure_ascii=False).encode("utf-8", "backslashreplace")


def mapping(value: object) -> Mapping[str, Any]:
    """``value`` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}
