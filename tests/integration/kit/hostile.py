"""Bundles no publisher makes by accident."""

import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator

from kit.bundle import device, hard_link, link, pack, regular

Members = list[tuple[tarfile.TarInfo, bytes]]
_BLOCK = 512


def unsafe() -> dict[str, Callable[[], bytes]]:
    """Archives that try to reach out of their folder or to bring something that is no plain file."""
    return {name: (lambda members=members: pack(members)) for name, members in _unsafe_members().items()}


def _unsafe_members() -> dict[str, Members]:
    data = b"x"
    setuid, setgid = regular("su", data, 0o4755), regular("sg", data, 0o2755)
    fifo = tarfile.TarInfo("pipe")
    fifo.type = tarfile.FIFOTYPE
    return {
        "parent": [(regular("../evil", data), data)],
        "parent-inside": [(regular("a/../../evil", data), data)],
        "absolute": [(regular("/tmp/evil", data), data)],
        "link-out": [(link("out", "../../outside"), b"")],
        "link-absolute": [(link("out", "/etc/passwd"), b"")],
        "link-then-file": [(link("dir", "/tmp"), b""), (regular("dir/evil", data), data)],
        "link-over-link": [(link("a", "."), b""), (link("a/b", ".."), b""), (regular("b/evil", data), data)],
        "hard-link-out": [(hard_link("out", "/etc/passwd"), b"")],
        "hard-link-parent": [(hard_link("out", "../../outside"), b"")],
        "device": [(device("zero"), b"")],
        "fifo": [(fifo, b"")],
        "setuid": [(setuid, data)],
        "setgid": [(setgid, data)],
        "twice": [(regular("same", data), data), (regular("same", data), data)],
        "long-name": [(regular("d/" * 3000 + "f", data), data)],
    }


def not_archives() -> dict[str, bytes]:
    """Bytes that are no tar.gz, each in another way."""
    good = pack([(regular("main.py", b"pass"), b"pass")])
    return {
        "empty": b"",
        "words": b"this is no archive",
        "zip": b"PK\x03\x04" + b"\0" * 100,
        "gzip-of-words": _gzip(b"words " * 200),
        "cut": good[: len(good) // 2],
        "tar-cut": _gzip(regular("main.py", b"x" * 5000).tobuf() + b"x" * 700),
    }


def million_entries() -> bytes:
    """A million empty files; half a gigabyte of headers that compress to a few megabytes."""

    def headers() -> Iterator[bytes]:
        template = regular("f0000000", b"").tobuf(tarfile.USTAR_FORMAT)
        base = sum(template[:148]) + sum(template[156:]) + 8 * 32
        for start in range(0, 1_000_000, 10_000):
            blocks = []
            for number in range(start, start + 10_000):
                digits = b"%07d" % number
                total = base + sum(digits) - 7 * 48
                blocks.append(b"f" + digits + template[8:148] + b"%06o\0 " % total + template[156:])
            yield b"".join(blocks)

    return _gzip_pieces(headers())


def bomb(kind: str) -> bytes:
    """Twelve gigabytes of zeros in a few megabytes, as a ``file`` or as the extended ``header`` of one."""
    size = 12 << 30
    info = tarfile.TarInfo("zeros")
    info.size = size
    if kind == "header":
        info.type = tarfile.XHDTYPE
    piece = 64 << 20
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = packer.compress(b"\0" * piece) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush nothing refers back, so the same compressed piece may follow itself.
    start = zlib.compressobj(1, zlib.DEFLATED, -15)
    head = start.compress(info.tobuf(tarfile.GNU_FORMAT)) + start.flush(zlib.Z_FULL_FLUSH)
    end = zlib.compressobj(1, zlib.DEFLATED, -15).flush()
    return (
        _GZIP_HEADER
        + head
        + zeros * (size // piece)
        + end
        + struct.pack("<II", 0, (size + _BLOCK) & 0xFFFFFFFF)
    )


_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def _gzip(data: bytes) -> bytes:
    return _gzip_pieces(iter([data]))


def _gzip_pieces(pieces: Iterator[bytes]) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    packed = [packer.compress(piece) for piece in pieces]
    return b"".join([*packed, packer.flush()])
