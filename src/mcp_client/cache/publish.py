"""Bring artifacts and trees into the cache: verified, whole, and by one rename each.

Everything is made in a staging folder and put on the disk there. The rename is the one moment at which an
entry begins to exist, so a kill, a full disk or a power cut leaves nothing or a whole entry.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator

from mcp_client import system
from mcp_client.cache.durable import watched_disk
from mcp_client.cache.interrupt import Wait
from mcp_client.cache.receive import Taker, new_file, read_file, receive
from mcp_client.cache.staging import locked, make_folder, staging_folder, storage_errors
from mcp_client.cache.unpacking import Unpacking
from mcp_client.config.settings import CacheSettings
from mcp_client.digest import Digest
from mcp_client.errors import MCPError
from mcp_client.memory import KeptMemory
from mcp_client.resolution import Descriptor

_TREE_MODE = 0o555
_BUNDLE = "bundle"

Chunks = Callable[[], Iterator[bytes]]


def publish_artifact(
    cache: str, kind: str, path: str, descriptor: Descriptor, chunks: Chunks, limit: int
) -> str:
    """Store what ``chunks`` yields at ``path`` if its digest is the descriptor's. See Cache.add()."""
    if _is_intact(path, descriptor.digest):
        return path
    with locked(cache, f"{kind}-{descriptor.digest.hex}"):
        if _is_intact(path, descriptor.digest):
            return path
        with staging_folder(cache) as staging:
            folder = _new_entry(staging)
            file = os.path.join(folder, os.path.basename(path))
            with new_file(file) as write:
                receive(kind, descriptor, _from(chunks), limit, [write])
            with storage_errors(path):
                system.sync_path(file)
                system.sync_folder(folder)
                _publish(cache, folder, os.path.dirname(path), staging)
    return path


def publish_bundle(
    cache: str,
    archive: str,
    tree: str,
    descriptor: Descriptor,
    chunks: Chunks,
    limit: int,
    settings: CacheSettings,
) -> int | None:
    """Store a bundle at ``archive`` and unpack it at ``tree`` while it comes in. See Cache.add_bundle().

    The tree's size in bytes; None if it was there.
    """
    hexadecimal = descriptor.digest.hex
    with locked(cache, f"{_BUNDLE}-{hexadecimal}"), locked(cache, f"tree-{hexadecimal}"):
        if os.path.isdir(tree):
            _close_tree(tree)
            return None
        size = _publish_stored(cache, archive, tree, descriptor.digest, settings)
        if size is not None:
            return size
        with staging_folder(cache) as staging:
            entry, folder = _new_entry(staging), os.path.join(staging, "tree")
            with watched_disk(staging) as disk:
                with new_file(os.path.join(entry, os.path.basename(archive))) as write:
                    size = _unpack(descriptor, chunks, limit, folder, settings, [write])
                disk.sync()
            with storage_errors(tree):
                _publish(cache, entry, os.path.dirname(archive), staging)
                _publish_tree(cache, folder, tree, staging)
            return size


def publish_tree(cache: str, archive: str, tree: str, digest: Digest, settings: CacheSettings) -> int | None:
    """Unpack the stored ``archive`` at ``tree``, once; its size, None if it was there. See Cache.unpack()."""
    with locked(cache, f"tree-{digest.hex}"):
        if os.path.isdir(tree):
            _close_tree(tree)
            return None
        size = _publish_stored(cache, archive, tree, digest, settings)
        if size is None:
            raise MCPError(
                "cache-damaged",
                f"{archive} was removed meanwhile, or damaged",
                hint="run the same command again",
            )
        return size


def _publish_stored(
    cache: str, archive: str, tree: str, digest: Digest, settings: CacheSettings
) -> int | None:
    """Unpack a bundle that is here; None when there is none, or it is not what it was."""
    try:
        opened = system.open_fd(archive, os.O_RDONLY | system.O_CLOEXEC)
    except OSError:
        return None
    try:
        with staging_folder(cache) as staging:
            folder = os.path.join(staging, "tree")
            with watched_disk(staging) as disk:
                size = os.fstat(opened).st_size
                try:
                    written = _unpack(
                        Descriptor(digest, "", None), lambda: read_file(opened), size, folder, settings
                    )
                except MCPError as error:
                    if error.code == "digest-mismatch":
                        return None
                    if error.code.startswith("bundle-"):
                        # Nothing will ever come of it, so it need not wait for its eviction.
                        _move(os.path.dirname(archive), os.path.join(staging, "refused"))
                    raise
                disk.sync()
            with storage_errors(tree):
                _publish_tree(cache, folder, tree, staging)
            return written
    finally:
        os.close(opened)


def _unpack(
    descriptor: Descriptor,
    chunks: Chunks,
    limit: int,
    folder: str,
    settings: CacheSettings,
    takers: Iterable[Taker] = (),
) -> int:
    """Unpack as ``folder`` what ``chunks`` yields, and give it to the ``takers``; the tree's size.

    Whatever the archive is like, other bytes than the descriptor's are a ``digest-mismatch`` and no more.
    """
    with KeptMemory(), Wait() as wait, Unpacking(folder, settings, wait.break_off) as unpacking:
        receive(_BUNDLE, descriptor, wait.each(_from(chunks)), limit, [unpacking.feed, *takers])
        return unpacking.finish()


def _from(chunks: Chunks) -> Iterator[bytes]:
    """``chunks`` is called only when the first one is wanted: what can be refused before is not asked for."""
    yield from chunks()


def _new_entry(staging: str) -> str:
    folder = os.path.join(staging, "entry")
    with storage_errors(folder):
        os.mkdir(folder, 0o755)
    return folder


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


def _publish_tree(cache: str, folder: str, tree: str, staging: str) -> None:
    # Another user, such as the one servers run as under root, must be able to read it.
    os.chmod(folder, 0o755)
    _publish(cache, folder, tree, staging)
    # Only now: moving a folder elsewhere writes in it.
    os.chmod(tree, _TREE_MODE)


def _move(path: str, target: str) -> None:
    """Move a folder that may not be there."""
    try:
        os.rename(path, target)
    except FileNotFoundError:
        return


def _close_tree(tree: str) -> None:
    """Finish what a process that was killed after its rename began."""
    try:
        if system.KEEPS_MODES and stat.S_IMODE(os.stat(tree).st_mode) != _TREE_MODE:
            os.chmod(tree, _TREE_MODE)
    except OSError:
        return
