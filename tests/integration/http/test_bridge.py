"""``mcp run --stdio`` of a server that speaks HTTP, line by line."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kit import processes, programs
from kit.command import EXECUTABLE, Mcp

REFERENCE = programs.listening().reference
REVISION = "io.modelcontextprotocol/protocolVersion"


class Client:
    """One end of the pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def send(self, method: str | None = None, identifier: Any = None, **more: Any) -> None:
        message: dict[str, Any] = {"jsonrpc": "2.0", **more}
        message |= {} if method is None else {"method": method}
        message |= {} if identifier is None else {"id": identifier}
        self.write(json.dumps(message).encode())

    def write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the output has ended"
        return json.loads(line)

    def ask(self, method: str, identifier: Any = 1, **more: Any) -> Any:
        self.send(method, identifier, **more)
        return self.read()

    def initialize(self) -> Any:
        answer = self.ask("initialize", "init", params={"protocolVersion": "2025-11-25"})
        self.send("notifications/initialized")
        assert self.read()["params"] == {"said": "hello"}
        return answer

    def leave(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(20)

    def seen(self) -> list[str]:
        """What the server saw, by a message of its own."""
        return list(self.ask("seen", "seen")["result"])


@contextmanager
def bridged(mcp: Mcp, *args: str) -> Iterator[Client]:
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [EXECUTABLE, "run", "--stdio", REFERENCE, *args]
    with subprocess.Popen(command, env=mcp.env, **streams) as process:
        try:
            yield Client(process)
        finally:
            if process.poll() is None:
                process.kill()


def modern(**params: Any) -> dict[str, Any]:
    return {**params, "_meta": {REVISION: "2026-07-28"}}


def audited(mcp: Mcp) -> dict[str, Any]:
    with open(os.path.join(mcp.home, "audit.log")) as opened:
        return dict(json.loads(opened.readlines()[-1]))


def test_a_session_from_its_first_line_to_its_end(listening: Mcp) -> None:
    with bridged(listening) as client:
        client.send("initialize", "init", params={"protocolVersion": "2025-11-25"})
        # Nobody has answered yet: it has to wait for the session.
        client.send("headers", 2)
        assert client.read()["result"]["serverInfo"] == {"name": "listening"}
        headers = {name.lower(): value for name, value in client.read()["result"]}
        assert headers["mcp-session-id"] == "the-session"
        assert headers["mcp-protocol-version"] == "2025-11-25"
        assert headers["accept"] == "application/json, text/event-stream"
        assert headers["host"] == "localhost:8080"
        assert client.leave() == 0
        assert client.process.stdout.read() == b""
    record = audited(listening)
    assert record["reason"] == "the client closed the connection"
    assert (record["outcome"], record["signal"]) == ("signal", signal.SIGTERM)
    # Two messages, and the end of the session.
    assert (record["http"]["requests"], record["http"]["statuses"]) == (3, {"200": 3})


def test_the_server_is_told_that_the_session_is_over_and_that_nobody_listens(listening: Mcp) -> None:
    with bridged(listening) as client:
        client.initialize()
        client.send("slow", 3)
        # What was asked before the end of the input is answered after it.
        client.process.stdin.close()
        assert client.read()["result"] == "slow"
        assert client.process.wait(20) == 0
    assert audited(listening)["http"]["statuses"]["200"] == 4


def test_notifications_are_taken_before_what_follows_them(listening: Mcp) -> None:
    with bridged(listening) as client:
        client.initialize()
        client.send("notifications/first")
        client.send("events", 4)
        assert client.read()["method"] == "notifications/progress"
        assert client.read() == {"jsonrpc": "2.0", "id": 4, "result": "done"}


def test_the_server_asks_the_client_while_it_answers(listening: Mcp) -> None:
    with bridged(listening) as client:
        client.send("ask", 1)
        question = client.read()
        assert question["method"] == "sampling/createMessage"
        client.send(None, question["id"], result={"words": "sampled"})
        assert client.read()["result"] == {"words": "sampled"}


def test_requests_do_not_wait_for_each_other(listening: Mcp) -> None:
    with bridged(listening) as client:
        for number in range(40):
            client.send("slow" if number < 30 else "quick", number)
        answers = [client.read() for _ in range(40)]
        assert {answer["id"] for answer in answers} == set(range(40))
        assert {answer["id"] for answer in answers[:10]} == set(range(30, 40))


def test_a_stream_that_broke_is_continued(listening: Mcp) -> None:
    with bridged(listening) as client:
        client.initialize()
        assert client.ask("broken", 77) == {"jsonrpc": "2.0", "id": 77, "result": "after the break"}


@pytest.mark.parametrize(
    ("method", "code", "says"),
    [
        ("refused", -32602, "not like this"),
        ("failed", -32000, "status 500"),
        ("accepted", -32600, "will not answer"),
        ("garbage", -32600, "something else than JSON"),
    ],
)
def test_what_is_no_answer_becomes_an_error(listening: Mcp, method: str, code: int, says: str) -> None:
    with bridged(listening) as client:
        answer = client.ask(method, "x1")
        assert (answer["id"], answer["error"]["code"]) == ("x1", code)
        assert says in answer["error"]["message"]
        assert client.ask("quick", 2)["result"] == "quick"


def test_a_stream_without_an_answer_becomes_an_error(listening: Mcp) -> None:
    with bridged(listening) as client:
        assert client.ask("lost", 1)["method"] == "notifications/progress"
        assert client.read()["error"]["code"] == -32000


def test_an_answer_over_several_lines_is_one_line(listening: Mcp) -> None:
    with bridged(listening) as client:
        assert client.ask("pretty", 5)["result"] == {"text": "a\nb"}


def test_lines_that_are_no_messages(listening: Mcp) -> None:
    with bridged(listening) as client:
        for line in (b"{", b"[]", b"7", b'"text"'):
            client.write(line)
            answer = client.read()
            assert (answer["id"], answer["error"]["code"]) == (None, -32700)
        client.write(b"  \r")
        assert client.ask("quick", 2)["result"] == "quick"


def test_a_message_that_names_its_revision_repeats_itself_in_headers(listening: Mcp) -> None:
    with bridged(listening) as client:
        client.send("tools/list", "tools", params=modern())
        assert client.read()["result"]["tools"][0]["name"] == "weather"
        for name, params in (
            ("tools/call", modern(name="weather", arguments={"city": "Zürich"})),
            ("headers", modern(name="ignored")),
        ):
            client.send(name, 2, params=params)
            client.read()
        client.send("headers", 3, params=modern())
        headers = {name.lower(): value for name, value in client.read()["result"]}
        assert headers["mcp-method"] == "headers"
        assert headers["mcp-protocol-version"] == "2026-07-28"
        assert "mcp-session-id" not in headers


def test_closing_the_stream_cancels_where_that_is_how_it_is_said(listening: Mcp) -> None:
    with bridged(listening) as client:
        client.send("hang", 9, params=modern())
        assert client.read()["method"] == "notifications/progress"
        client.send("notifications/cancelled", params={"requestId": "9"})
        client.send("notifications/cancelled", params=modern(requestId=9))
        # The string was another request's; that notification was passed on.
        assert client.ask("quick", 10)["result"] == "quick"
        assert client.leave() == 0
    assert audited(listening)["http"]["statuses"] == {"200": 2, "202": 1}


def test_a_notification_cancels_where_that_is_how_it_is_said(listening: Mcp) -> None:
    listening.configure("executor:\n  grace: 300ms\n")
    with bridged(listening) as client:
        client.initialize()
        client.send("hang", 9)
        assert client.read()["method"] == "notifications/progress"
        client.send("notifications/cancelled", params={"requestId": 9})
        assert client.ask("quick", 10)["result"] == "quick"
        # The request is still open: after the grace nobody waits for it any more.
        assert client.leave() == 0


def test_large_messages_both_ways(listening: Mcp) -> None:
    with bridged(listening) as client:
        text = "ä" * 2_000_000
        client.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": text}, ensure_ascii=False).encode())
        assert client.read()["result"] == text


def test_the_end_of_the_server_is_told(listening: Mcp) -> None:
    with bridged(listening) as client:
        answer = client.ask("exit", 3)
        assert (answer["id"], answer["error"]["code"]) == (3, -32000)
        assert client.process.wait(20) == 7


def test_a_server_that_never_listens_answers_nobody(listening: Mcp) -> None:
    listening.configure("executor:\n  grace: 2s\n  start_timeout: 500ms\n")
    with bridged(listening, "--", "never") as client:
        assert client.ask("quick", 3)["error"]["code"] == -32000
        assert client.process.wait(20) == 125
        assert b"error[server-not-ready]" in client.process.stderr.read()


def test_a_client_that_stops_reading_ends_it(listening: Mcp) -> None:
    with bridged(listening) as client:
        assert client.ask("quick", 1)["result"] == "quick"
        client.process.stdout.close()
        client.send("quick", 2)
        assert client.process.wait(20) == 0


def test_a_client_that_leaves_while_the_server_starts(listening: Mcp) -> None:
    with bridged(listening, "--", "late", "60") as client:
        assert processes.wait_until(lambda: len(processes.chain(client.process.pid)) == 3)
        assert client.leave() == 0


def test_a_client_that_has_said_all_before_the_server_is_there(listening: Mcp) -> None:
    lines = [{"jsonrpc": "2.0", "id": number, "method": "slow"} for number in range(3)]
    given = "".join(json.dumps(line) + "\n" for line in lines).encode()
    result = listening.run("run", "--stdio", REFERENCE, "--", "late", "0.5", given=given)
    assert result.status == 0, result.stderr
    assert {json.loads(line)["id"] for line in result.stdout.splitlines()} == {0, 1, 2}


def test_sudden_death_of_the_client(listening: Mcp) -> None:
    with bridged(listening) as client:
        assert client.ask("quick", 1)["result"] == "quick"
        client.process.send_signal(signal.SIGKILL)
        client.process.wait()
        processes.assert_gone(listening.marker)
