"""What is under way to the server: messages with their answers, and the stream of what it begins itself."""

from typing import Protocol

from mcp_client.executor.bridge.events import Event, EventParser
from mcp_client.executor.bridge.messages import (
    CONNECTION_CLOSED,
    INITIALIZE,
    INVALID_REQUEST,
    Message,
    answered,
    error,
    parse,
    with_id,
)
from mcp_client.executor.bridge.session import Session, closing_cancels, revision_of
from mcp_client.executor.bridge.streams import LONGEST_LINE
from mcp_client.executor.bridge.transfer import Receiver, Transfer

_JSON, _EVENTS = b"application/json", b"text/event-stream"
_OK, _ACCEPTED, _FIRST_FAILURE, _SERVER_FAILURE = 200, 202, 400, 500
# How often a stream that broke is asked for again before anything new has come by it.
_MOST_RESUMES = 5
_RESUME_SECONDS, _LONGEST_RESUME_SECONDS = 1.0, 30.0


class Carrier(Protocol):
    """What a call needs of the bridge."""

    session: Session
    gone: bool

    def open(
        self, receiver: Receiver, method: str, message: Message | None, last_event: bytes | None
    ) -> Transfer:
        """One HTTP request: the ``message``, or a GET that may continue a stream."""

    def deliver(self, line: bytes) -> None:
        """Give the client a message."""

    def later(self, seconds: float, call: "Call | Feed") -> None:
        """Let ``call`` go on after that time."""

    def on_accepted(self, call: "Call") -> None:
        """The server has taken it."""

    def on_answered(self, call: "Call") -> None:
        """Every request inside has its answer; more may follow."""

    def on_done(self, call: "Call") -> None:
        """Nothing follows any more."""


class _Stream:
    """Where in a stream of events we are, and how often it was asked for in vain."""

    def __init__(self) -> None:
        self.parser = EventParser()
        self.last_event: bytes | None = None
        self.pause: float | None = None
        self.tries = 0

    def note(self, event: Event) -> None:
        """Remember what a new request would say."""
        self.tries = 0
        self.last_event = event.id or self.last_event
        if event.retry is not None:
            self.pause = min(event.retry / 1000, _LONGEST_RESUME_SECONDS)

    def next_pause(self) -> float:
        """Count a try, and say when."""
        self.parser = EventParser()
        self.tries += 1
        if self.pause is not None:
            return self.pause
        return min(_RESUME_SECONDS * (1 << min(self.tries - 1, 10)), _LONGEST_RESUME_SECONDS)


