"""The packed form of a tree, and the file that carries it.

The stream is a row of entries, parents first: type (``d`` or ``f``), mode, length of the name, length of the
content, name, content; numbers are little-endian. It is compressed by zstd as one frame with a checksum,
stands behind the program that unpacks it (``stub``), and is followed by the trailer that program.h describes.
"""

import hashlib
import os
import struct
import subprocess

_ENTRY = struct.Struct("<cHHQ")
_TRAILER = struct.Struct("<8sQQQ64s")
_MAGIC = b"MCPBIN\0\1"


def pack(tree: str) -> bytes:
    """The stream of ``tree``, the same for the same content: no times, no owners, sorted. No links."""
    stream = bytearray()
    for parent, folders, files in os.walk(tree):
        folders.sort()
        if parent != tree:
            stream += _entry(b"d", 0o755, os.path.relpath(parent, tree), b"")
        for name in sorted(files):
            path = os.path.join(parent, name)
            if os.path.islink(path):
                raise SystemExit(f"a symbolic link in the tree: {path}")
            with open(path, "rb") as file:
                content = file.read()
            mode = 0o755 if os.stat(path).st_mode & 0o100 else 0o644
            stream += _entry(b"f", mode, os.path.relpath(path, tree), content)
    return bytes(stream)


def join(stub: bytes, stream: bytes) -> bytes:
    """The single file: ``stub``, ``stream`` compressed, and the trailer."""
    command = [
        "zstd",
        "--ultra",
        "-22",
        "--single-thread",
        "--check",
        "--quiet",
        "--stdout",
        "--no-progress",
        "-",
    ]
    packed = subprocess.run(command, input=stream, stdout=subprocess.PIPE, check=True).stdout
    digest = hashlib.sha256(stream).hexdigest().encode()
    return stub + packed + _TRAILER.pack(_MAGIC, len(stub), len(packed), len(stream), digest)


def _entry(kind: bytes, mode: int, name: str, content: bytes) -> bytes:
    encoded = os.fsencode(name)
    return _ENTRY.pack(kind, mode, len(encoded), len(content)) + encoded + content
