"""What the engine does when peers are slow, many, gone, or not who they should be."""

import hashlib
import os
import queue
import socket
import threading
import time

import pytest

from mcp_client.network.addresses import parse_address
from mcp_client.network.deadlines import Deadlines
from mcp_client.network.engine import engine as engine_module
from mcp_client.network.engine import room as room_module
from mcp_client.network.engine.dial import interleave
from mcp_client.network.linux.own import OwnAddresses

NAME = "api.example.com"
LOCAL = {NAME: ["127.0.0.1"]}
RESET = {"ConnectionResetError", "BrokenPipeError"}


@pytest.fixture
def way(running, namespace):
    """A namespace and where in it ``NAME`` leads to this port of the host."""

    def make(port, *rules, names=LOCAL):
        engine = running([*(rules or [NAME]), "127.0.0.0/8", "::1"], names=names)
        inside = namespace(engine)
        address = inside.look_up(NAME)
        assert inside.open(address, port)
        return engine, inside, (address, port)

    return make


def test_a_slow_reader_stops_the_sender_and_nothing_is_lost(way, host):
    total = 48 << 20
    sent = threading.Event()

    def serve(connection):
        block = bytes(range(256)) * 4096
        for _ in range(total // len(block)):
            connection.sendall(block)
        sent.set()

    engine, inside, where = way(host(serve).port)
    inside.run(f"got = None\nimport builtins\nbuiltins.kept = socket.create_connection({where!r}, 20)")
    inside.run("import builtins, select\ngot = bool(select.select([builtins.kept], [], [], 20)[0])")

    assert not sent.wait(0.3)
    assert 0 < engine.call(lambda: engine.engine._loop.backlog) <= 1 << 20
    digest = inside.run("""
        import builtins, hashlib
        found = hashlib.sha256()
        while data := builtins.kept.recv(1 << 20):
            found.update(data)
        got = found.hexdigest()
    """)
    assert digest == hashlib.sha256(bytes(range(256)) * (total // 256)).hexdigest()
    assert engine.record()[f"{NAME}:{where[1]}"] == {"allowed": 1, "received": total}


def test_an_upload_after_the_other_direction_has_ended(way, host):
    found, done = [], threading.Event()

    def serve(connection):
        connection.shutdown(socket.SHUT_WR)
        while data := connection.recv(1 << 16):
            found.append(len(data))
        done.set()

    engine, inside, where = way(host(serve).port)

    assert (
        inside.run(f"""
        with socket.create_connection({where!r}, 20) as end:
            got = len(end.recv(1))
            end.sendall(bytes(1 << 20))
    """)
        == 0
    )
    assert done.wait(20)
    assert sum(found) == 1 << 20
    assert engine.record()[f"{NAME}:{where[1]}"] == {"allowed": 1, "sent": 1 << 20}


def test_a_reset_is_passed_on(way, host):
    def serve(connection):
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0, 0, 0, 0, 0)))

    _, inside, where = way(host(serve).port)

    assert (
        inside.attempt(f"""
        with socket.create_connection({where!r}, 20) as end:
            end.sendall(b"x")
            end.recv(1)
    """)
        == "ConnectionResetError"
    )


def test_a_port_where_nobody_listens_is_reset(way):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    engine, inside, where = way(port)

    source = f"with socket.create_connection({where!r}, 20) as end:\n    end.sendall(b'x')\n    end.recv(1)"
    assert inside.attempt(source) in RESET
    assert engine.record()[f"{NAME}:{port}"] == {"failed": 1, "reason": os.strerror(111)}


def test_an_address_that_does_not_answer_is_overtaken(way, host):
    # A full queue makes the kernel drop what comes, as a host that is gone does.
    with socket.socket() as deaf:
        server = host()
        deaf.bind(("127.0.0.2", server.port))
        deaf.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.2", server.port))
        _, inside, where = way(server.port, names={NAME: ["127.0.0.2", "127.0.0.1"]})

        assert (
            inside.run(f"""
            with socket.create_connection({where!r}, 20) as end:
                end.sendall(b"x")
                got = end.recv(1).decode()
        """)
            == "x"
        )
        for filler in fillers:
            filler.close()


