"""A small MCP server over stdio, in the standard library alone.

It speaks the handshake revisions (2024-11-05 to 2025-11-25: ``initialize``, ``ping``) and the stateless
revision 2026-07-28, where every request names its revision in ``_meta`` and ``server/discover`` takes the
place of the handshake. Messages are one JSON object a line; the server ends when its input ends.
"""
# ruff: noqa: INP001 - a program inside a bundle, not a module of the package

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

SERVER_INFO = {"name": "acme/hello-world", "version": "1.2.3"}
INSTRUCTIONS = "Greets by name, and reports what a sandboxed server can see of its host."
CAPABILITIES = {"tools": {"listChanged": False}}
HANDSHAKE_REVISIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
STATELESS_REVISION = "2026-07-28"
META_REVISION = "io.modelcontextprotocol/protocolVersion"
META_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
META_SERVER = "io.modelcontextprotocol/serverInfo"
LONGEST_NAME = 200

# JSON-RPC 2.0, section 5.1, and MCP 2026-07-28 (the last one).
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
UNSUPPORTED_REVISION = -32022

TOOLS = [
    {
        "name": "hello",
        "title": "Say hello",
        "description": "Greets somebody by name.",
        "inputSchema": {
            "type": "object",
            "properties": {"name": {"type": "string", "description": "Whom to greet"}},
            "required": ["name"],
        },
        "annotations": {"readOnlyHint": True, "openWorldHint": False},
    },
    {
        "name": "whereami",
        "title": "Describe the surroundings",
        "description": "Reports what this process sees: its user, processes, folders, network, environment.",
        "inputSchema": {"type": "object", "properties": {}},
        "annotations": {"readOnlyHint": True, "openWorldHint": False},
    },
]


class RPCError(Exception):
    """A request that is answered with a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.error: dict[str, Any] = {"code": code, "message": message}
        if data is not None:
            self.error["data"] = data


# --- tools -------------------------------------------------------------------------------------------


def hello(arguments: dict[str, Any]) -> dict[str, Any]:
    """Greet ``name``; wrong input is a tool's error, which a model can read and mend."""
    name = arguments.get("name")
    if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME:
        return {
            "content": [{"type": "text", "text": f"name must be a text of 1 to {LONGEST_NAME} characters"}],
            "isError": True,
        }
    return {"content": [{"type": "text", "text": f"Hello, {name.strip()}!"}], "isError": False}


def whereami(_arguments: dict[str, Any]) -> dict[str, Any]:
    """Describe this process's surroundings, as aligned text and as data."""
    view: dict[str, str | int | list[str]] = {
        "user": _user(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "processes": _visible_processes(),
        "home": os.path.expanduser("~"),
        "homes_of_others": _homes_of_others(),
        "root": _entries("/"),
        "writable": [path for path in ("/", "/usr", "/etc", _bundle(), "/tmp") if os.access(path, os.W_OK)],  # noqa: S108
        "interfaces": _interfaces(),
        "network": _network(),
        "environment": sorted(os.environ),
    }
    width = max(map(len, view))
    lines = [f"{key.replace('_', ' '):<{width}}  {_shown(value)}" for key, value in view.items()]
    return {
        "content": [{"type": "text", "text": "\n".join(lines)}],
        "structuredContent": view,
        "isError": False,
    }


def _shown(value: str | int | list[str]) -> str:
    if isinstance(value, list):
        return " ".join(value) or "none"
    return str(value)


def _user() -> str:
    if not hasattr(os, "getuid"):
        return os.environ.get("USERNAME", "unknown")
    return f"uid {os.getuid()}, gid {os.getgid()}"


def _bundle() -> str:
    return os.path.dirname(os.path.abspath(__file__))


def _entries(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def _homes_of_others() -> list[str]:
    homes = [f"/home/{name}" for name in _entries("/home")] + (["/root"] if _entries("/root") else [])
    return [path for path in homes if path != os.path.expanduser("~")]


def _visible_processes() -> int:
    return sum(name.isdigit() for name in _entries("/proc"))


def _interfaces() -> list[str]:
    try:
        return [name for _, name in socket.if_nameindex()]
    except OSError:
        return []


def _network() -> str:
    # Connecting a UDP socket asks the kernel for a route and sends nothing (192.0.2.0/24: RFC 5737).
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))
    except OSError as error:
        return f"none ({error.strerror})"
    return "reachable"


# --- protocol ----------------------------------------------------------------------------------------


def initialize(params: dict[str, Any]) -> dict[str, Any]:
    """Agree on a handshake revision: the client's when it is known, the newest otherwise."""
    asked = params.get("protocolVersion")
    return {
        "protocolVersion": asked if asked in HANDSHAKE_REVISIONS else HANDSHAKE_REVISIONS[0],
        "capabilities": CAPABILITIES,
        "serverInfo": SERVER_INFO,
        "instructions": INSTRUCTIONS,
    }


def ping(_params: dict[str, Any]) -> dict[str, Any]:
    """Say that the server is alive."""
    return {}


