"""Init's hand in the allowlist: what the server wants to reach gets a listener, if it leads anywhere."""

import _socket
import os

from mcp_client.sandbox.linux.egress import (
    DECIDED,
    LISTENER,
    NAMES,
    REFUSED,
    Endpoint,
    Message,
    listen,
    open_way,
    receive,
    send,
    wanted_endpoint,
)
from mcp_client.sandbox.spec import Way

_PROTOCOL = "system.sockprotoname"
_DATAGRAMS = frozenset({b"UDP\0", b"UDPv6\0"})
_LOOPBACK_V4, _LOOPBACK_V6 = 127, bytes(15) + b"\1"


class Exits:
    """What leads out, and the channel to whom decides; ``attended`` as long as he is there."""

    def __init__(self, way: Way, channel: int) -> None:
        """``channel`` is init's end of libc.make_message_sockets(); the supervisor has the other one."""
        self._way = way
        self._channel = _socket.socket(fileno=channel)
        self.attended = True

    @property
    def descriptor(self) -> int:
        """Readable when the supervisor has decided."""
        return self._channel.fileno()

    def close(self) -> None:
        """In the supervisor, whose end is the other one."""
        self._channel.close()

    def open(self) -> None:
        """Lead the way to our name service, while init may still administer its network. Raises OSError."""
        names = open_way(self._way)
        descriptors = tuple(end.fileno() for end in names)
        send(self._channel, Message(NAMES, descriptors=descriptors))
        for end in names:
            end.close()

    def ask(self, call: int, thread: int, arguments: tuple[int, int, int]) -> bool:
        """Whether a connect(2) with these ``arguments`` may go on now; if not, answers() names it later.

        It may always go on in the end, since all it can meet is a listener that was decided about, or none:
        what is looked at here is only a hint (seccomp_unotify(2), about time of check to time of use).
        """
        descriptor, pointer, size = arguments
        try:
            endpoint = wanted_endpoint(thread, pointer, size & 0xFFFFFFFF)
            if endpoint is None or not _is_stream(thread, descriptor & 0xFFFFFFFF):
                return True
            return not self._prepare(call, endpoint)
        except PermissionError:
            self._tell(Message(REFUSED))
            return True
        except OSError:
            # Too many descriptors or messages at once: the connection is refused, and may be tried again.
            return True

    def _tell(self, message: Message) -> None:
        try:
            send(self._channel, message)
        except OSError:
            # As above; it is only counted.
            return

    def _prepare(self, call: int, endpoint: Endpoint) -> bool:
        """Whether the supervisor was asked."""
        if not self._leads_out(endpoint):
            if not _is_loopback(endpoint.address):
                send(self._channel, Message(REFUSED, endpoint=endpoint))
            return False
        listener = listen(endpoint)
        if listener is None:
            return False
        try:
            send(self._channel, Message(LISTENER, call, descriptors=(listener.fileno(),)))
        finally:
            listener.close()
        return True

    def answers(self) -> list[int]:
        """The calls that were decided about by now."""
        decided: list[int] = []
        while True:
            try:
                message = receive(self._channel)
            except BlockingIOError:
                return decided
            if message is None:
                self.attended = False
                return decided
            if message.kind == DECIDED:
                decided.append(message.call)

    def _leads_out(self, endpoint: Endpoint) -> bool:
        bits = len(endpoint.address) * 8
        number = int.from_bytes(endpoint.address, "big")
        return any(
            len(address) * 8 == bits and not (number ^ int.from_bytes(address, "big")) >> (bits - prefix)
            for address, prefix in self._way.networks
        )


def _is_stream(thread: int, descriptor: int) -> bool:
    """Resolvers connect datagram sockets to see which address they would have. Unknown counts as a stream.

    By name (sockfs): a copy of the descriptor could be its last one, and closing that may wait for as long as
    the server wants (SO_LINGER, socket(7)).
    """
    path = f"/proc/{thread}/fd/{descriptor}"
    try:
        # Nothing but a socket is asked: a file system of the server's might never answer.
        return not os.readlink(path).startswith("socket:") or os.getxattr(path, _PROTOCOL) not in _DATAGRAMS
    except OSError:
        return True


def _is_loopback(address: bytes) -> bool:
    """The server's own, where it may talk to itself."""
    return address == _LOOPBACK_V6 or (address[0] == _LOOPBACK_V4 and len(address) != len(_LOOPBACK_V6))
