"""Bring artifacts and trees into the cache: verified, whole, and by one rename."""

import ctypes
import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterator

from mcp_client.cache.staging import locked, make_folder, staging_folder, storage_errors, write_all
from mcp_client.cache.unpack import unpack_bundle
from mcp_client.config.settings import CacheSettings
from mcp_client.digest import Digest
from mcp_client.errors import MCPError
from mcp_client.resolution import Descriptor

_TREE_MODE = 0o555


def publish_artifact(
    cache: str,
    kind: str,
    path: str,
    descriptor: Descriptor,
    chunks: Callable[[], Iterator[bytes]],
    limit: int,
) -> str:
    """Store what ``chunks`` yields at ``path`` if its digest is the descriptor's. See Cache.add()."""
    if _is_intact(path, descriptor.digest):
        return path
    with locked(cache, f"{kind}-{descriptor.digest.hex}"):
        if _is_intact(path, descriptor.digest):
            return path
        with staging_folder(cache) as staging:
            folder = os.path.join(staging, "entry")
            with storage_errors(folder):
                os.mkdir(folder, 0o755)
            _receive(os.path.join(folder, os.path.basename(path)), kind, descriptor, chunks, limit)
            with storage_errors(path):
                _sync(folder)
                _publish(cache, folder, os.path.dirname(path), staging)
    return path


def publish_tree(cache: str, archive: str, tree: str, settings: CacheSettings) -> int | None:
    """Unpack ``archive`` at ``tree``, once; its size in bytes, None if it was there. See Cache.unpack()."""
    with locked(cache, f"tree-{os.path.basename(tree)[-64:]}"):
        if os.path.isdir(tree):
            _close_tree(tree)
            return None
        with staging_folder(cache) as staging:
            folder = os.path.join(staging, "tree")
            try:
                size = _unpack(archive, folder, settings)
            except MCPError as error:
                if error.code.startswith("bundle-"):
                    # Nothing will ever come of it, so it need not wait for its eviction.
                    _move(os.path.dirname(archive), os.path.join(staging, "refused"))
                raise
            with storage_errors(tree):
                _sync_all(folder)
                # Another user, such as the one servers run as under root, must be able to read it.
                os.chmod(folder, 0o755)
                _publish(cache, folder, tree, staging)
                # Only now: moving a folder elsewhere writes in it.
                os.chmod(tree, _TREE_MODE)
    return size


def _unpack(archive: str, folder: str, settings: CacheSettings) -> int:
    try:
        file = open(archive, "rb")  # noqa: SIM115  closed below
    except FileNotFoundError as error:
        raise MCPError(
            "cache-damaged", f"{archive} was removed meanwhile", hint="run the same command again"
        ) from error
    with file, storage_errors(folder):
        return unpack_bundle(file, folder, max_bytes=settings.max_unpacked, max_entries=settings.max_entries)


def _receive(
    path: str, kind: str, descriptor: Descriptor, chunks: Callable[[], Iterator[bytes]], limit: int
) -> None:
    """Write the chunks to ``path`` while hashing them; the file is on the disk when this returns.

    What goes wrong while a chunk is awaited is the registry's affair and passes as it is.
    """
    if descriptor.size is not None and descriptor.size > limit:
        raise _too_large(kind, descriptor.size, limit)
    received, hasher = 0, hashlib.sha256()
    with storage_errors(path):
        descriptor_of_file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        for chunk in chunks():
            received += len(chunk)
            if received > limit:
                raise _too_large(kind, received, limit)
            hasher.update(chunk)
            with storage_errors(path):
                write_all(descriptor_of_file, chunk)
        with storage_errors(path):
            os.fchmod(descriptor_of_file, 0o444)
            os.fsync(descriptor_of_file)
    finally:
        os.close(descriptor_of_file)
    if hasher.hexdigest() != descriptor.digest.hex:
        got = f"sha256:{hasher.hexdigest()}"
        raise MCPError(
            "digest-mismatch",
            f"the {kind} is not what the registry promised: expected {descriptor.digest}, got {got}",
            hint="it was damaged or changed on the way; nothing was kept, so try again",
            details={"expected": str(descriptor.digest), "got": got, "bytes": received},
        )


def _is_intact(path: str, digest: Digest) -> bool:
    """Whether ``path`` holds the bytes of ``digest``: disks forget, and an add() is the time to notice."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == digest.hex
    except OSError:
        return False


def _publish(cache: str, folder: str, target: str, staging: str) -> None:
    make_folder(cache, os.path.relpath(os.path.dirname(target), cache))
    # A rename does not replace a folder that holds something, such as a damaged artifact.
    _move(target, os.path.join(staging, "replaced"))
    os.rename(folder, target)


def _move(path: str, target: str) -> None:
    """Move a folder that may not be there."""
    try:
        os.rename(path, target)
    except FileNotFoundError:
        return


def _close_tree(tree: str) -> None:
    """Finish what a process that was killed after its rename began."""
    try:
        if stat.S_IMODE(os.stat(tree).st_mode) != _TREE_MODE:
            os.chmod(tree, _TREE_MODE)
    except OSError:
        return


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_all(folder: str) -> None:
    """Put a whole tree on the disk in one call: a power cut must not leave a published tree half empty."""
    if sys.platform != "linux":
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # syncfs(2) reports what could not be written since Linux 5.8.
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), folder)
    finally:
        os.close(descriptor)


def _too_large(kind: str, size: int, limit: int) -> MCPError:
    return MCPError(
        "download-too-large",
        f"the {kind} has more than {limit} bytes (at least {size})",
        hint=f"if you trust it, raise registry.max_{kind}",
        details={"limit": limit},
    )
