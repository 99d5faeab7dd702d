"""Addresses of a name as the host's own programs see them: hosts file, nsswitch, any resolver daemon.

getaddrinfo(3) blocks, so a few threads ask it. What it said is kept for seconds: every address is checked
again at each connection, so an old answer opens nothing.
"""

from __future__ import annotations

import _queue
import _socket
import _thread
import os
import sys

from mcp_client.light import TYPE_CHECKING, deque
from mcp_client.network.addresses import Address, from_packed, parse_address
from mcp_client.network.engine.loop import READ, Loop

if TYPE_CHECKING:
    from collections.abc import Callable

    LookUp = Callable[[str], list[Address]]

_MOST_THREADS = 4
_MOST_KEPT = 256
_KEEP_SECONDS = 10.0
_KEEP_FAILURE_SECONDS = 1.0
_MOST_ADDRESSES = 16
_LARGEST_RING = 4096

_ONE = (1).to_bytes(8, sys.byteorder)


class Answer:
    """Addresses in the order of preference, or none and ``failure``, which says why."""

    __slots__ = ("addresses", "failure")

    def __init__(self, addresses: list[Address], failure: str = "") -> None:
        self.addresses, self.failure = addresses, failure


def look_up(name: str) -> list[Address]:
    """Ask the host's resolver. Raises OSError."""
    # As bytes: Python would load its tables of international names for text.
    found = _socket.getaddrinfo(name.encode("ascii"), None, 0, _socket.SOCK_STREAM)
    addresses = []
    for family, _, _, _, address in found:
        if family in {_socket.AF_INET, _socket.AF_INET6}:
            addresses.append(from_packed(_socket.inet_pton(family, str(address[0]).partition("%")[0])))
    return list(dict.fromkeys(addresses))[:_MOST_ADDRESSES]


class Resolver:
    """Looks up names beside the loop; several who ask for one name share an answer."""

    def __init__(self, loop: Loop, ask: LookUp = look_up) -> None:
        """``ask`` is called in threads, and raises OSError when there is no address."""
        self._loop = loop
        self._ask = ask
        self._jobs: _queue.SimpleQueue[str | None] = _queue.SimpleQueue()
        self._done: deque[tuple[str, Answer]] = deque()
        self._waiting: dict[str, list[Callable[[Answer], None]]] = {}
        self._kept: dict[str, tuple[float, Answer]] = {}
        self._threads = 0
        self._wake, self._bell = _make_bell()
        loop.watch(self._wake, READ, self._deliver)

    def resolve(self, name: str, callback: Callable[[Answer], None]) -> None:
        """Call back once, at once when ``name`` is an address or an answer is still kept."""
        address = parse_address(name)
        until, answer = self._kept.get(name, (0.0, None))
        if address is not None:
            callback(Answer([address]))
        elif answer is not None and self._loop.now < until:
            callback(answer)
        elif name in self._waiting:
            self._waiting[name].append(callback)
        else:
            self._waiting[name] = [callback]
            if self._threads < min(len(self._waiting), _MOST_THREADS):
                self._start_thread()
            if self._threads:
                self._jobs.put(name)
            else:
                del self._waiting[name]
                callback(Answer([], "no thread can be started to look it up"))

    def forget(self, name: str) -> None:
        """Its addresses did not help; ask again next time."""
        self._kept.pop(name, None)

    def close(self) -> None:
        """Let the threads end; one that waits for an answer ends with the process."""
        for _ in range(self._threads):
            self._jobs.put(None)
        # The descriptors stay: a thread may still write to it.
        self._loop.forget(self._wake)

    def _start_thread(self) -> None:
        try:
            _thread.start_new_thread(self._work, ())
        except RuntimeError:
            # This user's or this group's number of tasks; those that run already go on.
            return
        self._threads += 1

    def _work(self) -> None:
        while (name := self._jobs.get()) is not None:
            try:
                answer = Answer(self._ask(name))
            except (OSError, UnicodeError) as error:
                answer = Answer([], getattr(error, "strerror", None) or "it cannot be looked up")
            self._done.append((name, answer))
            try:
                os.write(self._bell, _ONE)
            except BlockingIOError:
                # It rings already.
                continue

    def _deliver(self) -> None:
        try:
            os.read(self._wake, _LARGEST_RING)
        except BlockingIOError:
            return
        while self._done:
            name, answer = self._done.popleft()
            if len(self._kept) >= _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            keep = _KEEP_SECONDS if answer.addresses else _KEEP_FAILURE_SECONDS
            self._kept[name] = self._loop.now + keep, answer
            for callback in self._waiting.pop(name):
                callback(answer)


def _make_bell() -> tuple[int, int]:
    """Readable once somebody has written 8 bytes to the second: eventfd(2), or a pipe where there is none."""
    if sys.platform == "linux":
        bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        return bell, bell
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends
