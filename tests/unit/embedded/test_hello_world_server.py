"""The embedded server over real pipes, in every revision it claims."""

import json
import os
import subprocess
import sys

import pytest

import mcp_client

SERVER = os.path.join(
    os.path.dirname(os.path.abspath(mcp_client.__file__)), "embedded", "source", "hello-world", "server.py"
)
STATELESS = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
HANDSHAKE_REVISIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]


def talk(*lines):
    """What the server answers to ``lines`` (bytes or messages); it must end by itself with status 0."""
    data = b"".join(
        (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines
    )
    done = subprocess.run([sys.executable, SERVER], input=data, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return [json.loads(line) for line in done.stdout.splitlines()]


def request(method, params=None, identifier=1):
    return {"jsonrpc": "2.0", "id": identifier, "method": method, "params": params or {}}


def stateless(method, params=None, **meta):
    return request(method, {**(params or {}), "_meta": {**STATELESS, **meta}})


@pytest.mark.parametrize("revision", HANDSHAKE_REVISIONS)
def test_handshake_agrees_on_the_revision_of_the_client(revision):
    answers = talk(
        request("initialize", {"protocolVersion": revision, "capabilities": {}}),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        request("ping", identifier="two"),
    )

    assert answers[0]["result"]["protocolVersion"] == revision
    assert answers[1] == {"jsonrpc": "2.0", "id": "two", "result": {}}
    assert len(answers) == 2


def test_handshake_offers_its_newest_revision_to_an_unknown_one():
    [answer] = talk(request("initialize", {"protocolVersion": "2099-01-01"}))

    assert answer["result"]["protocolVersion"] == "2025-11-25"


def test_tools_answer_without_any_handshake_in_the_stateless_revision():
    listed, called = talk(
        stateless("tools/list"), stateless("tools/call", {"name": "hello", "arguments": {"name": "Ada"}})
    )

    assert [tool["name"] for tool in listed["result"]["tools"]] == ["hello", "whereami"]
    assert listed["result"]["cacheScope"] == "public"
    assert called["result"]["content"] == [{"type": "text", "text": "Hello, Ada!"}]
    assert called["result"]["resultType"] == "complete"


def test_discover_names_every_revision():
    [answer] = talk(stateless("server/discover"))

    assert answer["result"]["supportedVersions"] == ["2026-07-28", *reversed(HANDSHAKE_REVISIONS)]
    assert answer["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "acme/hello-world"


def test_whereami_tells_what_this_process_sees():
    [answer] = talk(request("tools/call", {"name": "whereami"}))
    view = answer["result"]["structuredContent"]

    assert view["root"] == sorted(os.listdir("/"))
    assert view["pid"] > 0
    assert "PATH" in view["environment"]
    assert answer["result"]["content"][0]["text"].startswith("user ")


@pytest.mark.parametrize("arguments", [{}, {"name": 7}, {"name": "  "}, {"name": "x" * 201}])
def test_wrong_input_is_the_tools_own_error(arguments):
    [answer] = talk(request("tools/call", {"name": "hello", "arguments": arguments}))

    assert answer["result"]["isError"] is True


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 100_000, -32700),
        (b"7", -32600),
        (b"[]", -32600),
        (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 5}', -32600),
        (request("no/such/method"), -32601),
        (stateless("ping"), -32601),
        (stateless("initialize"), -32601),
        (request("tools/call", {"name": "no-such-tool"}), -32602),
        (request("tools/call", {"name": "hello", "arguments": []}), -32602),
        (request("server/discover"), -32602),
        (stateless("tools/list", **{"io.modelcontextprotocol/clientCapabilities": None}), -32602),
        (stateless("tools/list", **{"io.modelcontextprotocol/protocolVersion": "1900-01-01"}), -32022),
    ],
)
def test_bad_messages_are_answered_and_the_server_goes_on(line, code):
    refused, alive = talk(line, request("ping", identifier=99))

    assert refused["error"]["code"] == code
    assert alive == {"jsonrpc": "2.0", "id": 99, "result": {}}


def test_batch_of_the_revision_that_had_them():
    [batch] = talk([request("ping"), {"jsonrpc": "2.0", "method": "notifications/cancelled"}])

    assert batch == [{"jsonrpc": "2.0", "id": 1, "result": {}}]


def test_blank_lines_and_answers_to_nothing_are_ignored():
    assert talk(b"", b"  ", {"jsonrpc": "2.0", "id": 5, "result": {}}) == []
