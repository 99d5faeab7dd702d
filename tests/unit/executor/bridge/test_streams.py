"""Lines from pipes and to pipes."""

import os

from mcp_client.executor.bridge import streams
from mcp_client.executor.bridge.streams import LineReader, LineWriter


def reading(*portions):
    read, write = os.pipe()
    reader = LineReader(read)
    for portion in portions:
        os.write(write, portion)
        yield reader, reader.read()
    os.close(write)
    yield reader, reader.read()
    os.close(read)


def test_lines_in_portions():
    found = [lines for _, lines in reading(b"on", b"e\ntwo\n\nth", b"ree\r\n \nfo", b"ur")]
    assert found == [[], [b"one", b"two"], [b"three\r"], [], [b"four"]]


def test_a_line_without_end_is_an_end(monkeypatch):
    monkeypatch.setattr(streams, "LONGEST_LINE", 10)
    *_, (reader, lines) = list(reading(b"x" * 20))[:1]
    assert (reader.ended, reader.too_long, lines) == (True, True, [])


def test_a_message_is_one_line():
    read, write = os.pipe()
    writer = LineWriter(write)
    writer.write(b'{\r\n "a": 1\n}')
    writer.flush()
    assert os.read(read, 99) == b'{   "a": 1 }\n'
    assert writer.pending == 0
    os.close(read)
    writer.write(b"x")
    writer.flush()
    assert writer.broken
    assert writer.pending == 0
    os.close(write)
