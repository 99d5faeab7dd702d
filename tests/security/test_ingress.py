"""The way in to a server that listens: it leads in, and nothing leads out by it."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from arena.listening import PORT, listening
from arena.sandbox import placed

from mcp_client.sandbox.linux.ingress import BATCH, V4, V6, ask, receive

# Answers each connection with what one function finds out about the world, asked with the word that came.
SERVER = """
import _socket as socket, errno, json, os, sys
def look(word):
{body}
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", {port}))
listener.listen(128)
os.write(2, b"listening\\n")
while True:
    descriptor, _ = listener._accept()
    end = socket.socket(fileno=descriptor)
    try:
        found = look(end.recv(999).decode())
    except OSError as error:
        found = errno.errorcode.get(error.errno, str(error))
    end.sendall(json.dumps(found).encode())
    end.close()
"""


def server(body: str) -> str:
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return SERVER.format(body=lines, port=PORT)


def answer(body: str, word: str = "hello") -> object:
    with listening(server(body)) as running:
        assert running.until(lambda: b"listening" in running.said), running.said
        return json.loads(running.talk(word.encode()))


CONNECT = """
end = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
end.connect(("127.0.0.1", int(word)))
return end.recv(99).decode()
"""


@pytest.fixture
def service() -> Iterator[int]:
    """A port of the host that answers, as our own endpoint would."""
    with socket.create_server(("127.0.0.1", 0)) as host:

        def serve() -> None:
            while True:
                try:
                    end, _ = host.accept()
                except OSError:
                    return
                end.sendall(b"reached")
                end.close()

        serving = threading.Thread(target=serve)
        serving.start()
        yield host.getsockname()[1]
        host.shutdown(socket.SHUT_RDWR)
        serving.join()


def test_the_way_in_leads_in() -> None:
    assert answer("return word", "a word") == "a word"


def test_the_server_reaches_no_port_of_the_host(service: int) -> None:
    assert answer(CONNECT, str(service)) == "ECONNREFUSED"
    with socket.create_connection(("127.0.0.1", service), 5) as end:
        assert end.recv(99) == b"reached"


def test_a_socket_that_init_made_reaches_no_port_of_the_host(service: int) -> None:
    """Whoever held one, the server included, could go nowhere with it."""
    with listening(server("return word")) as running:
        ingress = running.ingress
        (end,) = running.sockets(1)
        end.close()
        (other,) = [stock.popleft() for stock in ingress._stock.values() if stock][:1]
        with closing(other):
            other.setblocking(True)
            with pytest.raises(ConnectionRefusedError):
                other.connect(("127.0.0.1", service))


def test_the_server_holds_nothing_of_it() -> None:
    """Its own listener, one connection, and its standard streams, which are nobody else's."""
    body = """
folder = os.open("/proc/self/fd", os.O_RDONLY)
names = [name for name in os.listdir(folder) if name != str(folder)]
return {name: os.readlink(name, dir_fd=folder) for name in names if os.path.lexists(f"/proc/self/fd/{name}")}
"""
    ours, theirs = socket.socketpair()
    with ours, theirs, placed({0: ours.fileno(), 1: ours.fileno()}):
        found = {int(number): path for number, path in dict(answer(body)).items()}
    assert found[0] == "/dev/null"
    assert found[1] == found[2]
    assert found[1].startswith("pipe:")
    sockets = [path for path in found.values() if path.startswith("socket:")]
    assert len(sockets) == 2, found


@pytest.mark.parametrize("place", ["/proc/1/fd", "/proc/1/mem", "/proc/1/environ"])
def test_init_is_closed_to_it(place: str) -> None:
    look = "return os.listdir(word)" if place.endswith("fd") else "return os.open(word, os.O_RDONLY)"
    assert answer(look, place) in {"EACCES", "EPERM"}


def test_nobody_on_the_host_finds_the_servers_port() -> None:
    with listening(server("return word")) as running:
        assert running.until(lambda: b"listening" in running.said)
        assert running.talk(b"inside") == b'"inside"'
        with socket.socket() as end:
            end.settimeout(5)
            # Somebody else's service may be there: it does not talk like this one.
            try:
                end.connect(("127.0.0.1", PORT))
                end.sendall(b"outside")
                assert end.recv(99) != b'"outside"'
            except OSError:
                pass


def test_a_server_that_takes_nothing_holds_nobody_up() -> None:
    program = (
        "import _socket as s, os, time\n"
        f"l = s.socket(s.AF_INET, s.SOCK_STREAM)\nl.bind(('127.0.0.1', {PORT}))\nl.listen(0)\n"
        "os.write(2, b'listening')\ntime.sleep(600)\n"
    )
    with listening(program) as running:
        assert running.until(lambda: b"listening" in running.said)
        ends = running.sockets(300)
        assert all(end is not None for end in ends)
        running.process.signal(signal.SIGTERM)
        assert running.process.next_event() == "ended"
        for end in ends:
            end.close()


def test_a_server_that_opens_all_it_can_does_not_end_init() -> None:
    """Its descriptors are its own, and init needs a few of another limit."""
    body = """
kept = globals().setdefault("kept", [])
try:
    while True:
        kept.append(socket.socketpair())
except OSError as error:
    return len(kept)
"""
    with listening(server(body)) as running:
        assert running.until(lambda: b"listening" in running.said)
        assert int(running.talk()) > 50
        ends = running.sockets(3 * BATCH)
        assert all(end is not None for end in ends)
        for end in ends:
            end.close()


def test_nonsense_on_the_channel_ends_only_the_way_in() -> None:
    with listening(server("return word")) as running:
        assert running.until(lambda: b"listening" in running.said)
        assert running.talk(b"once") == b'"once"'
        running.ingress._channel.send(b"?")
        running.process.signal(signal.SIGTERM)
        assert running.process.next_event() == "ended"


def test_a_batch_is_bounded_and_stays_with_nobody() -> None:
    with listening(server("return word")) as running:
        ingress = running.ingress
        held = f"/proc/{running.process.pid}/fd"
        before = len(os.listdir(held)) if os.geteuid() == 0 else None
        ingress._channel.setblocking(True)
        for family in (V4, V6) * 20:
            ask(ingress._channel, family)
            got, batch = receive(ingress._channel)
            assert (got, len(batch)) in {(family, BATCH), (V6, 0)}
            for end in batch:
                end.close()
        ingress._channel.setblocking(False)
        # It has sent the last ones, and may be about to close its own.
        deadline = time.monotonic() + 10
        while before is not None and len(os.listdir(held)) != before:
            assert time.monotonic() < deadline, "init keeps what it made"