def test_a_host_with_only_ipv6_is_reached_by_its_ipv4_address_inside(way, host):
    server = host(family=socket.AF_INET6)
    _, inside, where = way(server.port, names={NAME: ["127.0.0.1", "::1"]})

    assert (
        inside.run(f"""
        with socket.create_connection({where!r}, 20) as end:
            end.sendall(b"x")
            got = end.recv(1).decode()
    """)
        == "x"
    )


TLS = """
import ssl
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
client = context.wrap_bio(incoming, outgoing, server_hostname={name!r})
try:
    client.do_handshake()
except ssl.SSLWantReadError:
    pass
with socket.create_connection({where!r}, 20) as end:
    hello = outgoing.read()
    for at in range(0, len(hello), 100):
        end.sendall(hello[at:at + 100])
    got = end.recv(1 << 16) [:1].hex()
"""


def test_tls_for_the_right_name_goes_on_with_every_byte(way, host):
    received = []

    def serve(connection):
        received.append(connection.recv(1 << 16))
        connection.sendall(b"\x16")

    _, inside, where = way(host(serve).port, f"tls:{NAME}")

    assert inside.run(TLS.format(name=NAME, where=where)) == "16"
    assert NAME.encode() in received[0]
    assert received[0].startswith(b"\x16\x03")


def test_tls_for_another_name_is_reset_before_anything_is_dialled(way, host):
    dialled = []
    engine, inside, where = way(host(dialled.append).port, f"tls:{NAME}")

    assert inside.attempt(TLS.format(name="evil.example.com", where=where)) in RESET
    assert dialled == []
    assert engine.denials == [f"network: {NAME}:{where[1]} denied: the TLS connection is for another host"]


def test_no_tls_where_tls_is_asked_for_is_reset(way, host):
    engine, inside, where = way(host().port, f"tls:{NAME}")

    source = (
        f"with socket.create_connection({where!r}, 20) as end:\n    end.sendall(b'GET /')\n    end.recv(1)"
    )
    assert inside.attempt(source) in RESET
    assert len(engine.denials) == 1


def test_one_connection_too_many_is_reset_and_the_others_live(way, host, monkeypatch):
    monkeypatch.setattr(room_module, "MOST_CONNECTIONS", 3)
    _, inside, where = way(host().port)

    assert inside.run(f"""
        ends = [socket.create_connection({where!r}, 20) for _ in range(3)]
        for end in ends:
            end.sendall(b"x")
            end.recv(1)
        try:
            with socket.create_connection({where!r}, 20) as more:
                more.sendall(b"x")
                found = more.recv(1)
        except ConnectionError:
            found = None
        for end in ends:
            end.sendall(b"y")
        got = [found, [end.recv(1).decode() for end in ends]]
    """) == [None, ["y", "y", "y"]]


def test_a_new_connection_waits_a_moment_for_another_to_end(way, host, monkeypatch):
    monkeypatch.setattr(room_module, "MOST_CONNECTIONS", 1)
    monkeypatch.setattr(engine_module, "_FULL_SECONDS", 20.0)
    _, inside, where = way(host().port)

    assert (
        inside.run(f"""
        import time
        first, second = (socket.create_connection({where!r}, 20) for _ in range(2))
        second.sendall(b"y")
        time.sleep(0.3)
        first.sendall(b"x")
        got = first.recv(1).decode()
        first.close()
        got += second.recv(1).decode()
    """)
        == "xy"
    )


class Unanswered(dict):
    """Names that are looked up until ``released``, and then are not there."""

    def __init__(self, released):
        super().__init__()
        self._released = released

    def __getitem__(self, name):
        self._released.wait(20)
        raise KeyError(name)


