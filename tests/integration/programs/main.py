"""A server for tests of the launcher: the first argument says how it behaves.

It speaks bytes, not the protocol, since the launcher does not look at them either. Standard library only.
"""

import os
import signal
import sys
import time


def cat() -> None:
    """Copy stdin to stdout until it ends."""
    while data := os.read(0, 1 << 20):
        _write(data)


def leave(status: str) -> None:
    """Exit with ``status``."""
    os._exit(int(status))


def die(number: str) -> None:
    """Die of signal ``number``."""
    os.kill(os.getpid(), int(number))
    time.sleep(60)


def burst(size: str) -> None:
    """Write ``size`` bytes and exit without waiting for a reader."""
    _write(b"x" * (int(size) - 4) + b"end\n")
    os._exit(0)


def stubborn() -> None:
    """Ignore the end of stdin and every signal that can be ignored."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    _write(b"ready\n")
    while True:
        time.sleep(60)


def until_eof() -> None:
    """Say on stderr that stdin has ended, and exit with 5."""
    _write(b"ready\n")
    while os.read(0, 4096):
        pass
    os.write(2, b"saw the end of stdin\n")
    os._exit(5)


def until_signal() -> None:
    """Say on stdout which signal came, and exit with 6; the end of stdin is ignored."""

    def received(number: int, _frame: object) -> None:
        _write(f"{signal.Signals(number).name}\n".encode())
        os._exit(6)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, received)
    _write(b"ready\n")
    while True:
        time.sleep(60)


def daemon() -> None:
    """Leave a daemon behind, double-forked and with the pipes closed, then wait for the end of stdin."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            _write(b"ready\n")
            for descriptor in (0, 1, 2):
                os.close(descriptor)
            while True:
                time.sleep(60)
        os._exit(0)
    os.wait()
    while os.read(0, 4096):
        pass


def holder() -> None:
    """Leave a child behind that keeps stdout open and ignores SIGTERM, and exit with 4 at once."""
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(60)
    _write(b"ready\n")
    os._exit(4)


def arguments(*values: str) -> None:
    """Print the arguments one a line."""
    _write("".join(f"{value}\n" for value in values).encode())


def files(*paths: str) -> None:
    """Print for each path whether it can be read and written: ``path r-`` ."""
    for path in paths:
        modes = "".join(letter if os.access(path, mode) else "-" for letter, mode in (("r", 4), ("w", 2)))
        _write(f"{path} {modes}\n".encode())


def environment() -> None:
    """Print the environment, sorted, one variable a line."""
    _write("".join(f"{name}={value}\n" for name, value in sorted(os.environ.items())).encode())


def hello() -> None:
    """Answer one line with one line, which stands for the handshake of a protocol, then read to the end."""
    sys.stdin.buffer.readline()
    _write(b'{"jsonrpc": "2.0", "id": 1, "result": {}}\n')
    while os.read(0, 4096):
        pass


def _write(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


BEHAVIOURS = (
    cat, leave, die, burst, stubborn, until_eof, until_signal, daemon, holder,
    arguments, files, environment, hello,
)  # fmt: skip

if __name__ == "__main__":
    chosen = next(one for one in BEHAVIOURS if one.__name__ == sys.argv[1])
    # What follows "marker=" only marks the process for whoever looks for it.
    chosen(*(value for value in sys.argv[2:] if not value.startswith("marker=")))
