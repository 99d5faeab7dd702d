"""Stay with a running server on Windows: Ctrl-C, the client's end, the clock, the outcome.

There are no signals here. Whatever ends a server early ends its job, and the whole tree with it; a server
that sees the end of its input has its grace to leave by itself.
"""

from __future__ import annotations

import ctypes
import time
from ctypes import c_void_p
from typing import TYPE_CHECKING

from mcp_client.executor.outcome import Outcome
from mcp_client.executor.windows.client import InputWatch, let_go_of_output
from mcp_client.executor.windows.relay import Relay
from mcp_client.windows import api
from mcp_client.windows import structures as s
from mcp_client.windows.streams import is_console, is_pipe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mcp_client.executor.outcome import OutcomeKind
    from mcp_client.sandbox.backend import SandboxedProcess
    from mcp_client.sandbox.spec import Happening

_CTRL_C, _CTRL_BREAK, _CTRL_CLOSE = 0, 1, 2
_NAMES = {_CTRL_C: "Ctrl-C", _CTRL_BREAK: "Ctrl-Break"}
_LAST_WORDS_SECONDS = 1.0
_LONGEST_MILLISECONDS = 2**31 - 1
_STANDARD_INPUT, _STANDARD_OUTPUT = 0, 1


class SignalInbox:
    """What the console says to its processes, kept until somebody asks; nothing is lost meanwhile."""

    def __init__(self) -> None:
        """Take over Ctrl-C and Ctrl-Break, and what the console's window and the session's end say."""
        for descriptor in (_STANDARD_INPUT, _STANDARD_OUTPUT):
            is_pipe(descriptor)
            is_console(descriptor)
        self._event = api.Handle(api.CreateEventW(None, True, False, None))
        self.descriptor = self._event.value or 0
        self.told: list[int] = []
        # Windows calls it in a thread of its own; it lives as long as the process.
        self._routine = api.HandlerRoutine(self._take)
        api.SetConsoleCtrlHandler(ctypes.cast(self._routine, c_void_p), True)

    def read(self) -> list[str]:
        """What came, by name."""
        api.ResetEvent(self.descriptor)
        told, self.told = self.told, []
        return [_NAMES.get(kind, "the end of the session") for kind in told]

    def _take(self, kind: int) -> int:
        self.told.append(kind)
        api.SetEvent(self.descriptor)
        if kind >= _CTRL_CLOSE:
            # Windows ends this process as soon as this returns, and after some seconds in any case.
            time.sleep(_LAST_WORDS_SECONDS)
        return 1


class Supervisor:
    """The loop around one released server. All times are seconds of the monotonic clock."""

    def __init__(
        self,
        process: SandboxedProcess,
        inbox: SignalInbox,
        *,
        parent: int | None,
        timeout: float | None,
        grace: float,
        on_event: Callable[[Happening], None],
        egress: object = None,  # noqa: ARG002
        companions: Sequence[object] = (),  # noqa: ARG002
        front: object = None,  # noqa: ARG002
    ) -> None:
        """``parent`` is from watch_parent(); ``grace`` follows the end of the server's input.

        Nothing leads in or out here: ``egress`` and ``front`` are None. The ``companions`` need no turns.
        """
        self._process, self._inbox, self._parent = process, inbox, parent
        self._on_event = on_event
        self._relay = Relay(process.diagnostics)
        self._grace = grace
        self._started = time.monotonic()
        self._timeout_at = None if timeout is None else self._started + timeout
        self._kill_at: float | None = None
        self._input: InputWatch | None = InputWatch()
        self._reason: str | None = None
        self._timed_out = False
        self.urged = False

    def run(self) -> Outcome:
        """Return when the whole tree is gone."""
        let_go_of_output()
        while True:
            signalled = self._wait()
            if signalled == self._process.events:
                happened = self._process.next_event()
                if happened == "ended":
                    return self._outcome()
                self._on_event(happened)
            elif signalled == self._inbox.descriptor:
                self.urged = True
                for name in self._inbox.read():
                    self._kill(f"{name} received")
            elif self._input is not None and signalled == self._input.handle:
                self._input = None
                self._kill_within(self._grace, "the client closed the connection")
            elif signalled is not None and signalled == self._parent:
                self._parent = None
                self.urged = True
                self._kill_within(self._grace, "the client ended")
            self._keep_time(time.monotonic())

    def _wait(self) -> int | None:
        """The handle that is signalled; None when it is time for something."""
        handles = [self._process.events, self._inbox.descriptor]
        handles += [] if self._parent is None else [self._parent]
        handles += [] if self._input is None else [self._input.handle]
        listed = (c_void_p * len(handles))(*handles)
        answer = int(api.WaitForMultipleObjects(len(handles), listed, False, self._milliseconds()))
        return handles[answer] if answer < len(handles) else None

    def _milliseconds(self) -> int:
        due = [at for at in (self._timeout_at, self._kill_at) if at is not None]
        if not due:
            return s.INFINITE
        return min(max(0, round((min(due) - time.monotonic()) * 1000) + 1), _LONGEST_MILLISECONDS)

    def _keep_time(self, now: float) -> None:
        if self._timeout_at is not None and now >= self._timeout_at:
            self._timeout_at = None
            self._timed_out = self.urged = True
            self._kill(f"timeout after {now - self._started:.1f} s")
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            self._process.kill()

    def _kill(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._process.kill()

    def _kill_within(self, seconds: float, reason: str) -> None:
        """An earlier deadline stays."""
        at = time.monotonic() + seconds
        self._reason = self._reason or reason
        self._kill_at = min(at, self._kill_at or at)

    def _outcome(self) -> Outcome:
        ended = self._process.collect()
        seconds = time.monotonic() - self._started
        self._relay.drain(_LAST_WORDS_SECONDS)
        kind: OutcomeKind = "exit" if ended.signal is None else "signal"
        if self._timed_out:
            kind = "timeout"
        elif ended.out_of_memory and ended.signal is not None:
            kind = "oom"
        return Outcome(kind, ended.status, ended.signal, self._reason, seconds, ended.usage, ended.refused)