def test_a_name_that_takes_for_ever_is_given_up(way, monkeypatch):
    monkeypatch.setattr(engine_module, "_CONNECT_SECONDS", 0.2)
    done = threading.Event()
    engine, inside, where = way(443, names=Unanswered(done))

    source = f"with socket.create_connection({where!r}, 20) as end:\n    end.sendall(b'x')\n    end.recv(1)"
    assert inside.attempt(source) in RESET
    assert engine.record()[f"{NAME}:443"] == {"failed": 1, "reason": "no answer in time"}
    done.set()


def test_where_no_thread_can_be_started_a_look_up_fails(way, host, monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("mcp_client.network.engine.resolve._thread.start_new_thread", refuse)
    engine, inside, where = way(host().port)

    assert inside.attempt(f"socket.create_connection({where!r}, 20).recv(1)") == "ConnectionResetError"
    assert "thread" in engine.record()[f"{NAME}:{where[1]}"]["reason"]


def test_many_that_wait_for_a_name_all_fail_and_none_recurses(way, monkeypatch):
    monkeypatch.setattr(room_module, "_MOST_DIALLING", 1)
    released = threading.Event()
    engine, inside, where = way(443, names=Unanswered(released))
    inside.run(f"""
        import builtins
        builtins.ends = [socket.create_connection({where!r}, 20) for _ in range(200)]
    """)
    released.set()

    assert (
        inside.run("""
        import builtins
        failed = 0
        for end in builtins.ends:
            try:
                end.recv(1)
            except ConnectionError:
                failed += 1
        got = failed
    """)
        == 200
    )
    assert engine.record()[f"{NAME}:443"]["failed"] == 200


@pytest.mark.parametrize(
    ("limit", "connections", "listeners"), [(64, 10, 8), (256, 40, 32), (1024, 280, 224), (65536, 1024, 512)]
)
def test_a_host_with_few_descriptors_has_room_for_some_of_everything(
    limit, connections, listeners, monkeypatch
):
    monkeypatch.setattr(room_module.resource, "getrlimit", lambda _: (min(limit, 1024), limit))
    monkeypatch.setattr(room_module.resource, "setrlimit", lambda *_: None)

    room = room_module.make_room()

    assert (room.connections, room.listeners) == (connections, listeners)
    assert 2 * room.connections + room.listeners + room.dialling <= limit - min(128, limit // 2)


def test_more_listeners_than_wanted_close_the_one_unused_for_longest(way, host, monkeypatch):
    monkeypatch.setattr(room_module, "_MOST_LISTENERS", 2)
    _, inside, (address, port) = way(host().port)

    assert inside.open(address, 1001)
    assert inside.open(address, 1002)
    assert inside.attempt(f"socket.create_connection({(address, port)!r}, 20)") == "ConnectionRefusedError"
    assert inside.open(address, port)


def test_who_has_connected_outlives_the_listener(way, host, monkeypatch):
    monkeypatch.setattr(room_module, "_MOST_LISTENERS", 1)
    engine, inside, (address, port) = way(host().port)
    waiting, may_go_on = threading.Event(), threading.Event()

    def hold():
        waiting.set()
        may_go_on.wait(20)

    thread = threading.Thread(target=engine.call, args=(hold,))
    thread.start()
    waiting.wait(20)
    inside.run(f"import builtins\nbuiltins.kept = socket.create_connection({(address, port)!r}, 20)")
    other = socket.create_server(("127.0.0.1", 0))
    replace = threading.Thread(target=engine.call, args=(lambda: engine.engine.add_listener(other),))
    replace.start()
    may_go_on.set()
    thread.join()
    replace.join()

    said = inside.run("import builtins\nbuiltins.kept.sendall(b'x')\ngot = builtins.kept.recv(1).decode()")
    assert said == "x"


def test_the_end_of_the_engine_resets_what_is_open(way, host):
    engine, inside, where = way(host().port)
    inside.run(f"import builtins\nbuiltins.kept = socket.create_connection({where!r}, 20)")
    inside.run("import builtins\nbuiltins.kept.sendall(b'x'); builtins.kept.recv(1)")

    engine.stop()
    engine.stop = lambda: None

    assert inside.attempt("import builtins\nbuiltins.kept.recv(1)") == "ConnectionResetError"


def write_and_leave(inside, where):
    """Write for a moment to somebody who does not read, and close; how many bytes that were."""
    return inside.run(f"""
        import time
        end = socket.create_connection({where!r}, 20)
        end.setblocking(False)
        got, block = 0, bytes(1 << 20)
        for _ in range(20):
            try:
                got += end.send(block)
            except BlockingIOError:
                time.sleep(0.02)
        end.close()
    """)


def test_what_was_written_last_still_arrives(way, host):
    may_read, arrived = threading.Event(), queue.SimpleQueue()

    def serve(connection):
        may_read.wait(20)
        total = 0
        while data := connection.recv(1 << 20):
            total += len(data)
        arrived.put(total)

    engine, inside, where = way(host(serve).port)
    sent = write_and_leave(inside, where)
    assert sent > 1 << 20

    threading.Timer(0.3, may_read.set).start()
    engine.call(lambda: engine.engine.finish(10))
    engine.stop()
    engine.stop = lambda: None

    assert arrived.get(timeout=20) == sent


def test_a_host_that_never_reads_holds_up_the_end_for_a_moment_only(way, host):
    never = threading.Event()
    engine, inside, where = way(host(lambda _: never.wait(20)).port)
    write_and_leave(inside, where)

    began = time.monotonic()
    engine.call(lambda: engine.engine.finish(0.2))

    assert 0.2 <= time.monotonic() - began < 5
    engine.stop()
    engine.stop = lambda: None
    never.set()
    (found,) = engine.engine.to_record()
    assert (found["allowed"], found["failed"], found["reason"]) == (1, 1, "the run has ended")


def test_connections_without_a_last_byte_hold_up_nothing(way, host):
    engine, inside, where = way(host().port)
    inside.run(f"import builtins\nbuiltins.kept = socket.create_connection({where!r}, 20)")
    inside.run("import builtins\nbuiltins.kept.sendall(b'x'); builtins.kept.recv(1); builtins.kept.close()")

    began = time.monotonic()
    engine.call(lambda: engine.engine.finish(10))

    assert time.monotonic() - began < 5


def test_a_flood_of_destinations_is_counted_together(running, namespace):
    engine = running([NAME])
    inside = namespace(engine)

    inside.run("for number in range(400):\n    ask(f'n{number}.attacker.example')")

    record = engine.record()
    assert len(record) == 193
    assert record["(others)"]["denied"] == 208
    assert len(engine.denials) == 17


def test_own_addresses_are_known_without_a_list():
    own = OwnAddresses()

    assert parse_address("127.0.0.1") in own
    assert parse_address("127.99.0.1") in own
    assert parse_address("::1") in own
    assert parse_address("192.0.2.1") not in own
    assert parse_address("2001:db8::1") not in own
    assert "127.0.0.1" not in own


def test_families_take_turns():
    texts = ["::1", "::2", "::3", "127.0.0.1", "127.0.0.2"]

    assert [str(a) for a in interleave(map(parse_address, texts))] == [
        "::1",
        "127.0.0.1",
        "::2",
        "127.0.0.2",
        "::3",
    ]
    assert interleave([]) == []


def test_deadlines_are_due_in_the_order_of_their_last_start():
    deadlines = Deadlines(10.0)
    for at, key in enumerate("abc"):
        deadlines.start(key, float(at))
    deadlines.start("a", 5.0)
    deadlines.stop("b")

    assert deadlines.first == 12.0
    assert deadlines.oldest(7.0, waiting=5.0) == "c"
    assert deadlines.oldest(6.0, waiting=5.0) is None
    assert deadlines.take_expired(11.0) == []
    assert deadlines.take_expired(15.0) == ["c", "a"]
    assert deadlines.first is None
