"""What init looks at may change behind its back: that must never lead anywhere, nor hold init up."""

from collections.abc import Mapping
from typing import Any

import pytest
from arena.sandbox import Outside
from egress.services import CONTROL, WORD, Service, attack

# One thread connects for a while, another one keeps changing what it connects with, or to.
RACE = """
good = socket.gethostbyname("control.test")
denied = socket.gethostbyname("other.test")
addresses = [sockaddr(good, PORT), sockaddr("127.0.0.1", target["victim"]), sockaddr(good, target["victim"]),
             sockaddr(denied, target["victim"]), sockaddr("55.198.77.77", target["victim"]),
             sockaddr("169.254.169.254", 80), struct.pack("=H14x", 0),
             struct.pack("=H", 1) + b"\\0attacked"+ bytes(5), sockaddr(good, 0)]
memory = ctypes.create_string_buffer(28)
number = 200
spare = [socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET6),
         socket.socket(socket.AF_UNIX), open("/dev/null")]
over, reached, tried = False, 0, 0
def swap_addresses():
    while not over:
        for address in addresses:
            ctypes.memmove(memory, addresses[0], 16)
            ctypes.memmove(memory, address, 16)
def swap_sockets():
    ctypes.memmove(memory, addresses[0], 16)
    while not over:
        for end in spare:
            os.dup2(end.fileno(), number, inheritable=False)
            end = socket.socket()
            os.dup2(end.fileno(), number, inheritable=False)
            end.close()
def close_them():
    ctypes.memmove(memory, addresses[0], 16)
    while not over:
        try:
            os.close(number)
        except OSError:
            pass
        time.sleep(0.0002)
def interrupt():
    import signal
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.siginterrupt(signal.SIGALRM, True)
    ctypes.memmove(memory, addresses[0], 16)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0003)
    while not over:
        time.sleep(0.01)
    signal.setitimer(signal.ITIMER_REAL, 0)
def work():
    global over, reached, tried
    began = time.monotonic()
    # On a busy machine, longer.
    while (passed := time.monotonic() - began) < 1.2 or (tried <= 200 and passed < 30):
        tried += 1
        try:
            with socket.socket() as end:
                # Not settimeout(): the connection is to block, as it does for most.
                for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                    end.setsockopt(socket.SOL_SOCKET, option, struct.pack("=qq", 0, 200_000))
                os.dup2(end.fileno(), number, inheritable=False)
                if libc.connect(number, memory, 16) == 0 and end.getpeername():
                    reached += end.recv(7) == b"reached"
        except OSError:
            pass
    over = True
sys.setswitchinterval(0.0001)
worker = threading.Thread(target=work)
worker.start()
globals()[target["way"]]()
worker.join()
say({"tried": tried, "reached": reached, "control": control()})
"""


@pytest.mark.parametrize("way", ["swap_addresses", "swap_sockets", "close_them", "interrupt"])
def test_a_change_while_init_looks_reaches_nothing_else(way: str, service: Service, victim: Service) -> None:
    """The address in memory, the descriptor, its life, and the call itself."""
    outside = service.outside(victim.rule("other.test"), **{"other.test": ["127.0.0.1"]})
    said, inside = attack(RACE, outside, service.port, target={"victim": victim.port, "way": way})
    assert victim.arrivals == []
    assert said["control"] == WORD
    assert said["tried"] > 200
    # The control: the race is a real one, so that some connections were made meanwhile.
    assert said["reached"] > 0
    assert set(outside.asked) <= {CONTROL, "other.test"}
    assert inside.exit.status == 0


