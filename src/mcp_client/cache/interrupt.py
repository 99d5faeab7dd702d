"""Break off the main thread's work in order: by the signals that end a process, or by another thread."""

import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import current_thread, get_ident, main_thread
from types import FrameType, TracebackType
from typing import Self

if sys.platform == "win32":
    # Nothing there ends a wait for the network: it ends in its own time.
    _ENDING: tuple[signal.Signals, ...] = (signal.SIGTERM,)
    _URGENT: signal.Signals | None = None
else:
    _ENDING = (signal.SIGTERM, signal.SIGHUP)
    _URGENT = signal.SIGURG


class _Ended(BaseException):
    """The process is to end; what is on the way out cleans up."""


class _BrokenOff(BaseException):
    """Another thread wants the wait to be over, for the reason ``error``."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


@contextmanager
def ended_tidily() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the block before they end the process, as they do anyway.

    Who ignores or handles them goes on doing so, and so do threads but the main one.
    """
    if current_thread() is not main_thread():
        yield
        return
    told: list[int] = []
    inside = True

    def unwind(number: int, _frame: FrameType | None) -> None:
        told.append(number)
        # Once is enough: what cleans up must not be broken off as well.
        if inside and len(told) == 1:
            raise _Ended

    ours = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in ours:
            signal.signal(number, unwind)
        yield
    except _Ended:
        pass
    finally:
        inside = False
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
        if told:
            signal.raise_signal(told[0])


class Wait:
    """The main thread's wait for what a registry sends, which another thread can end.

    A blocked recv(2) returns for a signal only. SIGURG is the one that does no harm when it comes too late.
    """

    def __init__(self) -> None:
        """Nothing is changed yet."""
        self._error: BaseException | None = None
        self._waiting = False
        self._thread = 0

    def __enter__(self) -> Self:
        """In any other thread than the main one a wait is not broken off, and ends in its own time."""
        if _URGENT is not None and current_thread() is main_thread():
            self._thread = get_ident()
            self._before = signal.signal(_URGENT, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more."""
        self._waiting = False
        if _URGENT is not None and self._thread:
            signal.signal(_URGENT, self._before or signal.SIG_DFL)

    def each(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """``chunks``; while one is awaited the wait may end with the error of break_off()."""
        iterator = iter(chunks)
        try:
            while (chunk := self._next(iterator)) is not None:
                yield chunk
        except _BrokenOff as broken:
            raise broken.error from None
        finally:
            if hasattr(iterator, "close"):
                iterator.close()

    def break_off(self, error: BaseException) -> None:
        """End the wait with ``error``, from another thread."""
        self._error = error
        if sys.platform != "win32" and self._thread:
            signal.pthread_kill(self._thread, signal.SIGURG)

    def _next(self, iterator: Iterator[bytes]) -> bytes | None:
        try:
            self._waiting = True
            # The signal may have come just before.
            self._on_signal(0, None)
            return next(iterator, None)
        finally:
            self._waiting = False

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._waiting and self._error is not None:
            self._waiting = False
            raise _BrokenOff(self._error)
