"""Connections out of a namespace in which there is nothing, by name, by address, and refused."""

import socket

ECHO = """
with socket.create_connection({where!r}, 5) as end:
    end.sendall(b"hello")
    end.shutdown(socket.SHUT_WR)
    got = b"".join(iter(lambda: end.recv(100), b"")).decode()
"""


def test_an_allowed_name_is_reached_on_any_port(running, namespace, host):
    server = host()
    engine = running(["api.example.com", "127.0.0.1"], names={"api.example.com": ["127.0.0.1"]})
    inside = namespace(engine)
    address = inside.look_up("API.Example.com")

    assert inside.open(address, server.port)
    assert inside.run(ECHO.format(where=(address, server.port))) == "hello"

    tally = engine.record()[f"api.example.com:{server.port}"]
    assert tally == {"allowed": 1, "sent": 5, "received": 5}
    assert engine.denials == []


def test_an_allowed_name_is_reached_by_ipv6_where_the_host_only_has_ipv4(running, namespace, host):
    server = host()
    engine = running(["api.example.com", "127.0.0.1"], names={"api.example.com": ["127.0.0.1"]})
    inside = namespace(engine)
    code, (address,) = inside.run("got = ask('api.example.com', 28)")

    assert code == 0
    assert inside.open(address, server.port)
    assert inside.run(ECHO.format(where=(address, server.port))) == "hello"


def test_the_name_service_answers_on_ipv6_and_by_stream_in_single_bytes(running, namespace):
    inside = namespace(running(["api.example.com"]))

    assert inside.run("got = ask('api.example.com', server='2e00::1')[0]") == 0
    assert (
        inside.run("""
        query = question("api.example.com")
        with socket.create_connection(("55.198.0.1", 53), 5) as end:
            for byte in len(query).to_bytes(2, "big") + query:
                end.send(bytes((byte,)))
            size = int.from_bytes(end.recv(2, socket.MSG_WAITALL), "big")
            got = len(end.recv(size, socket.MSG_WAITALL)) == size
        """)
        is True
    )


def test_a_name_that_is_not_allowed_does_not_exist_and_is_never_looked_up(running, namespace):
    name = "c2vjcmv0.attacker.example"
    engine = running(["api.example.com"])
    inside = namespace(engine)

    assert inside.run("got = ask('c2VjcmV0.attacker.example')") == [3, []]
    assert engine.asked == []
    assert engine.denials == [f"network: {name} denied: no rule allows it (to allow it: --allow-net {name})"]


def test_a_wrong_port_keeps_no_listener_and_is_refused_by_the_kernel(running, namespace):
    engine = running(["db.internal:5432"])
    inside = namespace(engine)
    address = inside.look_up("db.internal")

    assert not inside.open(address, 22)
    assert inside.attempt(f"socket.create_connection(({address!r}, 22), 5)") == "ConnectionRefusedError"
    assert engine.denials == [
        "network: db.internal:22 denied: no rule allows it (to allow it: --allow-net db.internal:22)"
    ]


def test_an_address_that_was_never_given_to_a_name_keeps_no_listener(running, namespace):
    engine = running(["*.example.com"])
    inside = namespace(engine)

    assert not inside.open("55.198.77.77", 443)
    assert engine.record() == {
        "55.198.77.77": {"denied": 1, "reason": "nobody has looked up a name for this address"}
    }


def test_an_address_outside_is_unreachable_at_once(running, namespace):
    inside = namespace(running(["api.example.com"]))

    assert inside.run("""
        found = []
        for address in ("192.0.2.1", "169.254.169.254", "10.0.0.1", "2001:db8::1"):
            try:
                socket.create_connection((address, 80), 5)
            except OSError as error:
                found.append(error.errno)
        got = found
    """) == [101, 101, 101, 101]


def test_a_name_that_leads_to_a_closed_address_is_reset(running, namespace, host):
    server = host()
    engine = running(["rebind.example.com"], names={"rebind.example.com": ["127.0.0.1", "169.254.169.254"]})
    inside = namespace(engine)
    address = inside.look_up("rebind.example.com")

    assert inside.open(address, server.port)
    assert inside.attempt(ECHO.format(where=(address, server.port))) in {
        "ConnectionResetError",
        "BrokenPipeError",
    }
    assert len(engine.denials) == 1
    assert "this machine itself" in engine.denials[0]


def test_a_network_is_reached_by_address(running, namespace, host):
    server = host()
    engine = running(["127.0.0.0/8"])
    inside = namespace(engine)

    assert inside.open("127.0.0.1", server.port)
    assert inside.run(ECHO.format(where=("127.0.0.1", server.port))) == "hello"


def test_routes_lead_to_networks_that_rules_name(running, namespace):
    engine = running(["10.9.0.0/16"])
    inside = namespace(engine, "10.9.0.0/16", "fd00:9::/64")

    assert inside.open("10.9.1.1", 80)
    assert inside.attempt("socket.create_connection(('10.9.1.2', 80), 5)") == "ConnectionRefusedError"
    assert inside.attempt("socket.create_connection(('fd00:9::2', 80), 5)") == "ConnectionRefusedError"


def test_a_name_without_an_address_is_reset_and_counted(running, namespace):
    engine = running(["gone.example.com"])
    inside = namespace(engine)
    address = inside.look_up("gone.example.com")

    assert inside.open(address, 443)
    assert inside.attempt(ECHO.format(where=(address, 443))) in {"ConnectionResetError", "BrokenPipeError"}
    assert engine.record()["gone.example.com:443"] == {"failed": 1, "reason": "name not known"}


def test_a_server_may_not_take_an_address_of_another_name(running, namespace):
    engine = running(["*.example.com"])
    inside = namespace(engine)

    given = {inside.look_up(f"{label}.example.com") for label in ("a", "b", "c", "a")}

    assert len(given) == 3


def test_sixty_connections_at_a_time(running, namespace, host):
    server = host()
    engine = running(["api.example.com", "127.0.0.1"], names={"api.example.com": ["127.0.0.1"]})
    inside = namespace(engine)
    address = inside.look_up("api.example.com")
    assert inside.open(address, server.port)

    assert inside.run(f"""
        ends = [socket.create_connection({(address, server.port)!r}, 20) for _ in range(60)]
        for number, end in enumerate(ends):
            end.sendall(str(number).encode())
        got = [int(end.recv(10)) for end in ends]
        for end in ends:
            end.close()
    """) == list(range(60))
    assert engine.asked == ["api.example.com"]


def test_sockets_that_come_out_stay_inside(running, namespace):
    engine = running(["127.0.0.1"])
    inside = namespace(engine)
    port = inside.run("end = socket.create_server(('127.0.0.1', 0)); got = end.getsockname()[1]; end.close()")

    assert inside.open("127.0.0.1", port)
    with socket.socket() as ours:
        assert ours.connect_ex(("127.0.0.1", port)) != 0