LINGER = """
listener = socket.create_server(("127.0.0.1", 0), backlog=100)
def lingering(seconds):
    "A connected socket whose last close waits, since its peer takes no more."
    end = socket.create_connection(listener.getsockname())
    peer = listener.accept()[0]
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, seconds))
    end.setblocking(False)
    try:
        while True:
            end.send(bytes(1 << 16))
    except BlockingIOError:
        return end.detach(), peer
started = time.monotonic()
number, peer = lingering(1)
os.close(number)
waited = time.monotonic() - started
address = sockaddr("55.198.9.9", 80)
slowest = 0
for step in range(500):
    number, peer = lingering(8)
    caller = threading.Thread(target=libc.connect, args=(number, address, 16))
    closer = threading.Thread(target=os.close, args=(number,), daemon=True)
    caller.start()
    until = time.perf_counter() + step % 50 * 8e-6
    while time.perf_counter() < until:
        pass
    closer.start()
    # Either of them may wait; what counts is that init answers others.
    started = time.monotonic()
    with socket.socket() as probe:
        libc.connect(probe.fileno(), address, 16)
    slowest = max(slowest, time.monotonic() - started)
    peer.close()
    caller.join(3)
    if slowest > 6:
        break
say({"waited": waited, "slowest": slowest, "control": control()})
os._exit(0)
"""


def test_init_is_never_the_last_to_close_a_socket(service: Service) -> None:
    """A close may wait for as long as its owner says (SO_LINGER): init would keep no limits meanwhile."""
    said, _ = attack(LINGER, service.outside(), service.port)
    assert said["waited"] > 0.9, "the control: such a close does wait"
    # Such a close would take eight seconds; a server that is stopped for its share of the processor, two.
    assert said["slowest"] < 6
    assert said["control"] == WORD


class Rebinding(dict[str, list[str]]):
    """A name service that answers differently each time, for as long as there are answers."""

    def __init__(self, answers: Mapping[str, list[list[str]]]) -> None:
        super().__init__({name: found[0] for name, found in answers.items()})
        self._answers = {name: list(found) for name, found in answers.items()}

    def get(self, key: str, default: Any = None) -> Any:
        """The next answer; the last one stays."""
        answers = self._answers.get(key, [["127.0.0.1"]])
        return answers.pop(0) if len(answers) > 1 else answers[0]


# More names than the host's answers are kept for, so that the first one is asked for again.
AGAIN = """
said = [reach("rebinding.test")]
for number in range(target["between"]):
    socket.create_connection(("n%d.fill.test" % number, PORT), 5).close()
said.append(reach("rebinding.test"))
say(said)
"""
GOOD, BAD, METADATA = ["127.0.0.1"], ["127.0.0.2"], ["169.254.169.254"]
ANSWERS = {
    "good, then bad": ([GOOD, BAD], [WORD, "ECONNRESET"]),
    "bad, then good": ([BAD, GOOD], ["ECONNRESET", WORD]),
    "good, then both": ([GOOD, [*BAD, *GOOD]], [WORD, WORD]),
    "good, then metadata": ([GOOD, METADATA], [WORD, "ECONNRESET"]),
    "good, then mapped": ([GOOD, ["::ffff:127.0.0.2"]], [WORD, "ECONNRESET"]),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_name_that_leads_elsewhere_later_is_checked_again(name: str, service: Service) -> None:
    answers, expected = ANSWERS[name]
    names = Rebinding({"rebinding.test": answers})
    rules = [service.rule(host) for host in ("rebinding.test", "*.fill.test", "127.0.0.1")]
    before = len(service.arrivals)
    outside = Outside(rules, names=names)
    said, _ = attack(AGAIN, outside, service.port, target={"between": 300})
    assert said == expected
    assert outside.asked.count("rebinding.test") == 2, "the name was to be looked up again"
    assert set(service.arrivals[before:]) == {"127.0.0.1"}


def test_an_answer_that_is_kept_is_the_one_that_was_checked(service: Service) -> None:
    """Many connections at once share one look-up, and nobody asks a second time behind the check."""
    names = Rebinding({"rebinding.test": [GOOD, BAD]})
    outside = Outside([service.rule("rebinding.test"), service.rule("127.0.0.1")], names=names)
    program = "say([reach('rebinding.test') for _ in range(20)])"
    before = len(service.arrivals)
    assert attack(program, outside, service.port)[0] == [WORD] * 20
    assert outside.asked == ["rebinding.test"]
    assert set(service.arrivals[before:]) == {"127.0.0.1"}
    # The control: with a rule for it, the other address is one that can be reached.
    open_too = Outside(
        [service.rule("rebinding.test"), service.rule("127.0.0.2")], names={"rebinding.test": BAD}
    )
    assert attack("say(reach('rebinding.test'))", open_too, service.port)[0] == WORD
    assert service.arrivals[-1] == "127.0.0.2"
