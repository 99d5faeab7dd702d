"""Stay with a running server: pass signals on, notice the client's end, keep the clock, tell the outcome."""

from __future__ import annotations

import os
import select
import time

from mcp_client.executor.client import HangUp, can_hang_up, let_go_of_output
from mcp_client.executor.outcome import Outcome, signal_name
from mcp_client.executor.relay import Relay
from mcp_client.executor.unread import unread_bytes
from mcp_client.light import TYPE_CHECKING, Protocol, signal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from mcp_client.executor.egress import Egress
    from mcp_client.executor.front import Front
    from mcp_client.executor.outcome import OutcomeKind
    from mcp_client.executor.proxied import ProxiedEgress
    from mcp_client.sandbox.backend import SandboxedProcess
    from mcp_client.sandbox.spec import Happening

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_PASSED_ON = (*_ENDING, signal.SIGUSR1, signal.SIGUSR2)
_DRAIN_SECONDS = 0.05
# Beyond its end the server's diagnostics wait this long for a client that does not read.
_LAST_WORDS_SECONDS = 1.0
# poll(2) takes its time as a signed int of milliseconds; a longer wait is several.
_LONGEST_POLL = 2**31 - 1
_STANDARD_INPUT = 0


class SignalInbox:
    """Signals as bytes on a pipe, so that none is lost while the server is being built."""

    def __init__(self) -> None:
        """Take over the signals that are passed on."""
        self.descriptor, self._write = os.pipe()
        for end in (self.descriptor, self._write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in _PASSED_ON:
            # What the caller chose to ignore (nohup) stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _noted)

    def read(self) -> bytes:
        """The numbers of the signals that arrived, one byte each."""
        try:
            return os.read(self.descriptor, 64)
        except BlockingIOError:
            return b""


def _noted(_number: int, _frame: FrameType | None) -> None:
    """The wake-up pipe carries the number; this keeps the default action from happening."""


class Companion(Protocol):
    """Something that has its turns in the supervisor's loop."""

    @property
    def due_at(self) -> float | None:
        """When it wants a turn even if nothing happens, by the monotonic clock."""

    def watch(self, poll: select.poll) -> None:
        """Register what it waits for."""

    def move(self, poll: select.poll, ready: dict[int, int]) -> None:
        """Do what there is to do, without waiting."""


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
        egress: Egress | ProxiedEgress | None = None,
        companions: Sequence[Companion] = (),
        front: Front | None = None,
    ) -> None:
        """``parent`` is from watch_parent(); ``grace`` follows end of file, and again SIGTERM.

        With a ``front`` the standard streams are not the server's, and what ends it lets answers out first.
        """
        self._process = process
        self._on_event = on_event
        self._relay = Relay(process.diagnostics)
        self._egress = egress
        self._front = front
        several: tuple[Companion | None, ...] = (self._relay, egress, front, *companions)
        self._companions = [companion for companion in several if companion is not None]
        self._parent = parent
        self._input: HangUp | None = None
        self._inbox = inbox
        self._grace = grace
        self._started = time.monotonic()
        self._timeout_at = None if timeout is None else self._started + timeout
        self._drained_check_at: float | None = None
        self._unread, self._unread_since = -1, 0.0
        self._draining = self._unwanted = False
        self._terminate_at: float | None = None
        self._kill_at: float | None = None
        self._reason: str | None = None
        self._timed_out = False
        # Whether somebody wants this over: not so when the server or the client simply came to its end.
        self.urged = False

    def run(self) -> Outcome:
        """Return when the whole sandbox is gone."""
        if self._front is None:
            let_go_of_output()
        poll = self._watch()
        while True:
            ready = dict(poll.poll(self._milliseconds_to_wait()))
            if self._process.events in ready:
                happened = self._process.next_event()
                if happened == "ended":
                    return self._outcome()
                self._on_event(happened)
            for companion in self._companions:
                companion.move(poll, ready)
            if self._inbox.descriptor in ready:
                self._pass_on()
            if self._input is not None and self._input.happened(ready):
                poll.unregister(self._input)
                self._input = None
                self._drained_check_at = time.monotonic()
            if self._parent is not None and self._parent in ready:
                poll.unregister(self._parent)
                self._parent = None
                self.urged = True
                self._wind_down("the client ended")
            if self._front is not None and self._front.reason is not None and not self._draining:
                self._unwanted = self._front.failure is None
                self._wind_down(self._front.reason)
            self._keep_time(time.monotonic())

    def _watch(self) -> select.poll:
        poll = select.poll()
        poll.register(self._process.events, select.POLLIN)
        for companion in self._companions:
            companion.watch(poll)
        poll.register(self._inbox.descriptor, select.POLLIN)
        if self._front is None and can_hang_up(_STANDARD_INPUT):
            self._input = HangUp(_STANDARD_INPUT)
            poll.register(self._input, self._input.events)
        if self._parent is not None:
            poll.register(self._parent, select.POLLIN)
        return poll

    def _milliseconds_to_wait(self) -> float | None:
        times = (
            self._timeout_at,
            self._drained_check_at,
            self._terminate_at,
            self._kill_at,
            *(companion.due_at for companion in self._companions),
        )
        due = [at for at in times if at is not None]
        if not due:
            return None
        return min(max(0.0, min(due) - time.monotonic()) * 1000 + 1, _LONGEST_POLL)

    def _pass_on(self) -> None:
        for number in self._inbox.read():
            self.urged = True
            if self._front is not None and number in _ENDING and not self._draining:
                self._wind_down(f"{signal_name(number)} received")
                continue
            self._process.signal(number)
            if number == signal.SIGINT:
                self._stop_by(signal.SIGTERM, "interrupted")
            elif number in {signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}:
                self._stop_by(signal.SIGKILL, f"{signal_name(number)} received")

    def _wind_down(self, reason: str) -> None:
        """What is under way may end within the grace; SIGTERM follows."""
        self._draining = True
        if self._front is not None:
            self._front.drain()
        self._stop_by(signal.SIGTERM, reason)

    def _stop_by(self, number: int, reason: str) -> None:
        """Give the server its grace before ``number``; an earlier deadline stays."""
        at = time.monotonic() + self._grace
        self._reason = self._reason or reason
        if number == signal.SIGKILL:
            self._kill_at = min(at, self._kill_at or at)
        else:
            self._terminate_at = min(at, self._terminate_at or at)

    def _keep_time(self, now: float) -> None:
        if self._timeout_at is not None and now >= self._timeout_at:
            self._timeout_at = None
            self._timed_out = self.urged = True
            self._reason = f"timeout after {now - self._started:.1f} s"
            self._terminate()
        if self._drained_check_at is not None and now >= self._drained_check_at:
            self._drained_check_at = now + _DRAIN_SECONDS
            if self._no_longer_reads(now):
                self._drained_check_at = None
                self._stop_by(signal.SIGTERM, "the client closed the connection")
        drained = self._draining and self._front is not None and self._front.drained
        if self._terminate_at is not None and (drained or now >= self._terminate_at):
            self._terminate()
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            self._process.kill()

    def _no_longer_reads(self, now: float) -> bool:
        """Whether the server saw the end of its input, or reads nothing of what is left for a whole grace.

        Requests that are still unread are not an end yet: the grace begins when the server can see one.
        """
        unread = unread_bytes(_STANDARD_INPUT)
        if unread != self._unread:
            self._unread, self._unread_since = unread, now
        return unread == 0 or now >= self._unread_since + self._grace

    def _terminate(self) -> None:
        self._terminate_at = None
        self._process.signal(signal.SIGTERM)
        self._stop_by(signal.SIGKILL, "")

    def _outcome(self) -> Outcome:
        ended = self._process.collect()
        seconds = time.monotonic() - self._started
        self._relay.drain(_LAST_WORDS_SECONDS)
        kind: OutcomeKind = "exit" if ended.signal is None else "signal"
        if self._timed_out:
            kind = "timeout"
        elif ended.out_of_memory and ended.signal == signal.SIGKILL:
            kind = "oom"
        return Outcome(
            kind,
            ended.status,
            ended.signal,
            self._reason,
            seconds,
            ended.usage,
            ended.refused,
            network=() if self._egress is None else self._egress.close(),
            http=None if self._front is None else self._front.close(),
            unwanted=self._unwanted,
        )
