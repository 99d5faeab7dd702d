"""``mcp run`` of a server that speaks HTTP: where it is found, for whom, and how it ends."""

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
from typing import Any

import pytest
from kit import processes, programs
from kit.command import EXECUTABLE, Mcp, refused
from kit.endpoint import Endpoint
from kit.registry import Registry

REFERENCE = programs.listening().reference


def ask(endpoint: Endpoint | int, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    port = endpoint if isinstance(endpoint, int) else endpoint.port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=given)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def records(mcp: Mcp) -> list[dict[str, Any]]:
    with open(os.path.join(mcp.home, "audit.log")) as opened:
        return [json.loads(line) for line in opened]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_line_on_each_stream_tells_where_it_is(listening: Mcp) -> None:
    with Endpoint(listening, REFERENCE) as endpoint:
        facts = endpoint.facts
        assert facts["package"] == REFERENCE
        assert facts["url"] == f"http://127.0.0.1:{facts['port']}/mcp"
        assert facts["pid"] == endpoint.process.pid
        assert "token" not in facts
        assert f"mcp: {REFERENCE} is at {facts['url']}\n" in endpoint.stderr
        assert ask(endpoint, "/health") == (200, "{}")


def test_without_json_nothing_is_on_standard_output(listening: Mcp) -> None:
    port = free_port()
    command = [EXECUTABLE, "run", "--port", str(port), REFERENCE]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=listening.env,
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert process.stdout.read() == b""
        assert any(f"http://127.0.0.1:{port}/mcp".encode() in line for line in process.stderr)
        assert ask(port, "/health")[0] == 200
        process.terminate()


def test_the_server_is_told_its_port_and_has_no_streams_of_ours(listening: Mcp) -> None:
    secret = {"MCP_HTTP_TOKEN": "sesame-9d1c-sesame"}
    with Endpoint(listening, REFERENCE, env={**listening.env, **secret}) as endpoint:
        status, text = ask(endpoint, "/world", Authorization="Bearer sesame-9d1c-sesame")
        assert status == 200, text
        world = json.loads(text)
        assert (world["environment"]["PORT"], world["environment"]["MCP_PORT"]) == ("8080", "8080")
        assert "sesame-9d1c" not in text
        assert world["input"] == ""
        assert world["places"]["0"] == "/dev/null"
        assert world["places"]["1"] == world["places"]["2"]
        assert ask(endpoint, "/print?words", Authorization="Bearer sesame-9d1c-sesame")[0] == 200
        assert processes.wait_until(lambda: "words\n" in endpoint.stderr)


def test_what_the_server_sees_of_a_request(listening: Mcp) -> None:
    with Endpoint(listening, REFERENCE) as endpoint:
        _, text = ask(endpoint, "/headers", Mcp_Session_Id="abc", Last_Event_ID="9", X_Own="kept")
        headers = {name.lower(): value for name, value in json.loads(text)}
        assert headers["host"] == "localhost:8080"
        assert (headers["mcp-session-id"], headers["last-event-id"], headers["x-own"]) == ("abc", "9", "kept")


def test_two_servers_with_one_port_inside(listening: Mcp) -> None:
    with Endpoint(listening, REFERENCE) as one, Endpoint(listening, REFERENCE) as other:
        assert one.port != other.port
        assert ask(one, "/one")[0] == 404
        assert json.loads(ask(one, "/seen")[1]) == ["GET /one"]
        assert json.loads(ask(other, "/seen")[1]) == []


@pytest.mark.parametrize("listens", [("late", "0.4"), ("v6",)])
def test_it_is_found_wherever_and_whenever_it_listens(listening: Mcp, listens: tuple[str, ...]) -> None:
    with Endpoint(listening, REFERENCE, "--", *listens) as endpoint:
        assert ask(endpoint, "/health")[0] == 200


def test_a_port_of_the_system_and_a_health_path(mcp: Mcp, registry: Registry) -> None:
    package = programs.listening(http={"port": 80, "path": "/own/mcp", "health": "/health"})
    registry.publish(package)
    assert mcp.run("pull", package.reference).status == 0
    with Endpoint(mcp, package.reference, "--", "ailing") as endpoint:
        assert endpoint.url.endswith("/own/mcp")
        assert json.loads(ask(endpoint, "/seen")[1]) == ["GET /health"] * 4
        assert json.loads(ask(endpoint, "/world")[1])["environment"]["PORT"] == "80"


def test_a_server_that_does_not_listen_is_ended(listening: Mcp) -> None:
    listening.configure("executor:\n  grace: 2s\n  start_timeout: 2s\n")
    result = listening.run("run", "--json", REFERENCE, "--", "never")
    refused(result, "server-not-ready")
    assert "127.0.0.1:8080: connection refused" in result.message
    assert "starting\n" in result.stderr
    last = records(listening)[-1]
    assert (last["event"], last["reason"]) == ("end", "not ready after 2 s")


