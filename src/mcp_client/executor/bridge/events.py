"""Server-sent events (HTML standard, 9.2.6), from bytes in any portions."""

from typing import NamedTuple

# All lines of one event together.
LONGEST_EVENT = 64 << 20


class Event(NamedTuple):
    """``id`` and ``retry`` (milliseconds) are None where this event does not say."""

    data: bytes
    name: bytes = b"message"
    id: bytes | None = None
    retry: int | None = None


class EventParser:
    """Raises ValueError for an event that is too large."""

    def __init__(self) -> None:
        """At the beginning of a stream."""
        self._rest: list[bytes] = []
        self._rest_size = 0
        self._begun = False
        self._data: list[bytes] = []
        self._size = 0
        self._name = b"message"
        self._id: bytes | None = None
        self._retry: int | None = None

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes; one without data is there for its ``id`` or ``retry``."""
        self._rest.append(data)
        self._rest_size += len(data)
        if self._rest_size + self._size > LONGEST_EVENT:
            raise ValueError("an event is too large")
        if b"\n" not in data and b"\r" not in data:
            return []
        text = b"".join(self._rest)
        if not self._begun:
            self._begun = True
            text = text.removeprefix(_MARK)
        # A carriage return at the very end may be half of a line's end.
        held = b"\r" if text.endswith(b"\r") else b""
        text = text.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self._rest = [rest + held]
        self._rest_size = len(self._rest[0])
        return [event for line in lines if (event := self._take(line)) is not None]

    def _take(self, line: bytes) -> Event | None:
        if not line:
            event = Event(b"\n".join(self._data), self._name, self._id, self._retry)
            empty = not self._data and self._id is None and self._retry is None
            self._clear()
            return None if empty else event
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._size += len(value)
        elif field == b"event":
            self._name = value or b"message"
        elif field == b"id" and b"\0" not in value:
            self._id = value
        elif field == b"retry" and value.isdigit() and len(value) <= _DIGITS:
            self._retry = int(value)
        return None

    def _clear(self) -> None:
        self._data = []
        self._size = 0
        self._name, self._id, self._retry = b"message", None, None


_MARK = b"\xef\xbb\xbf"
_DIGITS = 9
