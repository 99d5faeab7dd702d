"""What is said to systemd, byte by byte, and what happens when the other side is not what it should be."""

import contextlib
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from mcp_client.policy.model import Limits
from mcp_client.sandbox.linux.cgroups import group
from mcp_client.sandbox.linux.cgroups.dbus import Call, Connection, Variant, Writer
from mcp_client.sandbox.linux.cgroups.scope import ScopeRequest

CALL = Call("org.example", "/org/example", "org.example.Manager", "Do", "s", b"\2\0\0\0hi\0")
SOON, ENOUGH = 0.2, 20.0
RETURN, ERROR, SIGNAL = 2, 3, 4
ALIGNMENT = {"y": 1, "g": 1, "v": 1, "u": 4, "b": 4, "s": 4, "o": 4, "a": 4, "t": 8, "(": 8, "{": 8}


class Reader:
    """Unmarshals what the specification allows; written apart from what it checks."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def align(self, size: int) -> None:
        padding = self.data[self.at : self.at + -self.at % size]
        assert not any(padding), "padding must be zero"
        self.at += len(padding)

    def number(self, form: str) -> int:
        self.align(struct.calcsize(form))
        (value,) = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def text(self, length: int) -> str:
        value = self.data[self.at : self.at + length]
        assert self.data[self.at + length] == 0
        self.at += length + 1
        return value.decode()

    def value(self, signature: str) -> Any:
        kind = signature[0]
        if kind in {"s", "o"}:
            return self.text(self.number("I"))
        if kind == "g":
            return self.text(self.number("B"))
        if kind == "v":
            return self.value(self.value("g"))
        if kind == "a":
            length = self.number("I")
            self.align(ALIGNMENT[signature[1]])
            end, items = self.at + length, []
            while self.at < end:
                items.append(self.value(signature[1:]))
            assert self.at == end
            return items
        if kind == "(":
            self.align(8)
            return tuple(self.values(signature[1:-1]))
        return self.number({"y": "B", "u": "I", "b": "I", "t": "Q"}[kind])

    def values(self, signature: str) -> list[Any]:
        return [self.value(single) for single in split(signature)]


def split(signature: str) -> Iterator[str]:
    """Complete types one by one."""
    start = 0
    while start < len(signature):
        end = start
        while signature[end] == "a":
            end += 1
        depth = 0
        while True:
            depth += {"(": 1, ")": -1}.get(signature[end], 0)
            end += 1
            if depth == 0:
                break
        yield signature[start:end]
        start = end


class Message(NamedTuple):
    kind: int
    serial: int
    fields: dict[int, Any]
    body: bytes


def reply(kind: int, serial: int, error: str = "", body: bytes = b"", *, flip: bool = False) -> bytes:
    """A message as a daemon sends one."""
    fields = bytearray()
    fields += b"\5\1u\0" + struct.pack("<I", serial)
    if error:
        fields += b"\4\1s\0" + struct.pack("<I", len(error)) + error.encode() + b"\0"
    head = struct.pack("<cBBBIII", b"B" if flip else b"l", kind, 1, 1, len(body), 7, len(fields))
    return head + bytes(fields) + bytes(-(len(head) + len(fields)) % 8) + body


class Peer:
    """The accepted end of a connection: reads like a bus, and says what a test wants said."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._data = b""

    def take(self, size: int) -> bytes:
        while len(self._data) < size:
            data = self._connection.recv(4096)
            if not data:
                raise EOFError
            self._data += data
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def line(self) -> bytes:
        found = b""
        while not found.endswith(b"\r\n"):
            found += self.take(1)
        return found

    def say(self, data: bytes) -> None:
        self._connection.sendall(data)

    def accept(self) -> None:
        assert self.line() == b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n"
        assert self.line() == b"BEGIN\r\n"
        self.say(b"OK 0123456789abcdef0123456789abcdef\r\n")

    def message(self) -> Message:
        head = self.take(16)
        order, kind, _, version, body, serial, fields = struct.unpack("<cBBBIII", head)
        assert (order, version) == (b"l", 1)
        rest = self.take(fields + -fields % 8)
        reader = Reader(head + rest[:fields])
        reader.at = 12
        return Message(kind, serial, dict(reader.value("a(yv)")), self.take(body))

    def flood(self, data: bytes) -> None:
        """Until the other side has had enough."""
        with contextlib.suppress(OSError):
            while True:
                self.say(data)

    def wait_for_the_end(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            self.take(1 << 30)


Talk = Callable[[Peer], object]
Serve = Callable[[Talk], str]


@pytest.fixture
def serve(tmp_path: os.PathLike[str]) -> Iterator[Serve]:
    """Listens at a path, which it returns, and lets the test's own function talk to whoever connects."""
    threads, failures = [], []

    def run(listener: socket.socket, talk: Talk) -> None:
        with listener:
            connection, _ = listener.accept()
        with connection:
            connection.settimeout(ENOUGH)
            try:
                talk(Peer(connection))
            except Exception as failure:  # noqa: BLE001  the fixture's end reports it
                failures.append(failure)

    def start(talk: Talk) -> str:
        path = os.path.join(tmp_path, f"socket{len(threads)}")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        threads.append(threading.Thread(target=run, args=(listener, talk), daemon=True))
        threads[-1].start()
        return path

    yield start
    for thread in threads:
        thread.join(ENOUGH)
        assert not thread.is_alive()
    assert failures == []


def ask(path: str, seconds: float = ENOUGH, *, bus: bool = False) -> None:
    connection = Connection(path, bus=bus, seconds=seconds)
    try:
        connection.finish(connection.send(CALL))
    finally:
        connection.close()


def test_a_call_is_what_the_specification_says(serve: Serve) -> None:
    heard: list[Message] = []

    def talk(peer: Peer) -> None:
        peer.accept()
        heard.append(peer.message())
        peer.say(reply(RETURN, heard[0].serial))

    ask(serve(talk))
    ((kind, serial, fields, body),) = heard
    assert kind == 1
    assert serial != 0
    assert fields == {1: CALL.path, 2: CALL.interface, 3: CALL.member, 6: CALL.destination, 8: "s"}
    assert Reader(body).value("s") == "hi"


def test_on_a_bus_a_name_is_asked_for_first(serve: Serve) -> None:
    members: list[str] = []

    def talk(peer: Peer) -> None:
        peer.accept()
        for _ in range(2):
            message = peer.message()
            members.append(message.fields[3])
            peer.say(reply(RETURN, message.serial))

    ask(serve(talk), bus=True)
    assert members == ["Hello", "Do"]


def test_everything_is_sent_before_anything_is_answered(serve: Serve) -> None:
    """The launch goes on while systemd works."""

    def talk(peer: Peer) -> None:
        for _ in range(2):
            peer.line()
        assert [peer.message().fields[3] for _ in range(2)] == ["Hello", "Do"]

    connection = Connection(serve(talk), bus=True, seconds=ENOUGH)
    connection.send(CALL)
    connection.close()


def test_signals_and_answers_to_others_are_passed_over(serve: Serve) -> None:
    def talk(peer: Peer) -> None:
        peer.accept()
        serial = peer.message().serial
        peer.say(reply(SIGNAL, serial) + reply(ERROR, serial + 1, "no.Such") + reply(RETURN, 0))
        # In pieces, as a stream may come.
        for byte in reply(RETURN, serial, body=b"\0" * 11):
            peer.say(bytes((byte,)))

    ask(serve(talk))


def test_an_error_names_itself(serve: Serve) -> None:
    def talk(peer: Peer) -> None:
        peer.accept()
        peer.say(reply(ERROR, peer.message().serial, "org.example.NotYou"))

    with pytest.raises(PermissionError, match=r"org\.example\.NotYou"):
        ask(serve(talk))


def head(body: int, fields: int) -> bytes:
    return struct.pack("<cBBBIII", b"l", RETURN, 0, 1, body, 1, fields)


BAD_ANSWERS: dict[str, bytes] = {
    "the other byte order": reply(RETURN, 1, flip=True),
    "fields without end": head(0, 0xFFFFFFFF),
    "a body without end": head(0xFFFFFFF0, 0),
    "a field that is cut off": head(0, 8) + b"\5\1u\0\0\0\0"[:7] + b"\1",
    "an array": head(0, 8) + b"\5\2au\0\0\0\0",
    "a name past the end": head(0, 8) + b"\4\1s\0\xff\xff\xff\xff",
    "a number past the end": head(0, 5) + b"\5\1u\0\0\0\0\0",
    "half a message": reply(RETURN, 1)[:20],
    "nothing": b"",
}


@pytest.mark.parametrize("answer", BAD_ANSWERS)
def test_an_answer_that_is_none_fails(answer: str, serve: Serve) -> None:
    def talk(peer: Peer) -> None:
        peer.accept()
        peer.message()
        peer.say(BAD_ANSWERS[answer])

    with pytest.raises(OSError):
        ask(serve(talk), SOON)


@pytest.mark.parametrize("line", [b"REJECTED EXTERNAL\r\n", b"ERROR\r\n", b"\r\n", b"O" * 9000, b""])
def test_whoever_does_not_accept_us_is_left(line: bytes, serve: Serve) -> None:
    def talk(peer: Peer) -> None:
        peer.line()
        peer.say(line)

    with pytest.raises(OSError):
        ask(serve(talk), SOON)


FLOODS = {
    "silence": None,
    "signals": reply(SIGNAL, 0) * 100,
    "answers to others": reply(RETURN, 0xFFFFFFFF) * 100,
}


@pytest.mark.parametrize("flood", FLOODS)
def test_nobody_keeps_us_longer_than_agreed(flood: str, serve: Serve) -> None:
    def talk(peer: Peer) -> None:
        peer.accept()
        peer.message()
        data = FLOODS[flood]
        peer.wait_for_the_end() if data is None else peer.flood(data)

    with pytest.raises(TimeoutError):
        ask(serve(talk), SOON)


def test_a_socket_of_another_user_is_not_spoken_to(tmp_path: os.PathLike[str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be another user; the suite runs as root as well")
    path = os.path.join(tmp_path, "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listening, told = os.pipe()
    other = os.fork()
    if other == 0:
        try:
            os.setuid(65534)
            # Whose it is, is noted here (unix(7), SO_PEERCRED).
            listener.listen()
            os.write(told, b"!")
            connection, _ = listener.accept()
            os._exit(1 if connection.recv(1) else 0)
        finally:
            os._exit(2)
    listener.close()
    assert os.read(listening, 1) == b"!"
    with pytest.raises(PermissionError, match="65534"):
        Connection(path, bus=False, seconds=ENOUGH)
    # It was told nothing.
    assert os.waitpid(other, 0)[1] == 0
    os.close(listening)
    os.close(told)


def test_numbers_of_64_bits_are_aligned() -> None:
    writer = Writer()
    writer.properties({"A": Variant("t", 1 << 40), "BB": Variant("as", []), "C": Variant("t", 3)})
    assert Reader(bytes(writer.data)).value("a(sv)") == [("A", 1 << 40), ("BB", []), ("C", 3)]


@pytest.fixture
def ended() -> Iterator[int]:
    """A child that is dead and not reaped."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    yield pid
    os.waitpid(pid, 0)


def start_request(peer: Peer) -> Message:
    peer.accept()
    message = peer.message()
    assert message.fields[3] == "StartTransientUnit"
    assert message.fields[8] == "ssa(sv)a(sa(sv))"
    return message


def test_systemd_is_asked_for_a_delegated_scope_around_the_process(serve: Serve, ended: int) -> None:
    heard: list[Message] = []

    def talk(peer: Peer) -> None:
        heard.append(start_request(peer))

    request = ScopeRequest(serve(talk), bus=False, pid=ended)
    with pytest.raises(OSError):
        request.finish()
    unit, mode, properties, auxiliary = Reader(heard[0].body).values("ssa(sv)a(sa(sv))")
    assert (unit, mode, auxiliary) == (request.unit, "fail", [])
    assert dict(properties) == {
        "Description": "MCP server in its sandbox",
        "PIDs": [ended],
        "DelegateControllers": ["cpu", "memory", "pids"],
        "CollectMode": "inactive-or-failed",
        "CPUAccounting": 1,
        "MemoryAccounting": 1,
        "TasksAccounting": 1,
    }


def test_a_scope_whose_process_ended_first_is_stopped(serve: Serve, ended: int) -> None:
    stopped: list[list[str]] = []

    def talk(peer: Peer) -> None:
        peer.say(reply(RETURN, start_request(peer).serial))
        stop = peer.message()
        assert stop.fields[3] == "StopUnit"
        stopped.append(Reader(stop.body).values("ss"))
        peer.say(reply(RETURN, stop.serial))

    request = ScopeRequest(serve(talk), bus=False, pid=ended)
    with pytest.raises(ProcessLookupError):
        request.finish()
    assert stopped == [[request.unit, "replace"]]
    with pytest.raises(ProcessLookupError):
        os.kill(request._stopper.pid, 0)


def test_a_scope_is_stopped_for_a_supervisor_that_is_killed(tmp_path: os.PathLike[str], ended: int) -> None:
    path = os.path.join(tmp_path, "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(ENOUGH)
        supervisor = os.fork()
        if supervisor == 0:
            try:
                ScopeRequest(path, bus=False, pid=ended)
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        units = []
        # The second one is refused, as by a systemd that has not come to the first one yet.
        for member, answer in (("StartTransientUnit", None), ("StopUnit", ERROR), ("StopUnit", RETURN)):
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(ENOUGH)
                peer = Peer(connection)
                peer.line()
                peer.line()
                if answer is not None:
                    peer.say(b"OK \r\n")
                message = peer.message()
                assert message.fields[3] == member
                units.append(Reader(message.body).value("s"))
                if answer is not None:
                    peer.say(reply(answer, message.serial, "org.example.No" if answer == ERROR else ""))
        assert len(set(units)) == 1
    os.waitpid(supervisor, 0)


def test_a_refusal_of_systemd_is_told(serve: Serve, tmp_path: os.PathLike[str], ended: int) -> None:
    def talk(peer: Peer) -> None:
        peer.accept()
        peer.say(reply(ERROR, peer.message().serial, "org.freedesktop.DBus.Error.AccessDenied"))

    request = ScopeRequest(serve(talk), bus=False, pid=ended)
    limits = Limits(memory=1 << 20, cpu=100, processes=1, files=16)
    placed = group._Begun(ended, limits, 8, str(tmp_path), request).complete()
    assert isinstance(placed, group.Refusal)
    assert "no cgroup is delegated to this user" in placed.reason
    assert "org.freedesktop.DBus.Error.AccessDenied" in placed.reason
    assert "Delegate=yes" in placed.mend
    assert "enable-linger" in placed.mend


def test_nothing_listens_where_a_socket_was(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
    with pytest.raises(ConnectionRefusedError):
        Connection(path, bus=True, seconds=ENOUGH)
