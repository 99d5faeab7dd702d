"""The server that ships with the program, in Python, and the Python that runs it."""

import json
import os

from mcp_client.runtimes.places import candidates

DEGRADED = "--allow-degraded"
HELLO = "acme/hello-world@1.2.3"


def test_it_answers_a_client_and_leaves_with_it(start, home):
    """What ``make demo`` shows elsewhere: a client connects, lists the tools, calls both, and goes."""
    process = start("run", DEGRADED, HELLO)

    def tell(**message):
        process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        process.stdin.flush()

    def ask(number, method, **params):
        tell(id=number, method=method, params=params)
        answer = json.loads(process.stdout.readline())
        assert answer["id"] == number, answer
        return answer["result"]

    client = {"name": "test", "version": "1"}
    told = ask(1, "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=client)
    tell(method="notifications/initialized")
    tools = {tool["name"] for tool in ask(2, "tools/list")["tools"]}
    greeting = ask(3, "tools/call", name="hello", arguments={"name": "Ada Żółć"})
    view = ask(4, "tools/call", name="whereami", arguments={})["structuredContent"]
    process.stdin.close()

    assert told["serverInfo"]["name"] == "acme/hello-world"
    assert tools == {"hello", "whereami"}
    assert greeting["content"][0]["text"] == "Hello, Ada Żółć!"
    assert view["home"].startswith(os.path.join(home, "cache", "scratch"))
    assert "MCP_HOME" not in view["environment"]
    assert process.wait(60) == 0
    with open(os.path.join(home, "audit.log"), encoding="utf-8") as file:
        assert [json.loads(line)["event"] for line in file] == ["start", "end"]


def place(*parts):
    path = os.path.join(*parts)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(b"MZ")
    return path


def test_python3_is_pythons_own_name_here_and_not_the_shops(tmp_path):
    folder = str(tmp_path)
    shop = place(folder, "Microsoft", "WindowsApps", "python3.exe")
    on_path = place(folder, "tools", "python.exe")
    installed = [
        place(folder, "Programs", "Python", "Python313", "python.exe"),
        place(folder, "Programs", "Python", "Python311", "python.exe"),
        place(folder, "Python", "pythoncore-3.14-64", "python.exe"),
    ]
    path = os.pathsep.join(map(os.path.dirname, (shop, on_path)))

    found = list(candidates("python3", {"PATH": path, "LOCALAPPDATA": folder}))

    assert [os.path.normpath(one) for one in found[:4]] == [on_path, *installed]
