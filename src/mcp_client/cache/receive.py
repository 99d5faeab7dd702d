"""Take in bytes nobody has verified: bounded, hashed as they come, and written where nobody reads."""

import hashlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager

from mcp_client import system
from mcp_client.cache.durable import write_and_forget
from mcp_client.cache.staging import storage_errors, write_all
from mcp_client.digest import Digest
from mcp_client.errors import MCPError
from mcp_client.resolution import Descriptor

_CHUNK = 128 << 10
_EARLY = 4 << 20

Taker = Callable[[bytes], object]


def receive(
    kind: str, descriptor: Descriptor, chunks: Iterable[bytes], limit: int, takers: Iterable[Taker]
) -> None:
    """Give each of ``chunks`` to every taker, and prove that all of them together are the descriptor's bytes.

    Raises ``download-too-large`` above ``limit`` bytes and ``digest-mismatch``. What goes wrong while a chunk
    is awaited is the registry's affair and passes as it is.
    """
    if descriptor.size is not None and descriptor.size > limit:
        raise too_large(kind, descriptor.size, limit)
    received, hasher = 0, hashlib.sha256()
    with closing(_closable(chunks)) as incoming:
        for chunk in incoming:
            received += len(chunk)
            if received > limit:
                raise too_large(kind, received, limit)
            for take in takers:
                take(chunk)
            hasher.update(chunk)
    if hasher.hexdigest() != descriptor.digest.hex:
        raise _mismatch(kind, descriptor.digest, Digest(hasher.hexdigest()), received)


@contextmanager
def new_file(path: str) -> Iterator[Taker]:
    """What writes to the new file ``path``, which is read-only and complete when the block is left."""
    with storage_errors(path):
        descriptor = system.open_fd(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | system.O_CLOEXEC, 0o600)

    written = early = 0

    def write(data: bytes) -> None:
        nonlocal written, early
        with storage_errors(path):
            write_all(descriptor, data)
        written += len(data)
        if written - early >= _EARLY:
            write_and_forget(descriptor, written)
            early = written

    try:
        yield write
        with storage_errors(path):
            system.fchmod(descriptor, 0o444)
    finally:
        os.close(descriptor)


def read_file(descriptor: int) -> Iterator[bytes]:
    """What is left to read of an open file."""
    while chunk := os.read(descriptor, _CHUNK):
        yield chunk


def too_large(kind: str, size: int, limit: int) -> MCPError:
    """``download-too-large``: ``size`` bytes at least, where ``limit`` are allowed."""
    return MCPError(
        "download-too-large",
        f"the {kind} has more than {limit} bytes (at least {size})",
        hint=f"if you trust it, raise registry.max_{kind}",
        details={"limit": limit},
    )


def _mismatch(kind: str, expected: Digest, got: Digest, size: int) -> MCPError:
    return MCPError(
        "digest-mismatch",
        f"the {kind} is not what the registry promised: expected {expected}, got {got}",
        hint="it was damaged or changed on the way; nothing was kept, so try again",
        details={"expected": str(expected), "got": str(got), "bytes": size},
    )


def _closable(chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
    """So that a connection is let go of as soon as nothing more is wanted of it."""
    iterator = iter(chunks)
    try:
        yield from iterator
    finally:
        if hasattr(iterator, "close"):
            iterator.close()
