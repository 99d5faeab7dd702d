"""The stream out of the sandbox: in any pieces, with any lies."""

import struct

import pytest

from mcp_client.compiled.records import MARK, RecordsError, read_records


def record(name, data, size=None):
    return struct.pack(">HI", len(name), len(data) if size is None else size) + name + data


END = bytes(6)
GOOD = MARK + record(b"one", b"1") + record(b"two", b"") + record(b"three", b"3" * 1000) + END
PARSED = [(b"one", b"1"), (b"two", b""), (b"three", b"3" * 1000)]


def read(*chunks, most_bytes=10_000, most_records=100):
    return list(read_records(chunks, most_bytes=most_bytes, most_records=most_records))


@pytest.mark.parametrize("size", [1, 2, 7, 100, 5000])
def test_any_pieces(size):
    assert read(*(GOOD[at : at + size] for at in range(0, len(GOOD), size))) == PARSED


def test_what_was_printed_before_is_nothing():
    assert read(b"noise " + record(b"none", b"x") + GOOD) == PARSED


def test_what_follows_the_end_is_not_read():
    def chunks():
        yield GOOD + b"more"
        raise AssertionError

    assert list(read_records(chunks(), most_bytes=10_000, most_records=100)) == PARSED


@pytest.mark.parametrize("left", [0, 1, 5, 8, 12, len(GOOD) - len(MARK) - 7])
def test_broken_off_in_the_middle(left):
    whole = read(GOOD[: len(MARK) + left])
    assert whole == PARSED[: len(whole)]
    assert len(whole) < len(PARSED)


@pytest.mark.parametrize(
    "stream",
    [
        MARK + record(b"n" * 257, b""),
        MARK + record(b"one", b"", (64 << 20) + 1),
        MARK + record(b"one", b"", 0xFFFFFFFF),
        MARK + record(b"one", b"x" * 20_000),
        MARK + record(b"x", b"") * 101,
    ],
    ids=["name", "data", "most", "bytes", "records"],
)
def test_too_much(stream):
    with pytest.raises(RecordsError):
        read(stream)


def test_too_much_before_the_first():
    with pytest.raises(RecordsError):
        read(*[b"x" * 65536] * 32, most_bytes=1 << 30)


def test_nothing_at_all():
    assert read() == read(b"") == read(MARK) == read(b"no mark") == []
