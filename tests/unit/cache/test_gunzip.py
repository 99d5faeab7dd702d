"""The same bytes and the same refusals, whichever library decompresses."""

import gzip
import os
import random
import subprocess
import sys
import zlib

import pytest

from mcp_client.cache import gunzip as module
from mcp_client.cache.gunzip import PIECE, gunzip
from mcp_client.errors import MCPError

LIMIT = 1 << 30
TEXT = b"".join(b"line %d of a file\n" % (n * n) for n in range(4000))
DATA = (b"", b"x", TEXT, bytes(600_000), random.Random(1).randbytes(3000))


@pytest.fixture(params=["zlib", "zlib_ng.zlib_ng"])
def library(request, monkeypatch):
    monkeypatch.setattr(module, "zlib", pytest.importorskip(request.param))


def unpacked(data, size=700):
    return b"".join(gunzip([data[at : at + size] for at in range(0, len(data), size)], LIMIT))


def outcome(data):
    try:
        return unpacked(data)
    except MCPError as error:
        return error.code, error.message


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("level", [0, 1, 6, 9])
@pytest.mark.parametrize("size", [1, 700, 1 << 20])
def test_what_was_compressed_comes_back(level, size):
    for data in DATA:
        compressed = gzip.compress(data[:2000] if size == 1 else data, level)
        assert unpacked(compressed, size) == gzip.decompress(compressed)


@pytest.mark.usefixtures("library")
def test_pieces_are_bounded_however_much_one_byte_stands_for():
    assert max(map(len, gunzip([gzip.compress(bytes(20 << 20))], LIMIT))) <= PIECE


@pytest.mark.usefixtures("library")
def test_no_more_than_the_limit_is_ever_yielded():
    sizes = []
    pieces = gunzip([gzip.compress(bytes(10 << 20))], 1_000_000)
    with pytest.raises(MCPError) as caught:
        sizes.extend(map(len, pieces))
    assert caught.value.code == "bundle-too-large"
    assert 1_000_000 - PIECE <= sum(sizes) <= 1_000_000


@pytest.mark.usefixtures("library")
def test_an_empty_piece_in_between_means_nothing():
    compressed = gzip.compress(TEXT)
    assert b"".join(gunzip([b"", compressed[:50], b"", compressed[50:], b""], LIMIT)) == TEXT


def damaged(number):
    """Streams with wrong bits, above all in headers, code tables and trailers; some cut short."""
    rng = random.Random(number)
    compressor = zlib.compressobj(rng.choice((1, 6, 9)), zlib.DEFLATED, 31, 9, rng.choice((0, zlib.Z_FIXED)))
    data = rng.choice((TEXT[: rng.randrange(3000)], rng.randbytes(200), bytes(2000)))
    stream = bytearray(compressor.compress(data) + compressor.flush())
    if rng.random() < 0.3:
        flags = bytes([rng.randrange(256)])
        stream[3:10] = flags + stream[4:10] + rng.choice((b"", b"\2\0ab", b"name\0", b"name\0note\0"))
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        at = rng.choice((rng.randrange(12), rng.randrange(len(stream)), rng.randrange(-8, 0)))
        stream[at] ^= 1 << rng.randrange(8)
    return bytes(stream[: rng.randrange(len(stream))] if rng.random() < 0.2 else stream)


def test_both_libraries_take_and_refuse_the_same(monkeypatch):
    streams = [damaged(number) for number in range(3000)]
    outcomes = []
    for name in ("zlib", "zlib_ng.zlib_ng"):
        monkeypatch.setattr(module, "zlib", pytest.importorskip(name))
        outcomes.append([outcome(stream) for stream in streams])
    assert outcomes[0] == outcomes[1]
    taken = sum(isinstance(one, bytes) for one in outcomes[0])
    assert 100 < taken < 2900


WITHOUT = """
import sys
sys.modules["zlib_ng"] = None
from mcp_client.cache import gunzip
import gzip
print(gunzip.zlib.__name__, b"".join(gunzip.gunzip([gzip.compress(b"whole")], 100)))
"""


def test_the_standard_library_does_where_there_is_no_other():
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert run.stdout == "zlib b'whole'\n"
