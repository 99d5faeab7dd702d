"""The ways out and in of a server on macOS, on Linux with stand-ins.

Real here: the proxy, what the server is told about it, the decision, the record, the port and the endpoint.
That nothing else can be reached is Seatbelt's doing, and for test_macos.py.
"""

import json
import os
import socket
import textwrap
import threading
import urllib.request

import pytest
from kit.bundle import manifest_form, pack_files, package

from mcp_client.sandbox.darwin.backend import PROXY_VARIABLES, DarwinBackend

CLIENT = """
import json, os, urllib.error, urllib.request
told = {}
for url in json.loads(os.environ["URLS"]):
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            told[url] = answer.read().decode()
    except urllib.error.HTTPError as error:
        told[url] = f"{error.code} {error.read().decode()}"
print(json.dumps([told, sorted(name for name in os.environ if "proxy" in name.lower())]))
"""


@pytest.fixture
def website():
    """A web server on loopback that says one thing; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    end, _ = listener.accept()
                except OSError:
                    return
                with end:
                    end.recv(65536)
                    end.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_a_server_reaches_by_the_proxy_what_it_was_granted(mac, website):
    bundle = pack_files({"main.py": CLIENT})
    form = manifest_form("test/client@1.0.0", "python3", "-I", "${bundle}/main.py")
    allowed, other = f"http://127.0.0.1:{website}/", f"http://127.0.0.2:{website}/"
    done = mac.serve(
        package(form, bundle),
        options=["--allow-net", f"127.0.0.1:{website}", "--env", f"URLS={json.dumps([allowed, other])}"],
    )
    told, variables = json.loads(done.stdout)
    with open(f"{mac.home}/audit.log") as log:
        records = [json.loads(line) for line in log]

    assert told[allowed] == "hello"
    assert told[other].startswith("403 mcp: 127.0.0.2")
    assert variables == sorted([*PROXY_VARIABLES, "NODE_USE_ENV_PROXY"])
    counted = {entry["destination"]: entry for entry in records[-1]["network"]}
    assert counted[f"127.0.0.1:{website}"]["allowed"] == 1
    assert counted[f"127.0.0.2:{website}"]["denied"] == 1
    # The secret is in no record and in nobody's arguments.
    assert "HTTPS_PROXY" in records[0]["environment"]
    assert "mcp:" not in json.dumps(records[0])
    assert not any("mcp:" in part for part in mac.calls()[1])


def test_without_a_rule_there_is_no_proxy(mac):
    bundle = pack_files({"main.py": "import os\nprint([n for n in os.environ if 'proxy' in n.lower()])"})
    done = mac.serve(package(manifest_form("test/client@1.0.0", "python3", "${bundle}/main.py"), bundle))

    assert done.stdout == b"[]\n", done.stderr
    assert "network-outbound" not in mac.calls()[1][1]


@pytest.mark.parametrize("taken", [False, True], ids=["free", "taken"])
def test_a_server_listens_where_it_is_told(mac, taken):
    """At its manifest's port when that is free, and otherwise at another one."""
    with socket.socket() as holder:
        # Of this process alone: the other case may run at the same time.
        port = DarwinBackend("/").listening_port(20_000 + os.getpid() % 10_000)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        if taken:
            holder.listen()
        else:
            holder.close()
        source = textwrap.dedent("""
            import http.server, os
            class Handler(http.server.BaseHTTPRequestHandler):
                def do_GET(self):
                    self.send_response(200)
                    self.send_header("Content-Length", "5")
                    self.end_headers()
                    self.wfile.write(b"hello")
            http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
        """)
        form = manifest_form(
            "test/web@1.0.0", "python3", "-I", "${bundle}/main.py", transport="http", http={"port": port}
        )
        mac.publish(package(form, pack_files({"main.py": source})))
        with mac.start("run", *mac.accepted, "--json", "test/web@1.0.0") as running:
            line = running.stdout.readline()
            assert line, running.stderr.read()
            facts = json.loads(line)
            with urllib.request.urlopen(facts["url"], timeout=20) as answer:
                said = answer.read()
            running.terminate()
            running.wait(30)

    bound = f'(allow network-bind (local ip "localhost:{port}"))' in mac.calls()[1][1]
    assert said == b"hello"
    assert bound is not taken
