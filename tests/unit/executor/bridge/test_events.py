"""Server-sent events, in any portions."""

import pytest

from mcp_client.executor.bridge import events
from mcp_client.executor.bridge.events import Event, EventParser

STREAM = (
    b'\xef\xbb\xbfid: 1\nretry: 250\ndata: {"a":1}\n\n'
    b": a comment\r\n\r\n"
    b"event: other\rdata:no blank\rdata:  two\r\r"
    b"id\ndata\n\n"
    b"unknown: x\ndata: last\n\n"
    b"data: never finished\n"
)
EXPECTED = [
    Event(b'{"a":1}', id=b"1", retry=250),
    Event(b"no blank\n two", b"other"),
    Event(b"", id=b""),
    Event(b"last"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_the_portions_do_not_matter(size):
    parser = EventParser()
    found = []
    for start in range(0, len(STREAM), size):
        found += parser.feed(STREAM[start : start + size])
    assert found == EXPECTED


@pytest.mark.parametrize("line", [b"id: a\0b", b"retry: 1s", b"retry: 1234567890", b"retry:"])
def test_a_field_that_says_nothing(line):
    assert EventParser().feed(line + b"\ndata: x\n\n") == [Event(b"x")]


def test_what_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr(events, "LONGEST_EVENT", 1000)
    for portion in (b"x" * 100, b"data: " + b"x" * 90 + b"\n"):
        parser = EventParser()
        with pytest.raises(ValueError, match="too large"):
            list(map(parser.feed, [portion] * 20))