class Call:
    """One POST: ``open_ids`` are the requests inside that have no answer yet."""

    def __init__(self, carrier: Carrier, message: Message) -> None:
        """Call :meth:`go_on` to begin."""
        self.message = message
        self.open_ids = message.ids
        self.revision = revision_of(message) or carrier.session.revision
        self.transfer: Transfer | None = None
        self._carrier = carrier
        self._stream: _Stream | None = None
        self._status, self._type, self._session = 0, b"", b""
        self._body = bytearray()
        self._done = False

    def go_on(self) -> None:
        """Send it, or ask for the rest of its stream."""
        if self._done:
            return
        method, last = ("POST", None) if self._stream is None else ("GET", self._stream.last_event)
        message = self.message if self._stream is None else None
        transfer = self._carrier.open(self, method, message, last)
        # Everything may have happened by now.
        if not self._done:
            self.transfer = transfer

    def cancel(self) -> None:
        """The client does not want it any more: closing the connection says so."""
        self._finish()

    def fail(self, text: str, code: int = CONNECTION_CLOSED) -> None:
        """Whoever still waits gets an error."""
        for identifier in self.open_ids.values():
            self._carrier.deliver(error(identifier, code, text))
        self.open_ids.clear()
        self._finish()

    def on_head(self, status: int, fields: dict[bytes, bytes]) -> None:
        """As a receiver."""
        self._status = status
        self._type = fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if self._stream is not None and (status != _OK or self._type != _EVENTS):
            self.fail(f"the server does not continue the stream (status {status})")
            return
        self._session = fields.get(b"mcp-session-id", b"")
        if self._type == _EVENTS and self._stream is None:
            self._stream = _Stream()
        self._carrier.on_accepted(self)

    def on_data(self, data: bytes) -> None:
        """As a receiver."""
        if self._stream is None or self._type != _EVENTS:
            self._body += data
            if len(self._body) > LONGEST_LINE:
                self.fail("the server's answer is too large")
            return
        try:
            events = self._stream.parser.feed(data)
        except ValueError as unfit:
            self.fail(f"the server's answer is not usable: {unfit}")
            return
        for event in events:
            self._stream.note(event)
            message = parse(event.data) if event.name == b"message" and event.data else None
            if message is not None:
                self._take(message, event.data)

    def on_end(self) -> None:
        """As a receiver."""
        if self._stream is not None:
            self._resume("the server ended the stream without an answer")
        elif not self.open_ids:
            self._finish()
        elif self._status == _ACCEPTED:
            self.fail("the server accepted the request and will not answer it", INVALID_REQUEST)
        elif self._status >= _FIRST_FAILURE or self._type == _JSON:
            self._take_body()
        else:
            shown = self._type.decode("latin-1") or "nothing"
            self.fail(f"the server answered with status {self._status} and {shown}", INVALID_REQUEST)

    def on_lost(self) -> None:
        """As a receiver."""
        if self._stream is None:
            self.fail("the server does not answer")
        else:
            self._resume("the connection to the server broke")

    def _take(self, message: Message, raw: bytes) -> None:
        self._carrier.deliver(raw)
        before = len(self.open_ids)
        for key, part in answered(message):
            if self.open_ids.pop(key, None) is not None or key in self.message.ids:
                self._learn(part.get("result"))
        if before and not self.open_ids:
            self._carrier.on_answered(self)

    def _take_body(self) -> None:
        message = parse(bytes(self._body))
        if message is None or not message.is_answer:
            text = "status" if self._status >= _FIRST_FAILURE else "something else than JSON, with status"
            code = INVALID_REQUEST if self._status < _SERVER_FAILURE else CONNECTION_CLOSED
            self.fail(f"the server answered with {text} {self._status}", code)
            return
        part = message.parts[0]
        if len(self.open_ids) == 1 and part.get("id") is None and "error" in part:
            (identifier,) = self.open_ids.values()
            self.open_ids.clear()
            self._carrier.deliver(with_id(part, identifier))
        else:
            self._take(message, message.raw)
        self.fail("the server did not answer this request")

    def _learn(self, result: object) -> None:
        if not isinstance(result, dict):
            return
        if self.message.method == INITIALIZE:
            self._carrier.session.begin(result, self._session.decode("latin-1") or None)
        elif self.message.method == "tools/list":
            self._carrier.session.learn_tools(result)

    def _resume(self, why: str) -> None:
        stream = self._stream
        if not self.open_ids:
            self._finish()
        elif (
            stream is None
            or stream.last_event is None
            or stream.tries >= _MOST_RESUMES
            or closing_cancels(self.revision)
            or self._carrier.gone
        ):
            self.fail(why)
        else:
            self.transfer = None
            self._carrier.later(stream.next_pause(), self)

    def _finish(self) -> None:
        if not self._done:
            self._done = True
            if self.transfer is not None:
                self.transfer.close()
            self._carrier.on_done(self)


class Feed:
    """The GET stream of a session: what the server says without having been asked (2025-11-25)."""

    def __init__(self, carrier: Carrier) -> None:
        """Call :meth:`go_on` to begin."""
        self.transfer: Transfer | None = None
        self._carrier = carrier
        self._stream = _Stream()
        self._refused = self._closed = False

    def go_on(self) -> None:
        """Ask for the stream, or for what follows of it."""
        if not self._closed:
            self.transfer = self._carrier.open(self, "GET", None, self._stream.last_event)

    def close(self) -> None:
        """Nobody listens any more."""
        self._closed = True
        if self.transfer is not None:
            self.transfer.close()

    def on_head(self, status: int, fields: dict[bytes, bytes]) -> None:
        """As a receiver."""
        kind = fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
        # Mostly 405: the server has nothing to say by itself.
        self._refused = status != _OK or kind != _EVENTS
        if self._refused and status < _SERVER_FAILURE:
            self.close()

    def on_data(self, data: bytes) -> None:
        """As a receiver."""
        if self._refused:
            return
        try:
            events = self._stream.parser.feed(data)
        except ValueError:
            self.close()
            return
        for event in events:
            self._stream.note(event)
            if event.name == b"message" and event.data and parse(event.data) is not None:
                self._carrier.deliver(event.data)

    def on_end(self) -> None:
        """As a receiver."""
        if not self._carrier.gone and not self._closed:
            self._carrier.later(self._stream.next_pause(), self)

    on_lost = on_end


class Farewell:
    """The DELETE that ends a session; whatever the server says to it."""

    def __init__(self, carrier: Carrier) -> None:
        """Begins at once."""
        self.done = False
        self._transfer = carrier.open(self, "DELETE", None, None)

    def on_head(self, status: int, fields: dict[bytes, bytes]) -> None:
        """As a receiver."""

    def on_data(self, data: bytes) -> None:
        """As a receiver."""

    def on_end(self) -> None:
        """As a receiver."""
        self.done = True

    on_lost = on_end