def discover(_params: dict[str, Any]) -> dict[str, Any]:
    """Name the revisions and capabilities, in place of a handshake."""
    return {
        "supportedVersions": [STATELESS_REVISION, *HANDSHAKE_REVISIONS],
        "capabilities": CAPABILITIES,
        "instructions": INSTRUCTIONS,
        "ttlMs": 3_600_000,
        "cacheScope": "public",
    }


def list_tools(_params: dict[str, Any]) -> dict[str, Any]:
    """List both tools on one page."""
    return {"tools": TOOLS}


def call_tool(params: dict[str, Any]) -> dict[str, Any]:
    """Run one tool."""
    arguments = params.get("arguments", {})
    if not isinstance(arguments, dict):
        raise RPCError(INVALID_PARAMS, "arguments must be an object")
    name = params.get("name")
    if name == "hello":
        return hello(arguments)
    if name == "whereami":
        return whereami(arguments)
    raise RPCError(INVALID_PARAMS, f"unknown tool: {name!r:.80}")


Method = Callable[[dict[str, Any]], dict[str, Any]]
HANDSHAKE_METHODS: dict[str, Method] = {
    "initialize": initialize,
    "ping": ping,
    "tools/list": list_tools,
    "tools/call": call_tool,
}
STATELESS_METHODS: dict[str, Method] = {
    "server/discover": discover,
    "tools/list": list_tools,
    "tools/call": call_tool,
}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The result of one request, in the revision it is written in."""
    meta = params.get("_meta")
    if isinstance(meta, dict) and META_REVISION in meta:
        return _answer_stateless(method, params, meta)
    if method == "server/discover":
        raise RPCError(INVALID_PARAMS, f"_meta must name {META_REVISION}")
    if method not in HANDSHAKE_METHODS:
        raise RPCError(METHOD_NOT_FOUND, f"unknown method: {method:.80}")
    return HANDSHAKE_METHODS[method](params)


def _answer_stateless(method: str, params: dict[str, Any], meta: dict[str, Any]) -> dict[str, Any]:
    if meta[META_REVISION] != STATELESS_REVISION:
        raise RPCError(
            UNSUPPORTED_REVISION,
            "Unsupported protocol version",
            {"supported": [STATELESS_REVISION, *HANDSHAKE_REVISIONS], "requested": meta[META_REVISION]},
        )
    if not isinstance(meta.get(META_CAPABILITIES), dict):
        raise RPCError(INVALID_PARAMS, f"_meta must hold {META_CAPABILITIES}")
    if method not in STATELESS_METHODS:
        raise RPCError(METHOD_NOT_FOUND, f"unknown method: {method:.80}")
    result = STATELESS_METHODS[method](params)
    if method == "tools/list":
        result = {**result, "ttlMs": 3_600_000, "cacheScope": "public"}
    return {"resultType": "complete", **result, "_meta": {META_SERVER: SERVER_INFO}}


def respond(message: Any) -> dict[str, Any] | None:
    """The response to one decoded message; None for notifications and for answers to nothing we asked."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return _failure(None, RPCError(INVALID_REQUEST, "not a JSON-RPC 2.0 message"))
    method = message.get("method")
    if ("id" not in message and isinstance(method, str)) or (method is None and _is_response(message)):
        return None
    identifier = message.get("id")
    if isinstance(identifier, bool) or not isinstance(identifier, (str, int)):
        return _failure(None, RPCError(INVALID_REQUEST, "id must be a text or an integer"))
    try:
        return {"jsonrpc": "2.0", "id": identifier, "result": _answer_request(method, message)}
    except RPCError as error:
        return _failure(identifier, error)


def _is_response(message: dict[str, Any]) -> bool:
    return "result" in message or "error" in message


def _answer_request(method: Any, message: dict[str, Any]) -> dict[str, Any]:
    params = message.get("params", {})
    if not isinstance(method, str):
        raise RPCError(INVALID_REQUEST, "method must be a text")
    if not isinstance(params, dict):
        raise RPCError(INVALID_PARAMS, "params must be an object")
    return answer(method, params)


def _failure(identifier: str | int | None, error: RPCError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identifier, "error": error.error}


def respond_to_line(line: bytes) -> Any:
    """The response to one line: an object, a list for a batch (revision 2025-03-26), or None."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return _failure(None, RPCError(PARSE_ERROR, "not JSON"))
    if isinstance(message, list) and message:
        return [reply for reply in map(respond, message) if reply is not None] or None
    return respond(message)


def main() -> None:
    """Answer line by line until the input ends."""
    for line in sys.stdin.buffer:
        reply = respond_to_line(line) if line.strip() else None
        if reply is not None:
            sys.stdout.buffer.write(json.dumps(reply).encode() + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    try:
        main()
    except (BrokenPipeError, KeyboardInterrupt):
        # The client is gone; there is nobody left to tell, and flushing at exit would fail once more.
        os._exit(0)
