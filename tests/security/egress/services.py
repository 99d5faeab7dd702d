"""Services of the host that attacks aim at, and the program that aims at many of them from one sandbox."""

import json
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from arena.sandbox import Inside, Outside, Report, attempt_inside, attempt_outside, run_inside

# A name that is allowed, and what its look-up says, in nearly every attack: the way that has to stay open.
CONTROL = "control.test"
WORD = "reached"

# Denied is refused, never a hang: whoever takes this long waited for something.
HANG_SECONDS = 3.0


class Service:
    """A TCP service on every address of this machine: says one word, then repeats what it hears."""

    def __init__(self, listener: socket.socket) -> None:
        """``listener`` is bound and listens; ``arrivals`` are the addresses at which somebody came."""
        self.port: int = listener.getsockname()[1]
        self.arrivals: list[str] = []
        self._listener = listener

    def serve(self) -> None:
        """Until the listener is shut down."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.arrivals.append(connection.getsockname()[0].removeprefix("::ffff:"))
            threading.Thread(target=_repeat, args=(connection,), daemon=True).start()

    def rule(self, host: str) -> str:
        """A rule for ``host`` and this port."""
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def outside(self, *allow: str, deny: Iterable[str] = (), **names: Iterable[str]) -> Outside:
        """Nothing but the control, which ends here, and what else is given as in Outside."""
        known = {CONTROL: ["127.0.0.1"], **{name: list(found) for name, found in names.items()}}
        rules = [self.rule(CONTROL), self.rule("127.0.0.1"), *allow]
        return Outside(rules, tuple(deny), names=known)


def _repeat(connection: socket.socket) -> None:
    with connection:
        try:
            connection.sendall(WORD.encode())
            while data := connection.recv(1 << 16):
                connection.sendall(data)
        except OSError:
            return


@contextmanager
def service() -> Iterator[Service]:
    """One that serves while the block runs, for IPv4 and IPv6."""
    dual = socket.has_dualstack_ipv6()
    address = ("::" if dual else "0.0.0.0", 0)
    family = socket.AF_INET6 if dual else socket.AF_INET
    with socket.create_server(address, family=family, backlog=512, dualstack_ipv6=dual) as listener:
        found = Service(listener)
        thread = threading.Thread(target=found.serve, daemon=True)
        thread.start()
        yield found
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


# Each target is a host and a port; what came back is the word, or the name of an error, and the seconds.
CONNECT_ALL = """
    import socket, time
    found = []
    for host, port in target:
        started = time.monotonic()
        try:
            with socket.create_connection((host.encode(), port), 5) as connection:
                said = connection.recv(99).decode() or "end"
        except OSError as error:
            number = errno.errorcode.get(error.errno, type(error).__name__)
            said = type(error).__name__ if isinstance(error, socket.gaierror) else number
        found.append([said, time.monotonic() - started])
    return found
"""


class Said(dict[tuple[str, int], str]):
    """(host, port) -> what connecting to it came to; ``slowest`` are the most seconds it took."""

    def __init__(self, targets: Iterable[tuple[str, int]], report: Report) -> None:
        """``report`` is of CONNECT_ALL for these targets."""
        assert report.got is not None, report
        super().__init__(zip(targets, (said for said, _ in report.got), strict=True))
        self.slowest = max((seconds for _, seconds in report.got), default=0.0)


def connect_inside(targets: Iterable[tuple[str, int]], outside: Outside, **options: Any) -> Said:
    """Try all of them from one sandbox."""
    targets = list(targets)
    return Said(targets, attempt_inside(CONNECT_ALL, targets, outside=outside, **options))


def connect_outside(targets: Iterable[tuple[str, int]]) -> Said:
    """Try all of them without a sandbox."""
    targets = list(targets)
    return Said(targets, attempt_outside(CONNECT_ALL, targets))


PRELUDE = """
import ctypes, errno, json, os, select, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
target = json.loads(sys.argv[1])
PORT = target["port"]
def name_of(error):
    return errno.errorcode.get(error.errno, type(error).__name__)
def sockaddr(host, port):
    return struct.pack("=H", 2) + struct.pack("!H", port) + socket.inet_aton(host) + bytes(8)
def reach(host, port=PORT, seconds=5):
    "What a plain connection to it comes to."
    try:
        with socket.create_connection((host, port), seconds) as connection:
            return connection.recv(99).decode() or "end"
    except OSError as error:
        return type(error).__name__ if isinstance(error, socket.gaierror) else name_of(error)
def control():
    "The allowed name still works, at the latest when what went before is over."
    for _ in range(20):
        said = reach("control.test")
        if said == "reached":
            break
        time.sleep(0.2)
    return said
def say(value):
    print(json.dumps(value), flush=True)
"""


def attack(program: str, outside: Outside | None, port: int, **options: Any) -> tuple[Any, Inside]:
    """Run ``program`` after PRELUDE in a sandbox; what it last said, and all else."""
    target = json.dumps({"port": port, **options.pop("target", {})})
    inside = run_inside(PRELUDE + program, [target], outside=outside, **options)
    assert inside.output, inside
    return json.loads(inside.output.splitlines()[-1]), inside


def own_addresses() -> list[str]:
    """Addresses of this machine that are not loopback ones, as far as its interfaces have any."""
    found = []
    for family, there in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                # Connecting a datagram socket sends nothing.
                probe.connect((there, 9))
            except OSError:
                continue
            found.append(str(probe.getsockname()[0]))
    return found


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))