def test_a_server_that_leaves_at_once_passes_its_status_on(listening: Mcp) -> None:
    result = listening.run("run", REFERENCE, "--", "leave", "9")
    assert (result.status, result.stdout) == (9, b""), result


def test_the_servers_end_is_the_end(listening: Mcp) -> None:
    with Endpoint(listening, REFERENCE) as endpoint:
        assert ask(endpoint, "/leave?6")[0] == 502
        assert endpoint.process.wait(10) == 6


def test_half_an_answer_is_not_passed_off_as_a_whole_one(listening: Mcp) -> None:
    with Endpoint(listening, REFERENCE) as endpoint, pytest.raises((http.client.HTTPException, OSError)):
        ask(endpoint, "/begin?6")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_answers_out_first(listening: Mcp, number: int) -> None:
    with Endpoint(listening, REFERENCE) as endpoint:
        got: list[tuple[int, str]] = []
        asking = threading.Thread(target=lambda: got.append(ask(endpoint, "/sleep?0.6")))
        asking.start()
        assert processes.wait_until(lambda: "sleeping" in endpoint.stderr)
        endpoint.process.send_signal(number)
        assert processes.wait_until(lambda: not listens(endpoint.port))
        assert endpoint.process.wait(10) == 143
        asking.join()
        assert got == [(200, '"slept"')]
    end = records(listening)[-1]
    assert end["reason"] == f"{signal.Signals(number).name} received"
    assert (end["http"]["requests"], end["http"]["statuses"]) == (1, {"200": 1})
    assert end["http"]["bytes_received"] > 0 < end["http"]["bytes_sent"]


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


def test_a_second_signal_does_not_wait(listening: Mcp) -> None:
    listening.configure("executor:\n  grace: 30s\n")
    with Endpoint(listening, REFERENCE) as endpoint:
        got: list[tuple[int, str]] = []
        asking = threading.Thread(target=lambda: got.append(ask(endpoint, "/sleep?60")))
        asking.start()
        assert processes.wait_until(lambda: "sleeping" in endpoint.stderr)
        endpoint.process.send_signal(signal.SIGINT)
        assert processes.wait_until(lambda: not listens(endpoint.port))
        assert endpoint.stop(signal.SIGTERM) == 143
        asking.join()
        assert [status for status, _ in got] == [502]


def test_a_server_nobody_asks_is_ended(listening: Mcp) -> None:
    listening.configure("executor:\n  grace: 2s\n  idle_timeout: 700ms\n")
    with Endpoint(listening, REFERENCE) as endpoint:
        assert ask(endpoint, "/sleep?0.9")[0] == 200
        assert endpoint.process.wait(10) == 0
    assert records(listening)[-1]["reason"] == "idle for 0.7 s"


def test_a_timeout_holds_here_too(listening: Mcp) -> None:
    with Endpoint(listening, "--timeout", "600ms", REFERENCE) as endpoint:
        assert endpoint.process.wait(10) == 124


def test_the_end_of_standard_input_is_no_end(listening: Mcp) -> None:
    with Endpoint(listening, REFERENCE, stdin=subprocess.PIPE) as endpoint:
        assert endpoint.process.stdin is not None
        endpoint.process.stdin.close()
        assert ask(endpoint, "/sleep?0.3")[0] == 200
        assert endpoint.process.poll() is None


def test_sudden_death_leaves_nothing(listening: Mcp) -> None:
    with Endpoint(listening, REFERENCE) as endpoint:
        assert ask(endpoint, "/health")[0] == 200
        endpoint.process.kill()
        endpoint.process.wait()
        processes.assert_gone(listening.marker)


def test_the_audit_log_has_the_place_and_no_token(listening: Mcp) -> None:
    with Endpoint(listening, "--token", "--allow-origin", "https://App.example", REFERENCE) as endpoint:
        token = endpoint.facts["token"]
        assert ask(endpoint, "/health")[0] == 401
        assert ask(endpoint, "/health", Authorization=f"Bearer {token}")[0] == 200
        assert ask(endpoint, "/health", Authorization=f"Bearer {token}x")[0] == 401
        assert token not in endpoint.stderr
        assert token not in processes.carrying(listening.marker)[endpoint.process.pid]
    start, end = records(listening)[-2:]
    assert start["endpoint"]["token"] is True
    assert start["endpoint"]["origins"] == ["https://app.example"]
    assert end["http"]["refused"] == {"token": 2}
    with open(os.path.join(listening.home, "audit.log")) as opened:
        assert token not in opened.read()


