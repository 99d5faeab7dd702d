"""One DNS message in, one out (RFC 1035, RFC 2308, RFC 6891). Pure: what names mean is asked of ``look_up``.

There is no recursion: an allowed name has two addresses, every other name does not exist, and neither leaves
this machine.
"""

from __future__ import annotations

import struct

from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_client.network.pool import Pair

_HEADER = struct.Struct("!6H")
_QUESTION_END = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_QR, _OPCODE, _AA, _RD, _RA = 0x8000, 0x7800, 0x0400, 0x0100, 0x0080
_NO_ERROR, _FORMAT_ERROR, _NAME_ERROR, _NOT_IMPLEMENTED, _REFUSED = 0, 1, 3, 4, 5
_A, _AAAA, _ANY, _OPT, _IN = 1, 28, 255, 41, 1
# An address means the same for the whole run, so that one who keeps it for ever is not wrong.
_TTL = 60
_LONGEST_NAME = 255
_LONGEST_LABEL = 63
_POINTER_TO_QUESTION = 0xC000 | _HEADER.size
_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_PAYLOAD = 1232
_OPTION = b"\0" + _RECORD.pack(_OPT, _PAYLOAD, 0, 0)


def answer(query: bytes, look_up: Callable[[str], Pair | None]) -> bytes | None:
    """The response to ``query``, or ``None`` for what is no query and gets none.

    ``look_up`` has the addresses of a name in lower case without a dot at the end, ``None`` where it does
    not exist. A and AAAA of an allowed name are answered, its other types are empty (NODATA); all else is
    NXDOMAIN, malformed queries are FORMERR. No response is longer than 512 bytes, so none is ever cut.
    """
    if len(query) < _HEADER.size:
        return None
    identity, flags, questions, answers, authorities, extra = _HEADER.unpack_from(query)
    if flags & _QR:
        return None
    reply = _QR | _RA | flags & (_OPCODE | _RD)
    if flags & _OPCODE:
        return _HEADER.pack(identity, reply | _NOT_IMPLEMENTED, 0, 0, 0, 0)
    question = _Question(query) if (questions, answers, authorities) == (1, 0, 0) else None
    if question is None or not question.end:
        return _HEADER.pack(identity, reply | _FORMAT_ERROR, 0, 0, 0, 0)
    code, records = _resolve(question, look_up)
    # EDNS: the option is the first additional record of every query that a library makes.
    option = _OPTION if extra and query.startswith(_OPTION[:3], question.end) else b""
    header = _HEADER.pack(identity, reply | _AA | code, 1, len(records), 0, 1 if option else 0)
    return b"".join((header, query[_HEADER.size : question.end], *records, option))


class _Question:
    """The only question of a query; ``end`` is where it ends, 0 when it is malformed.

    ``name`` is empty when the labels spell no host name.
    """

    def __init__(self, query: bytes) -> None:
        self.name, self.type, self.kind, self.end = "", 0, 0, 0
        labels: list[bytes] = []
        at, size = _HEADER.size, len(query)
        while at < size and query[at]:
            length = query[at]
            # A pointer in the first name of a message could only lead into the header.
            if length > _LONGEST_LABEL or at + length >= size:
                return
            labels.append(query[at + 1 : at + 1 + length])
            at += 1 + length
        at += 1
        if at - _HEADER.size > _LONGEST_NAME or at + _QUESTION_END.size > size:
            return
        self.type, self.kind = _QUESTION_END.unpack_from(query, at)
        self.end = at + _QUESTION_END.size
        # A dot or a NUL inside a label would read as another name.
        if all(map(_LETTERS.issuperset, labels)):
            self.name = b".".join(labels).decode("ascii").lower()


def _resolve(question: _Question, look_up: Callable[[str], Pair | None]) -> tuple[int, list[bytes]]:
    if question.kind != _IN:
        return _REFUSED, []
    pair = look_up(question.name) if question.name else None
    if pair is None:
        return _NAME_ERROR, []
    records = []
    if question.type in {_A, _ANY}:
        records.append(_record(_A, pair.v4.packed))
    if question.type in {_AAAA, _ANY}:
        records.append(_record(_AAAA, pair.v6.packed))
    return _NO_ERROR, records


def _record(kind: int, data: bytes) -> bytes:
    return _POINTER_TO_QUESTION.to_bytes(2, "big") + _RECORD.pack(kind, _IN, _TTL, len(data)) + data
