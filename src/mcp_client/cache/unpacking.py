"""Unpack an archive while it is still coming in: one thread decompresses, another one makes the files.

What is written here is not verified yet. It goes to a private staging folder that nobody reads, and is
published only after the digest matched.
"""

from collections.abc import Callable
from threading import Thread
from types import TracebackType
from typing import Self

from mcp_client.cache.channel import Channel, Stopped
from mcp_client.cache.gunzip import gunzip
from mcp_client.cache.staging import storage_errors
from mcp_client.cache.unpack import most_plain_bytes, unpack_tar
from mcp_client.config.settings import CacheSettings
from mcp_client.errors import MCPError

_PIECE = 128 << 10
# Pieces that may wait: compressed ones of 128 KB, decompressed ones of 256.
_COMPRESSED, _PLAIN = 16, 12


class Unpacking:
    """A tree that grows while its archive is fed; its threads are over when the block is left."""

    def __init__(
        self, folder: str, settings: CacheSettings, on_fault: Callable[[BaseException], None]
    ) -> None:
        """``folder`` is made. ``on_fault`` hears from another thread why it is no use to feed more."""
        self._folder = folder
        self._settings = settings
        self._most = most_plain_bytes(settings.max_unpacked, settings.max_entries)
        self._on_fault = on_fault
        self._compressed: Channel[memoryview] = Channel(_COMPRESSED)
        self._plain: Channel[bytes] = Channel(_PLAIN)
        self._failure: BaseException | None = None
        self._size = 0
        self._threads = [Thread(target=target, daemon=True) for target in (self._decompress, self._write)]

    def __enter__(self) -> Self:
        """Begin; nothing happens before something is fed."""
        try:
            for thread in self._threads:
                thread.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop whatever is under way."""
        self._compressed.stop()
        self._plain.stop()
        self._join()

    def feed(self, data: bytes) -> None:
        """Unpack some more, waiting when too much is waiting already.

        Raises ``disk-full`` and ``cache-unwritable``. What is wrong with the archive is not told before
        finish(): as long as the digest is unknown it may be nobody's fault but the network's.
        """
        view = memoryview(data)
        try:
            for at in range(0, len(view), _PIECE):
                self._compressed.put(view[at : at + _PIECE])
        except Stopped:
            self.check()

    def check(self) -> None:
        """Raise what feed() raises, without anything to feed."""
        if self._failure is not None and not _is_refusal(self._failure):
            raise self._failure

    def finish(self) -> int:
        """The tree's size in bytes when all of it is there. Raises ``bundle-*`` and what feed() raises."""
        self._compressed.end()
        self._join()
        if self._failure is not None:
            raise self._failure
        return self._size

    def _decompress(self) -> None:
        error: BaseException | None = None
        try:
            for data in gunzip(self._compressed, self._most):
                self._plain.put(data)
        except BaseException as caught:  # noqa: BLE001  the other thread raises it, where it belongs
            error = caught
        self._plain.end(error)
        self._compressed.stop()

    def _write(self) -> None:
        settings = self._settings
        try:
            with storage_errors(self._folder):
                self._size = unpack_tar(
                    self._plain,
                    self._folder,
                    max_bytes=settings.max_unpacked,
                    max_entries=settings.max_entries,
                )
        except Stopped:
            pass
        except BaseException as caught:  # noqa: BLE001  the thread that feeds raises it
            self._failure = caught
            self._plain.stop()
            if not _is_refusal(caught):
                self._on_fault(caught)

    def _join(self) -> None:
        for thread in self._threads:
            if thread.is_alive():
                thread.join()


def _is_refusal(failure: BaseException) -> bool:
    """Whether it is the archive that is wrong, not the disk."""
    return isinstance(failure, MCPError) and failure.code.startswith("bundle-")
