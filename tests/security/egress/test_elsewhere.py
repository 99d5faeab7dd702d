"""Hosts that cannot have the allowlist, and ends that come too early: nothing is reached or remains."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest
from arena import sandbox
from arena.processes import STATE, command_of, descendants, stat_of
from arena.sandbox import Outside
from egress.services import CONTROL, WORD, Service, attack

from mcp_client.errors import MCPError
from mcp_client.sandbox.linux.restricted.backend import RestrictedBackend

HERE = os.path.dirname(os.path.abspath(__file__))
HOST = os.path.join(os.path.dirname(HERE), "hosts", "host.py")


TRY_ALL = """
found = {}
for host, port in (("control.test", PORT), ("127.0.0.1", PORT), ("55.198.0.1", PORT), ("55.198.1.0", PORT)):
    found[host] = reach(host, port)
say(found)
"""


def test_the_restricted_level_reaches_nothing_and_says_so(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = os.path.join(tempfile.gettempdir(), f"restricted-of-tests-{os.geteuid()}")
    os.makedirs(cache, mode=0o755, exist_ok=True)
    filters = os.path.join(cache, "filters")
    obstacle = MCPError("sandbox-unavailable", "no namespaces", hint="allow namespaces")
    rules = [service.rule(CONTROL), service.rule("127.0.0.1")]
    before = len(service.arrivals)
    with monkeypatch.context() as patched:
        patched.setattr(
            sandbox, "LinuxBackend", lambda _folder, _head_start=None: RestrictedBackend(filters, obstacle)
        )
        outside = Outside(rules, names={CONTROL: ["127.0.0.1"]})
        said, inside = attack(TRY_ALL, outside, service.port)
    assert set(said.values()) <= {"EPERM", "gaierror", "EAI_FAIL"}
    assert len(service.arrivals) == before
    network = next(control for control in inside.controls if control.name == "network")
    assert (network.requested, network.state) == ("allow-listed", "unavailable")
    assert "nothing can be reached" in network.mechanism
    assert network.mend
    # The control: the same rules where they can be kept.
    said, inside = attack(TRY_ALL, service.outside(), service.port)
    assert said[CONTROL] == WORD
    assert next(control for control in inside.controls if control.name == "network").state == "enforced"


INTERCEPTED = """
import json, sys
sys.path.insert(0, sys.argv[1])
from egress.services import attack, service
from egress.test_elsewhere import TRY_ALL
with service() as found:
    said, inside = attack(TRY_ALL, found.outside(), found.port)
    network = next(control for control in inside.controls if control.name == "network")
    print(json.dumps([said, found.arrivals, network._asdict()]))
"""


@pytest.mark.parametrize("intercepted", [True, False])
def test_without_the_gates_listener_nothing_is_reached(intercepted: bool) -> None:
    """An outer supervisor holds the only one that a process tree can have."""
    prefix = [sys.executable, HOST, "intercepted"] if intercepted else []
    argv = [*prefix, sys.executable, "-c", INTERCEPTED, os.path.dirname(HERE)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    said, arrivals, network = json.loads(done.stdout)
    assert (said[CONTROL] == WORD) is not intercepted
    assert bool(arrivals) is not intercepted
    assert network["state"] == ("unavailable" if intercepted else "enforced")
    assert bool(network["mend"]) is intercepted
    assert ("nothing can be reached" in network["mechanism"]) is intercepted


SUPERVISED = """
import sys
sys.path.insert(0, sys.argv[1])
from arena.sandbox import Outside, run_inside
port = sys.argv[2]
outside = Outside(["control.test:" + port, "127.0.0.1:" + port], names={"control.test": ["127.0.0.1"]})
run_inside('''
import socket, sys
end = socket.create_connection(("control.test", int(sys.argv[1])))
while True:
    end.sendall(bytes(1 << 16))
''', [port], outside=outside)
"""


def is_alive(pid: int) -> bool:
    """Not when only its parent's knowledge of it is left, who may be anybody."""
    return stat_of(pid)[STATE] not in {"Z", "X"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("victim", ["supervisor", "server"])
def test_a_transfer_ends_with_whoever_is_killed(victim: str, number: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        argv = [sys.executable, "-c", SUPERVISED, os.path.dirname(HERE), str(listener.getsockname()[1])]
        with subprocess.Popen(argv) as supervisor:
            listener.settimeout(20)
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(20)
                received = len(connection.recv(1 << 20))
                family = list(descendants(supervisor.pid))
                doomed = family[-1] if victim == "server" else supervisor.pid
                os.kill(doomed, number)
                try:
                    while data := connection.recv(1 << 20):
                        received += len(data)
                except ConnectionResetError:
                    pass
        assert received > 0
        assert len(family) >= 2, "the supervisor's descendants are init and the server"
    deadline = time.monotonic() + 20
    while left := [command_of(pid) for pid in family if is_alive(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)
