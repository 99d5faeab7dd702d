"""What the record says in the end: all bytes, all connections, and what was tried in the last moment."""

import pytest
from kit.bundle import manifest_form, pack_files, package
from kit.command import Mcp
from kit.internet import Internet, places
from kit.registry import Registry
from network import clients
from network.conftest import Host, network_record

# As many as one look of the supervisor's does not take.
ATTEMPTS = 100
HURRIED = f"""
import os, socket
for number in range({ATTEMPTS}):
    end = socket.socket()
    if end.connect_ex(("11.7.1.%d" % number, 80)) == 0:
        os._exit(1)
os._exit(0)
"""
LAST_WORDS = f"""
import os, socket
end = socket.create_connection(("{places.ALLOWED}", 80))
end.send(b"GET /last HTTP/1.1\\r\\nHost: last\\r\\n\\r\\n")
os._exit(0)
"""


@pytest.mark.parametrize("attempt", range(3))
def test_denials(mcp: Mcp, registry: Registry, attempt: int) -> None:
    form = manifest_form("test/hurried@1.0.0", "python3", "-I", "-S", "${bundle}/main.py")
    form["network"] = {"allowlist": [places.ALLOWED]}
    registry.publish(package(form, pack_files({"main.py": HURRIED})))
    result = mcp.run("run", "test/hurried@1.0.0")
    assert result.status == 0, result
    record = network_record(mcp)
    assert len(record) == ATTEMPTS
    assert {entry["denied"] for entry in record.values()} == {1}


def test_last_words(host: Host, internet: Internet) -> None:
    form = manifest_form("test/words@1.0.0", "python3", "-I", "-S", "${bundle}/main.py")
    form["network"] = {"allowlist": [places.ALLOWED]}
    host.pull(package(form, pack_files({"main.py": LAST_WORDS})))
    assert host.go("test/words@1.0.0").status == 0
    assert internet.seen(path="/last")


def test_bytes(curl: Host) -> None:
    size = 30_000_000
    url = f"http://{places.ALLOWED}/large/{size}"
    arguments = ["-o", "/dev/null", "-w", "%{size_download}", url]
    result = curl.go(clients.PLAIN["http"].reference, "--", *arguments)
    assert result.stdout == str(size).encode(), result
    entry = curl.network_record()[f"{places.ALLOWED}:80"]
    assert entry["allowed"] == 1
    assert size < entry["received"] < size + 1000
    assert 50 < entry["sent"] < 1000


def test_many_connections_at_once(curl: Host, internet: Internet) -> None:
    count = 200
    options = ["--parallel", "--parallel-immediate", "--parallel-max", "50", "-H", "Connection: close"]
    url = f"http://{places.ALLOWED}/[1-{count}]"
    result = curl.go(clients.PLAIN["http"].reference, "--", *options, url)
    assert result.stdout == f"far greets {places.ALLOWED}\n".encode() * count, result
    assert curl.network_record()[f"{places.ALLOWED}:80"]["allowed"] == count
    assert len({line["path"] for line in internet.seen(kind="web")}) == count
