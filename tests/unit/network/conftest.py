"""An engine that runs, a namespace with nothing in it, and hosts on loopback that can be reached."""

import json
import os
import queue
import socket
import subprocess
import sys
import textwrap
import threading

import pytest

from mcp_client.network.addresses import parse_address
from mcp_client.network.decide import RuleSet
from mcp_client.network.engine.engine import Engine
from mcp_client.network.rules import parse_rule
from mcp_client.sandbox.linux import egress

INSIDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside.py")


class Running:
    """An engine with a thread of its own; ``names`` are what its resolver knows."""

    def __init__(self, allow, deny=(), environment=None, names=None):
        self.names = names if names is not None else {}
        self.asked = []
        self.denials = []
        rules = RuleSet(map(parse_rule, allow), map(parse_rule, deny))
        self.engine = Engine(rules, self.denials.append, environment or {}, self._look_up)
        self._calls = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _look_up(self, name):
        self.asked.append(name)
        try:
            return [parse_address(text) for text in self.names[name]]
        except KeyError:
            raise OSError(2, "name not known") from None

    def _run(self):
        while True:
            due = self.engine.due_at
            self.engine.run_once(0.005 if due is None else 0.001)
            while not self._calls.empty():
                work, done = self._calls.get()
                if work is None:
                    done.put(self.engine.close())
                    return
                done.put(work())

    def call(self, work):
        """In the engine's thread."""
        done = queue.SimpleQueue()
        self._calls.put((work, done))
        return done.get(timeout=20)

    def record(self):
        return {entry.pop("destination"): entry for entry in self.call(self.engine.to_record)}

    def stop(self):
        self.call(None)
        self._thread.join()


class Namespace:
    """A process inside, and what it hands out given to an engine."""

    def __init__(self, running, *networks):
        self._running = running
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, INSIDE, str(theirs.fileno()), *networks],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert json.loads(self._process.stdout.readline()) == "ready"
        ends = [socket.socket(fileno=number) for number in egress.receive(self._ours).descriptors]
        running.call(lambda: running.engine.serve_names(*ends))

    def _tell(self, command):
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def open(self, address, port):
        """What init does when the server wants to connect there: whether the engine takes the listener."""
        said = self._tell({"listen": [address, port]})
        assert said == {"got": "sent"}, said
        (descriptor,) = egress.receive(self._ours).descriptors
        listener = socket.socket(fileno=descriptor)
        return self._running.call(lambda: self._running.engine.add_listener(listener))

    def run(self, source):
        """Execute Python text inside; the value of ``got``."""
        said = self._tell({"source": textwrap.dedent(source)})
        assert "got" in said, said
        return said["got"]

    def attempt(self, source):
        """The same, when it is to fail: the exception's name."""
        return self._tell({"source": textwrap.dedent(source)}).get("refused")

    def look_up(self, name):
        """The IPv4 address that stands for an allowed name."""
        code, addresses = self.run(f"got = ask({name!r})")
        assert code == 0, name
        return addresses[0]

    def stop(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(20)
        self._ours.close()


class Host:
    """A server on loopback; ``serve`` gets each connection in a thread."""

    def __init__(self, serve, family=socket.AF_INET):
        self._listener = socket.create_server(
            ("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family
        )
        self.port = self._listener.getsockname()[1]
        self._serve = serve
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection):
        try:
            with connection:
                self._serve(connection)
        except OSError:
            return

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def echo(connection):
    """Send back what comes, until the end."""
    while data := connection.recv(1 << 16):
        connection.sendall(data)


@pytest.fixture
def running():
    """Make an engine: ``running(allow, ...)``."""
    yield from _made(Running)


@pytest.fixture
def namespace():
    """Make a namespace for one: ``namespace(running, ...)``."""
    yield from _made(Namespace)


@pytest.fixture
def host():
    """Make a host: ``host(serve)``, which echoes when nothing is given."""
    yield from _made(lambda serve=echo, **options: Host(serve, **options))


def _made(kind):
    made = []

    def make(*arguments, **options):
        made.append(kind(*arguments, **options))
        return made[-1]

    yield make
    for one in reversed(made):
        one.stop()
