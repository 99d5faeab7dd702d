"""Read a hostile tar archive, strictly: POSIX.1-2001 ustar and pax, and GNU long names.

Our own reader, because the standard one was made for archives one trusts: it recurses once for each extended
header, loops on negative sizes (CVE-2025-8194), backtracks without an end in pax headers (CVE-2024-6232),
keeps every header in memory, and takes a damaged header for the end of the archive.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from mcp_client.cache.bytestream import ByteStream
from mcp_client.cache.refusals import header_too_large, invalid, unsafe

_BLOCK = 512
_NOTHING = bytes(_BLOCK)
_MAX_HEADER = 1 << 20
_MAX_HEADERS_IN_A_ROW = 16
_MAX_LENGTH_DIGITS = 8
_BASE_256 = 0x80
_NUMBER = re.compile(rb"[0-9]{1,20}")

Kind = Literal["file", "folder", "symlink", "hardlink", "other"]
_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"5": "folder",
}
_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK = b"x", b"g", b"L", b"K"


class Member(NamedTuple):
    """One entry as the archive tells it, unchecked; ``size`` in bytes, ``modified`` in seconds since 1970."""

    name: str
    kind: Kind
    mode: int
    size: int
    modified: int
    target: str


def read_members(stream: ByteStream) -> Iterator[Member]:
    """All entries in order. A file's data may be read from ``stream`` before the next one is asked for.

    Raises ``bundle-invalid``, ``bundle-unsafe`` (a name that is no UTF-8) and ``bundle-too-large``.
    """
    extended: dict[str, bytes] = {}
    in_a_row = 0
    while True:
        header = stream.read(_BLOCK)
        if header == _NOTHING[: len(header)]:
            if not stream.position:
                raise invalid("it is empty")
            break
        if len(header) < _BLOCK:
            raise invalid("it is cut short")
        _check_sum(header)
        kind, size = header[156:157], _number(header[124:136])
        if kind in {_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK}:
            in_a_row += 1
            if in_a_row > _MAX_HEADERS_IN_A_ROW:
                raise invalid("an entry has too many headers")
            _extend(extended, kind, _header_data(stream, size))
            continue
        member = _member(header, kind, size, extended)
        extended, in_a_row = {}, 0
        start, length = stream.position, member.size if member.kind in {"file", "other"} else 0
        yield member
        stream.skip(start + length + -length % _BLOCK - stream.position)
    if extended:
        raise invalid("it ends before the entry it announces")
    stream.drain()


def _member(header: bytes, kind: bytes, size: int, extended: dict[str, bytes]) -> Member:
    name = _text(header[:100])
    if header[257:263] == b"ustar\0" and header[345]:
        name = _text(header[345:500]) + b"/" + name
    name = extended.get("path", name)
    if "size" in extended:
        if not _NUMBER.fullmatch(extended["size"]):
            raise invalid("a size is no number")
        size = int(extended["size"])
    sort = _KINDS.get(kind, "other")
    if sort == "file" and name.endswith(b"/") and not size:
        sort = "folder"
    if extended and any(key.startswith("GNU.sparse") for key in extended):
        sort = "other"
    if size and sort in {"hardlink", "symlink"}:
        # Readers disagree about whether such data follows; none is what everybody writes.
        raise invalid("a link has a size")
    return Member(
        name=_decoded(name),
        kind=sort,
        mode=_number(header[100:108]),
        size=size,
        modified=_time(header[136:148]),
        target=_decoded(extended.get("linkpath", _text(header[157:257]))),
    )


def _header_data(stream: ByteStream, size: int) -> bytes:
    if size > _MAX_HEADER:
        raise header_too_large(_MAX_HEADER)
    data = stream.read(size)
    stream.skip(-size % _BLOCK)
    if len(data) < size:
        raise invalid("it is cut short")
    return data


def _extend(extended: dict[str, bytes], kind: bytes, data: bytes) -> None:
    """Add what an extended header says about the next entry; a pax header counts for more than GNU's."""
    if kind == _GNU_NAME:
        extended.setdefault("path", _text(data))
    elif kind == _GNU_LINK:
        extended.setdefault("linkpath", _text(data))
    else:
        told = _pax_records(data)
        if kind == _PAX:
            extended.update(told)
        elif told:
            raise invalid("a global header names entries")


def _pax_records(data: bytes) -> dict[str, bytes]:
    """Those of the lines ``length key=value`` that matter here (POSIX, pax, "pax Extended Header")."""
    told: dict[str, bytes] = {}
    at = 0
    while at < len(data) and data[at]:
        space = data.find(b" ", at, at + _MAX_LENGTH_DIGITS + 1)
        digits = data[at:space]
        end = at + int(digits) if space > at and _NUMBER.fullmatch(digits) else 0
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end <= space or end > len(data) or data[end - 1 : end] != b"\n" or not equals:
            raise invalid("a pax header is malformed")
        if key in {b"path", b"linkpath", b"size"} or key.startswith(b"GNU.sparse"):
            told[key.decode("ascii", "replace")] = value
        at = end
    return told


def _check_sum(header: bytes) -> None:
    """The only proof that a block is a header: the sum of its bytes with the sum's own field as blanks."""
    field = header[148:156]
    if _number(field) != sum(header) - sum(field) + 8 * ord(" "):
        raise invalid("a header is damaged")


def _number(field: bytes) -> int:
    """Octal digits, or GNU's big-endian form, which is marked by the highest bit; never negative."""
    if field[0] == _BASE_256:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    if not digits:
        return 0
    try:
        # int() alone would take signs, underscores and a prefix.
        return int(digits if digits.isdigit() else b"none", 8)
    except ValueError as error:
        raise invalid("a header holds no number where one must be") from error


def _time(field: bytes) -> int:
    """Seconds since 1970; earlier times, which are written as negative numbers, do not matter."""
    return 0 if field[0] > _BASE_256 else _number(field)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _decoded(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise unsafe(name.decode("utf-8", "backslashreplace"), "has a name that is not UTF-8") from error