def test_a_token_from_a_file(listening: Mcp, tmp_path: object) -> None:
    path = f"{tmp_path}/token"
    with open(path, "w") as opened:
        opened.write("abc-DEF.123\n")
    with Endpoint(listening, "--token-file", path, REFERENCE) as endpoint:
        assert "token" not in endpoint.facts
        assert ask(endpoint, "/health")[0] == 401
        assert ask(endpoint, "/health", Authorization="Bearer abc-DEF.123")[0] == 200


def test_a_file_without_a_token(listening: Mcp, tmp_path: object) -> None:
    path = f"{tmp_path}/token"
    with open(path, "w") as opened:
        opened.write("two words\n")
    refused(listening.run("run", "--token-file", path, REFERENCE), "token-invalid")
    refused(listening.run("run", "--token-file", f"{tmp_path}/none", REFERENCE), "token-invalid")


def test_more_than_loopback_takes_a_token(listening: Mcp) -> None:
    with Endpoint(listening, "--host", "0.0.0.0", REFERENCE) as endpoint:
        assert "is not loopback" in endpoint.stderr
        assert ask(endpoint, "/health")[0] == 401
        token = endpoint.facts["token"]
        assert ask(endpoint, "/health", Authorization=f"Bearer {token}", Host="box.lan:80")[0] == 200


def test_pages_of_other_sites_are_refused(listening: Mcp) -> None:
    with Endpoint(listening, "--allow-origin", "https://app.example", REFERENCE) as endpoint:
        assert ask(endpoint, "/health", Host="evil.example")[0] == 403
        assert ask(endpoint, "/health", Host=f"localhost:{endpoint.port}")[0] == 200
        assert ask(endpoint, "/health", Origin="https://evil.example")[0] == 403
        assert ask(endpoint, "/health", Origin="https://app.example")[0] == 200
        assert ask(endpoint, "/health", Origin=f"http://127.0.0.1:{endpoint.port}")[0] == 200
        # It is not the same as where the request goes, and would be allowed to read no answer.
        assert ask(endpoint, "/health", Origin="http://127.0.0.1:1")[0] == 403
        assert json.loads(ask(endpoint, "/seen")[1]) == ["GET /health"] * 3


@pytest.mark.parametrize("origin", ["*", "null", "app.example", "https://a b"])
def test_no_origin_is_a_pattern(listening: Mcp, origin: str) -> None:
    refused(listening.run("run", "--allow-origin", origin, REFERENCE), "option-invalid")


def test_a_port_that_is_taken(listening: Mcp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        before = len(records(listening)) if os.path.exists(os.path.join(listening.home, "audit.log")) else 0
        refused(listening.run("run", "--port", str(port), REFERENCE), "listen-failed")
    assert [record["event"] for record in records(listening)[before:]] == ["error"]


def test_an_address_that_is_none(listening: Mcp) -> None:
    refused(listening.run("run", "--host", "example.com", REFERENCE), "listen-failed")


def test_a_server_on_standard_streams_has_no_port(warm: Mcp) -> None:
    reference = programs.single().reference
    refused(warm.run("run", "--port", "0", reference), "transport-unsupported")
    assert warm.run("run", "--stdio", reference, "--", "leave", "3").status == 3


def test_standard_streams_and_a_port_are_two_things(listening: Mcp) -> None:
    refused(listening.run("run", "--stdio", "--port", "0", REFERENCE), "usage")


def test_an_allowlist_at_the_same_time(listening: Mcp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as host:
        port = host.getsockname()[1]

        def serve() -> None:
            end, _ = host.accept()
            end.recv(99)
            end.sendall(b"from the host")
            end.close()

        serving = threading.Thread(target=serve)
        serving.start()
        with Endpoint(listening, "--allow-net", f"127.0.0.1:{port}", REFERENCE) as endpoint:
            assert ask(endpoint, f"/fetch?{port}") == (200, '"from the host"')
            # Its own port is its own, and any other one of the host stays closed.
            assert ask(endpoint, f"/fetch?{endpoint.port}") == (200, '"ConnectionRefusedError"')
        serving.join()
    assert records(listening)[-1]["network"][0]["allowed"] == 1


def test_the_plan_names_the_port(listening: Mcp) -> None:
    result = listening.run("run", "--dry-run", "--json", REFERENCE)
    plan = json.loads(result.stdout)["result"]
    assert plan["port"] == 8080
    assert "PORT" in plan["environment"]
    (network,) = [control for control in plan["controls"] if control["name"] == "network"]
    assert network["state"] == "enforced"
    assert "port 8080" in network["mechanism"]
    assert "at port 8080 of its own network" in listening.run("run", "--dry-run", REFERENCE).stdout.decode()
