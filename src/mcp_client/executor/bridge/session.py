"""What a request's headers say beside its body.

MCP, Streamable HTTP: 2025-11-25 has a session and a revision that were agreed on by ``initialize``; from
2026-07-28 on, each message names its revision, and headers repeat its method, its name, and the arguments
that a tool's schema marks with ``x-mcp-header``.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any

from mcp_client.executor.bridge.messages import INITIALIZE, Message, mapping

_REVISION = "io.modelcontextprotocol/protocolVersion"
_NAMES = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_MARK = "x-mcp-header"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_PLAIN = re.compile(r"(?!=\?base64\?.*\?=\Z)(?:[!-~](?:[ -~]*[!-~])?)?")
_MARKABLE = ("string", "integer", "boolean")
_MOST_TOOLS, _DEEPEST = 10_000, 32
# Revisions are dates.
_FIRST_WITHOUT_SESSIONS = "2026-07-28"

Fields = list[tuple[str, str]]


class Session:
    """``id`` and ``revision`` are what the server said when it was initialized, None before and without."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self.id: str | None = None
        self.revision: str | None = None
        self._marks: dict[str, dict[tuple[str, ...], str]] = {}

    def fields(self, message: Message | None) -> Fields:
        """For the POST of ``message``, or for a GET or DELETE of the session."""
        if message is not None and message.method == INITIALIZE:
            return []
        named = None if message is None else revision_of(message)
        revision = named or self.revision
        fields = [] if self.id is None else [("Mcp-Session-Id", self.id)]
        if revision is not None:
            fields.append(("MCP-Protocol-Version", revision))
        if message is not None and named is not None:
            fields += self._repeated(message)
        return fields

    def begin(self, result: Mapping[str, Any], session: str | None) -> None:
        """The server has answered ``initialize``."""
        revision = result.get("protocolVersion")
        self.revision = revision if isinstance(revision, str) and _PLAIN.fullmatch(revision) else None
        self.id = session

    def learn_tools(self, result: Mapping[str, Any]) -> None:
        """Remember which arguments of the tools are repeated in headers."""
        tools = result.get("tools")
        for tool in tools if isinstance(tools, list) else []:
            name, schema = mapping(tool).get("name"), mapping(tool).get("inputSchema")
            if isinstance(name, str) and (name in self._marks or len(self._marks) < _MOST_TOOLS):
                self._marks[name] = dict(_marked(schema, ()))

    def _repeated(self, message: Message) -> Fields:
        fields = [("Mcp-Method", encode(message.method))]
        name = message.params.get(_NAMES.get(message.method, ""))
        if isinstance(name, str):
            fields.append(("Mcp-Name", encode(name)))
            if message.method == "tools/call":
                arguments = mapping(message.params.get("arguments"))
                for path, token in self._marks.get(name, {}).items():
                    text = _text(_value(arguments, path))
                    if text is not None:
                        fields.append((f"Mcp-Param-{token}", encode(text)))
        return fields


def revision_of(message: Message) -> str | None:
    """The revision that a message names itself."""
    named = mapping(message.params.get("_meta")).get(_REVISION)
    return named if isinstance(named, str) and _PLAIN.fullmatch(named) else None


def closing_cancels(revision: str | None) -> bool:
    """Whether the end of a request's connection is what cancels it; before, a notification is."""
    return revision is not None and revision >= _FIRST_WITHOUT_SESSIONS


def encode(text: str) -> str:
    """``text`` as a header's value: as it is, or in Base64 where a header could not carry it."""
    if _PLAIN.fullmatch(text):
        return text
    return f"=?base64?{b64encode(text.encode('utf-8', 'surrogatepass')).decode()}?="


def _marked(schema: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if len(path) > _DEEPEST:
        return
    for name, inner in mapping(mapping(schema).get("properties")).items():
        token = mapping(inner).get(_MARK)
        if isinstance(token, str) and _TOKEN.fullmatch(token) and mapping(inner).get("type") in _MARKABLE:
            yield (*path, name), token
        yield from _marked(inner, (*path, name))


def _value(arguments: Mapping[str, Any], path: tuple[str, ...]) -> object:
    node: object = arguments
    for name in path:
        node = mapping(node).get(name)
    return node


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None
