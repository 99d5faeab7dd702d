"""DNS messages: what is answered, and what malformed ones get."""

import random
import struct

import pytest

from mcp_client.network.dns import answer
from mcp_client.network.pool import MOST_NAMES, NAME_SERVICE, Pool, in_pool

POOL = Pool()


def look_up(name):
    return POOL.addresses_of(name) if name == "api.example.com" else None


def query(labels=(b"api", b"example", b"com"), kind=1, klass=1, flags=0x0100, counts=(1, 0, 0, 0), more=b""):
    name = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    return struct.pack("!6H", 0xABCD, flags, *counts) + name + struct.pack("!HH", kind, klass) + more


def read(reply):
    identity, flags, questions, answers, _, extra = struct.unpack_from("!6H", reply)
    assert identity == 0xABCD
    assert flags & 0x8000
    return flags & 15, questions, answers, extra


@pytest.mark.parametrize(("kind", "packed"), [(1, "v4"), (28, "v6")])
def test_an_allowed_name_has_both_addresses(kind, packed):
    reply = answer(query(kind=kind), look_up)
    expected = getattr(POOL.addresses_of("api.example.com"), packed).packed

    assert read(reply) == (0, 1, 1, 0)
    assert reply.endswith(struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(expected)) + expected)


def test_any_has_both():
    assert read(answer(query(kind=255), look_up)) == (0, 1, 2, 0)


@pytest.mark.parametrize("kind", [2, 5, 6, 12, 15, 16, 33, 64, 65, 251, 252])
def test_other_types_of_an_allowed_name_are_empty(kind):
    assert read(answer(query(kind=kind), look_up)) == (0, 1, 0, 0)


def test_the_case_of_a_question_is_kept():
    asked = query((b"aPi", b"EXAMPLE", b"com"))

    reply = answer(asked, look_up)

    assert read(reply) == (0, 1, 1, 0)
    assert asked[12:] in reply


@pytest.mark.parametrize(
    "labels",
    [
        (b"other", b"example", b"com"),
        (b"api.example", b"com"),
        (b"api.example.com",),
        (b"api", b"example", b"com\0"),
        (b"api", b"example", b"com\r\n"),
        (b"x", b"api", b"example", b"com"),
        (b"api\xff", b"example", b"com"),
        (),
    ],
)
def test_every_other_name_does_not_exist(labels):
    assert read(answer(query(labels), look_up)) == (3, 1, 0, 0)


def test_edns_is_answered_with_edns():
    option = b"\0" + struct.pack("!HHIH", 41, 4096, 0, 0)

    reply = answer(query(counts=(1, 0, 0, 1), more=option), look_up)

    assert read(reply) == (0, 1, 1, 1)
    assert reply.endswith(b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0))


@pytest.mark.parametrize(
    "malformed",
    [
        query(counts=(2, 0, 0, 0)),
        query(counts=(0, 0, 0, 0)),
        query(counts=(1, 1, 0, 0)),
        query()[:-1],
        query()[:-4],
        query()[:14],
        query((b"a" * 64, b"com")),
        query([b"a" * 63] * 4),
        struct.pack("!6H", 0xABCD, 0, 1, 0, 0, 0) + b"\xc0\x0c" + struct.pack("!HH", 1, 1),
    ],
)
def test_malformed_queries_are_a_format_error(malformed):
    assert read(answer(malformed, look_up))[0] == 1


def test_other_operations_and_classes_are_not_done():
    assert read(answer(query(flags=0x2900), look_up))[0] == 4
    assert read(answer(query(klass=3), look_up))[0] == 5


@pytest.mark.parametrize("silent", [b"", b"short", query(flags=0x8180)])
def test_what_is_no_query_gets_no_answer(silent):
    assert answer(silent, look_up) is None


def test_no_bytes_make_it_fail_or_answer_at_length():
    dice = random.Random(7)
    good = query(counts=(1, 0, 0, 1), more=b"\0" + struct.pack("!HHIH", 41, 4096, 0, 0))
    for _ in range(3000):
        data = bytearray(good[: dice.randrange(len(good) + 1)])
        for _ in range(dice.randrange(4)):
            if data:
                data[dice.randrange(len(data))] = dice.randrange(256)
        reply = answer(bytes(data), look_up)
        assert reply is None or len(reply) <= 512


def test_names_never_share_an_address_and_there_is_an_end():
    pool = Pool()
    given = [pool.addresses_of(f"n{number}.example.com") for number in range(MOST_NAMES)]

    assert len({address for pair in given for address in pair}) == 2 * MOST_NAMES
    assert all(in_pool(address) and address not in NAME_SERVICE for pair in given for address in pair)
    assert pool.addresses_of("one-more.example.com") is None
    assert pool.addresses_of("n0.example.com") == given[0]
    assert pool.name_of(given[3].v6) == "n3.example.com"
    assert pool.name_of(NAME_SERVICE.v4) is None
