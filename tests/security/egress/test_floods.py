"""Who asks for too much waits or is refused himself; the supervisor keeps its size, others their way."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from egress.services import CONTROL, HANG_SECONDS, WORD, Service, attack, descriptors

from mcp_client.policy.model import DEFAULT_LIMITS

MANY_FILES = DEFAULT_LIMITS._replace(files=4096, cpu=8000)
# What the engine may hold: two descriptors for each of 1024 connections, listeners, and a little more.
MOST_DESCRIPTORS = 2 * 1024 + 512 + 400
MOST_MEMORY = 200 << 20


class Size(NamedTuple):
    """Of this process, which is the supervisor: the most it had."""

    descriptors: list[int]
    memory: list[int]


@contextmanager
def watched() -> Iterator[Size]:
    """What was added while the block ran."""
    size, over = Size([], []), threading.Event()
    before = descriptors(), resident()

    def look() -> None:
        while not over.wait(0.05):
            size.descriptors.append(descriptors() - before[0])
            size.memory.append(resident() - before[1])

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield size
    finally:
        over.set()
        thread.join()


def resident() -> int:
    """Bytes of memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@contextmanager
def silent_service() -> Iterator[int]:
    """A service that never accepts, so that it costs this process nothing; its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        yield listener.getsockname()[1]


# Four threads, which do not wait for a connection to come about.
CONNECT_MANY = """
good = socket.gethostbyname("control.test")
said = {}
def work(number):
    held = []
    for step in range(target["each"]):
        address = (good, PORT) if step % 2 else (good, target["denied"])
        end = socket.socket()
        end.setblocking(False)
        name = errno.errorcode.get(end.connect_ex(address), "none")
        said[name] = said.get(name, 0) + 1
        held.append(end)
        if len(held) > 50:
            held.pop(0).close()
threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
said["control"] = control()
say(said)
"""


def test_ten_thousand_connections(service: Service, victim: Service) -> None:
    with watched() as size:
        numbers = {"each": 2500, "denied": victim.port}
        said, inside = attack(
            CONNECT_MANY, service.outside(), service.port, target=numbers, limits=MANY_FILES
        )
    assert said.pop("control") == WORD
    assert sum(said.values()) == 10_000
    assert victim.arrivals == []
    assert max(size.descriptors) < MOST_DESCRIPTORS + 1500, "the service's own are among them"
    assert max(size.memory) < MOST_MEMORY
    found = {entry["destination"]: entry for entry in inside.network}
    assert found[f"{CONTROL}:{victim.port}"]["denied"] > 0
    assert found[f"{CONTROL}:{service.port}"]["allowed"] > 1000
    assert len(found) == 2


HOLD = """
good = socket.gethostbyname("held.test")
held = []
for _ in range(target["held"]):
    end = socket.socket()
    end.setblocking(False)
    end.connect_ex((good, target["silent"]))
    held.append(end)
started = time.monotonic()
said = [control(), time.monotonic() - started]
for end in held:
    # A reset: a plain close leaves the peer, who never answers, the right to go on.
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
    end.close()
said.append(control())
say(said)
"""


@pytest.mark.parametrize("held", [100, 900, 1300])
def test_connections_that_are_held_stop_no_others(held: int, service: Service) -> None:
    with silent_service() as silent, watched() as size:
        outside = service.outside(
            f"held.test:{silent}", f"127.0.0.1:{silent}", **{"held.test": ["127.0.0.1"]}
        )
        numbers = {"held": held, "silent": silent}
        said, _ = attack(HOLD, outside, service.port, target=numbers, limits=MANY_FILES)
    # With all places taken, one's own next connection is refused, until some are free again.
    assert said[0] == WORD or held > 1000
    assert said[1] < 15
    assert said[2] == WORD
    assert max(size.descriptors) < MOST_DESCRIPTORS


FLOODS = {
    "refused addresses": "reach('192.0.2.%d' % (number % 250), 80)",
    "refused ports": "reach('127.0.0.1', 1 + number % 60000)",
    "unknown synthetic addresses": "reach('55.198.%d.%d' % (100 + number // 250 % 99, number % 250), 80)",
    "ports of an allowed name": "reach(good, 1 + number % 1000)",
    "IPv6 addresses": "reach('2001:db8::%x' % number, 80)",
    "no descriptor": "libc.connect(-1, name, 16)",
    "no memory": "libc.connect(end.fileno(), None, 16)",
    "memory at the end of the address space": "libc.connect(end.fileno(), ctypes.c_void_p(2**64 - 8), 16)",
    "a negative size": "libc.connect(end.fileno(), name, -1)",
    "no size": "libc.connect(end.fileno(), name, 0)",
    "a file": "libc.connect(0, name, 16)",
    "port 0": "reach(good, 0)",
    "programs": "refused_program()",
}
FLOOD = """
good = socket.gethostbyname("control.test")
end = socket.socket()
name = sockaddr("55.198.77.77", 80)
def refused_program():
    try:
        os.execv("/proc/self/exe", ["x"])
    except OSError:
        pass
over = False
counts = []
def work(first):
    number = first
    while not over:
        {what}
        number += 1
    counts.append(number - first)
threads = [threading.Thread(target=work, args=(first * 10000,)) for first in range(6)]
for thread in threads:
    thread.start()
slowest, said = 0, []
until = time.monotonic() + 0.6
while time.monotonic() < until:
    started = time.monotonic()
    said.append(reach("control.test"))
    slowest = max(slowest, time.monotonic() - started)
over = True
for thread in threads:
    thread.join()
say([sum(counts), slowest, sorted(set(said)), control()])
"""


@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_of_refusals_ends_nothing(what: str, service: Service) -> None:
    outside = service.outside()
    said, inside = attack(FLOOD.replace("{what}", FLOODS[what]), outside, service.port)
    count, slowest, meanwhile, afterwards = said
    assert count > 100
    assert slowest < HANG_SECONDS * 3
    assert WORD in meanwhile
    assert afterwards == WORD
    assert (inside.exit.status, inside.exit.signal) == (0, None)
    assert len(inside.network) <= 257
    assert len(outside.denials) <= 17


def test_a_denied_connection_fails_fast(service: Service) -> None:
    program = """
slow = 0
for host in ("control.test", "127.0.0.1", "55.198.9.9", "192.0.2.1", "no.test"):
    started = time.monotonic()
    assert reach(host, 1) in ("ECONNREFUSED", "ENETUNREACH", "gaierror")
    slow = max(slow, time.monotonic() - started)
say([slow, control()])
"""
    slow, control = attack(program, service.outside(), service.port)[0]
    assert slow < 1
    assert control == WORD


def test_denials_do_not_hide_what_was_reached(service: Service) -> None:
    """The record is bounded; what falls out of it must not be what matters."""
    program = """
end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end.connect(("55.198.0.1", 53))
for number in range(300):
    end.send(struct.pack("!6H", number, 256, 1, 0, 0, 0) + b"\\x08%08x\\4evil\\4test\\0\\0\\1\\0\\1" % number)
    end.recv(512)
say(control())
"""
    said, inside = attack(program, service.outside(), service.port)
    assert said == WORD
    found = {entry["destination"]: entry for entry in inside.network}
    assert found["(others)"]["denied"] > 0, "the control: there were more than the record holds"
    assert found[f"{CONTROL}:{service.port}"]["allowed"] == 1
