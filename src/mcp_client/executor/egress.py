"""The outer half of the allowlist, beside the server: takes over what init made inside, and answers it."""

from __future__ import annotations

import _socket
import select
import time

from mcp_client.light import TYPE_CHECKING, deque
from mcp_client.network.addresses import from_packed
from mcp_client.sandbox.linux.egress import DECIDED, LISTENER, NAMES, REFUSED, Message, receive, send

if TYPE_CHECKING:
    from mcp_client.network.engine.engine import Engine

_MESSAGES_A_TURN = 64
# More than the socket holds, once init is gone.
_LAST_TURNS = 16
# A server may write, close and exit at once; what it wrote gets so much time to be on its way.
_LAST_BYTES_SECONDS = 2.0


class Egress:
    """Driven by the supervisor's poll(2), like the engine that it feeds."""

    def __init__(self, channel: int, engine: Engine) -> None:
        """``channel`` is the supervisor's end of the socket to init, non-blocking."""
        self._channel = _socket.socket(fileno=channel)
        self._engine = engine
        self._open = True
        self._answers: deque[int] = deque()

    @property
    def due_at(self) -> float | None:
        """When move() is to be called even if nothing happens, by the monotonic clock."""
        return self._engine.due_at

    def watch(self, poll: select.poll) -> None:
        """Register all that move() waits for."""
        poll.register(self._channel, select.POLLIN)
        poll.register(self._engine, select.POLLIN)

    def move(self, poll: select.poll, ready: dict[int, int]) -> None:
        """Do what there is to do, without waiting."""
        if self._channel.fileno() in ready and self._open:
            self._open = self._take_over() and self._answer()
            if self._open:
                poll.modify(self._channel, select.POLLIN | (select.POLLOUT if self._answers else 0))
            else:
                poll.unregister(self._channel)
        due = self._engine.due_at
        if self._engine.fileno() in ready or (due is not None and time.monotonic() >= due):
            self._engine.run_once(0)

    def close(self) -> list[dict[str, object]]:
        """End all connections of a server that is gone; what there was, for the audit record."""
        # What it tried last may still be in the socket, and belongs in the record.
        for _ in range(_LAST_TURNS):
            self._open = self._open and self._take_over()
        self._engine.finish(_LAST_BYTES_SECONDS)
        self._engine.close()
        self._channel.close()
        return self._engine.to_record()

    def _take_over(self) -> bool:
        """False when init is gone."""
        for _ in range(_MESSAGES_A_TURN):
            try:
                message = receive(self._channel)
            except BlockingIOError:
                return True
            except OSError:
                # Descriptors that did not fit were closed by the kernel; without them there is nothing to do.
                continue
            if message is None:
                return False
            self._act(message)
        return True

    def _act(self, message: Message) -> None:
        sockets = [_socket.socket(fileno=descriptor) for descriptor in message.descriptors]
        if message.kind == NAMES:
            self._engine.serve_names(*sockets)
        elif message.kind == LISTENER:
            for listener in sockets:
                self._engine.add_listener(listener)
            self._answers.append(message.call)
        elif message.kind == REFUSED and message.endpoint is None:
            self._engine.refuse_unseen()
        elif message.kind == REFUSED and message.endpoint is not None:
            self._engine.refuse(from_packed(message.endpoint.address), message.endpoint.port)

    def _answer(self) -> bool:
        """As far as the socket has room; False when init is gone."""
        while self._answers:
            try:
                send(self._channel, Message(DECIDED, self._answers[0]))
            except BlockingIOError:
                return True
            except (BrokenPipeError, ConnectionResetError):
                # The latter where it went without having read all (unix(7)).
                return False
            self._answers.popleft()
        return True
