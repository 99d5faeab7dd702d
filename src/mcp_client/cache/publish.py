"""Bring artifacts and trees into the cache: verified, whole, and by one rename."""

import ctypes
import hashlib
import os
import sys
from collections.abc import Callable, Iterator

from mcp_client.cache.staging import locked, staging_folder, storage_errors
from mcp_client.cache.unpack import unpack_bundle
from mcp_client.config.settings import CacheSettings
from mcp_client.errors import MCPError
from mcp_client.resolution import Descriptor


def publish_artifact(
    cache: str,
    kind: str,
    path: str,
    descriptor: Descriptor,
    chunks: Callable[[], Iterator[bytes]],
    limit: int,
) -> str:
    """Store what ``chunks`` yields at ``path`` if its digest is the descriptor's. See Cache.add()."""
    if os.path.isfile(path):
        return path
    with locked(cache, f"{kind}-{descriptor.digest.hex}"):
        if os.path.isfile(path):
            return path
        with staging_folder(cache) as staging, storage_errors(path):
            folder = os.path.join(staging, "entry")
            os.mkdir(folder, 0o755)
            _receive(os.path.join(folder, os.path.basename(path)), kind, descriptor, chunks, limit)
            _publish(folder, os.path.dirname(path))
    return path


def publish_tree(cache: str, archive: str, tree: str, settings: CacheSettings) -> int | None:
    """Unpack ``archive`` at ``tree``, once; its size in bytes, None if it was there. See Cache.unpack()."""
    with locked(cache, f"tree-{os.path.basename(tree)[-64:]}"):
        if os.path.isdir(tree):
            return None
        with staging_folder(cache) as staging, storage_errors(tree):
            folder = os.path.join(staging, "tree")
            size = unpack_bundle(
                archive, folder, max_bytes=settings.max_unpacked, max_entries=settings.max_entries
            )
            _flush(folder)
            _publish(folder, tree)
            # Only now: moving a folder writes in it.
            os.chmod(tree, 0o555)
    return size


def _receive(
    path: str, kind: str, descriptor: Descriptor, chunks: Callable[[], Iterator[bytes]], limit: int
) -> None:
    """Write the chunks to ``path`` while hashing them; the file is on the disk when this returns."""
    if descriptor.size is not None and descriptor.size > limit:
        raise _too_large(kind, descriptor.size, limit)
    received, hasher = 0, hashlib.sha256()
    with open(path, "xb") as file:
        for chunk in chunks():
            received += len(chunk)
            if received > limit:
                raise _too_large(kind, received, limit)
            hasher.update(chunk)
            file.write(chunk)
        file.flush()
        os.fchmod(file.fileno(), 0o444)
        os.fsync(file.fileno())
    if hasher.hexdigest() != descriptor.digest.hex:
        got = f"sha256:{hasher.hexdigest()}"
        raise MCPError(
            "digest-mismatch",
            f"the {kind} is not what the registry promised: expected {descriptor.digest}, got {got}",
            hint="it was damaged or changed on the way; nothing was kept, so try again",
            details={"expected": str(descriptor.digest), "got": got, "bytes": received},
        )


def _publish(folder: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    os.rename(folder, target)


def _flush(folder: str) -> None:
    """Put a whole tree on the disk in one call: a power cut must not leave a published tree half empty."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).syncfs(descriptor)
        else:
            os.sync()
    finally:
        os.close(descriptor)


def _too_large(kind: str, size: int, limit: int) -> MCPError:
    return MCPError(
        "download-too-large",
        f"the {kind} has more than {limit} bytes (at least {size})",
        hint=f"if you trust it, raise registry.max_{kind}",
        details={"limit": limit},
    )
