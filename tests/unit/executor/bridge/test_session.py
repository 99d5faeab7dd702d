"""What the headers of a request say, and what a line is."""

import json

import pytest

from mcp_client.executor.bridge import messages
from mcp_client.executor.bridge.session import Session, closing_cancels, encode

REVISION = "io.modelcontextprotocol/protocolVersion"


def message(method, **params):
    return messages.parse(
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    )


def modern(method, **params):
    return message(method, **params, _meta={REVISION: "2026-07-28"})


def test_a_session_begins_with_its_answer():
    session = Session()
    assert session.fields(message("tools/list")) == []
    session.begin({"protocolVersion": "2025-11-25"}, "abc")
    expected = [("Mcp-Session-Id", "abc"), ("MCP-Protocol-Version", "2025-11-25")]
    assert session.fields(message("tools/list")) == session.fields(None) == expected
    assert session.fields(message("initialize")) == []


def test_a_server_may_have_no_session():
    session = Session()
    session.begin({"protocolVersion": "2025-06-18"}, None)
    assert session.fields(message("tools/list")) == [("MCP-Protocol-Version", "2025-06-18")]


@pytest.mark.parametrize("revision", [None, 7, "2025\r\nX: y", " 2025"])
def test_a_revision_that_no_header_can_carry(revision):
    session = Session()
    session.begin({"protocolVersion": revision}, None)
    assert session.fields(message("tools/list")) == []


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (modern("tools/call", name="a b"), "a b"),
        (modern("prompts/get", name="p"), "p"),
        (modern("resources/read", uri="file:///x"), "file:///x"),
        (modern("tools/call", name=5), None),
        (modern("tools/list", name="x"), None),
    ],
)
def test_headers_repeat_what_the_message_says(asked, named):
    expected = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", asked.method)]
    expected += [] if named is None else [("Mcp-Name", named)]
    assert Session().fields(asked) == expected


def test_marked_arguments_are_repeated():
    def marked(kind, token):
        return {"type": kind, "x-mcp-header": token}

    properties = {
        "city": marked("string", "City"),
        "deep": {"type": "object", "properties": {"on": marked("boolean", "On")}},
        "many": marked("array", "Many"),
        "bad": marked("string", "not a token"),
        "absent": marked("integer", "Absent"),
        "number": marked("integer", "Number"),
    }
    session = Session()
    session.learn_tools({"tools": [{"name": "t", "inputSchema": {"properties": properties}}, 7, {"name": 1}]})
    arguments = {"city": "Zürich", "deep": {"on": True}, "many": [1], "bad": "x", "number": 7}
    fields = dict(session.fields(modern("tools/call", name="t", arguments=arguments)))
    found = {name: value for name, value in fields.items() if name.startswith("Mcp-Param-")}
    assert found == {
        "Mcp-Param-City": "=?base64?WsO8cmljaA==?=",
        "Mcp-Param-On": "true",
        "Mcp-Param-Number": "7",
    }


@pytest.mark.parametrize("text", [" edge", "edge ", "a\r\nb", "ü", "=?base64?eA==?=", "\0", "\ud800"])
def test_what_a_header_cannot_carry_is_wrapped(text):
    assert encode(text).startswith("=?base64?")
    assert encode(text).isascii()


@pytest.mark.parametrize("text", ["", "plain", "two words", "~!", "=?base64?"])
def test_what_a_header_can_carry_stays(text):
    assert encode(text) == text


def test_the_revision_says_how_to_cancel():
    assert [closing_cancels(r) for r in (None, "2025-11-25", "2026-07-28", "2027-01-01")] == [
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("raw", [b"", b"{", b"7", b"null", b"[]", b"[1]", b"\xff", b"[" * 100_000])
def test_what_is_no_message(raw):
    assert messages.parse(raw) is None


def test_ids_keep_their_type():
    batch = messages.parse(
        b'[{"id":1,"method":"a"},{"id":"1","method":"b"},{"id":1.0,"method":"c"},{"method":"d"},'
        b'{"id":null,"method":"e"},{"id":5,"result":{}}]'
    )
    assert len(batch.ids) == 3
    assert [key for key, _ in messages.answered(batch)] == [("int", 5)]
    assert not batch.is_answer
    assert batch.method == ""
