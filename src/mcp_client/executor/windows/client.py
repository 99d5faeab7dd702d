"""Notice that the MCP client went away, on Windows: look into its pipe now and then, and watch our parent."""

import os
import time
from contextlib import suppress
from types import TracebackType

from mcp_client.windows import api
from mcp_client.windows.processes import open_parent
from mcp_client.windows.streams import is_console, is_pipe, unread_bytes

# A pipe that closes wakes nobody who does not read it.
_LOOK_SECONDS = 0.2
_STANDARD_INPUT, _STANDARD_OUTPUT = 0, 1


def watch_parent() -> int | None:
    """A handle that is signalled when the process that started us ends; None where there is none.

    To be called first.
    """
    if is_console(_STANDARD_INPUT) or not is_pipe(_STANDARD_INPUT):
        return None
    return open_parent()


def let_go_of_output() -> None:
    """Whoever reads it must see its end when the last other holder is gone: ours may not keep it open."""
    if is_console(_STANDARD_OUTPUT):
        return
    null = os.open(os.devnull, os.O_WRONLY | os.O_BINARY)
    os.dup2(null, _STANDARD_OUTPUT, inheritable=False)
    os.close(null)


class InputWatch:
    """Tells by an event when the client's pipe is closed and empty.

    In a thread, for a look waits as long as the server waits for input. A closed pipe with something left in
    it looks like an open one; our parent's end is what tells then.
    """

    def __init__(self) -> None:
        """Begin to look."""
        from threading import Thread

        self._event = api.Handle(api.CreateEventW(None, True, False, None))
        self.handle = self._event.value or 0
        if is_pipe(_STANDARD_INPUT):
            Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while unread_bytes(_STANDARD_INPUT) is not None:
            time.sleep(_LOOK_SECONDS)
        api.SetEvent(self.handle)


class ClientWatch:
    """While a package is being fetched, end this process as soon as the client is gone.

    A client that closed its end but left requests unread still wants answers: it does not count as gone.
    """

    def __init__(self, descriptor: int = 0) -> None:
        """Watch ``descriptor``, standard input unless a test says otherwise."""
        self._descriptor = descriptor

    def __enter__(self) -> None:
        """Begin to watch."""
        from threading import Event, Thread

        self._done = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching."""
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        if not is_pipe(self._descriptor):
            return
        while not self._done.wait(_LOOK_SECONDS):
            if unread_bytes(self._descriptor) is None:
                # What was staged in the cache is swept by the next writer.
                with suppress(OSError):
                    os.write(2, b"mcp: the client left before the server was there; nothing was run\n")
                os._exit(0)
